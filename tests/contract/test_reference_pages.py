"""The generated pages name everything that their sources declare."""

from __future__ import annotations

from pathlib import Path

import pytest

from otelauto.cli import parsers
from otelauto.export._prometheus_names import metric_name
from otelauto.metrics.catalog import CATALOG

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.metric.name)
def test_every_metric_has_one_row_with_its_names_and_attributes(entry):
    rows = (DOCS / "metrics.md").read_text().splitlines()
    (row,) = [
        row
        for row in rows
        if row.startswith(
            (f"| `{entry.metric.name}` | {entry.metric.kind},", f"| `{entry.metric.name}`<br>")
        )
    ]
    assert f"`{metric_name(entry.metric)}" in row
    assert [] == [name for name in entry.attributes if f"<br>`{name}`" not in row]
    assert row.endswith(f"| {entry.metric.description} |")


@pytest.mark.parametrize("name", parsers())
def test_every_command_has_a_section_with_its_options(name):
    text = (DOCS / "cli.md").read_text()
    section = text.split(f"## `{f'otelauto {name}'.strip()}`\n")[1].split("\n## ")[0]
    options = parsers()[name].format_usage().replace("[", " ").replace("]", " ").split()
    assert [] == [word for word in options if word.startswith("-") and word not in section]
