from __future__ import annotations

import array
import os
import socket
import struct
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.kernel import channel

SOON = 5.0


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def ends():
    before = open_descriptors()
    ours, theirs = channel.pair()
    yield ours, theirs
    ours.close()
    theirs.close()
    assert before == open_descriptors()


def send_with_descriptors(end: socket.socket, content: bytes, descriptors: list[int]) -> None:
    rights = array.array("i", descriptors).tobytes()
    end.sendmsg([content], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])


def deadline(seconds: float = SOON) -> float:
    return time.monotonic() + seconds


def test_a_message_arrives_whole_whatever_its_size(ends):
    ours, theirs = ends
    content = bytes(range(256)) * 8192
    sender = threading.Thread(
        target=channel.send_message, args=(theirs, content), kwargs={"deadline": deadline()}
    )
    sender.start()
    assert content == channel.receive_message(ours, deadline=deadline())
    sender.join()


def test_descriptors_arrive_in_order_and_are_closed_on_exec(ends):
    ours, theirs = ends
    read_end, write_end = os.pipe()
    send_with_descriptors(theirs, b"D", [read_end])
    send_with_descriptors(theirs, b"D", [write_end])
    found = channel.receive_descriptors(ours, 2, deadline=deadline())
    assert [os.fstat(read_end).st_ino, os.fstat(write_end).st_ino] == [
        os.fstat(fd).st_ino for fd in found
    ]
    assert [False, False] == [os.get_inheritable(fd) for fd in found]
    channel.close_all([*found, read_end, write_end])


def test_a_peer_that_closes_before_it_answers_has_died(ends):
    ours, theirs = ends
    theirs.close()
    with pytest.raises(channel.ChannelError) as caught:
        channel.receive_message(ours, deadline=deadline())
    assert "died" == caught.value.kind


def test_a_peer_that_closes_in_the_middle_has_died(ends):
    ours, theirs = ends
    theirs.sendall(struct.pack("!I", 100) + b"half")
    theirs.close()
    with pytest.raises(channel.ChannelError) as caught:
        channel.receive_message(ours, deadline=deadline())
    assert "died" == caught.value.kind


def test_sending_to_a_peer_that_is_gone_says_so(ends):
    ours, theirs = ends
    theirs.close()
    with pytest.raises(channel.ChannelError) as caught:
        channel.send_message(ours, b"x" * (1 << 20), deadline=deadline())
    assert "died" == caught.value.kind


def test_a_silent_peer_is_waited_for_until_the_deadline_only(ends):
    ours, _ = ends
    start = time.monotonic()
    with pytest.raises(channel.ChannelError) as caught:
        channel.receive_message(ours, deadline=deadline(0.05))
    assert "timeout" == caught.value.kind
    assert time.monotonic() - start < 1.0


def test_a_peer_that_does_not_read_is_waited_for_until_the_deadline_only(ends):
    ours, _ = ends
    with pytest.raises(channel.ChannelError) as caught:
        channel.send_message(ours, b"x" * (8 << 20), deadline=deadline(0.05))
    assert "timeout" == caught.value.kind


def test_an_absurd_length_is_garbage_and_not_allocated(ends):
    ours, theirs = ends
    theirs.sendall(b"\xff\xff\xff\xff")
    with pytest.raises(channel.ChannelError) as caught:
        channel.receive_message(ours, deadline=deadline())
    assert "garbage" == caught.value.kind


def test_descriptors_on_a_message_that_has_none_are_closed(ends):
    ours, theirs = ends
    read_end, write_end = os.pipe()
    send_with_descriptors(theirs, struct.pack("!I", 2) + b"ok", [read_end, write_end])
    before = open_descriptors()
    assert b"ok" == channel.receive_message(ours, deadline=deadline())
    assert before == open_descriptors()
    channel.close_all([read_end, write_end])


@pytest.mark.parametrize(("sent", "asked", "kind"), [(1, 2, "died"), (3, 2, "garbage")])
def test_a_wrong_number_of_descriptors_leaves_none_open(ends, sent, asked, kind):
    ours, theirs = ends
    pipe = list(os.pipe())
    send_with_descriptors(theirs, b"D", (pipe * 2)[:sent])
    theirs.close()
    before = open_descriptors()
    with pytest.raises(channel.ChannelError) as caught:
        channel.receive_descriptors(ours, asked, deadline=deadline())
    assert kind == caught.value.kind
    assert before == open_descriptors()
    channel.close_all(pipe)


def test_close_all_empties_the_list():
    descriptors = list(os.pipe())
    channel.close_all(descriptors)
    assert [] == descriptors


@given(st.binary(max_size=64))
def test_no_bytes_of_the_peer_raise_anything_but_channel_errors(content):
    ours, theirs = channel.pair()
    with ours, theirs:
        theirs.sendall(content)
        theirs.close()
        try:
            outcome = channel.receive_message(ours, deadline=deadline())
        except channel.ChannelError as error:
            outcome = error.kind
    assert outcome in {"died", "garbage", content[4:]} or content[4:].startswith(outcome)
