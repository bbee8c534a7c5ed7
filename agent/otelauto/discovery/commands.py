"""What a runtime runs: the script, module, archive or application in a command line.

Only pure functions of command lines live here. Each runtime is one function from arguments
(without the program's own name) and working directory to a name, empty if they do not tell.
"""

from __future__ import annotations

import re
from posixpath import basename, join
from typing import TYPE_CHECKING

from otelauto.discovery._jvm import java_name
from otelauto.discovery._paths import directory_name, module_name, path_name, words
from otelauto.discovery.runtimes import runtime_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otelauto.discovery.runtimes import Runtime
    from otelauto.model import Process

    Namer = Callable[[Sequence[str], str], str]

__all__ = ["script_name"]

#: Arguments that are looked at; what is run stands among the first.
MAX_ARGUMENTS = 1024
#: Titles that servers give themselves; the group is an application, a path, or a name.
_TITLES = (
    re.compile(r"gunicorn: \w+ \[(?P<spec>[^\]]+)\]"),
    re.compile(r"puma: cluster worker \d+: \d+ \[(?P<name>[^\]]+)\]"),
    re.compile(r"puma [\w.]+ \([^)]*\) \[(?P<name>[^\]]+)\]"),
    re.compile(r"sidekiq [\w.]+ (?P<name>[^\s\[]+) \["),
    re.compile(r"\[celeryd: [^\]]*\].*?(?:-A|--app)[ =](?P<spec>[\w.:]+)"),
    re.compile(r"Passenger \w+: (?P<path>/\S+)"),
)
#: Titles of servers of whatever stands in the working directory.
_FOLDER_TITLE = re.compile(r"(?:unicorn|unicorn_rails|next-server|npm|yarn|pnpm|rainbows|thin)\b")

#: Programs that serve an application named by "module:object".
_PYTHON_SERVERS = words(
    "gunicorn uvicorn hypercorn daphne granian waitress-serve waitress bjoern robyn"
)
_PYTHON_TOOLS = words("flask streamlit fastapi twistd chainlit sanic litestar")
_NODE_TOOLS = words(
    """
    npm npm-cli npx npx-cli yarn pnpm pm2 next nuxt nuxi nest vite serve react-scripts nx turbo
    nodemon ts-node ts-node-dev tsx remix-serve gatsby strapi medusa astro forever
    """
)
_RUBY_TOOLS = words(
    "rails puma rackup unicorn thin falcon passenger bundle rake sidekiq foreman spring"
)
_SPEC = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*(?:\(.*\))?")
_MODULE = re.compile(r"[A-Za-z_][\w.]*")


def script_name(process: Process) -> str:
    """The name of what a runtime runs; empty if it is no runtime, or the command line is mute."""
    kind = runtime_of(process)
    if kind is None or not process.cmdline:
        return ""
    return _title_name(process) or _NAMERS[kind](
        process.cmdline[1 : MAX_ARGUMENTS + 1], process.cwd
    )


def _title_name(process: Process) -> str:
    # A process that sets its title leaves one text where its arguments were.
    if len(process.cmdline) > 1 or " " not in process.cmdline[0]:
        first = process.cmdline[0]
        return directory_name(process.cwd) if _FOLDER_TITLE.fullmatch(first) else ""
    title = process.cmdline[0]
    for pattern in _TITLES:
        if found := pattern.match(title):
            kind, value = next(iter(found.groupdict().items()))
            if kind == "spec":
                return _spec_name(value, process.cwd)
            return directory_name(value) if kind == "path" else value
    return directory_name(process.cwd) if _FOLDER_TITLE.match(title) else ""


def _spec_name(spec: str, cwd: str) -> str:
    # gunicorn shows its proc_name in the same place, which is a name and no module.
    is_module = _SPEC.fullmatch(spec) or _MODULE.fullmatch(spec)
    return module_name(spec, cwd) if is_module else spec


