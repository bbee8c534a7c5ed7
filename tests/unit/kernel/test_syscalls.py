from __future__ import annotations

import errno
import struct

import pytest

from otelauto.kernel import syscalls
from otelauto.kernel.syscalls import Command, bpf, buffer, kernel_error, perf_event_open


def test_a_buffer_of_bytes_has_no_terminator_and_one_of_a_number_is_zero():
    assert b"ab\0c" == buffer(b"ab\0c").raw
    assert b"\0\0\0" == buffer(3).raw


def test_an_error_has_the_number_the_reason_and_what_was_attempted():
    error = kernel_error(errno.ENOENT, "BPF_PROG_LOAD x")
    assert isinstance(error, FileNotFoundError)
    assert "[Errno 2] No such file or directory (BPF_PROG_LOAD x)" == str(error)


def test_the_kernels_internal_errno_has_words_too():
    assert "operation not supported (y)" == kernel_error(syscalls.ENOTSUPP, "y").strerror


def test_bpf_on_a_closed_descriptor_is_an_error_of_the_kernel():
    attr = buffer(struct.pack("=IIQQQ", 1 << 30, 0, 0, 0, 0))
    with pytest.raises(OSError, match="BPF_MAP_LOOKUP_ELEM of nothing") as caught:
        bpf(Command.MAP_LOOKUP_ELEM, attr, what="of nothing")
    # EBADF with the right to call bpf(2), EPERM without.
    assert caught.value.errno in {errno.EBADF, errno.EPERM}


def test_an_event_of_an_unknown_kind_is_an_error_of_the_kernel():
    attr = buffer(struct.pack("=II", 0xFFFF, 112) + bytes(104))
    with pytest.raises(OSError, match="perf_event_open of nothing") as caught:
        perf_event_open(attr, pid=0, cpu=-1, what="of nothing")
    assert caught.value.errno in {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EINVAL}


def test_interrupted_calls_are_repeated_and_others_are_not(monkeypatch):
    numbers = [errno.EAGAIN, errno.EINTR, 0]
    calls = []

    def fake(*args):
        calls.append(args)
        return -1 if numbers[len(calls) - 1] else 42

    monkeypatch.setattr(syscalls, "_syscall", lambda: fake)
    monkeypatch.setattr(syscalls.ctypes, "get_errno", lambda: numbers[len(calls) - 1])
    assert 42 == bpf(Command.PROG_LOAD, buffer(8))
    assert 3 == len(calls)


def test_an_unknown_machine_is_refused_with_its_name(monkeypatch):
    name = syscalls.os.uname()
    uname = type("Uname", (), {"machine": "riscv64", "release": name.release})
    monkeypatch.setattr(syscalls.os, "uname", uname)
    with pytest.raises(OSError, match="riscv64: x86_64 and aarch64 only"):
        syscalls._numbers.__wrapped__()
