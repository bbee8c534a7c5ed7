"""What any local user may do to a process must not hurt the agent, nor blind it to the others."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.bench.measure import pss_bytes
from tests.load.generator import Load, run_exact
from tests.servers import runtimes
from tests.servers.agent import start_agent, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

MEGABYTE = 1_000_000
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def descriptors(pid):
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def crafted(folder):
    """Executables that the kernel runs and that a careless reader of ELF trips over."""
    original = Path(shutil.which("sleep")).read_bytes()

    def without_sections(image):
        image[0x28:0x30] = bytes(8)
        image[0x3A:0x40] = bytes(6)

    def sections_beyond(image):
        image[0x28:0x30] = (1 << 62).to_bytes(8, "little")

    def many_sections(image):
        image[0x3C:0x3E] = b"\xff\xff"

    made = []
    for number, change in enumerate((without_sections, sections_beyond, many_sections)):
        image = bytearray(original)
        change(image)
        path = folder / f"crafted{number}"
        path.write_bytes(image)
        made.append(path)
    for name in (b"line\nend", b"\xff\xfe-not-text", b"quote\"'\\", b"x" * 250, b"gone (deleted)"):
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        path.write_bytes(original)
        made.append(path)
    sparse = folder / "sparse"
    sparse.write_bytes(original)
    os.truncate(sparse, 2 << 30)
    made.append(sparse)
    for path in made:
        path.chmod(0o755)
    return made


ODD_ARGUMENTS = """
import os, sys
kind, seconds = sys.argv[1], "30"
if kind == "none":
    os.execv("/bin/sleep", ["", seconds])
if kind == "long":
    os.execve("/bin/sleep", ["sleep", seconds] + ["0" * 100000] * 10, {})
if kind == "environment":
    os.execve("/bin/sleep", ["sleep", seconds], {f"OTEL_{n}": "x" * 1000 for n in range(500)})
if kind == "comm":
    import ctypes, time
    ctypes.CDLL(None).prctl(15, b") R 1 (\\n", 0, 0, 0)
    time.sleep(30)
if kind == "memfd":
    fd = os.memfd_create("hidden\\n")
    os.write(fd, open("/bin/sleep", "rb").read())
    os.execve(fd, ["sleep", seconds], {})
"""


def test_crafted_executables_names_and_arguments_cost_nobody_his_metrics(
    need, supervisor, tmp_path, ports, port, loadgen
):
    """O8: run by nobody, before and after the agent's start, some of them selected by name."""
    need("setpriv")
    folder = Path(f"/tmp/otelauto-hostile-{port}")
    folder.mkdir(mode=0o755)
    processes = []

    def run_all():
        processes.extend(
            subprocess.Popen([*NOBODY, str(path), "60"], cwd="/") for path in crafted(folder)
        )
        for kind in ("none", "long", "environment", "comm", "memfd"):
            argv = [*NOBODY, "/usr/bin/python3", "-c", ODD_ARGUMENTS, kind]
            processes.append(subprocess.Popen(argv, cwd="/", stderr=subprocess.DEVNULL))

    try:
        run_all()
        runtimes.start_threaded(supervisor, port=port)
        config = (
            "log_level: DEBUG\ndiscovery:\n  instrument:\n"
            f"    - open_ports: {port}\n"
            f"    - exe_path: '{folder}/*'\n    - cmd_args: '*000000*'\n"
        )
        agent = start_agent(supervisor, tmp_path, config, metrics_port=ports())
        time.sleep(0.5)
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder)
        folder.mkdir(mode=0o755)
        run_all()
        time.sleep(1)
        run_exact(loadgen, Load(port=port, requests=50))
        until(lambda: agent.requests("job") == {("threaded_app",): 50}, timeout_seconds=5)
        assert {("threaded_app",): 50} == agent.requests("job")
        errors = [
            line
            for line in agent.running.log_text(1 << 22).splitlines()
            if '"level": "error"' in line or "Traceback" in line
        ]
        assert [] == errors
        supervisor.stop(agent.running)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


@pytest.mark.slow
def test_five_thousand_short_processes_leave_nothing(supervisor, tmp_path, ports, port, loadgen):
    """L2: everything is selected; each process ends at once; then the state is as it was."""
    runtimes.start_threaded(supervisor, port=port)
    agent = start_agent(supervisor, tmp_path, "ebpf: {system_wide: true}\n", metrics_port=ports())
    script = (
        "import os, sys\n"
        "environment = {f'FILLER_{n}': 'x' * 1000 for n in range(20)}\n"
        "for number in range(int(sys.argv[1])):\n"
        "    os.waitpid(os.posix_spawn('/bin/true', ['true'], environment), 0)\n"
    )

    def churn(number):
        subprocess.run([sys.executable, "-c", script, str(number)], check=True, timeout=120)

    def targets():
        return sum(s.value for s in agent.samples() if s.name == "otelauto_targets")

    churn(500)
    until(lambda: targets() < 500, timeout_seconds=5)
    before = descriptors(agent.pid), pss_bytes([agent.pid]), targets()
    churn(4_500)
    run_exact(loadgen, Load(port=port, requests=100, connections=4))
    until(
        lambda: (
            agent.requests("job").get(("threaded_app",)) == 100
            and abs(targets() - before[2]) < 100
        ),
        timeout_seconds=20,
    )
    assert 100 == agent.requests("job")["threaded_app",]
    assert descriptors(agent.pid) <= before[0] + 10
    assert pss_bytes([agent.pid]) - before[1] < 10 * MEGABYTE
    assert abs(targets() - before[2]) < 100, "other processes of this host come and go as well"
    lines = agent.running.log_text(1 << 24).splitlines()
    assert sum('"service": "true"' in line for line in lines) < 30
    supervisor.stop(agent.running)


def test_a_process_that_takes_another_program_is_another_service(
    supervisor, tmp_path, ports, port, agent_on, loadgen
):
    """execve in place: the same process id, another name; the socket goes on being counted."""
    first = tmp_path / "first.py"
    second = tmp_path / "second.py"
    first.write_text(
        "import os, socket, sys\n"
        f"s = socket.create_server(('127.0.0.1', {port}))\n"
        "os.set_inheritable(s.fileno(), True)\n"
        "peer, _ = s.accept()\n"
        "peer.recv(65536)\n"
        "peer.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n')\n"
        "peer.close()\n"
        f"os.execv(sys.executable, [sys.executable, '{second}', str(s.fileno())])\n"
    )
    second.write_text(
        "import socket, sys\n"
        "s = socket.socket(fileno=int(sys.argv[1]))\n"
        "while True:\n"
        "    peer, _ = s.accept()\n"
        "    peer.recv(65536)\n"
        "    peer.sendall(b'HTTP/1.1 204 No Content\\r\\n\\r\\n')\n"
        "    peer.close()\n"
    )
    agent = agent_on(port)
    running = supervisor.start("changing", [sys.executable, str(first)], ports=(port,))
    time.sleep(1)

    def ask():
        with socket.create_connection(("127.0.0.1", port), 5) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            while peer.recv(65536):
                pass

    ask()
    time.sleep(1)
    ask()
    ask()
    expected = {("first", "200"): 1, ("second", "204"): 2}
    key = ("job", "http_response_status_code")
    until(lambda: agent.requests(*key) == expected, timeout_seconds=3)
    assert expected == agent.requests(*key)
    supervisor.stop(running)
