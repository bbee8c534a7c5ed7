"""How the agent starts, reloads and ends, and what it leaves: as systemd and the kernel see it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.live.leftovers import leftovers, observe
from tests.load.generator import Load, Target, run_exact, start_exact
from tests.receivers import Answer, OtlpHttpReceiver
from tests.servers import nginx
from tests.servers.agent import COMMAND, agent_environment, start_agent, until
from tests.servers.notify import Notify
from tests.servers.process import listening

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]


def selected(*ports):
    return f'discovery:\n  instrument:\n    - open_ports: "{",".join(map(str, ports))}"\n'


def page_of(port):
    return f"prometheus_export:\n  port: {port}\n"


def log_events(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.fixture
def notify(tmp_path):
    with Notify(tmp_path / "notify.sock") as notify:
        yield notify


@pytest.fixture
def web(need, supervisor, tmp_path, port):
    need("nginx")
    return nginx.start(supervisor, tmp_path, nginx.Site(port=port))


def test_systemd_is_told_of_start_reload_life_and_end(
    web, supervisor, tmp_path, ports, notify, loadgen
):
    """READY, STATUS, WATCHDOG, RELOADING with its time, STOPPING, in the right order."""
    env = {"WATCHDOG_USEC": "600000"}
    agent = start_agent(
        supervisor, tmp_path, selected(web.port), metrics_port=ports(), env=env, notify=notify
    )
    assert notify.wait(lambda n: len(n.said("WATCHDOG")) >= 3, 5)
    status = notify.said("STATUS")[-1]
    assert "processes instrumented, hook " in status
    assert status[0] != "0", "nginx was there before the agent"
    asked = time.monotonic_ns() // 1000
    agent.running.process.send_signal(signal.SIGHUP)
    assert notify.wait(lambda n: len(n.said("READY")) == 2, 5)
    reloading = int(notify.said("MONOTONIC_USEC")[0])
    assert asked <= reloading <= time.monotonic_ns() // 1000
    assert 0 == supervisor.stop(agent.running)
    assert notify.wait(lambda n: bool(n.said("STOPPING")), 5)
    order = [
        name for message in notify.messages for name in message if name in {"READY", "RELOADING"}
    ]
    assert ["READY", "RELOADING", "READY"] == order
    assert "STOPPING" in notify.messages[-1]


def test_a_reload_selects_more_and_loses_no_count_of_what_was_there(
    need, supervisor, tmp_path, ports, loadgen
):
    """Under load: the old targets stay attached, the new port's server is instrumented too."""
    need("nginx")
    old, new, page = ports(), ports(), ports()
    for number in (old, new):
        folder = tmp_path / str(number)
        folder.mkdir()
        nginx.start(supervisor, folder, nginx.Site(port=number))
    agent = start_agent(supervisor, tmp_path, selected(old), metrics_port=page)
    targets = (Target("/ok"), Target("/missing", 404))
    load = start_exact(loadgen, Load(port=old, targets=targets, seconds=4, rate_per_second=3000))
    time.sleep(0.5)
    for _ in range(5):
        assert agent.reload(page_of(page) + selected(old, new))
        time.sleep(0.2)
    run_exact(loadgen, Load(port=new, requests=500))
    report = json.loads(load.communicate(timeout=60)[0])
    sent = {
        (str(old), "200"): report["targets"][0]["responses"],
        (str(old), "404"): report["targets"][1]["responses"],
        (str(new), "200"): 500,
    }
    key = ("server_port", "http_response_status_code")
    until(lambda: agent.requests(*key) == sent, timeout_seconds=3)
    assert sent == agent.requests(*key)
    # What is no longer selected is no longer counted; what was counted stays.
    assert agent.reload(page_of(page) + selected(new))
    run_exact(loadgen, Load(port=old, requests=100))
    run_exact(loadgen, Load(port=new, requests=100))
    sent[str(new), "200"] += 100
    until(lambda: agent.requests(*key) == sent, timeout_seconds=3)
    assert sent == agent.requests(*key)


