"""Where finished kernel programs are kept between two starts.

Only the files live here. An image is found by everything that it was made from: the sources, the
definitions (offsets of the running kernel among them), the kernel's release and build, the agent's
version. A file that anybody but the agent or root could have written is not read.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otelauto import __version__
from otelauto.kernel.image import image_text, parse_image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otelauto.kernel.image import Image

__all__ = ["ImageStore", "image_key"]

_MAX_BYTES: Final = 4 << 20
_MAX_FILES: Final = 4
_PATTERN: Final = "programs-*.json"


def image_key(parts: Iterable[str]) -> str:
    """Names what an image was made from.

    Args:
        parts: the sources and every definition; the host's kernel is added.
    """
    name = os.uname()
    everything = (__version__, name.release, name.version, name.machine, *parts)
    return hashlib.sha256("\0".join(everything).encode()).hexdigest()


class ImageStore:
    """The images in a directory.

    Args:
        directory: private to the agent.
        log: told when a file cannot be used or kept; never an error.
    """

    def __init__(self, directory: Path, log: Any = None) -> None:
        self._directory = directory
        self._log = log

    def load(self, key: str) -> Image | None:
        """The image of a key; None if there is none that can be trusted and read."""
        path = self._path(key)
        try:
            with path.open("rb") as file:
                if not _is_ours(os.fstat(file.fileno())):
                    self._say("its owner or mode is not safe", path)
                    return None
                raw = json.loads(file.read(_MAX_BYTES))
            return parse_image(raw["image"]) if raw["key"] == key else None
        except FileNotFoundError:
            return None
        except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
            self._say(f"{type(error).__name__}: {error}", path)
            return None

    def save(self, key: str, image: Image) -> bool:
        """Keep an image; the oldest ones go. Whether it is kept."""
        path = self._path(key)
        content = json.dumps({"key": key, "image": image_text(image)}).encode()
        try:
            fd, temporary = tempfile.mkstemp(dir=self._directory, prefix=".programs-")  # 0600
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(content)
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
            self._tidy()
        except OSError as error:
            self._say(str(error), path)
            return False
        return True

    def drop(self, key: str) -> None:
        """Forget an image that the kernel refused."""
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            self._say(str(error), self._path(key))

    def _path(self, key: str) -> Path:
        return self._directory / f"programs-{key[:16]}.json"

    def _tidy(self) -> None:
        found = sorted(self._directory.glob(_PATTERN), key=lambda path: path.stat().st_mtime)
        for path in found[:-_MAX_FILES]:
            path.unlink(missing_ok=True)

    def _say(self, reason: str, path: Path) -> None:
        if self._log is not None:
            self._log.debug("finished kernel programs are not kept", file=str(path), reason=reason)


def _is_ours(found: os.stat_result) -> bool:
    writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISREG(found.st_mode) and found.st_uid in {0, os.geteuid()} and not writable
