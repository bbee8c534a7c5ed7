"""The Prometheus rules name only what the agent exports, and do what they say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from otelauto.export._prometheus_names import labels, metric_name
from otelauto.metrics.catalog import CATALOG

RULES = Path(__file__).resolve().parents[2] / "ansible/files/prometheus"
SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",)}
IDENTITY = {"instance", "job", "le", "service_name", "service_namespace"}
SELECTOR = re.compile(r"(?<![\w:])((?:http|otelauto)_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)\s*[=!]")
GROUPING = re.compile(r"by \(([^)]*)\)")


def known() -> dict[str, set[str]]:
    """Each series that Prometheus can hold of the catalog, with its labels."""
    return {
        metric_name(entry.metric) + suffix: IDENTITY
        | set(labels(tuple((name, "x") for name in entry.attributes)))
        for entry in CATALOG
        for suffix in SUFFIXES.get(entry.metric.kind, ("",))
    }


def unknown(expression: str) -> list[str]:
    """What the expression names and the catalog has not."""
    series = known()
    grouped = {name.strip() for found in GROUPING.findall(expression) for name in found.split(",")}
    wrong = []
    for name, matchers in SELECTOR.findall(GROUPING.sub("", expression)):
        used = set(MATCHER.findall(matchers)) | grouped
        wrong += [name] if name not in series else sorted(used - series[name])
    return wrong


def expressions() -> list[str]:
    """The expressions of all rules."""
    document = yaml.safe_load((RULES / "otelauto.rules.yml").read_text())
    return [rule["expr"] for group in document["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("expression", expressions())
def test_every_name_exists(expression: str) -> None:
    """A rule on a metric or label that nobody exports would never fire."""
    assert SELECTOR.search(GROUPING.sub("", expression))
    assert unknown(expression) == []


def test_the_lint_finds_wrong_names() -> None:
    """An unknown metric, matcher and grouping label are each found."""
    assert unknown("otelauto_nothing_total") == ["otelauto_nothing_total"]
    assert unknown('otelauto_losses_total{colour="red"}') == ["colour"]
    assert unknown("sum by (colour) (otelauto_losses_total)") == ["colour"]


@pytest.mark.parametrize(
    ("verb", "name"), [("check", "otelauto.rules.yml"), ("test", "otelauto.rules.test.yml")]
)
def test_promtool_accepts(need, verb: str, name: str) -> None:
    """The rules are valid, and their own tests pass."""
    need("promtool")
    command = ["promtool", verb, "rules", name]
    done = subprocess.run(command, cwd=RULES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
