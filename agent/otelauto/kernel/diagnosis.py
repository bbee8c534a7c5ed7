"""What the loader's child answered, and what to tell the user about it.

Pure functions from bytes and text to values and errors, but for keep_log(), which writes the one
file that an error message names.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otelauto.errors import LoadError
from otelauto.kernel.image import parse_image

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from otelauto.kernel.image import Image

__all__ = [
    "Answer",
    "Layout",
    "compiler_excerpt",
    "describe_exit",
    "explain",
    "keep_log",
    "layout_differences",
    "parse_answer",
    "verifier_excerpt",
]

_EXCERPT_LINES: Final = 6
_LINE_CHARACTERS: Final = 300
#: BCC creates the maps while it compiles.
_MAP: Final = re.compile(r"could not open bpf map: (\w+), error: (.*)")
#: Lines with which the verifier ends every log; they say nothing about the reason.
_NOISE: Final = ("processed ", "stack depth ", "verification time ", "max_states_per_insn ")


@dataclass(frozen=True, slots=True)
class Layout:
    """How clang laid out a map's key or value.

    Attributes:
        map: the map's name.
        part: "key" or "value".
        size: bytes.
        offsets: of each top-level member.
    """

    map: str
    part: str
    size: int
    offsets: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """The child's answer, or what stands for it if there was none.

    Attributes:
        ok: whether everything that is not optional was loaded.
        stage: where it failed: "bcc", "compile", "layout", "load" or "maps" by the child's own
            word; "died", "timeout" or "garbage" if it did not keep to the protocol.
        error_number: errno of the failure, 0 if none.
        program: the program that was refused.
    """

    ok: bool
    stage: str = ""
    message: str = ""
    error_number: int = 0
    program: str = ""
    programs: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    layouts: tuple[Layout, ...] = ()
    bcc: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)
    image: Image | None = None


def parse_answer(content: bytes) -> Answer:
    """The answer in a message; one with the stage "garbage" if it is none."""
    try:
        raw = json.loads(content)
        return _good(raw) if raw["ok"] is True else _bad(raw)
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        shown = content[:60].decode(errors="backslashreplace")
        return Answer(
            ok=False, stage="garbage", message=f"it answered {shown!r} ({type(error).__name__})"
        )


def _good(raw: Mapping[str, Any]) -> Answer:
    return Answer(
        ok=True,
        programs=tuple(str(name) for name in raw["programs"]),
        maps=tuple(str(name) for name in raw["maps"]),
        refused={str(name): str(reason) for name, reason in raw["refused"].items()},
        layouts=tuple(
            Layout(
                map=str(layout["map"]),
                part=str(layout["part"]),
                size=int(layout["size"]),
                offsets={str(name): int(offset) for name, offset in layout["offsets"].items()},
            )
            for layout in raw["layouts"]
        ),
        bcc=str(raw["bcc"]),
        image=parse_image(raw["image"]) if raw.get("image") else None,
        seconds={str(stage): float(value) for stage, value in raw["seconds"].items()},
    )


def _bad(raw: Mapping[str, Any]) -> Answer:
    return Answer(
        ok=False,
        stage=str(raw["stage"]),
        message=str(raw["message"]),
        error_number=int(raw["errno"]),
        program=str(raw["program"]),
    )


def layout_differences(expected: Layout, found: Layout) -> tuple[str, ...]:
    """In which the two differ, a sentence each; members that only one side names count."""
    place = f"{expected.part} of map {expected.map}"
    differences = []
    if expected.size != found.size:
        differences.append(f"{place}: {found.size} bytes instead of {expected.size}")
    for name, offset in expected.offsets.items():
        if name not in found.offsets:
            differences.append(f"{place}: member {name} is missing")
        elif found.offsets[name] != offset:
            differences.append(
                f"{place}: member {name} at {found.offsets[name]} instead of {offset}"
            )
    # BCC names the padding at the end of a structure itself.
    extra = [name for name in found.offsets if name not in expected.offsets]
    differences += [
        f"{place}: unknown member {name}" for name in extra if not name.startswith("__pad")
    ]
    return tuple(differences)


def describe_exit(status: int) -> str:
    """What a return code of subprocess means, in words."""
    if status >= 0:
        return f"it ended with status {status} before it answered"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"it was ended by {name} before it answered"


def compiler_excerpt(log: str) -> str:
    """Clang's first errors, one line each, or the last lines if there are none."""
    lines = _lines(log)
    errors = [line for line in lines if "error:" in line]
    return "; ".join(errors[:3] or lines[-3:])


