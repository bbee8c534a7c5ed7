"""Running load: the exact generator (loadgen.c) and wrk.

``run_exact`` finishes every request that it starts, so its counts are those that anybody else
must have counted. wrk does not: when its time is over it hangs up on the responses in flight. A
server has then answered up to (connections x pipeline) requests more than wrk counted, so
``run_wrk`` gives the lower bound and the server's own count (nginx's access log or stub_status) is
the exact witness.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Load", "Target", "WrkResult", "build_loadgen", "run_exact", "run_wrk", "start_exact"]

HERE = Path(__file__).parent
SOURCE = HERE / "loadgen.c"


@dataclass(frozen=True, slots=True)
class Target:
    """A kind of request and the status it must have. {n} in the path becomes a running number."""

    path: str = "/ok"
    status: int = 200
    method: str = "GET"

    def __str__(self) -> str:
        return f"{self.method}:{self.path}:{self.status}"


@dataclass(frozen=True, slots=True)
class Load:
    """What to send where. Either requests or seconds is set.

    Attributes:
        address: numeric IPv4 or IPv6 address.
        unix: path of a unix socket, instead of address and port.
        rate_per_second: open loop at this rate; 0: as fast as the connections allow.
        body_bytes: body of POST, PUT and PATCH requests.
        one_shot: a new connection for each request.
        cpu: run on this CPU only; -1: anywhere.
    """

    port: int = 0
    targets: tuple[Target, ...] = (Target(),)
    connections: int = 16
    requests: int = 0
    seconds: float = 0
    pipeline: int = 1
    rate_per_second: float = 0
    body_bytes: int = 0
    one_shot: bool = False
    address: str = "127.0.0.1"
    unix: str = ""
    cpu: int = -1


def build_loadgen(directory: Path) -> Path:
    """Compile the generator into the directory, unless it is there and newer than its source."""
    program = directory / "loadgen"
    if not program.exists() or program.stat().st_mtime < SOURCE.stat().st_mtime:
        fresh = directory / f"loadgen.{os.getpid()}"
        command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(fresh), str(SOURCE)]
        subprocess.run(command, check=True)
        fresh.replace(program)
    return program


def command(program: Path, load: Load) -> list[str]:
    """The command line of loadgen for a load."""
    argv = ["taskset", "-c", str(load.cpu)] if load.cpu >= 0 else []
    argv += [str(program), "-c", str(load.connections), "-p", str(load.pipeline)]
    argv += ["-n", str(load.requests)] if load.requests else ["-d", str(load.seconds)]
    argv += ["-u", load.unix] if load.unix else ["-h", load.address, "-P", str(load.port)]
    argv += ["-r", str(load.rate_per_second)] if load.rate_per_second else []
    argv += ["-b", str(load.body_bytes)] if load.body_bytes else []
    argv += ["-x"] if load.one_shot else []
    return argv + [str(target) for target in load.targets]


def run_exact(program: Path, load: Load, *, timeout_seconds: float = 120) -> dict[str, object]:
    """Run to the end. The report: started, finished, failed, statuses, targets, rate, latency_us.

    Raises:
        AssertionError: a request failed or had another status than its target's.
    """
    done = subprocess.run(
        command(program, load), capture_output=True, timeout=timeout_seconds, check=False
    )
    if done.returncode:
        raise AssertionError(f"loadgen: {done.stderr.decode()} {done.stdout.decode()}")
    report: dict[str, object] = json.loads(done.stdout)
    return report


def start_exact(program: Path, load: Load) -> subprocess.Popen[bytes]:
    """Start a load in the background; its report comes on standard output."""
    return subprocess.Popen(
        command(program, load), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )


@dataclass(frozen=True, slots=True)
class WrkResult:
    """wrk's own exact counts, from its done() hook.

    Attributes:
        requests: complete responses.
        bad_statuses: of those, above 399.
        errors: connect, read, write and timeout errors.
    """

    requests: int
    bad_statuses: int
    errors: int
    duration_us: int


def run_wrk(
    url: str,
    *,
    connections: int = 16,
    seconds: int = 2,
    threads: int = 1,
    pipeline: int = 1,
) -> WrkResult:
    """Run wrk for so long; with pipeline > 1 each connection sends so many requests at once."""
    wrk = shutil.which("wrk") or "wrk"
    argv = [wrk, "-t", str(threads), "-c", str(connections), "-d", f"{seconds}s"]
    argv += ["-s", str(HERE / "counts.lua"), url, "--", str(pipeline)]
    done = subprocess.run(argv, capture_output=True, check=True, timeout=seconds + 60)
    line = next(x for x in done.stdout.decode().splitlines() if x.startswith("counts "))
    values = json.loads(line.removeprefix("counts "))
    errors = values["connect"] + values["read"] + values["write"] + values["timeout"]
    return WrkResult(values["requests"], values["status"], errors, values["duration_us"])
