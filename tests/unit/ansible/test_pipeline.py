"""The collector's pipeline: the original's by default, and every variation of it loads."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import pytest
import yaml
from ansible_collections.otelauto.fleet.plugins.plugin_utils.layers import merge_layers
from ansible_collections.otelauto.fleet.plugins.plugin_utils.pipeline import (
    PipelineError,
    pipeline_blocks,
)
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.build import build
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.check import check
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.formatter import format_body
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.parser import parse
from ansible_collections.otelauto.fleet.plugins.plugin_utils.river.read import read
from hypothesis import given
from hypothesis import strategies as st

HERE = Path(__file__).parent
ROLE = HERE.parents[2] / "ansible" / "roles" / "grafana_agent"
DEFAULTS = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
PIPELINE = DEFAULTS["grafana_agent_pipeline_default"]


def written(pipeline, flavor="alloy", version=""):
    """The text that is shipped, which must be what a collector would load."""
    text = format_body(build(pipeline_blocks(pipeline, flavor, version), flavor))
    check(parse(text), flavor)
    return text


def blocks(text):
    """The blocks of a text by name, with their attributes and blocks as plain data."""

    def flat(statements):
        found = {}
        for statement in statements:
            for key, value in statement.items():
                inside = value.get("$block") if isinstance(value, dict) else None
                found.setdefault(key, []).append(value if inside is None else flat(inside))
        return {key: value[0] if len(value) == 1 else value for key, value in found.items()}

    return flat(read(parse(text)))


def changed(**layer):
    return merge_layers([PIPELINE, layer])


@pytest.mark.parametrize("flavor", ["agent", "alloy"])
def test_the_defaults_are_the_original_example(flavor):
    """The same blocks, arguments and references; the differences are these and no others."""
    original = blocks((HERE / "agent-config.river").read_text())
    ours = blocks(written(PIPELINE, flavor))

    # Both collectors listen on every interface unless told; here it is loopback, and explicit.
    receiver = ours["otelcol.receiver.otlp default"]
    assert {"endpoint": "127.0.0.1:4317"} == receiver["grpc"]
    assert {"endpoint": "127.0.0.1:4318"} == receiver["http"]
    receiver.update(grpc={}, http={})
    # Defaults that changed between versions are explicit.
    batch = ours["otelcol.processor.batch default"]
    assert "200ms" == batch.pop("timeout")
    assert (2000, 3000) == (batch.pop("send_batch_size"), batch.pop("send_batch_max_size"))
    # The credentials are named after the endpoint that they are for.
    client = ours["otelcol.exporter.otlp tempo"]["client"]
    assert {"$ref": "otelcol.auth.basic.tempo.handler"} == client["auth"]
    client["auth"] = {"$ref": "otelcol.auth.basic.creds.handler"}
    credentials = ours.pop("otelcol.auth.basic tempo")
    # Alloy has its credentials in a block since 1.13.
    ours["otelcol.auth.basic creds"] = (
        credentials["client_auth"] if flavor == "alloy" else credentials
    )
    assert original == ours


def test_the_dialects_differ_in_the_spelling_of_env():
    assert 'env("MIMIR_USER")' in written(PIPELINE, "agent")
    assert "sys.env" not in written(PIPELINE, "agent")
    assert 'sys.env("MIMIR_USER")' in written(PIPELINE, "alloy")


@pytest.mark.parametrize(
    ("flavor", "version", "block"),
    [
        ("alloy", "", True),
        ("alloy", "1.13.0", True),
        ("alloy", "2.0.0", True),
        ("alloy", "1.20.0-rc.1", True),
        ("alloy", "1.12.2", False),
        ("alloy", "1.9.1", False),
        ("agent", "0.44.2", False),
    ],
)
def test_credentials_stand_where_the_version_looks_for_them(flavor, version, block):
    found = blocks(written(PIPELINE, flavor, version))["otelcol.auth.basic tempo"]
    assert block == ("client_auth" in found)
    assert block != ("username" in found)


def test_metrics_only():
    found = blocks(written(changed(traces=None)))
    assert {"metrics"} == set(found["otelcol.receiver.otlp default"]["output"])
    assert {"metrics"} == set(found["otelcol.processor.batch default"]["output"])
    assert not [name for name in found if "tempo" in name or "auth" in name]


def test_traces_only():
    found = blocks(written(changed(metrics=None)))
    assert {"traces"} == set(found["otelcol.receiver.otlp default"]["output"])
    assert not [name for name in found if name.startswith("prometheus") or "prom" in name]


def test_several_endpoints_each_get_everything():
    layer = {
        "metrics": {"backup": {"url": "https://b/push", "bearer_token": {"$env": "B"}}},
        "traces": {"second": {"protocol": "http", "endpoint": "https://t:4318", "timeout": "9s"}},
    }
    found = blocks(written(merge_layers([PIPELINE, layer])))
    assert [
        {"$ref": "prometheus.remote_write.mimir.receiver"},
        {"$ref": "prometheus.remote_write.backup.receiver"},
    ] == found["otelcol.exporter.prometheus default"]["forward_to"]
    assert [
        {"$ref": "otelcol.exporter.otlp.tempo.input"},
        {"$ref": "otelcol.exporter.otlphttp.second.input"},
    ] == found["otelcol.processor.batch default"]["output"]["traces"]
    second = found["otelcol.exporter.otlphttp second"]
    assert {"client": {"endpoint": "https://t:4318", "timeout": "9s"}} == second


def test_every_kind_of_authentication_and_tls():
    secret = {"$env": "S"}
    kinds = {
        "basic_auth": {"username": "u", "password": secret},
        "authorization": {"type": "Bearer", "credentials": secret},
        "bearer_token": secret,
        "oauth2": {"client_id": "i", "client_secret": secret, "token_url": "https://t"},
        "sigv4": {"region": "eu"},
    }
    for kind, value in kinds.items():
        endpoint = {"url": "https://m", kind: value, "tls_config": {"ca_file": "/ca"}}
        found = blocks(written(changed(metrics={"mimir": None, "m": endpoint})))
        written_endpoint = found["prometheus.remote_write m"]["endpoint"]
        assert value == written_endpoint[kind]
        assert {"ca_file": "/ca"} == written_endpoint["tls_config"]


def test_the_limiter_stands_before_the_batch():
    found = blocks(written(changed(memory_limiter={"limit": "200MiB"})))
    limiter = "otelcol.processor.memory_limiter"
    assert [{"$ref": f"{limiter}.default.input"}] == (
        found["otelcol.receiver.otlp default"]["output"]["metrics"]
    )
    assert {"check_interval": "1s", "limit": "200MiB"} == {
        key: value for key, value in found[f"{limiter} default"].items() if key != "output"
    }


def test_connectors_turn_traces_into_metrics():
    layer = {
        "spanmetrics": {"dimension": [{"name": "http.route"}, {"name": "x", "default": "y"}]},
        "servicegraph": {"dimensions": ["http.method"]},
    }
    found = blocks(written(changed(**layer)))
    assert [
        {"$ref": "otelcol.exporter.otlp.tempo.input"},
        {"$ref": "otelcol.connector.spanmetrics.default.input"},
        {"$ref": "otelcol.connector.servicegraph.default.input"},
    ] == found["otelcol.processor.batch default"]["output"]["traces"]
    spanmetrics = found["otelcol.connector.spanmetrics default"]
    assert {"explicit": {}} == spanmetrics["histogram"]
    assert [{"name": "http.route"}, {"name": "x", "default": "y"}] == spanmetrics["dimension"]
    # Connectors need traces to come in, even where none goes out.
    alone = blocks(written(changed(traces=None, **layer)))
    assert "traces" in alone["otelcol.receiver.otlp default"]["output"]


def test_the_agents_own_page_is_scraped():
    layer = {"scrape": {"otelauto": {"addresses": ["127.0.0.1:9400"], "scrape_interval": "15s"}}}
    found = blocks(written(changed(**layer)))["prometheus.scrape otelauto"]
    assert [{"__address__": "127.0.0.1:9400"}] == found["targets"]
    assert [{"$ref": "prometheus.remote_write.mimir.receiver"}] == found["forward_to"]
    only = blocks(written(changed(receiver=None, traces=None, **layer)))
    assert {"prometheus.remote_write mimir", "prometheus.scrape otelauto"} == set(only)


def test_extra_blocks_come_last_and_are_checked():
    extra = [{"local.file key": {"filename": "/k", "is_secret": True}}]
    assert written(changed(extra=extra)).endswith(
        'local.file "key" {\n\tfilename  = "/k"\n\tis_secret = true\n}\n'
    )
    wrong = {"prometheus.scrape x": {"targets": [], "forward_to": [{"$ref": "no.thing.here"}]}}
    with pytest.raises(ValueError, match=r"no\.thing\.here refers to nothing"):
        written(changed(extra=wrong))


REFUSED = {
    "a misspelt key": ({"metrcs": {}}, "has no 'metrcs'; do you mean 'metrics'"),
    "a misspelt attribute": (
        {"metrics": {"mimir": {"basic_auth": {"usrname": "x"}}}},
        r"metrics\.mimir\.basic_auth has no 'usrname'; do you mean 'username'",
    ),
    "a password in clear text": (
        {"metrics": {"mimir": {"basic_auth": {"password": "s3cret"}}}},
        r"metrics\.mimir\.basic_auth\.password would stand in clear text",
    ),
    "a token in clear text": (
        {"metrics": {"m": {"url": "https://m", "bearer_token": "s3cret"}}},
        r"metrics\.m\.bearer_token would stand in clear",
    ),
    "a secret header in clear text": (
        {"traces": {"tempo": {"headers": {"Authorization": "Basic s3cret"}}}},
        r"traces\.tempo\.headers\.Authorization would stand in clear",
    ),
    "a password in a URL": (
        {"metrics": {"mimir": {"url": "https://u:s3cret@h/"}}},
        r"user information in metrics\.mimir\.url",
    ),
    "two kinds of authentication": (
        {"metrics": {"mimir": {"bearer_token": {"$env": "X"}}}},
        "more than one kind of authentication: basic_auth, bearer_token",
    ),
    "nothing to send to": ({"metrics": None, "traces": None}, "neither metrics nor traces"),
    "nothing that listens": ({"receiver": {"grpc": None, "http": None}}, "listens on nothing"),
    "no url": ({"metrics": {"m": {"name": "x"}}}, r"metrics\.m has no url"),
    "no endpoint": ({"traces": {"t": {"compression": "gzip"}}}, r"traces\.t has no endpoint"),
    "an unknown protocol": ({"traces": {"tempo": {"protocol": "udp"}}}, "is grpc or http"),
    "a label that is none": ({"metrics": {"my-m": {"url": "https://m"}}}, "'my-m' is not a label"),
    "a limiter without a limit": ({"memory_limiter": {"check_interval": "1s"}}, "needs limit or"),
    "spanmetrics without metrics": (
        {"metrics": None, "spanmetrics": {}},
        "metrics has no endpoint",
    ),
    "a list for a mapping": ({"batch": []}, "batch is not a mapping"),
    "a text for a mapping": ({"metrics": {"mimir": "x"}}, r"metrics\.mimir is not a mapping"),
}


@pytest.mark.parametrize(("layer", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_work_is_refused_by_its_key(layer, message):
    with pytest.raises(PipelineError, match=message) as caught:
        written(changed(**layer))
    assert "s3cret" not in str(caught.value)


def test_every_combination_of_parts_loads():
    """Each optional part on and off, in both dialects: every file passes the checks."""
    parts = {
        "traces": None,
        "memory_limiter": {"limit_percentage": 75},
        "spanmetrics": {},
        "servicegraph": {},
        "scrape": {"otelauto": {}},
        "logging": {"level": "warn"},
    }
    seen = set()
    for chosen in itertools.product([False, True], repeat=len(parts)):
        names = list(itertools.compress(parts, chosen))
        layer = {name: copy.deepcopy(parts[name]) for name in names}
        for flavor in ("agent", "alloy"):
            seen.add(written(changed(**layer), flavor))
    assert 2 ** (len(parts) + 1) == len(seen)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_hostile_value_stays_a_value(text):
    """Whatever a variable holds, the file has the same blocks, and the value reads back."""
    layer = {
        "metrics": {"mimir": {"headers": {"X-Scope-OrgID": text}, "external_labels": {"a": text}}}
    }
    found = blocks(written(merge_layers([PIPELINE, layer])))
    assert set(blocks(written(PIPELINE))) == set(found)
    mimir = found["prometheus.remote_write mimir"]
    assert {"a": text} == mimir["external_labels"]
    assert {"X-Scope-OrgID": text} == mimir["endpoint"]["headers"]
