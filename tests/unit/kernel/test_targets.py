"""Both maps of targets are kept by the law that bpf/abi.h states, whatever the process ids are."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otelauto.abi import _layout as abi
from otelauto.kernel.bpf import MapType, create_map
from otelauto.kernel.maps import ArrayMap, HashMap
from otelauto.kernel.targets import TargetMaps

SLOTS = abi.TARGET_SLOTS
EMPTY = (0, 0)


class Table(dict):
    """A hash map that may be full."""

    def __init__(self, limit=None):
        super().__init__()
        self.limit = limit

    def set(self, key, value):
        if self.limit is not None and key not in self and len(self) >= self.limit:
            raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
        self[key] = value

    def delete(self, key):
        return self.pop(key, None) is not None


class Slots(dict):
    def set(self, index, value):
        assert 0 <= index < SLOTS
        self[index] = value


class Rig:
    def __init__(self, limit=None):
        self.table, self.slots = Table(limit), Slots()
        self.maps = TargetMaps(self.table, self.slots)

    def looked_up(self, pid):
        """The service that the programs find for a process, as bpf/abi.h has it."""
        slot_pid, service = self.slots.get(pid % SLOTS, EMPTY)
        if slot_pid == abi.TARGET_SLOT_SHARED:
            return self.table.get((pid,), EMPTY)[0]
        return service if slot_pid == pid else 0


def test_a_target_is_found_by_its_slot_alone():
    rig = Rig()
    rig.maps.set(77, 5)
    assert {(77,): (5, 0)} == rig.table
    assert {77: (77, 5)} == rig.slots
    assert {77: 5} == rig.maps.services()


def test_a_slot_that_two_targets_have_says_so_until_one_is_left():
    rig = Rig()
    rig.maps.set(77, 5)
    rig.maps.set(77 + SLOTS, 6)
    assert (abi.TARGET_SLOT_SHARED, 0) == rig.slots[77]
    assert [5, 6, 0] == [rig.looked_up(77 + n * SLOTS) for n in range(3)]
    rig.maps.drop(77)
    assert (77 + SLOTS, 6) == rig.slots[77]
    rig.maps.drop(77 + SLOTS)
    assert EMPTY == rig.slots[77]


def test_dropping_what_is_no_target_does_no_harm():
    rig = Rig()
    rig.maps.set(77, 5)
    rig.maps.drop(77 + SLOTS)
    rig.maps.drop(78)
    assert [5, 0] == [rig.looked_up(77), rig.looked_up(78)]


def test_a_full_map_is_an_error_and_leaves_the_others_as_they_are():
    rig = Rig(limit=1)
    rig.maps.set(77, 5)
    with pytest.raises(OSError, match=os.strerror(errno.E2BIG)):
        rig.maps.set(77 + SLOTS, 6)
    assert (77, 5) == rig.slots[77]
    rig.maps.set(77, 6)
    assert 6 == rig.looked_up(77)


def test_what_the_kernel_did_meanwhile_is_set_right_by_telling():
    """A fork wrote a child into a slot that the agent wrote at the same moment."""
    rig = Rig()
    rig.maps.set(77, 5)
    rig.table[77 + SLOTS,] = (5, 0)  # the kernel's part of a fork; its slot was overwritten
    rig.maps.set(77 + SLOTS, 5)  # the event of the fork
    assert [5, 5] == [rig.looked_up(77), rig.looked_up(77 + SLOTS)]
    del rig.table[77,]  # the kernel's part of an exit
    rig.maps.drop(77)  # the event of the exit
    assert [0, 5] == [rig.looked_up(77), rig.looked_up(77 + SLOTS)]


PIDS = st.sampled_from([slot + turn * SLOTS for slot in (0, 1, SLOTS - 1) for turn in (1, 2, 3)])


@given(st.lists(st.tuples(PIDS, st.integers(0, 5)), max_size=40))
def test_after_any_changes_every_process_is_looked_up_as_what_it_is(changes):
    """Service 0: the process is dropped."""
    rig, expected = Rig(), {}
    for pid, service in changes:
        if service:
            rig.maps.set(pid, service)
            expected[pid] = service
        else:
            rig.maps.drop(pid)
            expected.pop(pid, None)
        known = {pid for pid, _ in changes}
        assert {one: expected.get(one, 0) for one in known} == {
            one: rig.looked_up(one) for one in known
        }
    assert expected == rig.maps.services()
    assert {index for index, slot in rig.slots.items() if slot != EMPTY} == {
        pid % SLOTS for pid in expected
    }


@pytest.mark.live
def test_the_kernels_maps_take_what_is_written(keep):
    table = keep(
        create_map(
            MapType.HASH,
            key_size=4,
            value_size=abi.TARGET.size,
            max_entries=2,
            name="targets",
        )
    )
    slots = keep(
        create_map(
            MapType.ARRAY,
            key_size=4,
            value_size=abi.TARGET_SLOT.size,
            max_entries=SLOTS,
            name="target_slots",
        )
    )
    array = ArrayMap(slots, abi.TARGET_SLOT)
    maps = TargetMaps(HashMap(table, abi.U32, abi.TARGET), array)
    maps.set(SLOTS - 1, 3)
    maps.set(2 * SLOTS - 1, 4)
    assert {SLOTS - 1: 3, 2 * SLOTS - 1: 4} == maps.services()
    assert (abi.TARGET_SLOT_SHARED, 0) == array.get(SLOTS - 1)
    with pytest.raises(OSError, match="targets"):
        maps.set(5, 1)
    maps.drop(SLOTS - 1)
    assert (2 * SLOTS - 1, 4) == array.get(SLOTS - 1)
