"""What the roles do where no host is needed to see it: pins, refusals, starts."""

from __future__ import annotations

import fnmatch

import pytest
import yaml
from tests.unit.ansible.play import run_play
from tests.unit.ansible.test_collection import COLLECTION, options, statements


def play(tasks, folder, **variables):
    plays = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
    facts = {"pkg_mgr": "apt", "os_family": "Debian", "architecture": "x86_64"}
    extra = {"ansible_facts": {**facts, "distribution": "Debian"}, **variables}
    return run_play(plays, "localhost,", folder, extra=extra)


def test_a_pin_means_its_revisions_and_no_other_version(tmp_path):
    """1.1.1 is not 1.1.10; a revision can be pinned too."""
    tasks = [
        {"ansible.builtin.include_vars": str(COLLECTION / "roles/package/vars/main.yml")},
        {"ansible.builtin.debug": {"msg": "pinned <{{ _package_pinned.apt }}>"}},
    ]
    pins = []
    for version in ("1.1.1", "1.1.1-2", ""):
        done = play(tasks, tmp_path, package_name="alloy", package_version=version)
        assert 0 == done.returncode, done.stdout
        pins.append(done.stdout.partition("pinned <")[2].partition(">")[0])
    assert ["alloy=1.1.1-*", "alloy=1.1.1-2", "alloy"] == pins
    assert fnmatch.fnmatch("alloy=1.1.1-1", pins[0])
    assert not fnmatch.fnmatch("alloy=1.1.10-1", pins[0])


@pytest.mark.parametrize("checksum", ["", {"aarch64": "sha256:00"}])
def test_a_download_without_a_checksum_is_refused(tmp_path, checksum):
    """And one whose checksum is of another architecture."""
    role = {"name": "otelauto.fleet.package"}
    given = {
        "package_name": "alloy",
        "package_source": "url",
        "package_url": "http://127.0.0.1:9/alloy.deb",
        "package_checksum": checksum,
    }
    done = play([{"ansible.builtin.include_role": role}], tmp_path, **given)
    assert 2 == done.returncode
    assert "needs a URL and a checksum" in done.stdout
    assert "Download the package" not in done.stdout


@pytest.mark.parametrize("role", ["grafana_agent", "instrumenter"])
def test_a_start_can_be_suppressed(role):
    """For images: with the state "ignored" no task starts, stops or reloads anything."""
    assert "ignored" in options(role)[f"{role}_service_state"]["choices"]
    seen = []
    for name in ("service", "rollback"):
        tasks = yaml.safe_load((COLLECTION / f"roles/{role}/tasks/{name}.yml").read_text())
        for task in statements(tasks):
            if "state" in task.get("ansible.builtin.systemd_service", {}):
                seen.append(task["name"])
                conditions = task["when"]
                joined = conditions if isinstance(conditions, str) else " and ".join(conditions)
                assert f"{role}_service_state == '" in joined, task["name"]
    assert {"Stop the service", "Restart or start the service", "Start with them"} <= set(seen)
