"""The loop sleeps until a descriptor, a signal or its timer has something for it."""

from __future__ import annotations

import os
import select
import signal
import threading
from pathlib import Path

import pytest

from otelauto.life.loop import Loop


@pytest.fixture
def loop():
    with Loop() as loop:
        yield loop


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def test_a_readable_descriptor_is_told_of_until_it_is_read(loop, pipe):
    read, write = pipe
    found = []

    def take():
        found.append(os.read(read, 1))
        if len(found) == 3:
            loop.stop()

    loop.on_readable(read, take)
    os.write(write, b"abc")
    loop.run()
    assert [b"a", b"b", b"c"] == found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_handled_in_the_loop(loop, number):
    found = []
    loop.on_signal(number, lambda: (found.append(threading.current_thread()), loop.stop()))
    os.kill(os.getpid(), number)
    assert [] == found
    loop.run()
    assert [threading.main_thread()] == found


def test_a_signal_that_comes_while_the_loop_sleeps_wakes_it(loop):
    loop.on_signal(signal.SIGTERM, loop.stop)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    loop.run()
    timer.join()


def test_many_signals_of_a_kind_are_one_call(loop):
    found = []
    loop.on_signal(signal.SIGHUP, lambda: found.append("reload"))
    loop.on_signal(signal.SIGTERM, loop.stop)
    for number in [signal.SIGHUP] * 5 + [signal.SIGTERM]:
        os.kill(os.getpid(), number)
    loop.run()
    assert ["reload"] == found


def test_the_later_call_for_a_signal_has_it_and_gets_what_came_before(loop):
    """So that a reload which is asked for while the agent starts is made when it is ready."""
    found = []
    loop.on_signal(signal.SIGHUP, lambda: found.append("early"))
    os.kill(os.getpid(), signal.SIGHUP)
    loop.on_signal(signal.SIGHUP, lambda: (found.append("late"), loop.stop()))
    loop.run()
    assert ["late"] == found


def test_a_signal_that_nobody_asked_for_changes_nothing(loop):
    loop.on_signal(signal.SIGTERM, loop.stop)
    os.write(loop._wake_write, bytes([signal.SIGWINCH]))
    os.kill(os.getpid(), signal.SIGTERM)
    loop.run()


def test_nothing_more_is_called_after_stop(loop, pipe):
    read, write = pipe
    loop.on_signal(signal.SIGTERM, loop.stop)
    loop.on_readable(read, lambda: os.read(read, 1) and loop.stop())
    os.write(write, b"ab")
    loop.run()
    assert ([read], [], []) == select.select([read], [], [], 0)


def test_the_timer_calls_at_each_interval_and_not_before():
    now = [100.0]
    with Loop(lambda: now[0]) as loop:
        calls = []

        def tick():
            calls.append(now[0])
            if len(calls) == 3:
                loop.stop()

        def sleep(timeout):
            now[0] += timeout
            return []

        loop._selector.select = sleep
        loop.every(30.0, tick)
        loop.run()
    assert [130.0, 160.0, 190.0] == calls


def test_the_timer_is_not_starved_by_a_descriptor_that_is_always_readable(pipe):
    """Without this a service manager would give a busy agent up."""
    read, write = pipe
    os.write(write, b"x")
    now, calls = [0.0], []

    def busy():
        now[0] += 1.0

    with Loop(lambda: now[0]) as loop:
        loop.on_readable(read, busy)
        loop.every(5.0, lambda: (calls.append(now[0]), loop.stop()))
        loop.run()
    assert [5.0] == calls


def test_an_error_of_a_callback_ends_the_loop_with_it(loop, pipe):
    read, write = pipe

    def fails():
        raise ValueError("wrong")

    loop.on_readable(read, fails)
    os.write(write, b"x")
    with pytest.raises(ValueError, match="wrong"):
        loop.run()


def test_afterwards_signals_and_descriptors_are_as_before():
    def mine(*_):
        pass

    earlier = signal.signal(signal.SIGHUP, mine)
    count = len(list(Path("/proc/self/fd").iterdir()))
    wake = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wake)
    try:
        with Loop() as loop:
            loop.on_signal(signal.SIGHUP, lambda: None)
            loop.on_signal(signal.SIGHUP, lambda: None)
            assert mine is not signal.getsignal(signal.SIGHUP)
        assert mine is signal.getsignal(signal.SIGHUP)
        found = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(found)
        assert wake == found
        assert count == len(list(Path("/proc/self/fd").iterdir()))
    finally:
        signal.signal(signal.SIGHUP, earlier)


def test_a_loop_inside_another_gives_it_its_signals_back(loop):
    with Loop():
        pass
    loop.on_signal(signal.SIGTERM, loop.stop)
    os.kill(os.getpid(), signal.SIGTERM)
    assert ([loop._wake_read], [], []) == select.select([loop._wake_read], [], [], 0)
    loop.run()
