"""What each host of the example inventory gets, as Ansible merges it; and hostile values."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.otelauto.fleet.plugins.plugin_utils.environment import environment_text
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.parser import parse
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.read import read
from ansible_collections.otelauto.fleet.plugins.plugin_utils.schema import problems

_SPEC = importlib.util.spec_from_file_location("fleet_play", Path(__file__).with_name("play.py"))
play = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(play)

INVENTORY = play.ROOT / "ansible" / "inventories" / "example" / "hosts.yml"


def rendering(folder):
    """A play that writes what each role would write, for every host, on this machine."""

    def role(name):
        return {
            "ansible.builtin.include_role": {
                "name": f"otelauto.fleet.{name}",
                "tasks_from": "facts",
                "public": True,
            }
        }

    def written(variable, suffix):
        content = f"{{{{ {variable} }}}}"
        dest = f"{folder}/{{{{ inventory_hostname }}}}.{suffix}"
        return {"ansible.builtin.copy": {"content": content, "dest": dest, "mode": "0600"}}

    return [
        {
            "hosts": "all",
            "connection": "local",
            "gather_facts": False,
            "tasks": [
                role("grafana_agent"),
                role("instrumenter"),
                written("_grafana_agent_river", "river"),
                written("_grafana_agent_secrets_text", "env"),
                written("_instrumenter_text", "yml"),
            ],
        }
    ]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("example")
    done = play.run_play(rendering(folder), INVENTORY, folder)
    assert 0 == done.returncode, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def config(folder, host):
    return yaml.safe_load((folder / f"{host}.example.com.yml").read_text())


FLEET = {
    "routes": {"unmatched": "heuristic"},
    "resource_attributes": {"deployment.environment.name": "production"},
}
LOCAL = {"endpoint": "http://localhost:4318"}


def test_the_groups_differ(rendered):
    assert {
        **FLEET,
        "otel_metrics_export": LOCAL,
        "otel_traces_export": LOCAL,
        "ebpf": {"open_port": "80,443"},
        "service_namespace": "edge",
        "routes": {"unmatched": "heuristic", "patterns": ["/cart/{id}", "/static/*"]},
    } == config(rendered, "web1")
    assert {
        **FLEET,
        "otel_metrics_export": LOCAL,
        "otel_traces_export": {
            **LOCAL,
            "sampler": {"name": "parentbased_traceidratio", "arg": 0.1},
        },
        "discovery": {"instrument": [{"systemd_unit": "shop-*.service", "namespace": "shop"}]},
        "routes": {
            "unmatched": "heuristic",
            "ignored_patterns": ["/health", "/ready"],
            "ignore_mode": "all",
        },
    } == config(rendered, "api1")


def test_a_host_overrides_its_group(rendered):
    group, host = config(rendered, "web1"), config(rendered, "web2")
    assert "80,443,8443" == host.pop("ebpf")["open_port"]
    assert {"instance_id": {"override_hostname": "edge-canary"}} == host.pop("attributes")
    group.pop("ebpf")
    assert group == host


def test_null_removes_what_a_layer_below_says(rendered):
    batch = config(rendered, "batch1")
    assert "otel_traces_export" not in batch
    assert {"authorization": "Basic ${OTLP_BASIC}"} == batch["otel_metrics_export"]["headers"]


def test_every_host_is_valid_by_the_schema(rendered):
    schema = json.loads((play.ROOT / "docs" / "otelauto.schema.json").read_text())
    hosts = [path.name.partition(".")[0] for path in rendered.glob("*.yml")]
    found = {host: problems(config(rendered, host), schema) for host in hosts if host != "play"}
    assert {"web1": [], "web2": [], "api1": [], "batch1": []} == found


def test_the_pipeline_is_layered_too(rendered):
    web1 = read(parse((rendered / "web1.example.com.river").read_text()))
    web2 = read(parse((rendered / "web2.example.com.river").read_text()))
    assert {"logging": {"$block": [{"level": "debug"}, {"format": "logfmt"}]}} == web2[0]
    assert web1 == web2[1:]
    assert "otelcol.processor.memory_limiter default" in str(web1)


def test_no_secret_stands_in_a_configuration(rendered):
    for path in [*rendered.glob("*.river"), *rendered.glob("*.yml")]:
        assert "an example and no" not in path.read_text()
    assert "an example and no key" in (rendered / "web1.example.com.env").read_text()


HOSTILE = (
    'a "quote" \\ and \\" ${HOME} $(id) `id` {{ 7 * 7 }} {% raw %} {# x #} null } env("X") // /* '
    "試験 \U0001f600 it's #"
)


def unsafe(text):
    """A text that Ansible must not template, as `!unsafe` in an inventory."""
    return {"__ansible_unsafe": text}


def test_a_hostile_variable_reaches_the_files_as_data(tmp_path):
    """Through Ansible, templating and files: the structure stays, the value arrives."""
    value = HOSTILE + "\nsecond line\t\x07"
    extra = {
        "grafana_agent_pipeline_host": {
            "metrics": {"mimir": {"external_labels": {"hostile": unsafe(value)}}}
        },
        "grafana_agent_environment": {"MARK": unsafe(HOSTILE)},
        "instrumenter_config_host": {"service_name": unsafe(value)},
    }
    inventory = tmp_path / "hosts"
    inventory.write_text("h1\n")
    done = play.run_play(rendering(tmp_path), inventory, tmp_path, extra=extra)
    assert 0 == done.returncode, done.stdout[-3000:] + done.stderr[-3000:]
    river = read(parse((tmp_path / "h1.river").read_text()))
    [mimir] = [block for block in river if "prometheus.remote_write mimir" in block]
    labels = mimir["prometheus.remote_write mimir"]["$block"][0]["external_labels"]
    assert {"hostile": value} == labels
    assert value == yaml.safe_load((tmp_path / "h1.yml").read_text())["service_name"]
    note = "Managed by Ansible (otelauto.fleet.grafana_agent)."
    assert environment_text({"MARK": HOSTILE}, note) == (tmp_path / "h1.env").read_text()


GOOD = {
    "grafana_agent_environment": dict.fromkeys(
        ["MIMIR_ENDPOINT", "MIMIR_USER", "TEMPO_ENDPOINT", "TEMPO_USER", "GRAFANA_API_KEY"], "x"
    ),
    "instrumenter_config": {"ebpf": {"open_port": 80}},
}

REFUSED = {
    "a line break in the environment": (
        {
            "grafana_agent_environment": {
                **GOOD["grafana_agent_environment"],
                "MARK": "s3cret\nEVIL=1",
            }
        },
        "the variable MARK holds a line break",
    ),
    "a misspelt variable": (
        {"instrumenter_confg_host": {}},
        "variables that this role does not know: instrumenter_confg_host",
    ),
    "a misspelt key": (
        {"instrumenter_config_host": {"ebpf": {"opn_port": 80}}},
        "ebpf.opn_port is unknown; do you mean open_port?",
    ),
    "a secret in clear text": (
        {
            "instrumenter_config_host": {
                "otel_metrics_export": {"headers": {"authorization": "s3cret"}}
            }
        },
        "secrets in clear text: otel_metrics_export.headers.authorization",
    ),
    "a variable that nothing sets": (
        {"grafana_agent_environment": {}},
        "does not set: GRAFANA_API_KEY, MIMIR_ENDPOINT",
    ),
    "another endpoint than the collector's": (
        {"instrumenter_collector_endpoint": "http://localhost:4319"},
        "to http://localhost:4319, but the collector of this host opens 4317, 4318",
    ),
    "nothing selected": (
        {"instrumenter_config_host": {"ebpf": None}},
        "selects nothing to instrument",
    ),
    "a flag that systemd would split": (
        {"grafana_agent_flags": {"cluster.name": "a b"}},
        "the flag cluster.name holds white space",
    ),
    "an address that is none": (
        {"grafana_agent_http_listen_address": "12345"},
        "'12345' is not an address",
    ),
}


#: Facts of a host, so that this machine's own do not matter.
FACTS = {
    "ansible.builtin.set_fact": {
        "distribution": "Debian",
        "distribution_version": "12.9",
        "distribution_major_version": "12",
        "os_family": "Debian",
        "pkg_mgr": "apt",
        "service_mgr": "systemd",
        "kernel": "6.1.0-30-amd64",
        "architecture": "x86_64",
        "cacheable": True,
    }
}


def checking(role):
    return {
        "ansible.builtin.include_role": {
            "name": f"otelauto.fleet.{role}",
            "tasks_from": "check",
            "public": True,
        }
    }


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each host was told, of which each has one of the mistakes; and the whole output."""
    folder = tmp_path_factory.mktemp("mistakes")
    hosts = {f"h{number}": {**GOOD, **extra} for number, (extra, _) in enumerate(REFUSED.values())}
    inventory = folder / "hosts.yml"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    plays = [
        {
            "hosts": "all",
            "connection": "local",
            "gather_facts": False,
            "tasks": [FACTS, checking("grafana_agent"), checking("instrumenter")],
        }
    ]
    done = play.run_play(plays, inventory, folder, arguments=["-vv"])
    assert 2 == done.returncode, done.stdout[-2000:]
    failed = re.findall(r"^(?:fatal|failed): \[(h\d+)\].*? => (\{.*)$", done.stdout, re.MULTILINE)
    messages = {host: " ".join(json.loads(result)["msg"].split()) for host, result in failed}
    return messages, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("number", "message"),
    [(number, message) for number, (_, message) in enumerate(REFUSED.values())],
    ids=REFUSED,
)
def test_a_mistake_is_told_before_any_host_is_touched(told, number, message):
    """By name, and by the controller alone."""
    assert message in told[0][f"h{number}"]


def test_a_mistake_is_told_without_the_secret(told):
    assert "s3cret" not in told[1]
