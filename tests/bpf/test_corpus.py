"""Interesting conversations give what their files say, wherever they are cut."""

from __future__ import annotations

import pytest
from tests.bpf.build import HERE
from tests.bpf.corpus import read_conversation
from tests.bpf.replay import cuts_everywhere, play, single_cuts

from otelauto.abi._layout import Role

FILES = sorted((HERE / "corpus").glob("*.txt"))
EMPTY = (0, 1, 4, 5, 11)


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def turns(request):
    return read_conversation(request.param)


def test_the_corpus_is_there():
    assert len(FILES) >= 14


@pytest.mark.parametrize("role", [Role.SERVER, Role.CLIENT])
def test_each_side_sees_it_whole(role, turns, machine):
    expected, found = play(machine, turns, role=role)
    assert expected == found
    assert expected


def test_it_may_be_cut_in_two_anywhere(turns, machine):
    for cuts in single_cuts(turns):
        expected, found = play(machine, turns, cuts=cuts)
        assert expected == found, cuts


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 511, 512, 513])
def test_it_may_come_in_small_operations(size, eager, turns, machine):
    expected, found = play(machine, turns, cuts=cuts_everywhere(turns, size), eager=eager)
    assert expected == found


@pytest.mark.parametrize("empty", EMPTY)
@pytest.mark.parametrize("size", [1, 7, 512])
def test_it_may_come_in_small_segments(size, empty, turns, machine):
    def segments(data):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        return [part for piece in pieces for part in (*[b""] * empty, piece)]

    expected, found = play(machine, turns, segments=segments)
    assert expected == found
