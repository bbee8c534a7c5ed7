"""What another user of the host can learn from a running agent, or do to it: nothing."""

from __future__ import annotations

import subprocess

import pytest
from tests.load.generator import Load, run_exact
from tests.servers import runtimes
from tests.servers.agent import until

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

SECRET = "s3cr3t-T0KEN"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs")

#: Tries each way, and prints those that worked; the last line proves that it came to its end.
BURGLAR = """
import ctypes, os, signal, sys
pid, arch = int(sys.argv[1]), os.uname().machine
bpf = {"x86_64": 321, "aarch64": 280}[arch]
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, call):
    try:
        call()
    except OSError:
        return
    print("could", name)
def syscall(command):
    buffer = ctypes.create_string_buffer(128)
    if libc.syscall(bpf, command, buffer, 128) < 0:
        raise OSError(ctypes.get_errno(), "bpf")
for name in ("environ", "mem", "maps", "stack", "syscall"):
    attempt(name, lambda: open(f"/proc/{pid}/{name}", "rb").read(1))
attempt("fd", lambda: os.listdir(f"/proc/{pid}/fd"))
attempt("kill", lambda: os.kill(pid, signal.SIGTERM))
for name, command in (("programs", 11), ("maps", 12), ("links", 31)):
    attempt(f"list the {name} of BPF", lambda: syscall(command))
attempt("read the configuration", lambda: open(sys.argv[2]).read())
print("cmdline", open(f"/proc/{pid}/cmdline", "rb").read().decode())
print("end")
"""


def test_nobody_reads_the_agents_memory_maps_sockets_and_secrets(
    need, supervisor, port, agent_on, loadgen
):
    need("setpriv")
    runtimes.start_threaded(supervisor, port=port)
    headers = f"authorization=Bearer%20{SECRET}"
    agent = agent_on(port, env={"OTEL_EXPORTER_OTLP_HEADERS": headers})
    agent.config.chmod(0o600)
    done = subprocess.run(
        [*NOBODY, "/usr/bin/python3", "-Ic", BURGLAR, str(agent.pid), str(agent.config)],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    lines = done.stdout.splitlines()
    assert "end" == lines[-1]
    assert [] == [line for line in lines if line.startswith("could")]
    assert SECRET not in done.stdout + agent.page() + agent.running.log_text(1 << 20)
    run_exact(loadgen, Load(port=port, requests=50))
    assert until(lambda: agent.requests() == {(): 50})
    supervisor.stop(agent.running)
