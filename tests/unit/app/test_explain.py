"""The answer of `otelauto explain`, about real processes: this one's children."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from otelauto.app.explain import NOTHING_SELECTED, explain, find
from otelauto.routes.store import RouteStore

SERVER = (
    "import socket, sys; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen();"
    " print(s.getsockname()[1], flush=True); sys.stdin.read()"
)


@pytest.fixture
def server():
    """A process that listens, and its port."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        yield process, int(process.stdout.readline())
        process.stdin.close()


def ask(what, tmp_path, text, *, url_path=None):
    file = tmp_path / "o.yml"
    file.write_text(f"noop: true\n{text}")
    state = {"OTELAUTO_ROUTES_STATE_DIRECTORY": str(tmp_path / "routes")}
    outs = []
    for machine in (True, False):
        out = io.StringIO()
        code = explain(what, file, state, url_path=url_path, machine=machine, out=out)
        outs.append(out.getvalue())
    return code, json.loads(outs[0] or "[]"), outs[1]


def test_a_process_is_found_by_its_id_and_by_its_port(server):
    process, port = server
    assert [process.pid] == find(str(process.pid), Path("/proc"))
    assert [process.pid] == find(f":{port}", Path("/proc"))


def test_the_entry_that_selects_it_and_the_rule_that_names_it_are_told(server, tmp_path):
    process, port = server
    config = f"discovery:\n  instrument:\n    - open_ports: {port}\n      name: cart\n"
    code, [answer], text = ask(f":{port}", tmp_path, config)
    assert (0, process.pid, True) == (code, answer["pid"], answer["instrumented"])
    assert "selected by discovery.instrument[0]" == answer["reason"]
    assert ("cart", "selector", [port]) == (
        answer["service"], answer["named_by"], answer["ports"]
    )  # fmt: skip
    assert f"process {process.pid} is instrumented" in text


def test_the_criterion_that_fails_is_told(server, tmp_path):
    process, port = server
    _, [answer], text = ask(str(process.pid), tmp_path, "ebpf: {open_port: 1}\n")
    assert not answer["instrumented"]
    assert f"listens on {port}" == answer["checks"][0]["found"]
    assert "fails" in text


@pytest.mark.parametrize(
    ("path", "route", "reason"),
    [("/cart/7?x=1", "/cart/{id}", "matches a configured pattern"),
     ("/else", "/**", "no pattern matches, nor any learned route (unmatched: heuristic)"),
     ("/health", "/health", "matches an ignored pattern: not reported")],
)  # fmt: skip
def test_a_path_has_its_route_and_the_reason(server, tmp_path, path, route, reason):
    config = (
        f"ebpf: {{open_port: {server[1]}}}\n"
        'routes: {patterns: ["/cart/{id}"], ignored_patterns: [/health]}\n'
    )
    _, [answer], text = ask(str(server[0].pid), tmp_path, config, url_path=path)
    assert {"path": path, "route": route, "reason": reason} == answer["path"]
    assert reason in text


def test_a_port_without_a_process_is_told(tmp_path, capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        code, _, _ = ask(f":{unused.getsockname()[1]}", tmp_path, "ebpf: {open_port: 1}\n")
    assert 1 == code
    assert "is no process" in capsys.readouterr().err


def test_a_configuration_that_selects_nothing_explains_each_process(server, tmp_path):
    code, [answer], text = ask(str(server[0].pid), tmp_path, "")
    assert (NOTHING_SELECTED, False) == (code, answer["instrumented"])
    assert "the configuration has no selector" in text


def test_a_child_has_the_routes_of_the_entry_that_selected_its_parent(tmp_path):
    """A prefork server's worker that does not listen itself runs the same executable."""
    child = "import sys; print(1, flush=True); sys.stdin.read()"
    parent = (
        "import socket, subprocess, sys; s = socket.socket(); s.bind(('127.0.0.1', 0));"
        f" s.listen(); c = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=0,"
        " stdout=-1); c.stdout.readline(); print(s.getsockname()[1], c.pid, flush=True);"
        " c.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdin=-1, stdout=-1, text=True) as one:
        port, worker = one.stdout.readline().split()
        config = (
            f"discovery:\n  instrument:\n    - open_ports: {port}\n      name: cart\n"
            '      routes: {patterns: ["/own/{id}"]}\n'
        )
        code, [answer], _ = ask(worker, tmp_path, config, url_path="/own/3")
        one.stdin.close()
    assert (0, True, "/own/{id}") == (code, answer["instrumented"], answer["path"]["route"])
    assert "as its ancestor" in answer["reason"]


def test_a_damaged_file_of_learned_routes_is_told_and_left_as_it_is(server, tmp_path, capsys):
    config = f"ebpf: {{open_port: {server[1]}}}\n"
    folder = tmp_path / "routes"
    names = []

    def note(self, key, policy):
        names.append(self._path(key, policy))
        return real(self, key, policy)

    real = RouteStore.load
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RouteStore, "load", note)
        ask(str(server[0].pid), tmp_path, config, url_path="/x")
    assert not folder.exists()
    folder.mkdir()
    names[0].write_bytes(b"{damaged\n")
    before = names[0].stat()
    ask(str(server[0].pid), tmp_path, config, url_path="/x")
    assert "is damaged" in capsys.readouterr().err
    after = names[0].stat()
    assert [names[0]] == list(folder.iterdir())
    assert b"{damaged\n" == names[0].read_bytes()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
