"""Finished programs are kept privately, found by what they were made from, never trusted."""

from __future__ import annotations

import os

import pytest

from otelauto.kernel.bpf import MapType, ProgramType
from otelauto.kernel.image import Image, MapSpecification, ProgramImage
from otelauto.kernel.image_store import ImageStore, image_key

IMAGE = Image(
    (MapSpecification("counts", MapType.ARRAY, 4, 8, 1, 0),),
    (ProgramImage("one", ProgramType.RAW_TRACEPOINT, bytes(16), ((8, 0),)),),
)
KEY = image_key(["source"])


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path)


def file_of(directory):
    (found,) = directory.glob("programs-*.json")
    return found


def test_what_is_saved_is_found_again(store):
    assert store.load(KEY) is None
    assert store.save(KEY, IMAGE)
    assert IMAGE == store.load(KEY)


def test_nobody_else_may_read_the_file(store, tmp_path):
    store.save(KEY, IMAGE)
    assert 0o600 == file_of(tmp_path).stat().st_mode & 0o777


def test_another_source_or_definition_is_another_key():
    keys = {
        image_key(parts) for parts in (["a"], ["b"], ["a", "-DX=1"], ["a", "-DX=2"], ["a-DX=1"])
    }
    assert 5 == len(keys)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_could_have_written_is_not_read(store, tmp_path, mode):
    store.save(KEY, IMAGE)
    file_of(tmp_path).chmod(mode)
    assert store.load(KEY) is None


def test_a_file_of_another_user_is_not_read(store, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    store.save(KEY, IMAGE)
    os.chown(file_of(tmp_path), 65534, 65534)
    assert store.load(KEY) is None


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[" * 100_000, b'{"key": "x"}', b"\xff\xfe", b"null"]
)
def test_a_damaged_file_is_none(store, tmp_path, content):
    store.save(KEY, IMAGE)
    file_of(tmp_path).write_bytes(content)
    assert store.load(KEY) is None


def test_a_file_of_another_key_with_the_same_name_is_none(store, tmp_path):
    other = KEY[:16] + "0" * 48
    store.save(other, IMAGE)
    assert store.load(KEY) is None


def test_the_oldest_images_go(store, tmp_path):
    for number in range(7):
        key = image_key([str(number)])
        store.save(key, IMAGE)
        os.utime(tmp_path / f"programs-{key[:16]}.json", (number, number))
    assert store.save(KEY, IMAGE)
    assert 4 == len(list(tmp_path.glob("programs-*.json")))
    assert IMAGE == store.load(KEY)


def test_a_refused_image_is_forgotten(store):
    store.save(KEY, IMAGE)
    store.drop(KEY)
    store.drop(KEY)
    assert store.load(KEY) is None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path):
    assert not ImageStore(tmp_path / "missing").save(KEY, IMAGE)
