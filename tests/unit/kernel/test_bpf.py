from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from struct import Struct

import pytest
from tests.unit.kernel import toy

from otelauto.kernel import bpf
from otelauto.kernel.bpf import MapType, ProgramType
from otelauto.kernel.maps import ArrayMap

pytestmark = pytest.mark.live


def small_map(kind=MapType.HASH):
    return bpf.create_map(kind, key_size=4, value_size=8, max_entries=10, name="small")


def program(value=0, kind=ProgramType.RAW_TRACEPOINT):
    return bpf.load_program(kind, toy.returns(value), name="returns")


def test_a_map_is_as_it_was_asked_for(keep):
    fd = keep(small_map())
    info = bpf.map_info(fd)
    assert (fd, MapType.HASH, 4, 8, 10, "small") == (
        info.fd, info.type, info.key_size, info.value_size, info.max_entries, info.name
    )  # fmt: skip
    assert info.map_id > 0


def test_an_impossible_map_says_which_and_why():
    with pytest.raises(OSError, match=r"Invalid argument \(BPF_MAP_CREATE HASH odd\)") as caught:
        bpf.create_map(MapType.HASH, key_size=0, value_size=8, max_entries=1, name="odd")
    assert errno.EINVAL == caught.value.errno


def test_a_program_runs_with_its_arguments_and_returns(keep):
    fd = keep(program(7))
    assert 7 == bpf.run_raw_tracepoint(fd, (1, 2))
    assert 7 == bpf.run_raw_tracepoint(fd, ())


def test_a_refused_program_carries_the_verifiers_words():
    with pytest.raises(OSError, match="R0 !read_ok") as caught:
        bpf.load_program(ProgramType.RAW_TRACEPOINT, toy.EXIT)
    assert errno.EACCES == caught.value.errno


def test_a_program_is_described(keep):
    info = bpf.program_info(keep(program()))
    assert (ProgramType.RAW_TRACEPOINT, "returns", 2) == (
        info.type, info.name, info.instructions
    )  # fmt: skip
    assert info.program_id in bpf.program_ids()


def test_runs_are_counted_while_statistics_are_enabled(keep):
    fd = keep(program())
    keep(bpf.enable_run_statistics())
    attachment = bpf.attach_raw_tracepoint(fd, "sys_enter")
    for _ in range(50):
        os.getppid()
    os.close(attachment)
    info = bpf.program_info(fd)
    assert info.run_count >= 50
    assert info.run_time_ns > 0


def test_a_tracepoint_that_does_not_exist_is_enoent(keep):
    with pytest.raises(FileNotFoundError, match="no_such_tracepoint"):
        bpf.attach_raw_tracepoint(keep(program()), "no_such_tracepoint")


def test_a_program_array_takes_programs_of_one_type_only(keep):
    array = keep(bpf.create_map(MapType.PROG_ARRAY, key_size=4, value_size=4, max_entries=2))
    bpf.set_program(array, 0, program_fd=keep(program()))
    with pytest.raises(OSError, match="program array slot 1") as caught:
        bpf.set_program(array, 1, program_fd=keep(program(kind=ProgramType.KPROBE)))
    assert errno.EINVAL == caught.value.errno


def counter(keep, kind):
    """A program that counts its runs in a map, and the map's descriptor."""
    fd = keep(bpf.create_map(MapType.ARRAY, key_size=4, value_size=8, max_entries=1))
    code = (
        toy.instruction(0x62, dst=10, off=-4, imm=0)
        + toy.copies(2, 10)
        + toy.instruction(0x07, dst=2, imm=-4)
        + toy.instruction(0x18, dst=1, src=1, imm=fd)
        + toy.instruction(0)
        + toy.instruction(0x85, imm=1)  # map_lookup_elem
        + toy.instruction(0x15, dst=0, off=2, imm=0)
        + toy.moves(1, 1)
        + toy.instruction(0xDB, dst=0, src=1)  # lock *(u64 *)r0 += 1
        + toy.returns(0)
    )
    return keep(bpf.load_program(kind, code, name="counter")), fd


def count(fd):
    return ArrayMap(fd, Struct("=Q")).get(0)[0]


def test_a_static_tracepoint_runs_the_program_until_it_is_closed(keep):
    if not Path("/sys/kernel/tracing/events").is_dir():
        pytest.skip("tracefs is not mounted")
    fd, counts = counter(keep, ProgramType.TRACEPOINT)
    attachment = bpf.attach_tracepoint(fd, "syscalls", "sys_enter_getppid")
    for _ in range(31):
        os.getppid()
    os.close(attachment)
    counted = count(counts)
    os.getppid()
    assert counted >= 31  # others may call it as well
    assert counted == count(counts)


def library_function():
    """A function of libc that nobody calls by chance: (path, file offset, call)."""
    libc = ctypes.CDLL(None)
    address = ctypes.cast(libc.hcreate_r, ctypes.c_void_p).value
    assert address is not None
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, offset, _, _, *path = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in span.split("-"))
        if start <= address < end:
            return path[0], address - start + int(offset, 16), lambda: libc.hcreate_r(0, None)
    raise AssertionError("libc is not mapped")


@pytest.mark.parametrize("on_return", [False, True])
def test_a_uprobe_counts_every_call_and_none_after_it_is_closed(keep, on_return):
    path, offset, call = library_function()
    fd, counts = counter(keep, ProgramType.KPROBE)
    attachment = bpf.attach_uprobe(fd, path, offset, on_return=on_return)
    for _ in range(17):
        call()
    os.close(attachment)
    call()
    assert 17 == count(counts)


def test_a_path_of_any_length_can_be_probed(keep, tmp_path):
    """Case K4: names of events in tracefs end at 63 bytes; perf events have none."""
    folder = tmp_path / ("d" * 150) / ("e" * 150)
    folder.mkdir(parents=True)
    code = folder / "code"
    code.write_bytes(b"\x90" * 4096)
    fd, counts = counter(keep, ProgramType.KPROBE)
    keep(bpf.attach_uprobe(fd, str(code), 16))
    keep(bpf.attach_uprobe(fd, f"/proc/self/root{code}", 32))
    assert 0 == count(counts)


def test_a_uprobe_of_another_process_does_not_count_ours(keep):
    path, offset, call = library_function()
    fd, counts = counter(keep, ProgramType.KPROBE)
    keep(bpf.attach_uprobe(fd, path, offset, pid=1))
    call()
    assert 0 == count(counts)


def test_a_uprobe_in_a_missing_file_is_enoent(keep):
    fd, _ = counter(keep, ProgramType.KPROBE)
    with pytest.raises(FileNotFoundError, match="uprobe /no/such/file"):
        bpf.attach_uprobe(fd, "/no/such/file", 0x10)


HOLDER = """
import sys, time
from otelauto.kernel import bpf
from tests.unit.kernel import toy
fd = bpf.load_program(bpf.ProgramType.RAW_TRACEPOINT, toy.returns(0), name="held")
link = bpf.attach_raw_tracepoint(fd, "sched_process_exec")
print(bpf.program_info(fd).program_id, flush=True)
time.sleep(60)
"""


def test_nothing_is_left_in_the_kernel_after_sigkill():
    environment = os.environ | {"PYTHONPATH": "agent:."}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True, env=environment
    ) as holder:
        assert holder.stdout is not None
        ident = int(holder.stdout.readline())
        assert ident in bpf.program_ids()
        holder.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while ident in bpf.program_ids() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert ident not in bpf.program_ids()
