"""Compile and load the kernel programs in a short-lived child, and receive their descriptors.

The parent's half of the protocol that _loader_child.py documents. LLVM costs 100 MB, takes half a
second, and may abort on odd input: all of that happens in the child and goes with it. Whatever the
child does (dies at any point, hangs, answers garbage), load() either returns every descriptor that
was asked for or raises LoadError with nothing left open.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from otelauto.errors import LoadError
from otelauto.kernel import channel
from otelauto.kernel.bpf import MapInfo, ProgramType, map_info
from otelauto.kernel.diagnosis import (
    Answer,
    Layout,
    describe_exit,
    explain,
    keep_log,
    layout_differences,
    parse_answer,
    verifier_excerpt,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from otelauto.kernel.image import Image

__all__ = ["LoadRequest", "Loaded", "Program", "interpreters", "load"]

_INTERPRETER: Final = re.compile(r"python3(\.\d+)?|platform-python")
_LOG_BYTES: Final = 64 << 20
_GRACE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Program:
    """A program to load.

    Attributes:
        function: the C function.
        type: which kind of hook it is for.
        name: key in Loaded.programs; empty for the function's name. One function may be loaded
            several times under different types and names.
        optional: if the verifier refuses it, the others are loaded all the same and the reason is
            in Loaded.refused.
    """

    function: str
    type: ProgramType
    name: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What to compile and load.

    Attributes:
        source: the whole C text; see source.py.
        programs: in the order in which they are loaded.
        maps: names of the maps to receive; the others live as long as the programs that use them.
        cflags: for clang, such as "-DOFF_task_struct_files=1824".
        witnesses: layouts to verify before anything is loaded.
        kernel_source: directory with the headers (BCC_KERNEL_SOURCE); None to let BCC take those
            of the running kernel, which headers.py must have found complete before.
        state_dir: private directory for logs of failures and for the child's temporary files; None
            to keep no logs.
        image: whether Loaded.image is wanted.
    """

    source: str
    programs: Sequence[Program]
    maps: Sequence[str] = ()
    cflags: Sequence[str] = ()
    witnesses: Sequence[Layout] = ()
    kernel_source: Path | None = None
    state_dir: Path | None = None
    image: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """Programs and maps, as descriptors that this value owns.

    Attributes:
        programs: descriptor by name.
        maps: by name.
        refused: the verifier's last words by name, for optional programs.
        seconds: wall time of the whole load.
        stages: seconds by stage, as the child measured them.
        log: what clang and the verifier printed.
        bcc: BCC's version; empty if it was not needed.
        image: from which the same can be loaded again without BCC.
    """

    programs: Mapping[str, int]
    maps: Mapping[str, MapInfo]
    refused: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    log: str = ""
    bcc: str = ""
    image: Image | None = None

    def close(self) -> None:
        """Close every descriptor; for one owner, once."""
        channel.close_all([*self.programs.values(), *(found.fd for found in self.maps.values())])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def interpreters(root: Path = Path("/")) -> tuple[str, ...]:
    """Interpreters that may have bcc, the distribution's own first; only those that exist."""
    names = ["usr/bin/python3", "usr/libexec/platform-python"]
    for folder in ("usr/bin", "usr/local/bin"):
        with contextlib.suppress(OSError):  # missing, or hidden from us
            found = sorted((root / folder).iterdir(), reverse=True)
            names += [f"{folder}/{path.name}" for path in found]
    seen: dict[str, str] = {}
    for name in names:
        path = root / name
        if _INTERPRETER.fullmatch(path.name):
            with contextlib.suppress(OSError):
                seen.setdefault(str(path.resolve(strict=True)), str(path))
    return tuple(seen.values())


def load(
    request: LoadRequest,
    *,
    timeout_seconds: float = 60.0,
    candidates: Sequence[str] | None = None,
    child: Path | None = None,
) -> Loaded:
    """Compile and load; blocks until the child has answered and is gone.

    Args:
        request: what to load.
        timeout_seconds: for all of it.
        candidates: interpreters to try until one has bcc; None for interpreters().
        child: the child's script; None for the one beside this module.

    Raises:
        LoadError: no bcc, clang's or the verifier's refusal, a layout that differs, a child that
            died, hung or answered nonsense. The message has the last lines of the log and names
            the file with all of it.
    """
    start = time.monotonic()
    first: LoadError | None = None
    script = child or Path(__file__).with_name("_loader_child.py")
    for python in interpreters() if candidates is None else candidates:
        deadline = start + timeout_seconds
        answer, descriptors, log = _run(request, python, child=script, deadline=deadline)
        try:
            if answer.ok:
                loaded = _accept(request, answer, descriptors, log=log)
                return replace(loaded, seconds=time.monotonic() - start)
        except BaseException:
            channel.close_all(descriptors)
            raise
        kept = "" if answer.stage == "bcc" else keep_log(log, request.state_dir, name="loader")
        error = explain(answer, log=log, kept=kept, python=python, timeout_seconds=timeout_seconds)
        if answer.stage != "bcc":
            raise error
        first = first or error
    raise first or LoadError(
        "there is no python3 under /usr to run BCC with",
        hint="install python3-bpfcc (Debian, Ubuntu) or python3-bcc",
    )


