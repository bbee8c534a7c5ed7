"""A host that lacks something: the agent works all the same, or says in one line what to do."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from tests.live.leftovers import leftovers, observe
from tests.load.generator import Load, run_exact
from tests.servers import runtimes
from tests.servers.agent import COMMAND, agent_environment, start_agent, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

DEMANDS = {
    "nobody at all": (
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
        ["capabilities", "CAP_BPF"],
    ),
    "root without CAP_PERFMON": (
        ["setpriv", "--bounding-set=-perfmon,-sys_admin", "--inh-caps=-all"],
        ["capabilities", "CAP_PERFMON"],
    ),
    "root without CAP_BPF": (
        ["setpriv", "--bounding-set=-bpf,-sys_admin", "--inh-caps=-all"],
        ["capabilities", "CAP_BPF"],
    ),
    "a user namespace": (["unshare", "--user", "--map-root-user"], ["user namespace"]),
}
HIDDEN_BCC = 'mount -t tmpfs none {folder} && exec "$@"'


@pytest.fixture
def written(tmp_path, port, ports):
    # Where everybody may look, but for the state: a nobody must get to its configuration.
    path = Path("/tmp") / f"otelauto-{os.getpid()}-{port}.yml"
    path.write_text(
        f"ebpf:\n  open_port: {port}\nprometheus_export:\n  port: {ports()}\n"
        "routes:\n  state_directory: ''\n"
    )
    yield path
    path.unlink()


def run(prefix, path, tmp_path, *, seconds=60):
    environment = {**os.environ, **agent_environment(tmp_path)}
    del environment["STATE_DIRECTORY"]
    return subprocess.run(
        [*prefix, *(part.format(config=path) for part in COMMAND)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        cwd="/",
        env={name: value for name, value in environment.items() if value is not None},
    )


@pytest.mark.parametrize("name", DEMANDS)
def test_a_lack_of_privilege_is_one_line_that_names_what_is_missing(name, need, written, tmp_path):
    """K2: exit code 3, no traceback, no verifier log, and nothing is left in the kernel."""
    prefix, words = DEMANDS[name]
    need(prefix[0])
    before = observe()
    done = run(prefix, written, tmp_path)
    assert 3 == done.returncode, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("otelauto: ")
    for word in words:
        assert word in line
    assert {} == leftovers(before)


@pytest.mark.parametrize("hook", ["sock", "syscall"])
def test_the_units_user_and_capabilities_are_enough(
    hook, need, supervisor, tmp_path, ports, port, loadgen
):
    """Not root: the four capabilities of the unit, no new privileges; a server of root is seen."""
    need("setpriv")
    unit = Path(__file__).parents[2] / "packaging" / "systemd" / "otelauto.service"
    (line,) = (
        line for line in unit.read_text().splitlines() if line.startswith("AmbientCapabilities=")
    )
    names = [name.removeprefix("CAP_").lower() for name in line.partition("=")[2].split()]
    given = ",".join(f"+{name}" for name in names)
    prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs")
    prefix += (f"--bounding-set=-all,{given}", f"--inh-caps=-all,{given}")
    prefix += (f"--ambient-caps=-all,{given}",)
    runtimes.start_threaded(supervisor, port=port)
    agent = start_agent(
        supervisor,
        tmp_path,
        f"ebpf: {{open_port: {port}, hook: {hook}}}\n",
        metrics_port=ports(),
        command=(*prefix, *COMMAND),
    )
    run_exact(loadgen, Load(port=port, requests=50))
    until(lambda: agent.requests("job") == {("threaded_app",): 50}, timeout_seconds=3)
    assert {("threaded_app",): 50} == agent.requests("job")
    status = Path(f"/proc/{agent.pid}/status").read_text()
    assert "Uid:\t65534" in status
    supervisor.stop(agent.running)


def bcc_folder():
    code = "import os, bcc; print(os.path.dirname(os.path.dirname(bcc.__file__)))"
    return subprocess.check_output(["/usr/bin/python3", "-Ic", code], text=True).strip()


@pytest.mark.parametrize("what", ["module", "folder"])
def test_without_bcc_the_package_to_install_is_named(what, need, written, tmp_path):
    """Not there, or there as an empty folder, which is what an interrupted installation leaves."""
    need("unshare")
    folder = bcc_folder() if what == "folder" else f"{bcc_folder()}/bcc"
    script = HIDDEN_BCC.format(folder=folder)
    before = observe()
    done = run(["unshare", "-m", "bash", "-c", script, "hide"], written, tmp_path)
    assert 3 == done.returncode, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("otelauto: ")
    assert "bcc" in last.lower()
    assert "python3-bpfcc" in last
    assert "Traceback" not in done.stderr
    assert {} == leftovers(before)


def counts_here(supervisor, tmp_path, *, port, page, loadgen, hide):
    """Start it with something hidden, send requests, and see them all."""
    runtimes.start_threaded(supervisor, port=port)
    command = ("unshare", "-m", "bash", "-c", f'{hide}; exec "$@"', "hide", *COMMAND)
    agent = start_agent(
        supervisor, tmp_path, f"ebpf: {{open_port: {port}}}\n", metrics_port=page, command=command
    )
    run_exact(loadgen, Load(port=port, requests=50))
    until(lambda: agent.requests() == {(): 50}, timeout_seconds=3)
    assert {(): 50} == agent.requests()
    supervisor.stop(agent.running)


def test_neither_tracefs_nor_kernel_headers_are_needed(
    need, supervisor, tmp_path, ports, port, loadgen
):
    """K1: no tracefs, no headers of any kernel, no sources of the kernel: all is counted."""
    need("unshare")
    release = platform.release()
    hide = (
        "umount -l /sys/kernel/tracing; umount -l /sys/kernel/debug; "
        f"mkdir -p /lib/modules/{release} /usr/src; "
        "mount -t tmpfs none /lib/modules; mount -t tmpfs none /usr/src"
    )
    counts_here(supervisor, tmp_path, port=port, page=ports(), loadgen=loadgen, hide=hide)


def test_planted_headers_and_temporary_files_are_never_used(
    need, supervisor, tmp_path, ports, port, loadgen
):
    """O7: what anybody may put into /tmp, where BCC would unpack headers, is not compiled."""
    need("unshare")
    planted = f"/tmp/kheaders-{platform.release()}/include/linux"
    hide = (
        "mkdir -p /lib/modules; "
        f"mount -t tmpfs none /lib/modules; mkdir -p {planted}; chown -R 65534 {planted}; "
        f"for name in kconfig.h types.h bpf.h; do echo '#error planted' > {planted}/$name; done"
    )
    try:
        counts_here(supervisor, tmp_path, port=port, page=ports(), loadgen=loadgen, hide=hide)
    finally:
        subprocess.run(["rm", "-rf", f"/tmp/kheaders-{platform.release()}"], check=True)


def test_a_state_directory_that_cannot_be_written_costs_memory_of_routes_only(
    supervisor, tmp_path, ports, port, loadgen
):
    """A full or read-only disk: told once, everything else goes on."""
    runtimes.start_threaded(supervisor, port=port)
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    env = {
        "OTELAUTO_ROUTES_STATE_DIRECTORY": str(blocked / "routes"),
        "STATE_DIRECTORY": str(blocked / "state"),
    }
    agent = start_agent(
        supervisor, tmp_path, f"ebpf: {{open_port: {port}}}\n", metrics_port=ports(), env=env
    )
    run_exact(loadgen, Load(port=port, requests=50))
    until(lambda: agent.requests() == {(): 50}, timeout_seconds=3)
    for _ in range(3):
        assert {(): 50} == agent.requests()
    supervisor.stop(agent.running)
    told = [line for line in agent.running.log_text(1 << 20).splitlines() if "cannot be" in line]
    assert 1 <= len(told) <= 2, told


def test_a_full_disk_costs_memory_of_routes_only(need, supervisor, tmp_path, ports, port, loadgen):
    """Not one byte is left where the state is kept: all requests are counted and none fails."""
    need("unshare")
    state = tmp_path / "state"
    state.mkdir()
    witness = tmp_path / "witness"
    hide = (
        f"mount -t tmpfs -o size=16k none {state}; "
        f"LC_ALL=C dd if=/dev/zero of={state}/filler bs=4k count=100 2> {witness}"
    )
    counts_here(supervisor, tmp_path, port=port, page=ports(), loadgen=loadgen, hide=hide)
    assert "No space left on device" in witness.read_text()
    assert "4+0 records out" in witness.read_text(), "all four pages are taken"


def test_the_agent_runs_on_another_python_than_bcc(supervisor, tmp_path, ports, port, loadgen):
    """The loader is the distribution's, whatever PATH and PYTHONPATH the agent was given."""
    runtimes.start_threaded(supervisor, port=port)
    env = {"PATH": "/nonexistent", "PYTHONSAFEPATH": "1"}
    command = (sys.executable, "-m", "otelauto", "-config", "{config}")
    agent = start_agent(
        supervisor,
        tmp_path,
        f"ebpf: {{open_port: {port}}}\n",
        metrics_port=ports(),
        env=env,
        command=command,
    )
    run_exact(loadgen, Load(port=port, requests=50))
    until(lambda: agent.requests() == {(): 50}, timeout_seconds=3)
    assert {(): 50} == agent.requests()
    supervisor.stop(agent.running)
