from __future__ import annotations

import dataclasses

import pytest

from otelauto.discovery.selectors import Match, Selector


def test_selector_without_arguments_asks_for_nothing():
    assert not any(getattr(Selector(), field.name) for field in dataclasses.fields(Selector))


def test_selectors_and_matches_cannot_change():
    for value in (Selector(), Match((0,), "", "", frozenset())):
        with pytest.raises(dataclasses.FrozenInstanceError):
            value.name = "x"
