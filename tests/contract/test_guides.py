"""What the guides show can be run: commands exist, configurations are valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from otelauto.cli import main, parsers
from otelauto.metrics.catalog import CATALOG

ROOT = Path(__file__).resolve().parents[2]
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language):
    return [
        pytest.param(text, id=f"{path.name}-{number}")
        for path in GUIDES
        for number, text in enumerate(
            re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)
        )
    ]


@pytest.mark.parametrize("text", blocks("sh"))
def test_every_command_exists(text):
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([a-z-]+)", text, re.MULTILINE):
        assert f"\n{target}:" in makefile
    for word in re.findall(r"otelauto ([a-z-]+)", text):
        assert word in {*parsers(), "version", "-config"}


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_configuration_is_valid(text, tmp_path, monkeypatch, capsys):
    path = tmp_path / "otelauto.yml"
    path.write_text(text)
    monkeypatch.setattr("sys.argv", ["otelauto", "check", str(path)])
    assert main() == 0, capsys.readouterr()


def test_troubleshooting_names_metrics_that_exist():
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    named = set(re.findall(r"`(otelauto\.[a-z._]+)`", text))
    assert named
    assert set() == named - {entry.metric.name for entry in CATALOG}
