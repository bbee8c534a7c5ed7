from __future__ import annotations

import ctypes
import os
import re
import socket
import struct
import threading

import pytest
from tests.unit.kernel import toy
from tests.unit.kernel.btf_builder import Blob

from otelauto.errors import LoadError
from otelauto.kernel import layout
from otelauto.kernel.bpf import MapType, ProgramType, create_map, load_program, run_raw_tracepoint
from otelauto.kernel.maps import ArrayMap
from otelauto.kernel.source import bpf_folder


def blob(without: frozenset[str] = frozenset()) -> bytes:
    """A kernel with every structure of the table, members 8 bytes apart."""
    one = Blob()
    integer = one.integer("long", 8)
    structures: dict[str, list[str]] = {}
    for name, (structure, member) in layout.MEMBERS.items():
        if name not in without:
            structures.setdefault(structure, []).extend([member] if member else [])
    for structure, members in structures.items():
        placed = [(member, integer, 64 * index) for index, member in enumerate(members)]
        one.struct(structure, 8 * len(members), *placed)
    return one.raw()


def test_every_member_becomes_a_definition(tmp_path):
    path = tmp_path / "vmlinux"
    path.write_bytes(blob())
    constants = layout.from_btf(path)
    names = [flag.removeprefix("-D").partition("=")[0] for flag in constants.cflags]
    assert list(layout.MEMBERS) == names
    assert "-DOFF_task_struct_tgid=8" in constants.cflags
    assert "-DSIZEOF_upid=16" in constants.cflags
    assert () == constants.missing


def test_every_constant_that_the_programs_use_is_in_the_table():
    used = set()
    for path in bpf_folder().rglob("*.[ch]"):
        used |= set(re.findall(r"\b(?:OFF|SIZEOF)_[a-z]\w*", path.read_text()))
    assert set() == used - set(layout.MEMBERS)


def test_a_kernel_without_ipv6_lacks_two_definitions_and_loads(tmp_path):
    path = tmp_path / "vmlinux"
    gone = frozenset({"OFF_sock_common_skc_v6_daddr", "OFF_sock_common_skc_v6_rcv_saddr"})
    path.write_bytes(blob(gone))
    constants = layout.from_btf(path)
    assert gone == set(constants.missing)
    assert not [flag for flag in constants.cflags if "v6" in flag]


def test_a_member_that_nothing_works_without_is_an_error_with_its_name(tmp_path):
    path = tmp_path / "vmlinux"
    path.write_bytes(blob(frozenset({"OFF_file_f_inode", "OFF_socket_sk"})))
    with pytest.raises(LoadError, match=r"where these are: file\.f_inode, socket\.sk"):
        layout.from_btf(path)


def test_with_headers_the_compiler_evaluates_the_same_definitions():
    constants = layout.from_headers()
    names = [flag.removeprefix("-D").partition("=")[0] for flag in constants.cflags]
    assert list(layout.MEMBERS) == names
    assert "-DOFF_task_struct_files=__builtin_offsetof(struct task_struct,files)" in (
        constants.cflags
    )
    assert "-DSIZEOF_upid=sizeof(struct upid)" in constants.cflags
    assert "#include <linux/sched.h>\n" in constants.prelude


def read_of_task(keep, *steps: int, size: int = 8):
    """What is in current behind these offsets; each step but the last is a pointer."""
    values = keep(create_map(MapType.ARRAY, key_size=4, value_size=8, max_entries=1))
    read = 113  # probe_read_kernel
    code = toy.instruction(0x85, imm=35) + toy.copies(6, 0)  # r6 = get_current_task()
    for index, step in enumerate(steps):
        width = size if index == len(steps) - 1 else 8
        code += toy.instruction(0x7A, dst=10, off=-8, imm=0)
        code += toy.copies(1, 10) + toy.instruction(0x07, dst=1, imm=-8) + toy.moves(2, width)
        code += toy.copies(3, 6) + toy.instruction(0x07, dst=3, imm=step)
        code += toy.instruction(0x85, imm=read) + toy.instruction(0x79, dst=6, src=10, off=-8)
    code += toy.instruction(0x7A, dst=10, off=-16, imm=0)
    code += toy.instruction(0x18, dst=1, src=1, imm=values) + toy.instruction(0)
    code += toy.copies(2, 10) + toy.instruction(0x07, dst=2, imm=-16)
    code += toy.copies(3, 10) + toy.instruction(0x07, dst=3, imm=-8)
    code += toy.moves(4, 0) + toy.instruction(0x85, imm=2) + toy.returns(0)
    program = keep(load_program(ProgramType.RAW_TRACEPOINT, code))
    run_raw_tracepoint(program, ())
    (value,) = ArrayMap(values, struct.Struct("=Q")).get(0)
    return value


