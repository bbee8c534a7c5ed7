"""The store: what was good is never lost, and nothing that goes wrong stops anything."""

from __future__ import annotations

import json
import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otelauto.routes import store as module
from otelauto.routes.learn import Learned, Shape
from otelauto.routes.store import MAX_FILE_BYTES, RouteStore

LEARNED = Learned(
    (
        Shape(()),
        Shape((b"users", None)),
        Shape((b"caf\xc3\xa9", b"\xff\x00", None), rest=True),
    ),
    frozenset({(), (b"zoek",), (None, b"x")}),
)


@pytest.fixture
def warnings():
    return []


@pytest.fixture
def store(tmp_path, warnings):
    return RouteStore(tmp_path / "routes", warnings.append)


def the_file(tmp_path):
    (path,) = (tmp_path / "routes").iterdir()
    return path


def test_what_was_saved_is_loaded(store, warnings):
    assert store.save("shop/cart", "heuristic", LEARNED)
    assert LEARNED == store.load("shop/cart", "heuristic")
    assert [] == warnings


def test_services_and_policies_do_not_share_their_memory(store):
    store.save("shop/cart", "heuristic", LEARNED)
    assert Learned() == store.load("shop/other", "heuristic")
    assert Learned() == store.load("shop/cart", "path")


def test_the_file_is_no_ones_business_but_the_groups(store, tmp_path):
    """Mode 0640 whatever the umask, and no temporary file stays."""
    before = os.umask(0)
    try:
        store.save("a", "path", LEARNED)
    finally:
        os.umask(before)
    assert 0o640 == stat.S_IMODE(the_file(tmp_path).stat().st_mode)


def test_a_key_cannot_lead_out_of_the_directory(store, tmp_path):
    store.save("../../etc/passwd\0\udcff", "path", LEARNED)
    assert tmp_path / "routes" == the_file(tmp_path).parent


@pytest.mark.parametrize(
    "damage",
    [
        b"garbage\n",
        b"{}\n",
        b"[1]\n",
        b'{"route":1}\n',
        b'{"route":["a/b"]}\n',
        b'{"route":[""]}\n',
        b'{"route":["\\ud800"]}\n',
        b'{"fold":{}}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b'{"route":["cut',
    ],
)
def test_of_a_damaged_file_all_good_lines_are_used(store, tmp_path, warnings, damage):
    store.save("a", "path", LEARNED)
    path = the_file(tmp_path)
    path.write_bytes(path.read_bytes() + damage)
    assert LEARNED == store.load("a", "path")
    assert LEARNED == store.load("a", "path")
    assert 1 == len(warnings)
    assert "damaged" in warnings[0]
    assert store.save("a", "path", LEARNED)
    assert damage not in path.read_bytes()


def test_an_empty_file_is_damaged_and_nothing_else(store, tmp_path, warnings):
    store.save("a", "path", LEARNED)
    the_file(tmp_path).write_bytes(b"")
    assert Learned() == store.load("a", "path")
    assert 1 == len(warnings)


def test_a_file_that_is_too_large_is_read_in_part(store, tmp_path, warnings):
    store.save("a", "path", LEARNED)
    path = the_file(tmp_path)
    path.write_bytes(path.read_bytes() + b" " * MAX_FILE_BYTES)
    assert LEARNED == store.load("a", "path")
    assert "damaged" in warnings[0]


def test_a_file_of_a_newer_version_is_left_alone(store, tmp_path, warnings):
    store.save("a", "path", LEARNED)
    path = the_file(tmp_path)
    newer = json.dumps({"otelauto_routes": 2, "service": "a"}).encode() + b"\nfuture\n"
    path.write_bytes(newer)
    assert Learned() == store.load("a", "path")
    assert store.save("a", "path", LEARNED)
    assert newer == path.read_bytes()
    assert 1 == len(warnings)
    assert "newer" in warnings[0]


def test_an_unwritable_directory_is_told_once_and_tried_again(tmp_path, warnings):
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    store = RouteStore(blocked / "routes", warnings.append)
    assert not store.save("a", "path", LEARNED)
    assert not store.save("b", "path", LEARNED)
    assert 1 == len(warnings)
    assert "cannot be written" in warnings[0]
    blocked.unlink()
    assert store.save("a", "path", LEARNED)


def test_an_unreadable_file_is_told_and_nothing_is_known(store, tmp_path, warnings):
    store.save("a", "path", LEARNED)
    path = the_file(tmp_path)
    path.unlink()
    path.mkdir()
    assert Learned() == store.load("a", "path")
    assert "cannot be read" in warnings[0]


@pytest.mark.parametrize("step", ["chmod", "fsync", "rename"])
def test_a_full_disk_leaves_the_old_file(store, tmp_path, warnings, monkeypatch, step):
    store.save("a", "path", LEARNED)
    before = the_file(tmp_path).read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    if step == "chmod":
        monkeypatch.setattr(module.os, "fchmod", full)
    elif step == "fsync":
        monkeypatch.setattr(module.os, "fsync", full)
    else:
        monkeypatch.setattr(type(tmp_path), "rename", full)
    assert not store.save("a", "path", Learned())
    assert before == the_file(tmp_path).read_bytes()
    assert "No space left" in warnings[0]


def test_a_temporary_file_of_a_crash_is_replaced_and_links_are_not_followed(store, tmp_path):
    store.save("a", "path", LEARNED)
    path = the_file(tmp_path)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.with_suffix(".tmp").symlink_to(victim)
    assert store.save("a", "path", Learned())
    assert Learned() == store.load("a", "path")
    assert "precious" == victim.read_text()


def test_the_oldest_files_go_when_there_are_too_many(store, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILES", 3)
    store.save("a", "path", LEARNED)
    os.utime(the_file(tmp_path), ns=(0, 0))
    for key in "bcd":
        store.save(key, "path", LEARNED)
    assert Learned() == store.load("a", "path")
    assert [LEARNED] * 3 == [store.load(key, "path") for key in "bcd"]


def test_too_much_is_not_stored(store, tmp_path, warnings):
    large = Learned(tuple(Shape((b"x" * 256, b"%d" % number)) for number in range(5000)))
    assert store.save("a", "path", large)
    assert not (tmp_path / "routes").exists()
    assert "too large" in warnings[0]


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_no_content_of_a_file_raises(tmp_path_factory, content):
    directory = tmp_path_factory.mktemp("hostile")
    store = RouteStore(directory, lambda message: None)
    store.save("a", "path", LEARNED)
    (path,) = directory.iterdir()
    header, _, rest = path.read_bytes().partition(b"\n")
    path.write_bytes(header + b"\n" + content + b"\n" + rest)
    assert set(LEARNED.routes) <= set(store.load("a", "path").routes)
    path.write_bytes(content)
    assert isinstance(store.load("a", "path"), Learned)
