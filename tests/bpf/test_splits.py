"""However a conversation is cut, the same exchanges come out: those that h11 sees."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.bpf.conversations import conversations, cut_points, examples, segmentations
from tests.bpf.replay import cuts_everywhere, play

from otelauto.abi._layout import Role

ROLES = st.sampled_from([Role.SERVER, Role.CLIENT])
SOME = examples(90)


@SOME
@given(conversations(), ROLES)
def test_whole_messages_are_what_the_reference_says(machine, turns, role):
    expected, found = play(machine, turns, role=role)
    assert expected == found
    assert 0 == machine.waiting


@SOME
@given(st.data())
def test_operations_may_end_anywhere(machine, data):
    turns = data.draw(conversations())
    expected, found = play(machine, turns, cuts=data.draw(cut_points(turns)))
    assert expected == found
    assert 0 == machine.collisions


@SOME
@given(st.data())
def test_responses_may_come_while_requests_still_do(machine, data):
    turns = data.draw(conversations(most_turns=2, most_pipelined=5))
    cuts = data.draw(cut_points(turns))
    expected, found = play(machine, turns, cuts=cuts, eager=True)
    assert expected == found


@SOME
@given(st.data())
def test_operations_may_be_vectored(machine, data):
    turns = data.draw(conversations(most_turns=2))
    segments = data.draw(segmentations())
    cuts = data.draw(cut_points(turns))
    expected, found = play(machine, turns, cuts=cuts, segments=segments, role=data.draw(ROLES))
    assert expected == found


@examples(25)
@given(conversations(most_turns=2, most_pipelined=2), st.sampled_from([1, 2, 3, 7]))
def test_every_byte_may_be_an_operation_of_its_own(machine, turns, size):
    expected, found = play(machine, turns, cuts=cuts_everywhere(turns, size))
    assert expected == found