@pytest.fixture
def offset():
    flags = layout.from_btf().cflags
    pairs = (flag.removeprefix("-D").split("=") for flag in flags)
    values = {name: int(value) for name, value in pairs}
    return lambda structure, member: values[f"OFF_{structure}_{member}"]


@pytest.mark.live
class TestTheRunningKernel:
    """Reading real structures at these offsets gives what the process knows of itself."""

    def test_process_and_thread_ids(self, keep, offset):
        seen = {}

        def look():
            seen["tid"] = threading.get_native_id()
            seen["pid"] = read_of_task(keep, offset("task_struct", "pid"), size=4)
            seen["tgid"] = read_of_task(keep, offset("task_struct", "tgid"), size=4)
            seen["leader"] = read_of_task(
                keep, offset("task_struct", "group_leader"), offset("task_struct", "pid"), size=4
            )
            seen["parent"] = read_of_task(
                keep, offset("task_struct", "real_parent"), offset("task_struct", "tgid"), size=4
            )

        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        assert seen["tid"] == seen["pid"] != seen["tgid"]
        assert (os.getpid(), os.getpid(), os.getppid()) == (
            seen["tgid"], seen["leader"], seen["parent"]
        )  # fmt: skip

    def test_a_socket_behind_a_descriptor(self, keep, offset):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
            one.bind(("127.0.0.1", 0))
            file = (
                offset("task_struct", "files"),
                offset("files_struct", "fdt"),
                offset("fdtable", "fd"),
                8 * one.fileno(),
            )
            inode = (*file, offset("file", "f_inode"))
            sock = (*file, offset("file", "private_data"), offset("socket", "sk"))
            assert os.fstat(one.fileno()).st_ino == read_of_task(
                keep, *inode, offset("inode", "i_ino")
            )
            assert os.fstat(one.fileno()).st_mode == read_of_task(
                keep, *inode, offset("inode", "i_mode"), size=2
            )
            assert one.getsockname()[1] == read_of_task(
                keep, *sock, offset("sock_common", "skc_num"), size=2
            )
            assert socket.AF_INET == read_of_task(
                keep, *sock, offset("sock_common", "skc_family"), size=2
            )
            assert socket.inet_aton("127.0.0.1") == read_of_task(
                keep, *sock, offset("sock_common", "skc_rcv_saddr"), size=4
            ).to_bytes(4, "little")
            assert socket.SOCK_STREAM == read_of_task(
                keep, *sock, offset("sock", "sk_type"), size=2
            )
            netns = read_of_task(
                keep,
                *sock,
                offset("sock_common", "skc_net"),
                offset("net", "ns") + offset("ns_common", "inum"),
                size=4,
            )
        assert os.stat("/proc/self/ns/net").st_ino == netns  # noqa: PTH116

    def test_the_process_id_in_its_own_namespace(self, keep, offset):
        pid = (offset("task_struct", "thread_pid"),)
        level = read_of_task(keep, *pid, offset("pid", "level"), size=4)
        size = next(
            int(flag.partition("=")[2])
            for flag in layout.from_btf().cflags
            if flag.startswith("-DSIZEOF_upid=")
        )
        innermost = offset("pid", "numbers") + level * size
        number = read_of_task(keep, *pid, innermost + offset("upid", "nr"), size=4)
        space = read_of_task(
            keep,
            *pid,
            innermost + offset("upid", "ns"),
            offset("pid_namespace", "ns") + offset("ns_common", "inum"),
            size=4,
        )
        assert threading.get_native_id() == number
        assert os.stat("/proc/self/ns/pid").st_ino == space  # noqa: PTH116

    def test_the_size_of_a_pointer_is_what_the_walk_assumes(self):
        assert 8 == ctypes.sizeof(ctypes.c_void_p)
