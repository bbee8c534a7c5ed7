"""What is looked at on the host and at the exporters' other ends, each a Check.

Nothing is changed, and nothing but an empty export request is sent. Checks that a start makes as
well are those of ``kernel.preflight``; here they become one list with the rest.
"""

from __future__ import annotations

import ctypes
import errno
import http.client
import shutil
import socket
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from otelauto.kernel import features, preflight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otelauto.config.exports import OtelMetricsExport
    from otelauto.config.schema import Config
    from otelauto.kernel.features import Features

__all__ = [
    "Check",
    "agents",
    "clock",
    "container",
    "disk",
    "endpoint",
    "hooks",
    "host",
    "probed_hooks",
    "scrape_port",
    "toolchain",
]

_CHILD: Final = (
    "import bcc, re; bcc.BPF; maps = open('/proc/self/maps').read();"
    " llvm = re.search(r'libLLVM[-.]?(?:so[.])?([0-9][0-9.]*[0-9]|[0-9])', maps);"
    " print(getattr(bcc, '__version__', '?'), llvm.group(1) if llvm else '?')"
)
_CHILD_SECONDS: Final = 30
_ANSWER_SECONDS: Final = 5.0
_TIMEX_BYTES: Final = 256  # struct timex is 208 bytes
_TIME_ERROR: Final = 5
_LOW_DISK_BYTES: Final = 64 << 20
#: Names (as in comm, 15 bytes) of programs that count the same requests with eBPF.
_SAME_WORK: Final = frozenset(
    {"beyla", "obi", "ebpf-instrument", "coroot-node-age", "pem", "deepflow-agent"}
)


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    Attributes:
        code: the exit code that a failure asks for.
    """

    name: str
    state: Literal["pass", "warn", "fail"]
    why: str
    remedy: str = ""
    code: int = 3


def toolchain(candidates: tuple[str, ...]) -> tuple[str, str]:
    """("0.26.0, LLVM 14", "") of the first bcc that imports, or ("", the reason)."""
    version, reason = preflight.import_bcc(candidates)
    if not version:
        return "", reason
    for python in candidates:
        try:
            done = subprocess.run(
                [python, "-I", "-c", _CHILD],
                capture_output=True,
                timeout=_CHILD_SECONDS,
                check=True,
                text=True,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            )
        except (OSError, subprocess.SubprocessError):
            continue
        bcc, _, llvm = done.stdout.strip().partition(" ")
        return f"{bcc}, LLVM {'built in' if llvm == '?' else llvm}", ""
    return version, ""


def host(config: Config) -> Iterator[Check]:
    """The checks of a start, BCC and LLVM among them."""
    mode = config.ebpf.headers
    for found in preflight.check(mode=mode, bcc=toolchain):  # type: ignore[arg-type]
        state: Literal["pass", "warn", "fail"] = "fail" if found.required else "warn"
        yield Check(found.name, "pass" if found.ok else state, found.why, found.remedy)


def hooks(found: Features) -> Check:
    """Which way of hooking the kernel allows."""
    name = "hooks"
    missing = [each for each in ("ring_buffer", "namespace_pid") if not getattr(found, each)]
    if missing:
        shown = ", ".join(f"{each} ({_errno(found, each)})" for each in missing)
        return Check(name, "fail", f"the kernel lacks {shown}", "Linux 5.10 or newer is needed")
    if found.sock_length and found.task_registers:
        return Check(name, "pass", "at the socket (the cheapest)")
    if found.sys_exit:
        return Check(name, "pass", "at the end of system calls; Linux 6.3 has a cheaper way")
    why = f"neither at the socket nor at system calls ({_errno(found, 'sys_exit')})"
    return Check(name, "fail", why, "see the lines on capabilities, lockdown and bpf")


def _errno(found: Features, name: str) -> str:
    number = found.error_number(name)
    return errno.errorcode.get(number, str(number))


def probed_hooks() -> Check:
    """The same, of this kernel."""
    return hooks(features.probe())


def container(root: Path = Path("/")) -> Check:
    """Whether the agent stands in a container, which is not the whole host."""
    try:
        kind = (root / "run/systemd/container").read_text().strip()
    except OSError:
        kind = "docker" if (root / ".dockerenv").exists() else ""
    if not kind:
        return Check("container", "pass", "not in a container")
    return Check(
        "container",
        "warn",
        f"in a container ({kind}): only its own processes are seen",
        "for the whole host give it the host's process ids (podman and docker: --pid=host)",
    )


def clock() -> Check:
    """Whether the clock is synchronized, by adjtimex(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    state = int(libc.adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
    if state < 0:
        return Check("clock", "warn", "the kernel does not tell whether it is synchronized")
    if state == _TIME_ERROR:
        remedy = "start chrony or systemd-timesyncd; points with a wrong time may be refused"
        return Check("clock", "warn", "not synchronized", remedy)
    return Check("clock", "pass", "synchronized")


def disk(directory: Path) -> Check:
    """Whether what is kept over restarts finds room."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    free = shutil.disk_usage(directory).free
    why = f"{free >> 20} MiB free at {directory}"
    if free >= _LOW_DISK_BYTES:
        return Check("disk", "pass", why)
    return Check("disk", "warn", why, "make room: learned routes are not kept when it is full")


def agents(proc: Path = Path("/proc")) -> Check:
    """Whether another program counts the same requests."""
    same = sorted({_comm(path) for path in proc.glob("[0-9]*/comm")} & _SAME_WORK)
    if not same:
        return Check("other agents", "pass", "none that counts the same requests")
    why = f"{', '.join(same)} runs: requests are counted, and probed, twice"
    return Check("other agents", "warn", why, "stop it, or select other services in each")


def _comm(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:  # it ended meanwhile
        return ""


def scrape_port(config: Config) -> Check:
    """Whether the Prometheus endpoint can have its port, or has it."""
    export, name = config.prometheus_export, "prometheus_export"
    where = f"{export.listen_address}:{export.port}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            export.listen_address or None,
            export.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        why = f"{where}: {(error.strerror or str(error)).lower()}"
        if error.errno == errno.EADDRINUSE:
            remedy = "fine if the agent runs; else stop what listens there (ss -ltnp shows it)"
            return Check(name, "warn", why, remedy, code=4)
        return Check(name, "fail", why, f"set another {name}.listen_address or port", code=4)
    return Check(name, "pass", f"{where} is free")


def endpoint(export: OtelMetricsExport) -> Check:
    """Whether the OTLP endpoint answers, and takes the credentials: an empty export is sent."""
    name, url = "otel_metrics_export", export.url
    if url is None:
        return Check(name, "pass", "off")
    parts = url.parts
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        if export.resolved_protocol == "grpc":
            socket.create_connection((parts.hostname or "", port), _ANSWER_SECONDS).close()
            return Check(name, "pass", f"{url} takes connections; credentials were not tried")
        status = _post(export, parts.hostname or "", port, secure=parts.scheme == "https")
    except (OSError, http.client.HTTPException, ValueError) as error:
        remedy = "is the collector running, the name right, the port open, the certificate known?"
        return Check(name, "fail", f"{url}: {error or type(error).__name__}", remedy, code=4)
    return _answered(name, f"{url} answers {status}", status)


def _answered(name: str, why: str, status: int) -> Check:
    if 200 <= status < 300:
        return Check(name, "pass", why)
    if status in {401, 403}:
        return Check(name, "fail", why, f"it refuses the credentials of {name}.headers", code=4)
    if status in {404, 405}:
        return Check(name, "fail", why, "that path takes no OTLP: look at the endpoint", code=4)
    return Check(name, "warn", why, "it answers, but takes no metrics now", code=4)


def _post(export: OtelMetricsExport, host_name: str, port: int, *, secure: bool) -> int:
    """The status of an export of nothing: no bytes are the empty message."""
    connection: http.client.HTTPConnection
    if secure:
        context = ssl.create_default_context(cafile=export.certificate or None)
        if export.client_certificate:
            context.load_cert_chain(export.client_certificate, export.client_key or None)
        if export.insecure_skip_verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            host_name, port, timeout=_ANSWER_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(host_name, port, timeout=_ANSWER_SECONDS)
    headers = {"Content-Type": "application/x-protobuf"}
    headers |= {key: value.reveal() for key, value in export.headers}
    target = export.url.parts._replace(scheme="", netloc="", fragment="").geturl()  # type: ignore[union-attr]
    try:
        connection.request("POST", target or "/", b"", headers)
        return connection.getresponse().status
    finally:
        connection.close()
