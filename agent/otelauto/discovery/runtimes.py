"""Which language runtime, if any, a process is an instance of.

Only the table of runtimes lives here; what runs on them is told by commands.
"""

from __future__ import annotations

import re
from posixpath import basename
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from otelauto.model import Process

__all__ = ["Runtime", "program", "runtime_name", "runtime_of"]

Runtime: TypeAlias = Literal[
    "python",
    "java",
    "node",
    "deno",
    "bun",
    "ruby",
    "perl",
    "php",
    "dotnet",
    "beam",
    "shell",
    "uwsgi",
    "other",
]

_RUNTIMES: tuple[tuple[Runtime, re.Pattern[str]], ...] = (
    ("python", re.compile(r"(?:python|pypy)[\d.]*(?:t|d|-dbg)?")),
    ("java", re.compile(r"java")),
    ("node", re.compile(r"node|nodejs")),
    ("deno", re.compile(r"deno")),
    ("bun", re.compile(r"bun")),
    ("ruby", re.compile(r"(?:ruby|jruby|truffleruby)[\d.]*")),
    ("perl", re.compile(r"perl[\d.]*(?:-[\w-]+)?")),
    ("php", re.compile(r"php[\d.]*|php-cli|frankenphp")),
    ("dotnet", re.compile(r"dotnet|mono|mono-sgen")),
    ("beam", re.compile(r"beam(?:\.smp)?")),
    ("shell", re.compile(r"sh|bash|dash|zsh|ksh|ash|busybox")),
    ("uwsgi", re.compile(r"uwsgi(?:-core|[_-]python\d*)?")),
    ("other", re.compile(r"lua(?:jit)?[\d.-]*|R|Rscript|julia|tclsh[\d.]*|guile|sbcl")),
)

#: process.runtime.name, as the languages' own SDKs report it.
_NAMES: dict[Runtime, str] = {
    "python": "cpython",
    "node": "nodejs",
    "deno": "deno",
    "bun": "bun",
    "ruby": "ruby",
    "perl": "perl",
    "php": "php",
    "dotnet": ".NET",
    "beam": "BEAM",
    "java": "java",
}


def program(process: Process) -> str:
    """The base name of what runs: of the executable or, if that cannot be read, of argv[0]."""
    if process.exe:
        return basename(process.exe).removeprefix("memfd:")
    # A title such as "nginx: worker process" names the program before the colon.
    words = process.cmdline[0].split() if process.cmdline else []
    return basename(words[0]).rstrip(":") if words else ""


def runtime_of(process: Process) -> Runtime | None:
    """The runtime; None for a program of its own."""
    name = program(process)
    return next((kind for kind, pattern in _RUNTIMES if pattern.fullmatch(name)), None)


def runtime_name(process: Process) -> str:
    """process.runtime.name; empty where it is not known.

    Java's name is its vendor's (the property java.runtime.name), which only shows in the path.
    """
    kind = runtime_of(process)
    if kind is None:
        return ""
    if kind == "python" and program(process).startswith("pypy"):
        return "pypy"
    if kind == "java" and re.search(r"openjdk|temurin|corretto|zulu", process.exe):
        return "OpenJDK Runtime Environment"
    if kind == "dotnet" and program(process).startswith("mono"):
        return "mono"
    return _NAMES.get(kind, "")
