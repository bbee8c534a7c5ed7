"""A Debian host to install on: booted with systemd, or a root directory without it.

It is an overlay of an image, in namespaces of its own with loopback alone; nothing of it is left
when it is closed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Host", "HostError"]

_BOOT_SECONDS = 60.0
_ENVIRONMENT = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=dumb", "LC_ALL=C.UTF-8")


class HostError(Exception):
    """A host did not boot, or a command on it failed."""


@dataclass(slots=True)
class Host:
    """Use it as a context.

    Attributes:
        image: the root directory that it is an overlay of.
        folder: an empty one for its own files.
        booted: with systemd as process 1; else each command has a process namespace of its own.
    """

    image: Path
    folder: Path
    booted: bool = True
    _manager: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _first: int = field(default=0, init=False)

    @property
    def root(self) -> Path:
        """Its root directory, from outside."""
        return self.folder / "root"

    def __enter__(self) -> Self:
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir(parents=True)
        layers = f"lowerdir={self.image},upperdir={self.folder}/upper,workdir={self.folder}/work"
        command = ["mount", "-t", "overlay", "otelauto-test", "-o", layers, str(self.root)]
        subprocess.run(command, check=True)
        try:
            if self.booted:
                self._boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(self, *command: str, check: bool = True, seconds: float = 120) -> str:
        """Run a command as root; its output, standard error included.

        Raises:
            HostError: its exit code is not 0 and check is set.
        """
        code, output = self.result(*command, seconds=seconds)
        if check and code:
            journal = ("journalctl", "--no-pager", "--lines=30", "--output=cat")
            said = self.result(*journal)[1] if self.booted and command[0] == "systemctl" else ""
            raise HostError(f"{' '.join(command)}: exit code {code}:\n{output}{said}")
        return output

    def result(self, *command: str, seconds: float = 120) -> tuple[int, str]:
        """Run a command as root; its exit code and output, standard error included."""
        if self.booted:
            enter = ["nsenter", "--all", f"--target={self._first}"]
        else:
            enter = [
                *("unshare", "--mount", "--pid", "--fork", "--net", "--uts", "--ipc"),
                f"--root={self.root}",
                *("sh", "-c", 'mount -t proc proc /proc && exec "$@"', "sh"),
            ]
        done = subprocess.run(
            [*enter, "env", "-i", *_ENVIRONMENT, "DEBIAN_FRONTEND=noninteractive", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            timeout=seconds,
            text=True,
            errors="replace",
            check=False,
        )
        return done.returncode, done.stdout

    def close(self) -> None:
        """End it and remove its mount."""
        if self._manager is not None:
            if self._first:
                os.kill(self._first, signal.SIGKILL)
            try:
                self._manager.wait(20)
            except subprocess.TimeoutExpired:
                self._manager.kill()
                self._manager.wait()
            self._manager = None
        subprocess.run(["umount", str(self.root)], check=False, capture_output=True)
        if self.root.is_mount():
            subprocess.run(["umount", "--lazy", str(self.root)], check=True)

    def _boot(self) -> None:
        command = [
            *("systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}"),
            *(f"--machine=otelauto-{os.getpid()}-{self.folder.name}"[:60], "--register=no"),
            *("--keep-unit", "--capability=all", "--private-network", "--resolv-conf=off"),
            *("--timezone=off", "--link-journal=no"),
        ]
        environment = {
            **os.environ,
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
            "SYSTEMD_SECCOMP": "0",
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "yes",
            "SYSTEMD_NSPAWN_LOCK": "0",
        }
        with (self.folder / "console.log").open("wb") as console:
            self._manager = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _BOOT_SECONDS
        while not self._is_up():
            if self._manager.poll() is not None or time.monotonic() > deadline:
                text = (self.folder / "console.log").read_text(errors="replace")
                raise HostError(f"the host did not boot:\n{text[-2000:]}")
            time.sleep(0.1)

    def _is_up(self) -> bool:
        assert self._manager is not None
        pid = self._manager.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if not children:
            return False
        self._first = int(children[0])
        state = self.result("systemctl", "is-system-running")[1].strip()
        return state in {"running", "degraded"}
