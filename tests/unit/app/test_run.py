"""One run, from READY to the last export: the order of things, signals and reloads."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
from types import SimpleNamespace

import pytest
from tests.unit.app.doubles import FakeKernel, Log

from otelauto.app import run as module
from otelauto.app.compose import Parts
from otelauto.app.run import run
from otelauto.errors import ConfigError, ExportError, LoadError
from otelauto.kernel.attach import AttachResult

GOOD = "ebpf: {open_port: 80}\nprint_traces: true\n"


class Agent:
    """The parts of a run, which note what is done to them; `at` says what happens then."""

    def __init__(self, environ):
        self.done, self.at = [], {}
        self.environ = environ
        self.log = Log()
        self.pipe = os.pipe()
        self.kernel = FakeKernel()
        self.kernel.fileno = lambda: self.pipe[0]
        self.kernel.close = lambda: self.note("kernel.close")
        self.configs, self.reported = [], []
        self.session = SimpleNamespace(
            start=lambda: self.note("session.start"),
            on_events=self._on_events,
            targets=lambda: ("a", "b"),
            reselect=self._reselect,
        )
        self.exporters = SimpleNamespace(
            start=lambda: self.note("exporters.start"),
            stop=lambda seconds: self.note(f"exporters.stop {seconds:g}"),
            reload=lambda config: self.note("exporters.reload", config),
        )
        self.report = SimpleNamespace(reloaded=self.reported.append)

    def note(self, name, *_):
        self.done.append(name)
        happens = self.at.get(name)
        if isinstance(happens, BaseException):
            raise happens
        if happens is not None:
            happens()

    def _on_events(self):
        os.read(self.pipe[0], 1)
        self.note("session.on_events")

    def _reselect(self, config, _selection):
        self.configs.append(config)
        self.note("session.reselect")

    def build(self, loaded, _log):
        self.note("build")
        return Parts(self.kernel, self.session, self.report, self.exporters)

    def close(self):
        for fd in self.pipe:
            os.close(fd)


def send(number):
    return lambda: os.kill(os.getpid(), number)


@pytest.fixture
def manager(tmp_path):
    """The service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