def _python(arguments: Sequence[str], cwd: str) -> str:
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        if argument == "-":
            return ""
        if not argument.startswith("-"):
            return _python_script(argument, arguments[index + 1 :], cwd)
        index += 1
        if argument.startswith("--"):
            index += argument == "--check-hash-based-pycs"
            continue
        for place, letter in enumerate(argument[1:], start=2):
            if letter not in "cmWXQ":
                continue
            attached = argument[place:]
            if letter == "c":
                return ""
            value = attached or "".join(arguments[index : index + 1])
            index += not attached
            if letter == "m":
                return _python_module(value, arguments[index:], cwd)
            break
    return ""


def _python_script(path: str, rest: Sequence[str], cwd: str) -> str:
    return _python_launched(basename(path), rest, cwd) or path_name(path, cwd)


def _python_module(module: str, rest: Sequence[str], cwd: str) -> str:
    return _python_launched(module, rest, cwd) or module_name(module, cwd)


def _python_launched(launcher: str, rest: Sequence[str], cwd: str) -> str:
    if launcher in _PYTHON_SERVERS:
        named = _option(rest, "-n", "--name") if launcher == "gunicorn" else ""
        folder = _option(rest, "--chdir", "--app-dir", "--pythonpath", "--working-dir")
        return named or _served(rest, join(cwd, folder))
    if launcher == "celery":
        application = _option(rest, "-A", "--app")
        return module_name(application, cwd) if application else directory_name(cwd)
    if launcher in _PYTHON_TOOLS:
        application = _option(rest, "-A", "--app")
        if application:
            return module_name(application, cwd)
        script = next((a for a in rest if a.endswith(".py")), "")
        return path_name(script, cwd) if script else directory_name(cwd)
    return ""


def _served(arguments: Sequence[str], cwd: str) -> str:
    """The application among the arguments of a server, whose options nobody can know all."""
    spec = next((a for a in arguments if _SPEC.fullmatch(a)), "")
    # Without ":object" it is what stands where no option can take it for its value.
    for before, argument in zip(("", *arguments), arguments, strict=False):
        is_value = before.startswith("-") and "=" not in before
        if not spec and not is_value and _MODULE.fullmatch(argument):
            spec = argument
    return module_name(spec, cwd) if spec else directory_name(cwd)


def _node(arguments: Sequence[str], cwd: str) -> str:
    titled = next((a[8:] for a in arguments if a.startswith("--title=")), "")
    if titled:
        return titled
    valued = {"-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--title"}
    script, rest = _script(arguments, valued | {"--conditions", "--env-file"}, {"-e", "-p"})
    if not script:
        return ""
    tool = basename(script).partition(".")[0]
    if tool in _NODE_TOOLS or "/node_modules/" in script:
        inner = next((a for a in rest if re.search(r"\.[cm]?[jt]s$", a)), "")
        if inner or tool in _NODE_TOOLS or "/node_modules/.bin/" in script:
            return path_name(inner, cwd) if inner else directory_name(cwd)
    return path_name(script, cwd)


def _deno_or_bun(arguments: Sequence[str], cwd: str) -> str:
    rest = list(arguments)
    if rest[:1] in (["run"], ["serve"], ["x"], ["start"], ["task"]):
        word = rest.pop(0)
        if word in {"task", "start"}:
            return directory_name(cwd)
    script, _ = _script(rest, {"-r", "--preload", "--config", "-c", "--import-map"}, {"-e"})
    if not script:
        return ""
    is_file = "/" in script or "." in script
    return path_name(script, cwd) if is_file else directory_name(cwd)


def _ruby(arguments: Sequence[str], cwd: str) -> str:
    script, _ = _script(arguments, {"-r", "-I", "-C", "-E"}, {"-e"})
    if basename(script) in _RUBY_TOOLS:
        return directory_name(cwd)
    return path_name(script, cwd) if script else ""


