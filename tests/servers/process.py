"""Supervision of the processes that a test starts: start, wait until they listen, stop, keep logs.

Only this module starts servers and agents in tests. Every process gets a session of its own and
the mark of the test run in its environment. Descendants inherit both, so what is left over can be
found and blamed: by its mark where it has left the session, by its session where it has
overwritten its environment, as nginx does.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["MARK", "Running", "StartError", "Supervisor", "free_port", "listening", "marked"]

# Not OTELAUTO_*: those are options of the agent.
MARK = "TEST_RUN_OF_OTELAUTO"


class StartError(RuntimeError):
    """A process ended or did not listen in time; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    ports: tuple[int, ...] = ()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        return self.ports[0]

    def log_text(self, last_bytes: int = 8000) -> str:
        data = self.log.read_bytes() if self.log.exists() else b""
        return data[-last_bytes:].decode("utf-8", "replace")

    def children(self, proc: str = "/proc") -> tuple[int, ...]:
        """Direct children, such as a server's workers."""
        try:
            text = Path(proc, str(self.pid), "task", str(self.pid), "children").read_text()
        except OSError:
            return ()
        return tuple(int(pid) for pid in text.split())


def free_port(*, below: int = 32000, above: int = 18000) -> int:
    """A TCP port that nothing uses, outside of the range that outgoing connections take."""
    for _ in range(200):
        port = random.randrange(above, below)
        if port in _listening_ports():
            continue
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", port))
            return port
    raise StartError(f"no free port between {above} and {below}")


def _listening_ports(proc: str = "/proc") -> set[int]:
    """Ports of this network namespace in state LISTEN. No connection is made: servers under test
    would count it."""
    ports = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(proc, "self", "net", table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == "0A":
                    ports.add(int(columns[1].rpartition(":")[2], 16))
    return ports


def listening(port: int) -> bool:
    """Whether a TCP socket of this network namespace listens on the port."""
    return port in _listening_ports()


def marked(sessions: Collection[int] = (), proc: str = "/proc") -> dict[int, str]:
    """Processes of this test run, or of the sessions, but zombies: pid to command line."""
    wanted = f"{MARK}={os.getpid()}".encode()
    found = {}
    for entry in Path(proc).iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # Behind the name, which may hold anything: state, parent, group, session.
            stat = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if stat[0] == "Z":
                continue
            is_marked = wanted in (entry / "environ").read_bytes().split(b"\0")
            if is_marked or int(stat[3]) in sessions:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(entry.name)] = command.decode("utf-8", "replace").strip()
        except OSError:
            continue
    return found


@dataclass(slots=True)
class Supervisor:
    """Starts processes in groups of their own and ends them all, newest first."""

    logs: Path
    running: list[Running] = field(default_factory=list)
    sessions: set[int] = field(default_factory=set)

    def start(
        self,
        name: str,
        argv: list[str],
        *,
        ports: tuple[int, ...] = (),
        sockets: tuple[Path, ...] = (),
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        timeout_seconds: float = 20,
    ) -> Running:
        """Start and wait until every port and unix socket is there.

        env changes the environment of the tests; None removes a variable.

        Raises:
            StartError: it ended or did not listen in time.
        """
        log = self.logs / f"{len(self.running)}-{name}.log"
        wanted_env = {**os.environ, **(env or {}), MARK: str(os.getpid())}
        environment = {name: value for name, value in wanted_env.items() if value is not None}
        with log.open("wb") as out:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=cwd,
                start_new_session=True,
            )
        running = Running(name, process, log, ports)
        self.running.append(running)
        self.sessions.add(process.pid)
        deadline = time.monotonic() + timeout_seconds
        while True:
            wanted = set(ports) - _listening_ports()
            if not wanted and all(path.is_socket() for path in sockets):
                return running
            if process.poll() is not None:
                raise StartError(f"{name} ended with {process.returncode}:\n{running.log_text()}")
            if time.monotonic() > deadline:
                raise StartError(f"{name} does not listen on {wanted}:\n{running.log_text()}")
            time.sleep(0.02)

    def stop(self, running: Running, *, timeout_seconds: float = 10) -> int:
        """End a process and its group: SIGTERM, then SIGKILL. Returns its exit code."""
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(timeout_seconds)
        # The group still exists while a child lives, even after its leader was waited for.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(running.pid, signal.SIGKILL)
        code = running.process.wait(timeout_seconds)
        if running in self.running:
            self.running.remove(running)
        return code

    def stop_all(self) -> None:
        for running in reversed(list(self.running)):
            self.stop(running)

    def log_tails(self) -> str:
        """The ends of all logs, for the report of a failed test."""
        return "\n".join(
            f"--- {path.name}\n{path.read_bytes()[-4000:].decode('utf-8', 'replace')}"
            for path in sorted(self.logs.glob("*.log"))
        )
