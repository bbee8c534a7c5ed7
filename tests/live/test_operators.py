"""What operators are told is what the running agent does: `otelauto explain` and `top`."""

from __future__ import annotations

import json
import subprocess

import pytest
from tests.load.generator import Load, Target, run_exact
from tests.servers import nginx
from tests.servers.agent import COMMAND, agent_environment, counts, start_agent, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

LABELS = ("service_name", "http_request_method", "http_route")
COUNT = "http_server_request_duration_seconds_count"
TARGETS = (Target("/users/{n}"), Target("/missing", 404), Target("/error", 500))


def command(agent, folder, *arguments):
    """What an operator's command prints, as JSON, with the agent's configuration and state."""
    changes = agent_environment(folder)
    environ = {key: value for key, value in changes.items() if value is not None}
    done = subprocess.run(
        [COMMAND[0], *arguments, "-config", str(agent.config), "--json"],
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "" == done.stderr
    return json.loads(done.stdout)


def test_explain_and_top_say_what_the_page_says(need, supervisor, tmp_path, port, ports, loadgen):
    """The service's name, the route of a path, and each route's requests and errors."""
    need("nginx")
    web = nginx.start(supervisor, tmp_path, nginx.Site(port=port, workers=2))
    config = (
        f'discovery:\n  instrument:\n    - open_ports: "{web.port}"\n'
        'routes:\n  patterns: ["/users/{id}", "/missing", "/error"]\n'
    )
    agent = start_agent(supervisor, tmp_path, config, metrics_port=ports())
    report = run_exact(loadgen, Load(port=web.port, targets=TARGETS, requests=3_000))
    assert until(lambda: sum(agent.requests().values()) == 3_000)
    page = agent.requests(*LABELS)
    services = {service for service, _, _ in page}

    answers = command(agent, tmp_path, "explain", f":{web.port}", "--path", "/users/7?x=1")
    assert {True} == {answer["instrumented"] for answer in answers}
    assert services == {answer["service"] for answer in answers}
    [route] = {answer["path"]["route"] for answer in answers}
    sent = next(t["responses"] for t in report["targets"] if t["path"] == "/users/{n}")
    assert {sent} == {count for (_, _, found), count in page.items() if found == route}

    lines = command(agent, tmp_path, "top", "--once", "--interval", "0.2")
    assert page == {
        (one["service"], one["method"], one["route"]): one["requests"] for one in lines
    }
    failed = counts(
        (s for s in agent.samples() if s.labels.get("http_response_status_code") == "500"),
        COUNT,
        LABELS,
    )
    assert failed
    assert failed == {
        (one["service"], one["method"], one["route"]): one["errors"]
        for one in lines
        if one["errors"]
    }
    assert all(0 < one["p50_seconds"] <= one["p95_seconds"] <= one["p99_seconds"] for one in lines)


def test_the_doctor_takes_a_port_that_a_running_agent_has_for_good(
    supervisor, tmp_path, port, ports
):
    config = f'discovery:\n  instrument:\n    - open_ports: "{port}"\n'
    agent = start_agent(supervisor, tmp_path, config, metrics_port=ports())
    checks = {one["name"]: one for one in command(agent, tmp_path, "doctor")["checks"]}
    assert "pass" == checks["prometheus_export"]["state"]
    assert "held by a running agent" in checks["prometheus_export"]["why"]
    assert {"pass"} == {checks[name]["state"] for name in ("configuration", "bcc", "hooks")}
