"""Steps: the hash that the kernel computes too, the budget, and the joining of changes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otelauto.abi._layout import RouteEdge, RouteStep
from otelauto.routes.steps import (
    MAX_STEPS,
    RoutesRefusedError,
    StepBudget,
    Update,
    joined,
    segment_hash,
)


def test_the_hash_is_fnv_1a_of_64_bits():
    """Published test vectors of FNV-1a (draft-eastlake-fnv, appendix C)."""
    assert 0xCBF29CE484222325 == segment_hash(b"", 0)
    assert 0xAF63DC4C8601EC8C == segment_hash(b"a", 0)
    assert 0x85944171F73967E8 == segment_hash(b"foobar", 0)


def test_a_hash_is_never_0_because_0_is_any_segment():
    assert 1 == segment_hash(b"", 0xCBF29CE484222325)


def test_the_seed_changes_every_hash():
    assert segment_hash(b"users", 1) != segment_hash(b"users", 2)


def test_a_budget_refuses_what_does_not_fit_and_counts_none_of_it():
    budget = StepBudget(limit=3)
    budget.take(2)
    with pytest.raises(RoutesRefusedError, match="more than 3 steps"):
        budget.take(2)
    budget.take(1)
    assert 3 == budget.used
    budget.give_back(3)
    assert 0 == budget.used


def test_joined_updates_keep_their_order_and_the_last_root():
    first = (RouteStep(1, 1), RouteEdge(0, 16, 0))
    second = (RouteStep(1, 1), RouteEdge(2, 16, 0))
    roots = [RouteEdge(1, 0, 0), RouteEdge(9, 0, 0)]
    gone = RouteStep(5, 5)
    updates = [Update((first,), roots[0]), Update((second,), roots[1]), Update((), None, (gone,))]
    assert Update((first, second), roots[1], (gone,)) == joined(updates)


def test_an_update_without_changes_is_false():
    assert not joined([Update(), Update()])
    assert Update(root=RouteEdge(0, 0, 0))


def test_the_budget_is_the_size_of_the_kernels_map():
    limits = (Path(__file__).parents[3] / "bpf" / "limits.h").read_text()
    assert [str(MAX_STEPS)] == re.findall(r"#define MAX_ROUTE_EDGES (\d+)", limits)
