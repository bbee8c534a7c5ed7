"""The service manager is told in the words of sd_notify(3), and never holds the agent up."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from otelauto.life import sdnotify
from otelauto.life.sdnotify import Notifier


@pytest.fixture
def manager(tmp_path):
    """A service manager's socket, and what it received."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield tmp_path / "notify", lambda: listener.recv(4096).decode().split("\n")


@pytest.mark.parametrize(
    ("say", "expected"),
    [
        (lambda one: one.ready(), ["READY=1"]),
        (lambda one: one.ready("all is well"), ["READY=1", "STATUS=all is well"]),
        (lambda one: one.status("3 processes"), ["STATUS=3 processes"]),
        (lambda one: one.stopping(), ["STOPPING=1"]),
        (lambda one: one.alive(), ["WATCHDOG=1"]),
        (lambda one: one.extend_start(90.0), ["EXTEND_TIMEOUT_USEC=90000000"]),
    ],
)
def test_each_state_is_one_datagram_in_the_protocols_words(manager, say, expected):
    path, received = manager
    say(Notifier({"NOTIFY_SOCKET": str(path)}))
    assert expected == received()


def test_a_reload_tells_when_it_began(manager):
    path, received = manager
    before = time.monotonic_ns() // 1000
    Notifier({"NOTIFY_SOCKET": str(path)}).reloading()
    first, second = received()
    name, value = second.split("=")
    assert ("RELOADING=1", "MONOTONIC_USEC") == (first, name)
    assert before <= int(value) <= time.monotonic_ns() // 1000


def test_a_name_in_the_abstract_namespace_begins_with_an_at():
    name = f"otelauto-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.setblocking(False)
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).alive()
        assert b"WATCHDOG=1" == listener.recv(100)


def test_without_a_service_manager_nothing_is_sent(monkeypatch):
    def no_socket(*_, **__):
        pytest.fail("a socket was made")

    monkeypatch.setattr(sdnotify.socket, "socket", no_socket)
    notifier = Notifier({"WATCHDOG_USEC": "1000000"})
    notifier.ready("x")
    notifier.alive()
    assert 0.0 == notifier.watchdog_seconds


@pytest.mark.parametrize("name", ["gone", "not-a-socket", "x" * 200])
def test_a_service_manager_that_is_gone_costs_the_work_nothing(tmp_path, name):
    (tmp_path / "not-a-socket").touch()
    assert Notifier({"NOTIFY_SOCKET": str(tmp_path / name)}).ready() is None


def test_a_service_manager_that_does_not_read_is_given_up(manager, monkeypatch):
    path, received = manager
    monkeypatch.setattr(sdnotify, "_PATIENCE_SECONDS", 0.02)
    notifier = Notifier({"NOTIFY_SOCKET": str(path)})
    room = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    start = time.monotonic()
    for _ in range(room + 3):
        notifier.alive()
    assert time.monotonic() - start < 2.0
    assert ["WATCHDOG=1"] == received()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, 0.0),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "0"}, 0.0),
        ({"WATCHDOG_USEC": "-5"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": ""}, 0.0),
    ],
)
def test_signs_of_life_are_due_at_half_of_the_time_that_systemd_waits(environ, expected):
    notifier = Notifier({"NOTIFY_SOCKET": "/nowhere", **environ})
    assert expected == notifier.watchdog_seconds
