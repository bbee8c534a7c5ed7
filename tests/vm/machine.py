"""One run of an emulated machine: from its kernel and disks to what it found."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.vm.disks import payload_disk, root_disk
from tests.vm.kernel import kernel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.vm.kernel import Kernel

__all__ = ["Findings", "MachineError", "run_machine"]

_RESULT_BYTES = 16 << 20
_MACHINE = (
    *("-M", "microvm,acpi=on,rtc=on,isa-serial=on,pit=on,pic=on,auto-kernel-cmdline=on"),
    *("-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max,-svm", "-smp", "2", "-m", "1024"),
    *("-display", "none", "-nodefaults", "-no-user-config", "-no-reboot"),
)
#: The kernel is told how fast its clocks are: on a busy host it measures rubbish, or for ever.
_BOOT = (
    "console=ttyS0 loglevel=5 rw mitigations=off nokaslr tsc=reliable tsc_early_khz={khz}"
    " lpj=4000000 no_timer_check random.trust_cpu=on reboot=t panic=-1 audit=0 apparmor=0"
)


class MachineError(Exception):
    """The machine did not come to an end by itself."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a machine found.

    Attributes:
        release: uname -r.
        seconds: of the whole run.
        report: what guest/inspect.py wrote.
        logs: text files by name.
    """

    release: str
    seconds: float
    report: dict[str, Any]
    logs: dict[str, str]


def run_machine(
    kernel_suite: str,
    root_suite: str,
    folder: Path,
    *,
    others: Sequence[str] = (),
    timeout_seconds: float,
) -> Findings:
    """Boot a kernel on a root, let it inspect the agent, and wait for its end.

    Args:
        kernel_suite: whose kernel is booted.
        root_suite: whose system the agent runs on.
        folder: an empty one.
        others: suites whose BCC is to compile for this kernel as well.
        timeout_seconds: for the run, without what has to be built before it.

    Raises:
        BuildError: a part cannot be built.
        MachineError: it hung or ended without a report; says the last lines of its console.
    """
    boots, root = kernel(kernel_suite), root_disk(root_suite)
    disks = {f"other-{suite}": root_disk(suite) for suite in others}
    payload_disk(root_suite, folder / "payload")
    result = folder / "result"
    with result.open("wb") as file:
        file.truncate(_RESULT_BYTES)
    console = folder / "console.log"
    start = time.monotonic()
    _run(_command(boots, {"root": root, **disks}, folder), console, timeout_seconds)
    logs = _files(result, console)
    if "report.json" not in logs:
        raise MachineError(f"no report; its console says:\n{_tail(console)}")
    report = json.loads(logs.pop("report.json"))
    logs["console.log"] = console.read_text(errors="replace")
    return Findings(boots.release, time.monotonic() - start, report, logs)


def _command(boots: Kernel, disks: Mapping[str, Path], folder: Path) -> list[str]:
    drives = {name: f"file={disk},snapshot=on" for name, disk in disks.items()}
    drives["payload"] = f"file={folder / 'payload'},readonly=on"
    drives["result"] = f"file={folder / 'result'},cache=unsafe"
    command = ["qemu-system-x86_64", *_MACHINE, "-kernel", str(boots.image)]
    command += ["-initrd", str(boots.initramfs), "-append", _BOOT.format(khz=_clock_khz())]
    command += ["-serial", f"file:{folder / 'console.log'}"]
    for name, drive in drives.items():
        command += ["-drive", f"if=none,id={name},format=raw,{drive}"]
        command += ["-device", f"virtio-blk-device,drive={name},serial={name}"]
    return command


def _clock_khz(cpuinfo: Path = Path("/proc/cpuinfo")) -> int:
    """Of the time stamp counter, which emulation takes from this host."""
    lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("cpu MHz")]
    return round(float(lines[0].partition(":")[2]) * 1000)


def _run(command: list[str], console: Path, timeout_seconds: float) -> None:
    with console.with_suffix(".qemu").open("w+b") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
        )
        try:
            code = process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise MachineError(
                f"not done after {timeout_seconds:.0f} s; its console says:\n{_tail(console)}"
            ) from None
        finally:
            process.kill()
            process.wait()
        if code:
            said.seek(0)
            raise MachineError(f"the emulator failed: {said.read().decode(errors='replace')}")


def _tail(console: Path) -> str:
    text = console.read_text(errors="replace") if console.exists() else ""
    return text[-3000:]


def _files(result: Path, console: Path) -> dict[str, str]:
    try:
        with tarfile.open(fileobj=io.BytesIO(result.read_bytes())) as archive:
            found = {}
            for member in archive:
                file = archive.extractfile(member)
                if file is not None:
                    name = member.name.removeprefix("./")
                    found[name] = file.read().decode(errors="replace")
            return found
    except tarfile.TarError as error:
        raise MachineError(f"no report ({error}); its console says:\n{_tail(console)}") from error