def test_a_reload_that_is_not_valid_changes_nothing_and_says_why(
    web, supervisor, tmp_path, ports, notify, loadgen
):
    page, busy = ports(), ports()
    agent = start_agent(supervisor, tmp_path, selected(web.port), metrics_port=page, notify=notify)
    run_exact(loadgen, Load(port=web.port, requests=100))
    assert not agent.reload(page_of(page) + "discovry:\n  x: 1\n" + selected(web.port))
    assert notify.wait(lambda n: len(n.said("READY")) == 2, 5)
    assert notify.said("STATUS")[-1].endswith("the last reload was refused")
    refusals = [one for one in log_events(agent.running.log_text()) if one["level"] == "error"]
    assert f"{agent.config}:3" in refusals[0]["reason"]
    assert "discovry" in refusals[0]["reason"]
    # A port that somebody else has: the old page goes on.
    supervisor.start(
        "taken", ["python3", "-m", "http.server", "--bind", "127.0.0.1", str(busy)], ports=(busy,)
    )
    assert not agent.reload(page_of(busy) + selected(web.port))
    run_exact(loadgen, Load(port=web.port, requests=100))
    until(lambda: agent.requests() == {(): 200}, timeout_seconds=3)
    assert {(): 200} == agent.requests()
    values = {sample.name: sample.value for sample in agent.samples()}
    assert 0 == values["otelauto_config_last_reload_successful"]
    assert {("refused",): 2} == agent.outcomes()
    assert agent.reload(page_of(page) + selected(web.port))
    values = {sample.name: sample.value for sample in agent.samples()}
    assert 1 == values["otelauto_config_last_reload_successful"]
    assert {("refused",): 2, ("applied",): 1} == agent.outcomes()


def test_exporters_come_change_and_go_with_reloads(web, supervisor, tmp_path, ports, loadgen):
    """I8: a token alone is a change; an exporter comes and goes; the page moves and returns."""
    page, other = ports(), ports()
    with OtlpHttpReceiver() as receiver:

        def otlp(token):
            return (
                f"otel_metrics_export:\n  endpoint: {receiver.url}\n  interval: 200ms\n"
                f"  headers: {{authorization: Bearer {token}}}\n" + selected(web.port)
            )

        agent = start_agent(supervisor, tmp_path, otlp("s3cret-one"), metrics_port=page)
        run_exact(loadgen, Load(port=web.port, requests=100))
        receiver.wait(lambda _: receiver.counts() == {(): 100})
        assert agent.reload(page_of(page) + otlp("s3cret-two"))
        run_exact(loadgen, Load(port=web.port, requests=100))
        receiver.wait(lambda _: receiver.counts() == {(): 200})
        tokens = [request.headers["authorization"] for request in receiver.requests]
        assert "Bearer s3cret-two" == tokens[-1]
        assert sorted(tokens) == tokens, "the old token is not used again"
        starts = {
            point.start_unix_nano for point in receiver.metrics("http.server.request.duration")
        }
        assert 1 == len(starts), "a reload is no reset"
        # Without OTLP: the last state is sent, then nothing more.
        assert agent.reload(page_of(page) + selected(web.port))
        sent = len(receiver.requests)
        run_exact(loadgen, Load(port=web.port, requests=100))
        time.sleep(0.6)
        assert sent == len(receiver.requests)
        # With OTLP again, and the page elsewhere.
        agent.config.write_text(page_of(other) + otlp("s3cret-two"))
        agent.running.process.send_signal(signal.SIGHUP)
        receiver.wait(lambda _: receiver.counts() == {(): 300})
        assert until(lambda: listening(other) and not listening(page), timeout_seconds=5)
        # Without the page.
        agent.config.write_text(otlp("s3cret-two"))
        agent.running.process.send_signal(signal.SIGHUP)
        assert until(lambda: not listening(other), timeout_seconds=5)
        # And with it, where it was: nothing was lost and nothing leaked.
        agent.config.write_text(page_of(page) + otlp("s3cret-two"))
        agent.running.process.send_signal(signal.SIGHUP)
        assert until(lambda: listening(page), timeout_seconds=5)
        assert {(): 300} == agent.requests()
        assert {("applied",): 5} == agent.outcomes()
        assert "s3cret" not in agent.page() + agent.running.log_text(1 << 20)
        assert b"s3cret" not in Path(f"/proc/{agent.pid}/cmdline").read_bytes()
        supervisor.stop(agent.running)


