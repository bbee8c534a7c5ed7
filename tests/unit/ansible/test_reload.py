"""A changed option restarts the agent only if the agent's own schema says that it must."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.otelauto.fleet.plugins.plugin_utils.reload import restart_keys

from otelauto.config.paths import leaves

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "otelauto.schema.json").read_text())


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, []),
        ({"ebpf": {"open_port": 80}}, {"ebpf": {"open_port": 443}}, []),
        ({"ebpf": {"hook": "auto"}}, {"ebpf": {"hook": "sock"}}, ["ebpf.hook"]),
        ({}, {"print_traces": True}, ["print_traces"]),
        ({"discovery": {"instrument": [{"name": "a"}]}}, {"discovery": None}, []),
        ({"unheard_of": 1}, {}, ["unheard_of"]),
        ({"routes": {"patterns": ["/a"]}}, {"routes": {"patterns": ["/b"]}}, []),
    ],
)
def test_what_needs_a_restart(old, new, expected):
    assert expected == restart_keys(old, new, SCHEMA)


def test_every_option_of_the_agent_is_judged_as_the_agent_does():
    judged = 0
    for leaf in leaves():
        if "[]" in leaf.path:
            continue
        new = "another value"
        for name in reversed(leaf.path.split(".")):
            new = {name: new}
        expected = [] if leaf.option.reload == "live" else [leaf.path]
        assert expected == restart_keys({}, new, SCHEMA)
        judged += 1
    assert judged > 40
