from __future__ import annotations

import re
import shutil
import struct
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kernel import btf_builder as builder

from otelauto.errors import LoadError
from otelauto.kernel.btf import VMLINUX, Btf, offsets
from otelauto.kernel.layout import MEMBERS

Blob = builder.Blob


def found(blob, **wanted):
    return Btf(blob.raw(), {name for name, _ in wanted.values()}).find(wanted)


def task(order: str = "<"):
    """struct task { int pid; union { struct { int a, b; }; long c; }; upid ids[2]; ... }."""
    blob = Blob(order)
    integer = blob.integer()
    long = blob.integer("long", 8)
    upid = blob.struct("upid", 16, ("nr", integer, 0), ("ns", long, 64))
    inner = blob.struct("", 8, ("a", integer, 0), ("b", integer, 32))
    either = blob.struct("", 8, ("", inner, 0), ("c", long, 0), kind=builder.UNION)
    constant = blob.add(builder.CONST, "", upid)
    alias = blob.add(builder.TYPEDEF, "upid_t", constant)
    ids = blob.array(alias, 2)
    blob.struct(
        "task", 64, ("pid", integer, 0), ("", either, 64), ("ids", ids, 128), ("last", long, 384)
    )
    return blob


@pytest.mark.parametrize("order", ["<", ">"])
def test_members_are_found_through_nameless_types_qualifiers_arrays_and_paths(order):
    assert {
        "pid": 0,
        "b": 12,
        "c": 8,
        "ids": 16,
        "ns0": 24,
        "nr1": 32,
        "task": 64,
        "upid": 16,
    } == (
        found(
            task(order),
            pid=("task", "pid"),
            b=("task", "b"),
            c=("task", "c"),
            ids=("task", "ids"),
            ns0=("task", "ids[0].ns"),
            nr1=("task", "ids[1].nr"),
            task=("task", ""),
            upid=("upid", ""),
        )
    )


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("task", "gone"),
        ("task", "pid.deeper"),
        ("task", "pid[0]"),
        ("task", "ids[2].nr"),
        ("task", "ids.nr"),
        ("nobody", "pid"),
        ("int", ""),
        ("ask", "pid"),
    ],
)
def test_what_is_not_there_is_absent(name, path):
    assert {} == found(task(), it=(name, path))


def test_a_path_that_is_none_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="is no path of members"):
        found(task(), it=("task", "ids[x]"))


def test_a_name_that_is_the_tail_of_another_string_is_found():
    blob = Blob()
    integer = blob.integer()
    blob.struct("old_sock", 4, ("x", integer, 0))
    raw = bytearray(blob.raw())
    whole = blob.position("old_sock")
    at = raw.index(struct.pack("<II", whole, builder.STRUCT << 24 | 1))
    struct.pack_into("<I", raw, at, whole + len("old_"))
    assert {"x": 0} == Btf(bytes(raw), {"sock"}).find({"x": ("sock", "x")})


def test_the_first_element_of_a_flexible_array_is_found_and_no_other():
    blob = Blob()
    integer = blob.integer()
    upid = blob.struct("upid", 16, ("nr", integer, 0), ("ns", integer, 64))
    blob.struct("pid", 96, ("numbers", blob.array(upid, 0), 96 * 8))
    assert {"first": 104} == found(
        blob, first=("pid", "numbers[0].ns"), second=("pid", "numbers[1].ns")
    )


def test_a_bit_field_counts_only_if_it_is_made_of_whole_bytes():
    blob = Blob()
    integer = blob.integer()
    blob.struct(
        "sock", 8,
        ("flag", integer, 3, 1), ("part", integer, 8, 3), ("protocol", integer, 16, 8),
        ("whole", integer, 32, 0),
        bit_fields=True,
    )  # fmt: skip
    assert {"protocol": 2, "whole": 4} == found(
        blob,
        flag=("sock", "flag"),
        part=("sock", "part"),
        protocol=("sock", "protocol"),
        whole=("sock", "whole"),
    )


def test_two_structures_of_one_name_agree_or_the_member_is_absent():
    blob = Blob()
    integer = blob.integer()
    blob.struct("file", 16, ("same", integer, 0), ("moved", integer, 32), ("one", integer, 64))
    blob.struct("file", 16, ("same", integer, 0), ("moved", integer, 64))
    assert {"same": 0, "one": 8, "size": 16} == found(
        blob,
        same=("file", "same"),
        moved=("file", "moved"),
        one=("file", "one"),
        size=("file", ""),
    )


def test_a_declaration_without_members_does_not_count():
    blob = Blob()
    integer = blob.integer()
    blob.struct("net", 0)
    blob.struct("net", 8, ("ns", integer, 32))
    assert {"ns": 4} == found(blob, ns=("net", "ns"))


