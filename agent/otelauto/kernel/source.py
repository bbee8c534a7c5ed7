"""The text of the kernel programs, ready for BCC.

BCC rewrites map operations only in the main file: in an included one they compile and then fail
to load. So quoted includes are expanded here, with #line, which keeps clang's messages at the
right file and line. Includes in angle brackets are left to clang: they are headers.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from otelauto.errors import LoadError

__all__ = ["Source", "bpf_folder", "expand"]

_INCLUDE: Final = re.compile(r'\s*#\s*include\s*"([^"]+)"')
_ONCE: Final = re.compile(r"\s*#\s*pragma\s+once\b")
_GUARD: Final = re.compile(r"\s*#\s*ifndef\s+(\w+)\s*\n\s*#\s*define\s+\1\b")
_OPEN: Final = re.compile(r"\s*#\s*if")
_CLOSE: Final = re.compile(r"\s*#\s*endif\b")
#: A comment, or a string, in which nothing is a comment.
_TOKEN: Final = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Source:
    """Expanded text.

    Attributes:
        text: C, without quoted includes.
        sha256: of the text, in hexadecimal.
        files: what went into it, relative to the folder, in the order of their first line.
    """

    text: str
    sha256: str
    files: tuple[str, ...]


def bpf_folder(package: Path | None = None) -> Path:
    """The folder with the kernel sources: in the installed package, or beside it in a checkout.

    Raises:
        LoadError: in neither.
    """
    package = package or Path(__file__).resolve().parents[1]
    for folder in (package / "_bpf", package.parents[1] / "bpf"):
        if (folder / "abi.h").is_file():
            return folder
    raise LoadError(
        f"there are no kernel sources in {package / '_bpf'} or {package.parents[1] / 'bpf'}",
        hint="the package is incomplete: install it again",
    )


def expand(main: str, *, folder: Path, prelude: str = "") -> Source:
    """A source file with everything that it includes by quotes.

    A file is looked for beside the one that includes it, then in the folder, and is taken once,
    unless its first inclusion depends on a condition.

    Args:
        main: name in the folder, such as "main.bpf.c".
        folder: see bpf_folder().
        prelude: text to put before it.

    Raises:
        LoadError: a file is missing or is not UTF-8; the message says who wants it.
    """
    expansion = _Expansion(folder.resolve())
    lines = [*prelude.splitlines(), *expansion.file(folder.resolve() / main, wanted_by="")]
    text = "\n".join(lines) + "\n"
    return Source(
        text=text,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        files=tuple(expansion.files),
    )


class _Expansion:
    """State of one expand()."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, None] = {}
        self._folder = folder
        self._done: set[Path] = set()
        self._open: list[Path] = []

    def file(self, path: Path, *, wanted_by: str) -> list[str]:
        name = self._name(path)
        text = self._read(path, wanted_by)
        self.files.setdefault(name)
        self._open.append(path)
        # Directives are recognised in a copy without comments; the original is what is emitted.
        bare = _TOKEN.sub(_blank, text)
        outermost = 1 if _GUARD.match(bare.lstrip()) else 0
        depth = 0
        lines = [f'#line 1 "{name}"']
        for number, (line, code) in enumerate(
            zip(text.split("\n"), bare.split("\n"), strict=True), start=1
        ):
            include = _INCLUDE.match(code)
            if include is None:
                depth += bool(_OPEN.match(code)) - bool(_CLOSE.match(code))
                lines.append("" if _ONCE.match(code) else line)
                continue
            target = self._find(include[1], path, f"{name}:{number}")
            if target not in self._done and target not in self._open:
                lines += self.file(target, wanted_by=f"{name}:{number}")
                if depth <= outermost:
                    self._done.add(target)
            lines.append(f'#line {number + 1} "{name}"')
        self._open.pop()
        return lines

    def _find(self, wanted: str, includer: Path, place: str) -> Path:
        for folder in (includer.parent, self._folder):
            path = (folder / wanted).resolve()
            if path.is_file():
                return path
        raise LoadError(
            f'{place} includes "{wanted}", which does not exist',
            hint="the package is incomplete: install it again",
        )

    def _read(self, path: Path, wanted_by: str) -> str:
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            where = f" (included by {wanted_by})" if wanted_by else ""
            raise LoadError(
                f"cannot read {path}{where}: {error}",
                hint="the package is incomplete: install it again",
            ) from error

    def _name(self, path: Path) -> str:
        try:
            return str(path.relative_to(self._folder))
        except ValueError:
            return str(path)


def _blank(match: re.Match[str]) -> str:
    text = match[0]
    return text if text.startswith('"') else re.sub(r"[^\n]", " ", text)
