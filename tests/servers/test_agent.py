"""The agent as tests see it: readiness, page, counts. The program here only plays the part."""

from __future__ import annotations

import sys
import time

import pytest
from tests.servers.agent import Sample, counts, start_agent, until
from tests.servers.process import StartError

PAGE = """\
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{job="a",http_route="/x",le="1"} 2
http_server_request_duration_seconds_bucket{job="a",http_route="/x",le="+Inf"} 3
http_server_request_duration_seconds_sum{job="a",http_route="/x"} 4.5
http_server_request_duration_seconds_count{job="a",http_route="/x"} 3
http_server_request_duration_seconds_count{job="a"} 4
http_server_request_duration_seconds_count{job="b",http_route="/x"} 5
"""
PLAYER = f"""
import http.server, os, re, socket, sys, time
text = open(sys.argv[1]).read()
port = int(re.search(r"port: (\\d+)", text)[1])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write({PAGE!r}.encode())
server = http.server.HTTPServer(("127.0.0.1", port), Handler)
if "fails" in text:
    sys.exit("otelauto: no privilege")
time.sleep(0.2)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"])
notify.send(b"STATUS=loading")
if "never" not in text:
    notify.send(b"STATUS=watching\\nREADY=1")
assert "OTEL_SERVICE_NAME" not in os.environ
server.serve_forever()
"""


@pytest.fixture
def play(supervisor, tmp_path, port, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "of-the-test")
    script = tmp_path / "player.py"
    script.write_text(PLAYER)
    command = (sys.executable, str(script), "{config}")

    def start(config="", **options):
        return start_agent(
            supervisor, tmp_path, config, metrics_port=port, command=command, **options
        )

    return start


def test_it_is_ready_when_it_says_so(play):
    agent = play()
    assert 0.2 <= agent.ready_seconds < 5


def test_counts_are_summed_by_the_labels_that_are_asked_for(play):
    agent = play()
    assert {("/x",): 8, ("",): 4} == agent.requests("http_route")
    assert {(): 12} == agent.requests()
    assert {} == agent.requests(role="client")


def test_an_agent_that_ends_tells_why(play):
    with pytest.raises(StartError, match="ended with 1:\notelauto: no privilege"):
        play("# fails\n")


def test_an_agent_that_is_never_ready_is_given_up(play):
    with pytest.raises(StartError, match="not ready"):
        play("# never\n", timeout_seconds=1)


def test_only_samples_of_the_name_count():
    samples = [Sample("a", {"x": "1"}, 2), Sample("b", {"x": "1"}, 3), Sample("a", {}, 4)]
    assert {("1",): 2, ("",): 4} == counts(samples, "a", ["x"])


def test_waiting_ends_with_the_condition_or_with_the_time():
    begin = time.monotonic()
    assert until(lambda: time.monotonic() > begin + 0.05)
    assert not until(lambda: False, timeout_seconds=0.05)