def test_types_after_every_kind_of_type_are_found():
    blob = Blob()
    integer = blob.integer()
    four = struct.pack("<I", 0)
    blob.add(builder.PTR, "", integer)
    blob.array(integer, 3)
    blob.add(builder.ENUM, "e", 4, vlen=2, tail=bytes(16))
    blob.add(builder.FWD, "f")
    blob.add(builder.FUNC, "fn", integer)
    blob.add(builder.FUNC_PROTO, "", integer, vlen=3, tail=bytes(24))
    blob.add(builder.VAR, "v", integer, tail=four)
    blob.add(builder.DATASEC, ".data", 4, vlen=1, tail=bytes(12))
    blob.add(builder.FLOAT, "double", 8)
    blob.add(builder.DECL_TAG, "tag", integer, tail=four)
    blob.add(builder.TYPE_TAG, "user", integer)
    blob.add(builder.ENUM64, "e64", 8, vlen=2, tail=bytes(24))
    blob.struct("last", 4, ("x", integer, 0))
    assert {"x": 0} == found(blob, x=("last", "x"))


def test_an_unknown_kind_is_an_error_because_nothing_after_it_can_be_found():
    blob = Blob()
    blob.add(20, "future")
    with pytest.raises(LoadError, match="type 1 has the unknown kind 20"):
        found(blob, x=("task", "pid"))


def test_a_structure_that_contains_itself_ends():
    blob = Blob()
    blob.struct("loop", 8, ("", 1, 0), ("x", 1, 0))
    assert {} == found(blob, it=("loop", "gone"))


def test_a_typedef_of_itself_is_an_error():
    blob = Blob()
    blob.add(builder.TYPEDEF, "t", 1)
    blob.struct("s", 8, ("x", 1, 0))
    with pytest.raises(LoadError, match="refers to itself"):
        found(blob, it=("s", "x.y"))


def test_a_reference_to_a_type_that_does_not_exist_is_an_error():
    blob = Blob()
    blob.struct("s", 8, ("x", 77, 0))
    with pytest.raises(LoadError, match="cut or missing"):
        found(blob, it=("s", "x.y"))


WANTED = {"b": ("task", "b"), "nr": ("task", "ids[1].nr"), "size": ("task", "")}


@given(st.integers(min_value=0, max_value=len(task().raw()) - 1))
def test_a_file_cut_anywhere_is_an_error(length):
    raw = task().raw()[:length]
    with pytest.raises(LoadError):
        Btf(raw, {"task"}).find(WANTED)


@given(st.data())
def test_changed_bytes_give_an_answer_or_a_load_error_and_nothing_else(data):
    raw = bytearray(task().raw())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        result = Btf(bytes(raw), {"task"}).find(WANTED)
    except LoadError as error:
        result = {"nr": len(error.hint)}
    assert set(result) <= set(WANTED)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_an_error(raw):
    with pytest.raises(LoadError):
        Btf(raw, {"task"}).find(WANTED)


def test_a_file_is_read_and_a_missing_one_says_what_to_do(tmp_path):
    path = tmp_path / "vmlinux"
    path.write_bytes(task().raw())
    assert {"b": 12, "nr": 32, "size": 64} == offsets(WANTED, path=path)
    with pytest.raises(LoadError, match="install the headers"):
        offsets(WANTED, path=tmp_path / "gone")


@pytest.mark.parametrize("content", [b"", b"\x9f\xeb\x01"])
def test_a_file_that_is_too_short_is_an_error(tmp_path, content):
    path = tmp_path / "vmlinux"
    path.write_bytes(content)
    with pytest.raises(LoadError, match=f"it has {len(content)} bytes"):
        offsets(WANTED, path=path)


needs_btf = pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF")


@needs_btf
def test_the_running_kernel_has_every_member_and_gives_it_in_a_moment():
    start = time.process_time()
    found_here = offsets(MEMBERS)
    seconds = time.process_time() - start
    assert set(MEMBERS) == set(found_here)
    assert seconds < 0.5  # 0.07 s measured; the machine may be busy


@needs_btf
def test_the_running_kernels_offsets_are_those_that_bpftool_prints():
    """An independent reader of the same types."""
    tool = shutil.which("bpftool", path="/usr/sbin:/usr/bin")
    if tool is None:
        pytest.skip("no bpftool")
    text = subprocess.run(
        [tool, "btf", "dump", "file", str(VMLINUX)], capture_output=True, text=True, check=True
    ).stdout
    here = offsets(MEMBERS)
    for name, (structure, member) in MEMBERS.items():
        blocks = re.findall(
            rf"\[\d+\] STRUCT '{structure}' size=(\d+) vlen=[1-9]\d*\n((?:\t.*\n)*)", text
        )
        size, body = blocks[0]
        direct = re.search(rf"'{member}' type_id=\d+ bits_offset=(\d+)", body)
        if not member:
            assert int(size) == here[name], name
        elif direct:
            assert int(direct[1]) == 8 * here[name], name
