"""The settings of routes."""

from __future__ import annotations

import re

import pytest

from otelauto.errors import ConfigError
from otelauto.routes.rules import PLACEHOLDER, RouteRules


def test_the_default_placeholder_matches_itself_as_a_regular_expression():
    """Case G1: it is safe inside =~. RE2 and Python agree on braces that are no repetition."""
    assert re.fullmatch(f"/users/{PLACEHOLDER}", f"/users/{PLACEHOLDER}")


@pytest.mark.parametrize("placeholder", ["", "a/b", "a b", "?", "#", "\n", "\ud800"])
def test_a_placeholder_that_is_no_segment_is_refused(placeholder):
    with pytest.raises(ConfigError, match="placeholder"):
        RouteRules(placeholder=placeholder)


@pytest.mark.parametrize("placeholder", ["{id}", ":id", "*", "ID"])
def test_the_placeholder_is_free(placeholder):
    assert placeholder == RouteRules(placeholder=placeholder).placeholder


@pytest.mark.parametrize("max_routes", [0, -1])
def test_no_room_for_routes_is_refused(max_routes):
    with pytest.raises(ConfigError, match="learned routes"):
        RouteRules(max_routes=max_routes)
