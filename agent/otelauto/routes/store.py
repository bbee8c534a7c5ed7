"""Keeps what was learned over restarts: one small file for each service.

Only reading and writing of those files lives here. Nothing in it raises: a store that fails costs
the memory of a restart, never the agent. Each cause is told once, through `warn`, until it is
gone.

A file is JSON lines: a header with the schema's version, then one route or one folded parent a
line. It is replaced as a whole (write, fsync, rename, fsync of the directory), so that a crash or
a full disk leaves the old one. Of a damaged file all lines that can be read are used. A file of a
newer version is neither read nor replaced.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from otelauto.routes.learn import Learned, Prefix, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["MAX_FILES", "MAX_FILE_BYTES", "SCHEMA", "RouteStore"]

SCHEMA = 1
#: A file that is larger was not written by this module.
MAX_FILE_BYTES = 1 << 20
#: The files that were not written for longest go when there are more.
MAX_FILES = 1024

_SUFFIX = ".jsonl"


class _NewerSchemaError(Exception):
    """The file was written by a later version."""


class RouteStore:
    """The files of learned routes.

    Args:
        directory: where they are; made if it does not exist.
        warn: told once about each kind of trouble.
    """

    def __init__(self, directory: Path, warn: Callable[[str], None]) -> None:
        self._directory = directory
        self._warn = warn
        self._warned: set[str] = set()
        self._untouchable: set[Path] = set()

    def load(self, key: str, policy: str) -> Learned:
        """What was learned for a service; empty if nothing is known.

        Args:
            key: names the service for good, the same after a restart.
            policy: of routes.unmatched; each has its own memory.
        """
        path = self._path(key, policy)
        try:
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return Learned()
        except OSError as error:
            self._tell("read", f"learned routes cannot be read from {path}: {error.strerror}")
            return Learned()
        lines = content[:MAX_FILE_BYTES].split(b"\n")
        damaged = len(content) > MAX_FILE_BYTES
        try:
            damaged |= not _is_header(lines[0], key)
            learned, lost = _parsed(lines[1:])
        except _NewerSchemaError:
            self._untouchable.add(path)
            self._tell("newer", f"{path} was written by a newer version and is left alone")
            return Learned()
        if damaged or lost:
            self._tell("damaged", f"{path} is damaged; {len(learned.routes)} routes were saved")
        return learned

    def save(self, key: str, policy: str, learned: Learned) -> bool:
        """Replaces what is stored for a service; False if it failed and may be tried again."""
        path = self._path(key, policy)
        if path in self._untouchable:
            return True
        content = b"".join(_lines(key, learned))
        if len(content) > MAX_FILE_BYTES:
            self._tell("size", f"the learned routes of {key!r} are too large to be stored")
            return True
        try:
            self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            if not path.exists():
                self._make_room()
            _replace(path, content)
        except OSError as error:
            self._tell("write", f"learned routes cannot be written to {path}: {error.strerror}")
            return False
        self._warned.discard("write")
        return True

    def _path(self, key: str, policy: str) -> Path:
        digest = hashlib.sha256(f"{policy}\0{key}".encode("utf-8", "surrogateescape"))
        return self._directory / (digest.hexdigest()[:32] + _SUFFIX)

    def _make_room(self) -> None:
        """Removes the oldest files: services with ever new names must not fill the disk."""
        with os.scandir(self._directory) as entries:
            files = [entry for entry in entries if entry.name.endswith(_SUFFIX)]
        if len(files) < MAX_FILES:
            return
        files.sort(key=lambda entry: entry.stat(follow_symlinks=False).st_mtime_ns)
        for entry in files[: len(files) - MAX_FILES + 1]:
            os.unlink(entry.path)  # noqa: PTH108 - an os.DirEntry

    def _tell(self, cause: str, message: str) -> None:
        if cause not in self._warned:
            self._warned.add(cause)
            self._warn(message)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o640), "wb") as file:
            os.fchmod(file.fileno(), 0o640)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _lines(key: str, learned: Learned) -> Iterator[bytes]:
    yield _line({"otelauto_routes": SCHEMA, "service": key})
    for shape in learned.routes:
        route: dict[str, Any] = {"route": _texts(shape.segments)}
        if shape.rest:
            route["rest"] = True
        yield _line(route)
    yield from sorted(_line({"fold": _texts(prefix)}) for prefix in learned.folded)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _texts(prefix: Prefix) -> list[str | None]:
    return [None if part is None else part.decode("utf-8", "surrogateescape") for part in prefix]


def _is_header(line: bytes, key: str) -> bool:
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(header, dict) or not isinstance(header.get("otelauto_routes"), int):
        return False
    if header["otelauto_routes"] > SCHEMA:
        raise _NewerSchemaError
    return header.get("service") == key


def _parsed(lines: list[bytes]) -> tuple[Learned, int]:
    """What the lines say, and how many of them say nothing."""
    routes: dict[Shape, None] = {}
    folded: set[Prefix] = set()
    values = [_value(line) for line in lines if line]
    for value in values:
        if isinstance(value, Shape):
            routes[value] = None
        elif value is not None:
            folded.add(value)
    return Learned(tuple(routes), frozenset(folded)), values.count(None)


def _value(line: bytes) -> Shape | Prefix | None:
    """The route or the folded parent of a line; None if it is damaged."""
    try:
        value = json.loads(line)
        if "route" in value:
            return Shape(_prefix(value["route"]), bool(value.get("rest")))
        return _prefix(value["fold"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _prefix(texts: Any) -> Prefix:
    """Segments as they were sent.

    Raises:
        ValueError: not a list of segments.
    """
    if not isinstance(texts, list):
        raise ValueError("not a list")  # noqa: TRY004 - all damage is one kind to the caller
    parts: list[bytes | None] = []
    for text in texts:
        part = None if text is None else text.encode("utf-8", "surrogateescape")
        if part is not None and (not part or b"/" in part):
            raise ValueError("not a segment")
        parts.append(part)
    return tuple(parts)
