from __future__ import annotations

import dataclasses

import pytest

from otelauto.discovery import events


@pytest.mark.parametrize(
    "value",
    [events.ExecEvent(1), events.ExitEvent(1), events.ForkEvent(2, 1), events.ListenEvent(1, 80)],
)
def test_events_are_values(value):
    assert value == dataclasses.replace(value)
    assert hash(value) == hash(dataclasses.replace(value))
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.pid = 3
