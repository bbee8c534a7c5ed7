"""Names out of paths of programs: /srv/shop/current/app.py is "shop".

Only pure functions of texts live here.
"""

from __future__ import annotations

import re
from posixpath import basename, join, normpath

__all__ = ["directory_name", "generic", "module_name", "path_name", "words"]


def words(text: str) -> frozenset[str]:
    """A table of words, as it is read best."""
    return frozenset(text.split())


#: Names of files that say what they do, not what they are.
_GENERIC_STEMS = words(
    """
    __init__ __main__ app application asgi bin boot bootstrap cli config console default
    docker-entrypoint entry entrypoint handler index init launch launcher main manage program
    run runner server service start startup web worker wsgi www jarlauncher warlauncher
    propertieslauncher quarkus-run prodserverstart
    """
)
#: Names of folders that hold programs of any kind.
_GENERIC_FOLDERS = words(
    """
    app apps application bin boot build builds cmd code config current deploy dist
    dist-packages dev html lib lib64 libexec libs local main node_modules opt out output public
    publish quarkus-app release releases root run sbin scripts server service share shared
    site-packages src srv standalone target tmp usr var venv web webapp webroot workspace www
    """
)
_EXTENSION = re.compile(
    r"\.(?:py[cowz]?|pyz|rb|ru|[cm]?js|[cm]?ts|[jt]sx|pl|psgi|cgi|php|phar|java|jar|war|dll|exe|sh|bash"
    r"|lua|r|jl|tcl|ini|ya?ml|toml|exs?)$",
    re.IGNORECASE,
)
_NAME_MAX = 255
#: A script that is read from a descriptor has no name.
_DESCRIPTOR = re.compile(r"/dev/(?:fd/|stdin)|/proc/[^/]+/fd/")
_VERSION = re.compile(r"v?\d[\d._-]*", re.IGNORECASE)
_VERSION_TAIL = re.compile(r"[-_.]v?\d+(?:\.\d+)*(?:[-.+_].*)?$", re.IGNORECASE)
_BUILD_TAIL = re.compile(
    r"-(?:all|fat|exec|runner|shaded|uber|standalone|snapshot|jar-with-dependencies)$",
    re.IGNORECASE,
)


def generic(stem: str) -> bool:
    """Whether a name says only what a file does, such as "main"."""
    return stem.lower() in _GENERIC_STEMS


def path_name(path: str, cwd: str, *, versioned: bool = False) -> str:
    """The name in the path of a script or archive; empty if it has none.

    Args:
        path: as it stands in the command line.
        cwd: what it is relative to; empty if that is not known.
        versioned: its name may end with a version and a build's kind, as jars do.
    """
    if _DESCRIPTOR.match(path):
        return ""
    # No file has a longer name; a longer text is hostile, and costs the patterns its square.
    stem = _EXTENSION.sub("", basename(path.rstrip("/"))[-_NAME_MAX:])
    if versioned and not _VERSION.fullmatch(stem):
        stem = _BUILD_TAIL.sub("", _VERSION_TAIL.sub("", _BUILD_TAIL.sub("", stem)) or stem)
    if stem and not generic(stem) and not (versioned and _VERSION.fullmatch(stem)):
        return stem
    folder = normpath(join(cwd or "/", path, ".."))
    return directory_name(folder) or stem


def directory_name(path: str) -> str:
    """The innermost folder whose name tells something; empty if none does.

    Folders of releases (numbers and dates), hidden ones, and a user's home do not.
    """
    parts = [part for part in normpath(path).split("/") if part]
    while parts:
        name = parts.pop()
        if parts[-1:] == ["home"] and len(parts) == 1:
            return ""
        if (
            name.lower() not in _GENERIC_FOLDERS
            and not name.startswith(".")
            and not _VERSION.fullmatch(name)
        ):
            return name
    return ""


def module_name(module: str, cwd: str) -> str:
    """The name in a dotted module or in "module:object".

    Last parts such as "wsgi" or "__main__" are left away; if nothing else remains, the folder
    decides: "shop.wsgi:application" is "shop", "main:app" in /srv/shop is "shop".
    """
    parts = [part for part in module.partition(":")[0].split(".") if part]
    named = list(parts)
    # "server" and "web" end the names of real packages: http.server.
    while named and generic(named[-1]) and not (len(named) > 1 and named[-1] in {"server", "web"}):
        named.pop()
    if named:
        return ".".join(named)
    return directory_name(cwd) or ".".join(parts[:1])
