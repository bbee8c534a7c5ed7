"""What a Java command line runs: archive, module or main class.

Only pure functions of arguments live here (java(1)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otelauto.discovery._paths import directory_name, generic, path_name, words

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["java_name", "system_property"]

_VALUED = words(
    """
    -cp -classpath --class-path -p --module-path --upgrade-module-path --add-modules
    --limit-modules --add-reads --add-exports --add-opens --patch-module --source --describe-module
    -d --enable-native-access
    """
)
#: Main classes that start the application found in a folder: the class, the property with it.
_CONTAINERS = {
    "org.apache.catalina.startup.Bootstrap": ("catalina.base", "tomcat"),
    "org.eclipse.jetty.start.Main": ("jetty.base", "jetty"),
    "org.jboss.Main": ("jboss.home.dir", "jboss"),
}
_LOADERS = (
    "org.springframework.boot.loader.",
    "io.quarkus.bootstrap.runner.",
    "play.core.server.",
)


def system_property(arguments: Sequence[str], name: str) -> str:
    """The value of -Dname=value; the last one counts; empty if there is none."""
    prefix = f"-D{name}="
    return next((a[len(prefix) :] for a in reversed(arguments) if a.startswith(prefix)), "")


def java_name(arguments: Sequence[str], cwd: str) -> str:
    """The name of what runs; empty if the command line does not tell.

    Args:
        arguments: without the program's own name.
        cwd: the working directory.
    """
    spring = system_property(arguments, "spring.application.name") or next(
        (a.partition("=")[2] for a in arguments if a.startswith("--spring.application.name=")), ""
    )
    if spring:
        return spring
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        if argument == "-jar":
            jar = next((a for a in arguments[index + 1 :] if not a.startswith("-")), "")
            return path_name(jar, cwd, versioned=True) if jar else ""
        if argument in {"-m", "--module"}:
            module, _, main = "".join(arguments[index + 1 : index + 2]).partition("/")
            return _class_name(main, arguments, cwd) if main else module
        if argument in _VALUED:
            index += 2
        elif argument.startswith(("-", "@")):
            index += 1
        else:
            return _class_name(argument, arguments, cwd)
    return ""


def _class_name(main: str, arguments: Sequence[str], cwd: str) -> str:
    if main in _CONTAINERS:
        key, product = _CONTAINERS[main]
        base = directory_name(system_property(arguments, key))
        # /var/lib/tomcat10 tells no more than the product does, but tells its version.
        return base or product
    if main.endswith(".java"):
        return path_name(main, cwd)
    if main.startswith(_LOADERS):
        return directory_name(cwd)
    parts = [part for part in main.replace("/", ".").split(".") if part]
    while parts:
        name = parts[-1].removesuffix("Kt") or parts[-1]
        if not generic(name):
            return name
        parts.pop()
    return directory_name(cwd)