def verifier_excerpt(log: str, program: str) -> str:
    """The end of what the verifier said of a program: its reason is in the last lines."""
    marker = f"== program {program} =="
    section = log.rpartition(marker)[2].partition("\n== program ")[0]
    lines = [line for line in _lines(section) if not line.startswith(_NOISE)]
    return "; ".join(lines[-_EXCERPT_LINES:])


def _lines(text: str) -> list[str]:
    stripped = (line.strip() for line in text.splitlines())
    return [line[:_LINE_CHARACTERS] for line in stripped if line]


def keep_log(log: str, state_dir: Path | None, *, name: str) -> str:
    """Write a log to a file that only we can read; the words that say where it is.

    The folder is made (0700) if it is missing. The file appears complete, in the place of an older
    one of the same name; a link that somebody put there is replaced, not followed.
    """
    if state_dir is None or not log.strip():
        return ""
    path = state_dir / f"{name}.log"
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd, temporary = tempfile.mkstemp(dir=state_dir, prefix=f".{name}.")  # 0600
        try:
            with open(fd, "w", encoding="utf-8", errors="backslashreplace") as file:  # noqa: PTH123
                file.write(log)
            os.replace(temporary, path)  # noqa: PTH105
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
            raise
    except OSError as error:
        return f"the log could not be kept in {state_dir}: {error.strerror}"
    return f"the whole log is in {path}"


def explain(
    answer: Answer, *, log: str, kept: str, python: str, timeout_seconds: float
) -> LoadError:
    """The error for an answer that is not ok.

    Args:
        answer: the answer.
        log: what the child printed.
        kept: where the log is, as keep_log() says it.
        python: the interpreter that ran the child.
        timeout_seconds: how long it had.
    """
    where = f"; {kept}" if kept else ""
    match answer.stage:
        case "bcc":
            message = f"{python} cannot import bcc: {answer.message}"
            hint = "install the package python3-bpfcc (Debian, Ubuntu) or python3-bcc (others)"
        case "compile" if match := _MAP.search(log):
            message = f"the kernel does not give us map {match[1]}: {match[2]}{where}"
            hint = "run `otelauto check`: CAP_BPF, memory, and RLIMIT_MEMLOCK before Linux 5.11"
        case "compile":
            message = f"the kernel programs do not compile: {compiler_excerpt(log)}{where}"
            hint = "set ebpf.headers to bundled if it is not; please report the log"
        case "load" if answer.error_number == errno.EPERM:
            message = f"the kernel does not let us load program {answer.program}: EPERM{where}"
            hint = "run `otelauto check`: CAP_BPF and CAP_PERFMON are needed, and no lockdown"
        case "load" if answer.error_number == errno.E2BIG:
            # BCC calls it too large, with a number of instructions that is below its own limit.
            message = f"program {answer.program} is too complex for this kernel's verifier{where}"
            hint = "please report the versions of the kernel and of BCC"
        case "load":
            reason = verifier_excerpt(log, answer.program) or answer.message
            message = f"the kernel refuses program {answer.program}: {reason}{where}"
            hint = "please report the log together with the output of uname -r"
        case "layout" | "maps":
            message = f"the kernel programs are not what the agent expects: {answer.message}"
            hint = "the package's files are from different versions: install it again"
        case "timeout":
            message = f"loading took longer than {timeout_seconds:.0f} s: {answer.message}{where}"
            hint = "is the host overloaded? try again later"
        case _:
            tail = "; ".join(_lines(log)[-_EXCERPT_LINES:])
            message = f"the loader ({python}) failed: {answer.message}: {tail}{where}"
            hint = "was it killed for lack of memory (it needs 150 MB for a second)? dmesg tells"
    return LoadError(message, hint=hint)