@pytest.mark.parametrize("silent", [False, True], ids=["answers", "hangs"])
def test_sigterm_sends_what_is_left_and_ends_in_five_seconds(
    silent, web, supervisor, tmp_path, ports, loadgen
):
    with OtlpHttpReceiver(*([Answer(silent=True)] if silent else [])) as receiver:
        config = f"otel_metrics_export:\n  endpoint: {receiver.url}\n  interval: 60s\n"
        agent = start_agent(
            supervisor, tmp_path, config + selected(web.port), metrics_port=ports()
        )
        run_exact(loadgen, Load(port=web.port, requests=250))
        begin = time.monotonic()
        agent.running.process.terminate()
        assert 0 == agent.running.process.wait(10)
        assert time.monotonic() - begin < 5
        assert 1 == len(receiver.requests)
        assert ({} if silent else {(): 250}) == receiver.counts()
        left = "the last export was not accepted" in agent.running.log_text()
        assert silent == left


def test_sigterm_in_the_middle_of_a_hanging_export_ends_in_five_seconds(
    web, supervisor, tmp_path, ports
):
    with OtlpHttpReceiver(Answer(silent=True)) as receiver:
        config = f"otel_metrics_export:\n  endpoint: {receiver.url}\n  interval: 100ms\n"
        agent = start_agent(
            supervisor, tmp_path, config + selected(web.port), metrics_port=ports()
        )
        receiver.wait_for_requests(1)
        begin = time.monotonic()
        agent.running.process.send_signal(signal.SIGINT)
        assert 0 == agent.running.process.wait(10)
        assert time.monotonic() - begin < 5


@pytest.mark.slow
def test_a_killed_agent_leaves_nothing_and_the_next_one_starts(
    web, supervisor, tmp_path, ports, loadgen
):
    """K4: SIGKILL in traffic, again and again; the servers notice nothing."""
    before = observe()
    page = ports()
    load = start_exact(loadgen, Load(port=web.port, seconds=60, rate_per_second=2000))
    for _ in range(5):
        agent = start_agent(supervisor, tmp_path, selected(web.port), metrics_port=page)
        until(lambda agent=agent: sum(agent.requests().values()) > 100)
        agent.running.process.kill()
        agent.running.process.wait(10)
        found = leftovers(before, {agent.pid})
        assert {} == {kind: things for kind, things in found.items() if kind != "processes"}
    load.send_signal(signal.SIGTERM)
    load.communicate(timeout=10)
    assert "otelauto" not in Path("/sys/kernel/tracing/uprobe_events").read_text()
    run_exact(loadgen, Load(port=web.port, requests=1000))


def test_an_agent_that_stands_still_loses_no_count(web, supervisor, tmp_path, ports, loadgen):
    """The kernel counts; the agent only looks. SIGSTOP for three seconds under load."""
    agent = start_agent(supervisor, tmp_path, selected(web.port), metrics_port=ports())
    load = start_exact(loadgen, Load(port=web.port, seconds=4, targets=(Target("/users/{n}"),)))
    time.sleep(0.5)
    agent.running.process.send_signal(signal.SIGSTOP)
    time.sleep(3)
    agent.running.process.send_signal(signal.SIGCONT)
    report = json.loads(load.communicate(timeout=60)[0])
    sent = {("200",): report["finished"]}
    until(lambda: agent.requests("http_response_status_code") == sent, timeout_seconds=5)
    assert sent == agent.requests("http_response_status_code")