@pytest.fixture
def told(manager):
    """What the service manager has been told since the last call."""

    def received():
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(manager.recv(4096).decode())
        return found

    return received


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "o.yml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def agent(tmp_path, manager, monkeypatch):
    agent = Agent({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    monkeypatch.setattr(module, "build", agent.build)
    monkeypatch.setattr(module.logs, "set_up", lambda *_: agent.log)
    monkeypatch.setattr(gc, "freeze", lambda: agent.note("gc.freeze"))
    yield agent
    agent.close()


def test_it_is_ready_when_everything_runs_and_ends_with_the_last_export(agent, path, told):
    agent.at["gc.freeze"] = send(signal.SIGTERM)
    assert 0 == run(path, agent.environ)
    assert [
        "build",
        "session.start",
        "exporters.start",
        "gc.freeze",
        "exporters.stop 5",
        "kernel.close",
    ] == agent.done
    assert [
        "EXTEND_TIMEOUT_USEC=90000000",
        "READY=1\nSTATUS=2 processes instrumented, hook sock",
        "STOPPING=1",
    ] == told()


def test_the_time_to_stop_is_the_configured_one(agent, path):
    path.write_text(GOOD + "shutdown_timeout: 1500ms\n")
    agent.at["gc.freeze"] = send(signal.SIGINT)
    run(path, agent.environ)
    assert "exporters.stop 1.5" in agent.done


def test_the_events_of_the_kernel_reach_the_session(agent, path):
    agent.at["gc.freeze"] = lambda: os.write(agent.pipe[1], b"x")
    agent.at["session.on_events"] = send(signal.SIGTERM)
    run(path, agent.environ)
    assert 1 == agent.done.count("session.on_events")


def test_what_works_only_in_part_is_said_before_ready(agent, path):
    agent.kernel.degraded = (AttachResult("x", ok=False, consequence="forks are not followed"),)
    agent.at["gc.freeze"] = send(signal.SIGTERM)
    run(path, agent.environ)
    expected = ("warning", "degraded", {"hook": "x", "meaning": "forks are not followed"})
    assert expected == agent.log.said[0]
    assert "ready" in agent.log.events("info")


@pytest.mark.parametrize("where", ["session.start", "exporters.start"])
def test_a_start_that_fails_leaves_nothing_attached_and_is_never_ready(agent, path, told, where):
    agent.at[where] = ExportError("port 9400 is busy")
    with pytest.raises(ExportError, match="busy"):
        run(path, agent.environ)
    assert "kernel.close" == agent.done[-1]
    assert not [state for state in told() if "READY" in state]


def test_a_kernel_that_refuses_ends_the_start(agent, path):
    agent.at["build"] = LoadError("refused")
    with pytest.raises(LoadError, match="refused"):
        run(path, agent.environ)
    assert ["build"] == agent.done


def test_a_configuration_that_is_not_valid_starts_nothing(agent, path, told):
    path.write_text("nonsense: 1\n")
    with pytest.raises(ConfigError, match="nonsense"):
        run(path, agent.environ)
    assert ([], []) == (agent.done, told())


def test_notices_of_the_configuration_are_said(agent, path):
    path.write_text("ebpf: {open_port: 80}\nprint_traces: true\nroutes: {unmatch: path}\n")
    agent.at["gc.freeze"] = send(signal.SIGTERM)
    run(path, agent.environ)
    assert "configuration notice" in agent.log.events("warning")


def test_signs_of_life_are_given_if_the_service_manager_watches(agent, path, told):
    agent.environ["WATCHDOG_USEC"] = "40000"
    agent.at["gc.freeze"] = lambda: signal.setitimer(signal.ITIMER_REAL, 0.2)
    earlier = signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        run(path, agent.environ)
    finally:
        signal.signal(signal.SIGALRM, earlier)
    assert 2 <= told().count("WATCHDOG=1")


# --- reloads -------------------------------------------------------------------------------------


def reload_once(agent, *, after="session.reselect"):
    """A reload when the agent is ready, and the end after it."""
    agent.at["gc.freeze"] = send(signal.SIGHUP)
    agent.at[after] = send(signal.SIGTERM)


def rewrite(agent, path, text):
    agent.at["session.start"] = lambda: path.write_text(text)


def test_a_reload_changes_the_exporters_first_for_they_alone_can_refuse(agent, path, told):
    rewrite(agent, path, GOOD + "routes: {patterns: [/a]}\n")
    reload_once(agent)
    run(path, agent.environ)
    assert ["exporters.reload", "session.reselect", "exporters.stop 5", "kernel.close"] == (
        agent.done[-4:]
    )
    (config,) = agent.configs
    assert ("/a",) == config.routes.patterns
    assert [config] == agent.reported
    states = told()
    assert states[-3].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert "READY=1\nSTATUS=2 processes instrumented, hook sock" == states[-2]
    assert {"changed": ["routes.patterns"], "processes": 2} in [f for *_, f in agent.log.said]


def refused(agent, path):
    """Runs with one reload, which must be refused."""
    agent.report.reloaded = lambda config: (agent.reported.append(config), send(signal.SIGTERM)())
    agent.at["gc.freeze"] = send(signal.SIGHUP)
    run(path, agent.environ)
    assert [None] == agent.reported
    assert "session.reselect" not in agent.done
    ((_, event, fields),) = [said for said in agent.log.said if said[0] == "error"]
    assert "the running configuration stays" in event
    return fields["reason"]


@pytest.mark.parametrize("text", ["nonsense: 1\n", "a: [", "", "\t"])
def test_an_invalid_configuration_is_refused_and_the_running_one_stays(agent, path, told, text):
    rewrite(agent, path, text)
    assert refused(agent, path)
    assert told()[-2].endswith("; the last reload was refused")


def test_a_file_that_is_gone_is_refused(agent, path):
    agent.at["session.start"] = path.unlink
    assert str(path) in refused(agent, path)


def test_what_an_exporter_refuses_changes_nothing_else(agent, path):
    agent.at["exporters.reload"] = ExportError("port 9400 is busy")
    assert "port 9400 is busy" == refused(agent, path)


def test_what_needs_a_restart_is_said_and_the_old_value_stays(agent, path):
    rewrite(agent, path, "ebpf: {open_port: 81, max_series: 99}\nprint_traces: true\n")
    reload_once(agent)
    run(path, agent.environ)
    (config,) = agent.configs
    assert ((81, 81),) == config.ebpf.open_port.ranges
    assert 99 != config.ebpf.max_series
    expected = ("warning", "these changes need a restart", {"options": ["ebpf.max_series"]})
    assert expected in agent.log.said


def test_a_reload_that_is_asked_for_during_the_start_is_made_when_it_is_ready(agent, path):
    agent.at["build"] = send(signal.SIGHUP)
    agent.at["session.reselect"] = send(signal.SIGTERM)
    run(path, agent.environ)
    assert agent.done.index("exporters.start") < agent.done.index("exporters.reload")


def test_another_level_of_the_log_holds_from_the_reload_on(agent, path, monkeypatch):
    levels = []
    monkeypatch.setattr(
        module.logs, "set_up", lambda *given: (levels.append(given), agent.log)[-1]
    )
    rewrite(agent, path, GOOD + "log_level: DEBUG\n")
    reload_once(agent)
    run(path, agent.environ)
    assert ["INFO", "DEBUG"] == [level for level, _ in levels]


# --- switched off --------------------------------------------------------------------------------


def test_an_agent_that_is_switched_off_instruments_nothing_and_ends_on_demand(
    agent, path, told, monkeypatch
):
    agent.environ["OTEL_SDK_DISABLED"] = "true"
    real = module.Notifier.ready

    def ready(notifier, status=""):
        real(notifier, status)
        os.kill(os.getpid(), signal.SIGHUP if len(asked) == 0 else signal.SIGTERM)
        asked.append(status)

    asked = []
    monkeypatch.setattr(module.Notifier, "ready", ready)
    assert 0 == run(path, agent.environ)
    assert [] == agent.done
    states = told()
    assert ["READY=1\nSTATUS=disabled by OTEL_SDK_DISABLED"] * 2 == [
        state for state in states if "READY" in state
    ]
    assert "STOPPING=1" == states[-1]
    assert 1 == len(agent.log.events("warning"))
