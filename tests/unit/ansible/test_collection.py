"""The collection as a whole: what is written twice is equal, and what ships is complete."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
COLLECTION = ROOT / "ansible"
ROLES = ["bcc", "grafana_agent", "instrumenter", "package"]
MODULES = sorted((COLLECTION / "plugins").rglob("*.py"))
TASKS = sorted(COLLECTION.glob("roles/*/tasks/*.yml"))


def options(role):
    spec = yaml.safe_load((COLLECTION / f"roles/{role}/meta/argument_specs.yml").read_text())
    return spec["argument_specs"]["main"]["options"]


def defaults(role):
    return yaml.safe_load((COLLECTION / f"roles/{role}/defaults/main.yml").read_text())


def statements(tasks):
    """Every task, those in blocks too."""
    for task in tasks or []:
        yield task
        for key in ("block", "rescue", "always"):
            yield from statements(task.get(key))


ALL_TASKS = [
    (path.relative_to(COLLECTION), task)
    for path in TASKS
    for task in statements(yaml.safe_load(path.read_text()))
]


@pytest.mark.parametrize("role", ROLES)
def test_specification_and_defaults_are_equal(role):
    """Names and values: Ansible applies the defaults and documents the specification."""
    documented = {name: option.get("default") for name, option in options(role).items()}
    applied = defaults(role)
    assert set(documented) == set(applied)
    # A default of several lines is documented in the README instead of twice.
    long = {name for name, value in applied.items() if isinstance(value, dict) and value}
    required = {name for name, option in options(role).items() if option.get("required")}
    for name in set(applied) - long - required:
        assert (name, applied[name]) == (name, documented[name])


@pytest.mark.parametrize("role", ROLES)
def test_every_option_has_a_type_and_a_meaning(role):
    for name, option in options(role).items():
        assert name.startswith(f"{role}_")
        assert option["type"] in ("str", "bool", "int", "list", "dict", "raw", "path")
        assert option["description"].endswith(".")


def test_generated_files_are_fresh():
    """The schema, the options made from it, and the tables of the READMEs."""
    command = [sys.executable, str(COLLECTION / "tools/generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_plugins_need_ansible_core_and_nothing_else(path):
    """Imports are the standard library's, ansible-core's, PyYAML's (which it needs) or our own."""
    allowed = {*sys.stdlib_module_names, "ansible", "ansible_collections", "yaml", ""}
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if node.level == 0 else []
        assert set() == {name.partition(".")[0] for name in names} - allowed


def test_the_collection_depends_on_nothing():
    galaxy = yaml.safe_load((COLLECTION / "galaxy.yml").read_text())
    assert {} == galaxy["dependencies"]
    used = {key for _, task in ALL_TASKS for key in task if key.count(".") == 2}
    assert {True} == {name.startswith("ansible.builtin.") for name in used}


@pytest.mark.parametrize("role", ROLES[:3])
def test_the_readme_names_every_variable(role):
    text = (COLLECTION / f"roles/{role}/README.md").read_text()
    assert [] == [name for name in options(role) if f"`{name}`" not in text]


def test_every_filter_is_documented_beside_it():
    source = (COLLECTION / "plugins/filter/fleet.py").read_text()
    tree = ast.parse(source)
    names = {
        key.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    }
    documented = {path.stem for path in (COLLECTION / "plugins/filter").glob("*.yml")}
    assert names == documented


@pytest.mark.parametrize("path", TASKS, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_task_files_are_short_and_say_who_owns_what(path):
    """Every file that is written has its owner and mode; nothing is writable for others."""
    for task in statements(yaml.safe_load(path.read_text())):
        for module in ("copy", "template", "get_url", "file"):
            given = task.get(f"ansible.builtin.{module}")
            if given is None or given.get("state") == "absent":
                continue
            assert {"owner", "group", "mode"} <= set(given), task["name"]
            mode = str(given["mode"])
            if "{{" not in mode:
                assert "0" == mode[-1] or mode[-1] in "45", task["name"]


def test_what_handles_secrets_is_hidden_and_shows_no_difference():
    """Whoever touches a text of secrets has no_log; whoever writes it has no diff."""
    seen = 0
    for path, task in ALL_TASKS:
        content = str(task.get("ansible.builtin.copy", {}).get("content", ""))
        if "environment_text" in content or "secrets_text" in content:
            seen += 1
            assert "no_log }}" in str(task["no_log"]), path
            assert task["diff"] is False, path
    assert 2 == seen


def test_no_task_runs_a_shell_or_ignores_errors():
    for path, task in ALL_TASKS:
        assert "ansible.builtin.shell" not in task, path
        assert "ignore_errors" not in task, path


def test_only_a_notice_runs_once():
    """Work that is done once would be done for one host's architecture."""
    once = [task for _, task in ALL_TASKS if task.get("run_once")]
    assert ["ansible.builtin.debug"] == [key for task in once for key in task if "builtin" in key]


def test_a_version_has_its_notes_and_is_the_agents():
    """What is released next has fragments; what was released stands in the changelog."""
    version = yaml.safe_load((COLLECTION / "galaxy.yml").read_text())["version"]
    changes = COLLECTION / "changelogs"
    released = yaml.safe_load((changes / "changelog.yaml").read_text())["releases"]
    fragments = [yaml.safe_load(path.read_text()) for path in (changes / "fragments").iterdir()]
    assert version in released or fragments
    sections = yaml.safe_load((changes / "config.yaml").read_text())["sections"]
    known = {"release_summary", *(name for name, _ in sections)}
    assert set() == {name for fragment in fragments for name in fragment} - known
    agent = (ROOT / "agent/otelauto/__init__.py").read_text()
    assert f'__version__ = "{version}"' in agent
