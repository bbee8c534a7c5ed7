"""Records of the event ring become the events of discovery, and nothing else does."""

from __future__ import annotations

import struct

import pytest

from otelauto.abi import _layout as abi
from otelauto.app.records import life_event, path_event
from otelauto.discovery.events import ExecEvent, ExitEvent, ForkEvent, ListenEvent


def process(kind, *, pid=7, parent=0, service=0):
    return abi.EVENT_PROCESS.pack(kind, abi.EVENT_PROCESS.size, 1, pid, parent, service)


LISTEN = abi.EVENT_LISTEN.pack(abi.EventKind.LISTEN, abi.EVENT_LISTEN.size, 1, 7, 8080, 2)
PATH = abi.EVENT_PATH.pack(abi.EventKind.PATH, abi.EVENT_PATH.size, 1, 1 << 63, 5)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (process(abi.EventKind.EXEC), ExecEvent(7)),
        (process(abi.EventKind.EXIT), ExitEvent(7)),
        (process(abi.EventKind.FORK, parent=6, service=3), ForkEvent(7, 6, 3)),
        (LISTEN, ListenEvent(7, 8080)),
    ],
    ids=["exec", "exit", "fork", "listen"],
)
def test_a_record_of_a_process_is_its_event_and_no_path(record, expected):
    assert expected == life_event(record)
    assert path_event(record) is None


def test_a_record_of_a_path_names_the_path_and_is_no_event_of_a_process():
    assert abi.PathKey(1 << 63, 5) == path_event(PATH)
    assert life_event(PATH) is None


def test_every_kind_of_the_contract_is_understood():
    records = [*map(process, (1, 2, 3)), LISTEN, PATH]
    kinds = [kind for kind in abi.EventKind if kind != abi.EventKind.SPAN]  # on a ring of its own
    assert kinds == [abi.EVENT_HEADER.unpack_from(one)[0] for one in records]
    assert None not in [path_event(record) or life_event(record) for record in records]


@pytest.mark.parametrize("kind", [0, 6, (1 << 32) - 1])
def test_a_kind_that_nobody_knows_is_passed_over(kind):
    record = abi.EVENT_HEADER.pack(kind, abi.EVENT_HEADER.size, 1)
    assert (None, None) == (life_event(record), path_event(record))


@pytest.mark.parametrize("record", [b"", LISTEN[:-1], PATH + b"x", process(1)[:20]])
def test_a_record_of_the_wrong_size_is_an_error(record):
    with pytest.raises(struct.error):
        _ = path_event(record) or life_event(record)