def _run(
    request: LoadRequest, python: str, *, child: Path, deadline: float
) -> tuple[Answer, list[int], str]:
    """One child: its answer, its descriptors (the caller's to close), and what it printed."""
    log_fd = os.memfd_create("otelauto-loader-log")
    descriptors: list[int] = []
    try:
        with contextlib.ExitStack() as stack:
            ours, theirs = channel.pair()
            stack.enter_context(ours)
            stack.enter_context(theirs)
            process = _spawn(
                request, python, child=child, channel_fd=theirs.fileno(), log_fd=log_fd
            )
            theirs.close()
            try:
                channel.send_message(ours, _message(request), deadline=deadline)
                answer = parse_answer(channel.receive_message(ours, deadline=deadline))
                descriptors = channel.receive_descriptors(
                    ours, len(answer.programs) + len(answer.maps), deadline=deadline
                )
            except channel.ChannelError as error:
                answer = Answer(ok=False, stage=error.kind, message=str(error))
                if error.kind != "died":
                    process.kill()
            finally:
                # The peer learns that nobody reads any more; it must not outlive this call.
                ours.close()
                status = _end(process)
        if answer.stage == "died":
            answer = Answer(ok=False, stage="died", message=describe_exit(status))
        return answer, descriptors, _read_log(log_fd)
    except BaseException:
        channel.close_all(descriptors)
        raise
    finally:
        os.close(log_fd)


def _spawn(
    request: LoadRequest, python: str, *, child: Path, channel_fd: int, log_fd: int
) -> subprocess.Popen[bytes]:
    # An environment of its own: the agent's holds credentials of exporters, and BCC obeys
    # variables such as ARCH. -I keeps PYTHON* and the current folder out as well.
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    if request.kernel_source is not None:
        environment["BCC_KERNEL_SOURCE"] = str(request.kernel_source)
    if request.state_dir is not None:
        environment["TMPDIR"] = str(request.state_dir)
    try:
        return subprocess.Popen(
            [python, "-I", str(child), str(channel_fd)],
            stdin=subprocess.DEVNULL,
            stdout=log_fd,
            stderr=log_fd,
            env=environment,
            cwd="/",
            pass_fds=(channel_fd,),
        )
    except OSError as error:
        raise LoadError(
            f"cannot run the loader with {python}: {error.strerror}",
            hint="is the distribution's python3 installed and executable?",
        ) from error


def _message(request: LoadRequest) -> bytes:
    message = {
        "source": request.source,
        "cflags": list(request.cflags),
        "programs": [
            {
                "name": program.name or program.function,
                "function": program.function,
                "type": int(program.type),
                "optional": program.optional,
            }
            for program in request.programs
        ],
        "maps": list(request.maps),
        "witnesses": [{"map": one.map, "part": one.part} for one in request.witnesses],
        "image": request.image,
    }
    return json.dumps(message).encode()


def _end(process: subprocess.Popen[bytes]) -> int:
    """Its return code; it gets a moment to exit by itself, then it is killed."""
    try:
        return process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _read_log(fd: int) -> str:
    """The end of what the child printed: the reason is always in the last lines."""
    size = os.fstat(fd).st_size
    content = os.pread(fd, _LOG_BYTES, max(size - _LOG_BYTES, 0))
    return content.decode(errors="backslashreplace")


def _accept(
    request: LoadRequest, answer: Answer, descriptors: Sequence[int], *, log: str
) -> Loaded:
    """The answer as a value, if the kernel agrees that the descriptors are what they should be."""
    differences = [
        sentence
        for expected, found in zip(request.witnesses, answer.layouts, strict=True)
        for sentence in layout_differences(expected, found)
    ]
    if differences:
        raise LoadError(
            "clang lays the kernel-user contract out in another way: " + "; ".join(differences),
            hint="the package's files are from different versions: install it again",
        )
    names = [program.name or program.function for program in request.programs]
    wanted = [name for name in names if name not in answer.refused]
    count = len(answer.programs)
    for fd, kind in zip(descriptors, ["prog"] * count + ["map"] * len(answer.maps), strict=True):
        if f"bpf-{kind}" not in os.readlink(f"/proc/self/fd/{fd}"):  # noqa: PTH115
            raise LoadError(f"the loader sent a descriptor that is no {kind}")
    if list(answer.programs) != wanted or list(answer.maps) != list(request.maps):
        raise LoadError("the loader answered for other programs or maps than it was asked for")
    return Loaded(
        programs=dict(zip(answer.programs, descriptors[:count], strict=True)),
        maps={
            name: map_info(fd) for name, fd in zip(answer.maps, descriptors[count:], strict=True)
        },
        refused={
            name: verifier_excerpt(log, name) or reason for name, reason in answer.refused.items()
        },
        stages=answer.seconds,
        log=log,
        bcc=answer.bcc,
        image=answer.image,
    )
