"""The command line: what is wrong is said in a clear line, with its place, and nothing starts."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from tests.live.leftovers import leftovers, observe
from tests.servers.agent import COMMAND, agent_environment
from tests.servers.process import listening

pytestmark = pytest.mark.timeout(60)

PROGRAM = COMMAND[0]
GOOD = "ebpf:\n  open_port: 8080\nprometheus_export:\n  port: 9464\n"


@pytest.fixture
def run(tmp_path):
    def run(*arguments, env=None, cwd=None):
        changed = {**os.environ, **agent_environment(tmp_path), **(env or {})}
        return subprocess.run(
            [PROGRAM, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd=cwd,
            env={name: value for name, value in changed.items() if value is not None},
        )

    return run


@pytest.fixture
def written(tmp_path):
    def written(text):
        path = tmp_path / "otelauto.yml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


#: What is wrong; the line that is named, 0 for none; words that must be in the message.
BAD = {
    "unknown key": (GOOD + "discovry:\n  instrument: []\n", 5, ["discovry", "discovery"]),
    "right key, wrong level": (GOOD + "port: 9464\n", 5, ["port"]),
    "port too large": ("ebpf:\n  open_port: 70000\nnoop: true\n", 2, ["open_port", "70000"]),
    "port zero": ("ebpf:\n  open_port: 0\nnoop: true\n", 2, ["open_port"]),
    "range backwards": ("ebpf:\n  open_port: 9000-8000\nnoop: true\n", 2, ["9000-8000"]),
    "tab": ("ebpf:\n\topen_port: 80\nnoop: true\n", 2, ["tab"]),
    "bad glob": (
        'discovery:\n  instrument:\n    - exe_path: "[bad"\nnoop: true\n',
        3,
        ["exe_path", "[bad"],
    ),
    "duplicate key": ("noop: true\n" + GOOD + "noop: true\n", 6, ["noop"]),
    "empty file": ("", 0, ["empty"]),
    "no exporter": ("ebpf:\n  open_port: 80\n", 0, ["export"]),
    "no selector": ("noop: true\n", 0, ["instrument"]),
    "unset variable": (GOOD + "service_name: ${NOT_SET_ANYWHERE}\n", 5, ["NOT_SET_ANYWHERE"]),
    "bad variable name": (GOOD + "service_name: ${1BAD}\n", 5, ["1BAD"]),
    "not a mapping": ("- a\n- b\n", 1, ["mapping"]),
    "no YAML": ("a: [1, 2\nb: }\n", 2, []),
    "bad duration": (GOOD + "shutdown_timeout: soon\n", 5, ["shutdown_timeout", "soon"]),
    "no scheme": (
        "ebpf: {open_port: 80}\notel_metrics_export:\n  endpoint: 127.0.0.1:4318\n",
        3,
        ["endpoint"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_each_fault_is_one_line_with_file_line_and_key(name, run, written):
    """By the agent itself and by check alike: exit code 2, nothing on the standard output."""
    text, line, words = BAD[name]
    path = written(text)
    for done in (run("-config", path), run("check", path)):
        assert 2 == done.returncode, done.stderr
        assert "" == done.stdout
        messages = done.stderr.removeprefix("otelauto: ").splitlines()
        place = f"{path}:{line}:" if line else f"{path}:"
        assert any(message.startswith(place) for message in messages), done.stderr
        assert "Traceback" not in done.stderr
        for word in words:
            assert word in done.stderr


def test_a_fault_of_a_variable_names_the_variable(run, written):
    done = run("-config", written(GOOD), env={"OTELAUTO_EBPF_OPEN_PORT": "eighty"})
    assert 2 == done.returncode
    assert "variable OTELAUTO_EBPF_OPEN_PORT" in done.stderr
    assert "eighty" in done.stderr


def test_files_that_cannot_be_read_are_told_why(run, tmp_path):
    missing, folder = tmp_path / "missing.yml", tmp_path / "folder"
    folder.mkdir()
    for path, why in ((missing, "no such file"), (folder, "directory")):
        for arguments in (("-config", path), ("--config", path), ("check", path)):
            done = run(*arguments)
            assert 2 == done.returncode
            assert 1 == len(done.stderr.splitlines()), done.stderr
            assert why in done.stderr.lower()
            assert str(path) in done.stderr


def test_all_that_is_wrong_is_said_at_once(run, written):
    path = written("ebpf:\n  open_port: 70000\nnop: true\nlog_level: LOUD\n")
    done = run("check", path)
    assert 2 == done.returncode
    for line in (2, 3, 4):
        assert f"{path}:{line}:" in done.stderr


def test_a_byte_order_mark_and_line_ends_of_windows_are_accepted(run, written):
    path = written(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    done = run("check", path)
    assert (0, "") == (done.returncode, done.stderr)
    assert f"{path}: valid\n" == done.stdout


def test_secrets_in_a_faulty_file_are_not_repeated(run, written):
    path = written(
        "ebpf: {open_port: 80}\notel_metrics_export:\n  endpoint: http://u:s3cret@h:1x\n"
        "  headers: {authorization: 's3cret\\u0000'}\n"
    )
    done = run("-config", path)
    assert 2 == done.returncode
    assert "s3cret" not in done.stderr + done.stdout


def test_dollars_follow_their_table(run, written):
    """J2: $$ is one dollar, a lone one stays, defaults are used."""
    text = GOOD + "service_name: 'pa$$word a$1b $(X) ${UNSET:-def} ${SET}'\n"
    done = run("config", "effective", written(text), env={"SET": "set"})
    assert 0 == done.returncode, done.stderr
    # What is printed can be read again, so its dollars are doubled where they must be.
    (line,) = (each for each in done.stdout.splitlines() if each.startswith("service_name:"))
    assert "pa$word a$1b $(X) def set" in line.replace("$$", "$")
    again = run("config", "effective", written(done.stdout))
    values = [
        [line.partition("  # ")[0] for line in text.splitlines()]
        for text in (done.stdout, again.stdout)
    ]
    assert values[0] == values[1]


@pytest.mark.parametrize("verb", ["reference", "schema", "example", "effective"])
def test_config_prints_each_of_its_texts(verb, run, written):
    done = run("config", verb, written(GOOD))
    assert (0, "") == (done.returncode, done.stderr)
    assert "open_port" in done.stdout
    if verb == "schema":
        assert "ebpf" in json.loads(done.stdout)["properties"]
    if verb == "example":
        assert 0 == run("check", written(done.stdout)).returncode


def test_the_effective_configuration_hides_secrets(run, written):
    text = GOOD + "otel_metrics_export:\n  endpoint: http://u:s3cret@h\n  headers: {a: s3cret}\n"
    done = run("config", "effective", written(text))
    assert 0 == done.returncode
    assert "***" in done.stdout
    assert "s3cret" not in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [["chek"], ["run"], ["config"], ["config", "efective"], ["--cfg", "x"], ["check", "a", "b"]],
    ids=" ".join,
)
def test_words_that_are_no_command_are_refused_with_the_usage(arguments, run):
    done = run(*arguments)
    assert 2 == done.returncode
    assert "" == done.stdout
    assert done.stderr.startswith("usage: otelauto")
    assert "Traceback" not in done.stderr


def test_help_names_commands_and_exit_codes(run):
    done = run("--help")
    assert 0 == done.returncode
    for word in ("-config", "check", "config", "exit codes", "2 configuration", "4 an exporter"):
        assert word in " ".join(done.stdout.split())
    assert run("version").stdout == run("--version").stdout


def test_a_reader_that_has_seen_enough_is_no_fault(run, written):
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {PROGRAM} config reference | head -1"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.live
def test_a_busy_page_port_ends_the_start_with_its_own_code(supervisor, run, written, port, ports):
    """I8: exit code 4, one line that names address and port, and no page without metrics."""
    supervisor.start(
        "taken", ["python3", "-m", "http.server", "--bind", "127.0.0.1", str(port)], ports=(port,)
    )
    before = observe()
    done = run("-config", written(GOOD.replace("9464", str(port)).replace("8080", str(ports()))))
    assert 4 == done.returncode, done.stderr
    last = done.stderr.splitlines()[-1]
    assert f"127.0.0.1:{port}" in last
    assert last.startswith("otelauto: ")
    assert {} == leftovers(before)


@pytest.mark.live
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_certificate_that_is_none_ends_the_start(protocol, run, written, ports, tmp_path):
    """I6: nothing is sent in clear instead. A missing file is a fault of the configuration."""
    file = tmp_path / "ca.pem"
    text = (
        f"ebpf: {{open_port: {ports()}}}\notel_metrics_export:\n  endpoint: https://127.0.0.1:1\n"
        f"  certificate: {file}\n  protocol: {protocol}\n"
    )
    missing = run("-config", written(text))
    assert 2 == missing.returncode, missing.stderr
    file.write_text("no certificate\n")
    garbage = run("-config", written(text))
    assert 4 == garbage.returncode, garbage.stderr
    for done in (missing, garbage):
        assert str(file) in done.stderr.splitlines()[-1]


def test_a_faulty_configuration_opens_no_port(run, written, port):
    done = run("-config", written(f"prometheus_export:\n  port: {port}\nx: 1\n"))
    assert 2 == done.returncode
    assert not listening(port)