def _perl(arguments: Sequence[str], cwd: str) -> str:
    script, rest = _script(arguments, {"-I", "-M", "-m"}, {"-e", "-E"})
    if basename(script) in {"starman", "plackup", "hypnotoad", "morbo", "twiggy", "starlet"}:
        application = next((a for a in rest if not a.startswith("-")), "")
        return path_name(application, cwd) if application else directory_name(cwd)
    return path_name(script, cwd) if script else ""


def _php(arguments: Sequence[str], cwd: str) -> str:
    folder = _option(arguments, "-t")
    script, _ = _script(arguments, {"-c", "-d", "-S", "-t", "-z"}, {"-r", "-B", "-R"})
    if basename(script) in {"artisan", "console", "bin/console"}:
        return directory_name(join(cwd, script, ".."))
    if script:
        return path_name(script, cwd)
    return directory_name(join(cwd, folder)) if "-S" in arguments else ""


def _dotnet(arguments: Sequence[str], cwd: str) -> str:
    rest = list(arguments)
    if rest[:1] == ["exec"]:
        rest.pop(0)
    if rest[:1] in (["run"], ["watch"]):
        project = _option(rest, "--project", "-p")
        return path_name(re.sub(r"\.[cf]sproj$", "", project), cwd) or directory_name(cwd)
    valued = {"--depsfile", "--runtimeconfig", "--additionalprobingpath", "--fx-version"}
    script, _ = _script(rest, valued, set())
    return path_name(script, cwd) if script else ""


def _beam(arguments: Sequence[str], _cwd: str) -> str:
    node = _option(arguments, "-name", "-sname")
    return node.partition("@")[0]


def _shell(arguments: Sequence[str], cwd: str) -> str:
    script, _ = _script(arguments, {"-o", "-O", "--rcfile", "--init-file"}, {"-c", "-s"})
    return path_name(script, cwd) if script else ""


def _uwsgi(arguments: Sequence[str], cwd: str) -> str:
    named = _option(arguments, "--procname-prefix", "--procname")
    module = _option(arguments, "--module", "-w", "--wsgi")
    path = _option(arguments, "--ini", "--yaml", "--wsgi-file", "--file", "--xml", "--json")
    path = path or next((a for a in arguments if a.endswith((".ini", ".yml", ".yaml"))), "")
    if named or module:
        return named or module_name(module, cwd)
    return path_name(path, cwd) if path else ""


def _any_script(arguments: Sequence[str], cwd: str) -> str:
    named = next((a.partition("=")[2] for a in arguments if a.startswith("--file=")), "")
    script, _ = _script(arguments, set(), {"-e"})
    return path_name(named or script, cwd) if named or script else ""


def _script(
    arguments: Sequence[str], valued: set[str], code: set[str]
) -> tuple[str, Sequence[str]]:
    """The first argument that is no option, and what follows it.

    Args:
        arguments: the command line.
        valued: options whose value is the next argument.
        code: options after which there is no script.
    """
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        if argument in code:
            return "", ()
        if argument == "--":
            index += 1
            break
        if not argument.startswith("-") or argument == "-":
            break
        index += 2 if argument in valued else 1
    script = "".join(arguments[index : index + 1])
    return script, arguments[index + 1 :]


def _option(arguments: Sequence[str], *names: str) -> str:
    """The value of the first of the options, as "--name value", "--name=value" or "-nvalue"."""
    for index, argument in enumerate(arguments):
        for name in names:
            if argument == name:
                return "".join(arguments[index + 1 : index + 2])
            if name.startswith("--") and argument.startswith(f"{name}="):
                return argument[len(name) + 1 :]
    return ""


_NAMERS: dict[Runtime, Namer] = {
    "python": _python,
    "java": java_name,
    "node": _node,
    "deno": _deno_or_bun,
    "bun": _deno_or_bun,
    "ruby": _ruby,
    "perl": _perl,
    "php": _php,
    "dotnet": _dotnet,
    "beam": _beam,
    "shell": _shell,
    "uwsgi": _uwsgi,
    "other": _any_script,
}