def loader_of(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for child in children.read_text().split():
        if b"_loader_child" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    return 0


def starting(supervisor, tmp_path, config, page):
    path = tmp_path / "otelauto.yml"
    path.write_text(page_of(page) + config)
    argv = [part.format(config=path) for part in COMMAND]
    running = supervisor.start("otelauto", argv, env=agent_environment(tmp_path))
    loaders = []
    assert until(lambda: loaders.append(loader_of(running.pid)) or loaders[-1])
    return running, loaders[-1]


def test_a_loader_that_is_killed_is_told_and_ends_the_start(web, supervisor, tmp_path, ports):
    """Every way of hooking fails then: exit code 3, one line, nothing left."""
    before = observe()
    running, loader = starting(supervisor, tmp_path, selected(web.port), ports())
    killed = set()
    while running.process.poll() is None:
        if loader and loader not in killed:
            os.kill(loader, signal.SIGKILL)
            killed.add(loader)
        time.sleep(0.005)
        try:
            loader = loader_of(running.pid)
        except OSError:
            break
    assert 3 == running.process.wait(10)
    last = running.log_text().splitlines()[-1]
    assert last.startswith("otelauto: the loader ")
    assert "killed" in last
    found = leftovers(before, {running.pid})
    assert {} == found


def ended(pid):
    """Gone, or waiting for a parent that does not care."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)]
)
def test_an_end_while_the_loader_runs_leaves_no_loader(
    number, code, web, supervisor, tmp_path, ports
):
    """At once, and without a traceback."""
    running, loader = starting(supervisor, tmp_path, selected(web.port), ports())
    running.process.send_signal(number)
    assert code == running.process.wait(5)
    assert "Traceback" not in running.log_text()
    assert until(lambda: ended(loader), timeout_seconds=3)


def test_a_reload_while_the_agent_starts_is_made_when_it_is_ready(
    web, supervisor, tmp_path, ports, notify
):
    """`systemctl reload` comes when it comes: it is neither lost nor fatal."""
    path, page = tmp_path / "otelauto.yml", ports()
    path.write_text(page_of(page) + selected(web.port))
    argv = [part.format(config=path) for part in COMMAND]
    env = {**agent_environment(tmp_path), "NOTIFY_SOCKET": notify.address}
    running = supervisor.start("otelauto", argv, env=env)
    assert notify.wait(lambda n: bool(n.said("EXTEND_TIMEOUT_USEC")))
    running.process.send_signal(signal.SIGHUP)
    assert notify.wait(lambda n: len(n.said("READY")) == 2, 30), running.log_text()


def test_a_disabled_agent_attaches_nothing_and_lives_like_any_other(
    web, supervisor, tmp_path, ports, notify
):
    """OTEL_SDK_DISABLED: ready, reloads, ends; no program, no page."""
    before, page = observe(), ports()
    env = {"OTEL_SDK_DISABLED": "true"}
    agent = start_agent(
        supervisor, tmp_path, selected(web.port), metrics_port=page, env=env, notify=notify
    )
    assert ["disabled by OTEL_SDK_DISABLED"] == notify.said("STATUS")
    assert not listening(page)
    found = leftovers(before, {agent.pid}, patience_seconds=0)
    assert "BPF objects and their holders" not in found
    agent.running.process.send_signal(signal.SIGHUP)
    assert notify.wait(lambda n: len(n.said("READY")) == 2, 5)
    assert 0 == supervisor.stop(agent.running)


@pytest.mark.slow
def test_closed_output_streams_end_nothing(web, supervisor, tmp_path, ports, loadgen):
    """Whoever read the standard output and the log has gone; the page goes on."""
    page = ports()
    path = tmp_path / "otelauto.yml"
    path.write_text(page_of(page) + "print_traces: true\nlog_level: DEBUG\n" + selected(web.port))
    argv = " ".join(part.format(config=path) for part in COMMAND)
    # The pipe's reader ends at once; both streams of the agent break.
    script = f"({argv} 2>&1; echo $? > {tmp_path}/code) | true"
    running = supervisor.start(
        "otelauto", ["bash", "-c", script], env=agent_environment(tmp_path), ports=(page,)
    )
    begin = time.monotonic()
    page_text = ""
    while "http_server_request_duration_seconds_count" not in page_text:
        run_exact(loadgen, Load(port=web.port, requests=20))
        done = subprocess.run(
            ["curl", "-s", f"http://127.0.0.1:{page}/metrics"], capture_output=True, check=False
        )
        page_text = done.stdout.decode()
        assert time.monotonic() - begin < 20
    time.sleep(6)  # a table is printed each five seconds
    assert listening(page)
    agent = next(
        int(child)
        for child in subprocess.check_output(["pgrep", "-s", str(running.pid)]).split()
        if b"otelauto.yml" in Path(f"/proc/{int(child)}/cmdline").read_bytes()
        and b"bash" not in Path(f"/proc/{int(child)}/cmdline").read_bytes()
    )
    os.kill(agent, signal.SIGTERM)
    assert until(lambda: (tmp_path / "code").exists() and (tmp_path / "code").read_text())
    assert "0" == (tmp_path / "code").read_text().strip()
