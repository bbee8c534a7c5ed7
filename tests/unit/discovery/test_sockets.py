from __future__ import annotations

import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.discovery.fakeproc import HEADING, FakeProc, socket_line

from otelauto.discovery.sockets import SocketTables, parse_listeners, socket_inodes


@pytest.fixture
def fake(tmp_path):
    return FakeProc(tmp_path)


@pytest.fixture
def directory(fake):
    fake.add(42, "/bin/x")
    fd = os.open(fake.path / "42", os.O_RDONLY)
    yield fd
    os.close(fd)


def test_only_listening_sockets_are_kept():
    content = (
        HEADING + socket_line(80, 1) + socket_line(81, 2, state="01") + socket_line(82, 3, v6=True)
    )
    assert parse_listeners(content.encode()) == {1: 80, 3: 82}


def test_several_sockets_may_share_a_port():
    """SO_REUSEPORT: one socket for each worker."""
    assert parse_listeners((socket_line(80, 1) + socket_line(80, 2)).encode()) == {1: 80, 2: 80}


@given(st.binary())
def test_any_bytes_are_parsed(content):
    for inode, port in parse_listeners(content).items():
        assert inode > 0
        assert 0 < port < 65536


@given(st.binary(), st.integers(1, 65535), st.integers(1, 2**32))
def test_garbage_between_lines_hides_no_socket(garbage, port, inode):
    content = garbage + b"\n" + socket_line(port, inode).encode() + garbage
    assert port == parse_listeners(content)[inode]


def test_table_is_read_once_until_it_is_invalid(fake, directory):
    tables = SocketTables()
    first = fake.listen(42, 80)
    assert {first: 80} == tables.ports(directory)
    second = fake.listen(42, 81, v6=True)
    assert {first: 80} == tables.ports(directory)
    tables.invalidate()
    assert {first: 80, second: 81} == tables.ports(directory)


def test_namespaces_have_tables_of_their_own(fake, directory):
    tables = SocketTables()
    inode = fake.listen(42, 80)
    fake.add(43, "/bin/x", namespace=2)
    other = os.open(fake.path / "43", os.O_RDONLY)
    try:
        assert ({inode: 80}, {}) == (tables.ports(directory), tables.ports(other))
    finally:
        os.close(other)


def test_reading_ends_behind_the_listening_sockets(fake, directory):
    table = fake.path / "42/net/tcp"
    busy = "".join(socket_line(40_000 + n % 20_000, 10_000 + n, state="01") for n in range(5_000))
    # 750 kB of connections; a listening socket behind them cannot be, and is not looked for
    table.write_text(HEADING + socket_line(80, 1) + busy + socket_line(81, 2))
    assert SocketTables().ports(directory) == {1: 80}


def test_unreadable_namespace_is_an_empty_table(fake, directory):
    (fake.path / "42/ns/net").unlink()
    fake.listen(42, 80)
    assert SocketTables().ports(directory) == {}


def test_descriptors_that_are_no_sockets_are_skipped(fake, directory):
    inode = fake.socket(42)
    for name, target in [("7", "pipe:[9]"), ("8", "socket:[x]"), ("9", "socket:["), ("10", "/a")]:
        (fake.path / "42/fd" / name).symlink_to(target)
    assert [inode] == list(socket_inodes(directory))


def test_missing_descriptors_are_the_callers_business(fake, directory):
    (fake.path / "42/fd/0").unlink()
    (fake.path / "42/fd").rmdir()
    with pytest.raises(FileNotFoundError):
        list(socket_inodes(directory))


def test_kernels_own_table_lists_a_real_listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        own = os.open("/proc/self", os.O_RDONLY)
        try:
            inode = os.fstat(server.fileno()).st_ino
            assert server.getsockname()[1] == SocketTables().ports(own)[inode]
            assert inode in set(socket_inodes(own))
        finally:
            os.close(own)
