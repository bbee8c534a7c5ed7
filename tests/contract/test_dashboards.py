"""The dashboards are whole, and their queries are of series and labels that the agent exports."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from tests.contract.test_rules import SELECTOR, known, unknown

FOLDER = Path(__file__).resolve().parents[2] / "ansible/files/grafana"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
QUERIES = [
    pytest.param(target["expr"], id=f"{name}-{panel['id']}{target['refId']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    for target in panel["targets"]
]
LABEL_VALUES = re.compile(r"label_values\((\w+), (\w+)\)")


@pytest.mark.parametrize("expression", QUERIES)
def test_every_series_and_label_of_a_query_exists(expression):
    assert SELECTOR.search(expression)
    assert [] == unknown(expression)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_legend_is_of_labels_that_the_query_keeps(name):
    for panel in DASHBOARDS[name]["panels"]:
        for target in panel["targets"]:
            kept = re.findall(r"by \(([^)]*)\)", target["expr"])
            labels = {label.strip() for group in kept for label in group.split(",")}
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels


@pytest.mark.parametrize("name", DASHBOARDS)
def test_variables_exist_and_are_those_of_the_queries(name):
    dashboard = DASHBOARDS[name]
    variables = {one["name"]: one for one in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$(?!__)\{?(\w+)", json.dumps(dashboard["panels"])))
    assert set(variables) == used
    for variable in variables.values():
        if variable["type"] == "query":
            series, label = LABEL_VALUES.fullmatch(variable["definition"]).groups()
            assert label in known()[series]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_have_their_own_ids_and_places(name):
    panels = DASHBOARDS[name]["panels"]
    assert len(panels) == len({panel["id"] for panel in panels})
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(x < 24 for x, _ in cells)


def test_every_query_is_promql(need, tmp_path):
    need("promtool")
    filled = [re.sub(r"\$__rate_interval", "5m", query.values[0]) for query in QUERIES]
    rules = [{"record": f"q{number}", "expr": text} for number, text in enumerate(filled)]
    path = tmp_path / "queries.yml"
    path.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_one_for_services_and_one_for_the_agents():
    assert {"otelauto-services", "otelauto-agents"} == set(DASHBOARDS)
