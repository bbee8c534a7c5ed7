"""The repository keeps its own promises: commands, links, metadata, fragments, generated files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("changelog.d/*.md")])
RUNTIME = {
    "opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-exporter-otlp-proto-grpc", "prometheus-client", "PyYAML", "structlog",
}  # fmt: skip


def relative(path):
    return str(path.relative_to(ROOT))


def targets():
    text = (ROOT / "Makefile").read_text()
    return {match[1] for match in re.finditer(r"^([a-z-]+):", text, re.MULTILINE)}


@pytest.mark.parametrize("path", [*PAGES, ROOT / ".ci" / "run"], ids=relative)
def test_every_make_command_that_is_written_down_exists(path):
    text = path.read_text()
    quoted = re.findall(r"(?:^|`)make ([a-z-]+(?: [a-z-]+)*)", text, re.MULTILINE)
    named = {word for words in quoted for word in words.split()}
    assert set() == named - targets()


def test_help_lists_every_target():
    # Under `make test` this is a make within make, which would tell the directory as well.
    command = ["make", "--no-print-directory", "help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert targets() == {line.split()[0] for line in shown.stdout.splitlines()}


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_every_link_to_a_file_leads_somewhere(path):
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text())
    assert [] == [link for link in links if not (path.parent / link).exists()]


@pytest.mark.parametrize("path", [p for p in PAGES if p.parent == ROOT], ids=relative)
def test_pages_have_one_sentence_per_line(path):
    """A change of one sentence is then a change of one line. Lists and tables may differ."""
    inside = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    lines = [line for line in inside.splitlines() if line and line[0] not in "|-#["]
    assert [] == [line for line in lines if re.search(r"[a-z)`]\. [A-Z`]", line)]


def test_fragments_of_the_changelog_are_named_and_written_as_agreed():
    kinds = "added|changed|deprecated|removed|fixed|security"
    for path in (ROOT / "changelog.d").iterdir():
        if path.name == "README.md":
            continue
        assert re.fullmatch(rf"(\d+|\+[a-z0-9-]+)\.({kinds})\.md", path.name), path.name
        text = path.read_text()
        assert text.endswith(".\n"), path.name
        assert not text.startswith("#"), path.name


@pytest.mark.skipif(tomllib is None, reason="tomllib came with Python 3.11")
def test_the_agent_needs_at_run_time_only_what_was_agreed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=!~ ]", line)[0] for line in project["dependencies"]}
    assert RUNTIME == names


def test_the_licence_is_complete_and_the_one_that_the_metadata_names():
    text = (ROOT / "LICENSE").read_text()
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text()
    sections = [f"   {number}. " for number in range(1, 10)]
    assert [] == [section for section in sections if section not in text]
    assert "END OF TERMS AND CONDITIONS" in text


def test_generated_files_are_what_their_sources_give():
    done = subprocess.run(
        [sys.executable, str(ROOT / "packaging" / "tools" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)


def test_no_file_holds_banned_phrases_or_paths():
    tool = ROOT / "packaging" / "tools" / "check-manners"
    done = subprocess.run([tool], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stdout)


@pytest.mark.parametrize("name", [".ci/run", "packaging/tools/apt-install"])
def test_scripts_are_executable_and_stop_at_the_first_failure(name):
    path = ROOT / name
    assert os.access(path, os.X_OK)
    assert "\nset -euo pipefail\n" in path.read_text()
    subprocess.run(["bash", "-n", path], check=True)


def test_packages_that_are_there_are_not_installed_again():
    """A second setup touches nothing, and needs neither root nor a network."""
    tool = ROOT / "packaging" / "tools" / "apt-install"
    path = "/usr/bin:/bin"
    done = subprocess.run(
        [tool, "dpkg", "bash"], env={"PATH": path}, capture_output=True, check=True
    )
    assert (b"", b"") == (done.stdout, done.stderr)


def test_ci_requires_tests_on_real_hosts_and_ends_with_the_tests():
    lines = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line]
    assert lines[-1].startswith("make test")
    assert any("OTELAUTO_REQUIRE:-live,packages,molecule}" in line for line in lines)
    assert any("make molecule SCENARIOS=" in line for line in lines[:-1])
