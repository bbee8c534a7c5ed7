from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.discovery.fakeproc import FakeProc

from otelauto.discovery.proc import (
    MAX_VARIABLE_BYTES,
    list_pids,
    open_process,
    otel_variables,
    parse_cmdline,
    parse_stat,
    read_stat,
)
from otelauto.discovery.sockets import SocketTables
from otelauto.model import Process

REAL = Path("/proc")
SERVER = """
import socket, sys, time
s = socket.create_server(("127.0.0.1", 0), backlog=5)
print(s.getsockname()[1], flush=True)
time.sleep(60)
"""


@pytest.fixture
def fake(tmp_path):
    return FakeProc(tmp_path)


def freeze(proc, pid):
    view = open_process(proc, pid, tables=SocketTables())
    if view is None:
        return None
    with view:
        return view.freeze()


def test_every_field_is_read(fake):
    fake.add(
        42,
        "/usr/bin/python3.11",
        cmdline=["python3", "/srv/a/app.py"],
        environ={"PATH": "/bin", "OTEL_SERVICE_NAME": "a=b", "PASSWORD": "x"},
        unit="a.service",
        cwd="/srv/a",
        parent=7,
        start=99,
        ports=[8001, 8443],
    )
    assert freeze(fake.path, 42) == Process(
        pid=42,
        start_ticks=99,
        exe="/usr/bin/python3.11",
        cmdline=("python3", "/srv/a/app.py"),
        environ={"OTEL_SERVICE_NAME": "a=b"},
        unit="a.service",
        cwd="/srv/a",
        listen_ports=frozenset({8001, 8443}),
        parent=7,
    )


def test_deleted_executable_keeps_its_name(fake):
    fake.add(42, "/usr/sbin/nginx (deleted)")
    assert freeze(fake.path, 42).exe == "/usr/sbin/nginx"


def test_names_of_any_bytes_are_read(fake):
    name = b"/srv/new\nline\xff".decode("utf-8", "surrogateescape")
    fake.add(42, name, comm=") S 1 (\n")
    process = freeze(fake.path, 42)
    assert (name, (name,), 1) == (process.exe, process.cmdline, process.parent)


def test_process_without_any_entry_but_its_stat_is_read_as_empty(fake):
    fake.add(42, "/bin/x", start=5)
    for entry in ("exe", "cmdline", "environ", "cgroup", "cwd", "net", "fd", "ns"):
        path = fake.path / "42" / entry
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    assert Process(42, 5, parent=1) == freeze(fake.path, 42)


@pytest.mark.parametrize("state", ["Z", "X"])
def test_zombie_is_no_process(fake, state):
    fake.add(42, "/bin/x", state=state)
    assert freeze(fake.path, 42) is None


def test_process_that_begins_to_exit_is_no_process(fake):
    fake.add(42, "/bin/x", flags=0x400004)
    assert freeze(fake.path, 42) is None


def test_process_that_ends_while_it_is_read_gives_no_half_read_value(fake):
    fake.add(42, "/bin/x")
    with open_process(fake.path, 42, tables=SocketTables()) as view:
        assert view.exe == "/bin/x"
        fake.exit(42)
        assert view.freeze() is None


def test_reused_id_is_not_read_as_the_earlier_process(fake):
    fake.add(42, "/bin/old")
    with open_process(fake.path, 42, tables=SocketTables()) as view:
        fake.add(42, "/bin/new", cmdline=["new", "secret"])
        assert view.cmdline == ()
        assert view.freeze() is None


def test_missing_process_and_missing_proc_are_no_error(tmp_path):
    assert open_process(tmp_path, 42, tables=SocketTables()) is None
    assert read_stat(tmp_path, 42) is None
    assert list_pids(tmp_path / "nowhere") == []


def test_closing_twice_is_harmless(fake):
    fake.add(42, "/bin/x")
    view = open_process(fake.path, 42, tables=SocketTables())
    assert view.stat.start_ticks == fake.start_of(42)
    view.close()
    view.close()
    assert (fake.start_of(42), "") == (view.stat.start_ticks, view.exe)


def test_only_numbers_are_processes(fake):
    fake.add(42)
    fake.add(7)
    for name in ("self", "net", "42x", "²"):
        (fake.path / name).mkdir()
    assert list_pids(fake.path) == [7, 42]


def test_two_megabytes_of_environment_hide_no_variable(fake):
    fake.add(
        42,
        "/bin/x",
        environ=b"A=" + b"x" * 2_000_000 + b"\0OTEL_SERVICE_NAME=a=b=c\0OTEL_SERVICE_NAME=2\0",
    )
    assert freeze(fake.path, 42).environ == {"OTEL_SERVICE_NAME": "a=b=c"}


def test_variable_beyond_the_kernels_limit_is_not_kept():
    huge = b"OTEL_SERVICE_NAME=" + b"x" * (2 * MAX_VARIABLE_BYTES)
    assert otel_variables([huge, b"\0OTEL_RESOURCE_ATTRIBUTES=a=1\0"]) == {
        "OTEL_RESOURCE_ATTRIBUTES": "a=1"
    }


def test_secrets_of_the_environment_are_never_kept():
    content = b"OTEL_EXPORTER_OTLP_HEADERS=authorization=s3cret\0TOKEN=s3cret\0"
    assert otel_variables([content]) == {}


@given(st.lists(st.binary()), st.data())
def test_variable_is_found_wherever_the_blocks_are_cut(before, data):
    content = b"\0".join(each.replace(b"\0", b"").replace(b"OTEL", b"") for each in before)
    content += b"\0OTEL_SERVICE_NAME=shop\0rest"
    cut = data.draw(st.integers(0, len(content)))
    assert otel_variables([content[:cut], content[cut:]]) == {"OTEL_SERVICE_NAME": "shop"}


@given(st.lists(st.binary()))
def test_any_environment_gives_only_wanted_variables(blocks):
    assert otel_variables(blocks).keys() <= {"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"}


@given(st.binary())
def test_any_stat_is_parsed_or_refused(content):
    stat = parse_stat(content)
    assert stat is None or isinstance(stat.start_ticks, int)


@given(st.binary(max_size=15).filter(lambda b: b"\0" not in b))
def test_any_name_of_a_process_leaves_the_numbers_right(comm):
    rest = b" S 7 1 1 0 -1 4194304" + b" 0" * 12 + b" 321 0 0\n"
    stat = parse_stat(b"42 (" + comm + b")" + rest)
    assert (7, 321, comm) == (
        stat.parent,
        stat.start_ticks,
        stat.comm.encode("utf-8", "surrogateescape"),
    )


@given(st.lists(st.binary(min_size=1).filter(lambda b: b"\0" not in b)))
def test_arguments_survive_the_round_trip(arguments):
    content = b"".join(each + b"\0" for each in arguments)
    parsed = parse_cmdline(content)
    assert arguments == [each.encode("utf-8", "surrogateescape") for each in parsed]


def test_padding_behind_a_title_is_no_argument():
    assert parse_cmdline(b"nginx: worker\0\0\0\0") == ("nginx: worker",)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.dictionaries(st.sampled_from(["cmdline", "environ", "cgroup"]), st.binary()))
def test_any_contents_of_the_entries_give_a_process(fake, contents):
    fake.add(42, "/bin/x", start=9)
    for entry, content in contents.items():
        (fake.path / "42" / entry).write_bytes(content)
    assert freeze(fake.path, 42).start_ticks == 9


# From here on: the kernel's own /proc and real processes.


@contextlib.contextmanager
def running(arguments, **options):
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, **options)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_real_server_is_read(tmp_path):
    script = tmp_path / "shop.py"
    script.write_text(SERVER)
    environ = {"OTEL_SERVICE_NAME": "shop", "PATH": os.environ["PATH"], "PASSWORD": "x"}
    with running([sys.executable, str(script)], env=environ, cwd=tmp_path) as child:
        port = int(child.stdout.readline())
        process = freeze(REAL, child.pid)
    assert os.path.realpath(sys.executable) == process.exe
    assert (sys.executable, str(script)) == process.cmdline
    assert process.environ == {"OTEL_SERVICE_NAME": "shop"}
    assert (frozenset({port}), str(tmp_path)) == (process.listen_ports, process.cwd)
    assert os.getpid() == process.parent
    uptime_seconds = float((REAL / "uptime").read_text().split()[0])
    assert abs(process.start_ticks / os.sysconf("SC_CLK_TCK") - uptime_seconds) < 30


def test_real_client_ports_are_not_listening_ports():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = (
            f"import socket, time; s = socket.create_connection(('127.0.0.1', {port}));"
            "print(1, flush=True); time.sleep(60)"
        )
        with running([sys.executable, "-c", code]) as child:
            child.stdout.readline()
            assert freeze(REAL, child.pid).listen_ports == frozenset()
        assert port in freeze(REAL, os.getpid()).listen_ports


def test_real_server_on_ipv6_is_read():
    code = SERVER.replace('("127.0.0.1", 0)', '("::1", 0), family=socket.AF_INET6')
    with running([sys.executable, "-c", code]) as child:
        line = child.stdout.readline()
        if not line:
            pytest.skip("this machine has no IPv6")
        assert frozenset({int(line)}) == freeze(REAL, child.pid).listen_ports


def can_unshare(*flags):
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(["unshare", *flags, "true"], check=False, capture_output=True).returncode
        == 0
    )


def test_real_server_in_another_network_namespace_is_read():
    """Its table is its own: the same port number on the host belongs to another socket."""
    if not can_unshare("-n"):
        pytest.skip("cannot make a network namespace: needs root")
    code = "import os; os.system('ip link set lo up');" + SERVER.replace(
        '("127.0.0.1", 0)', '("", 8080)'
    )
    with running(["unshare", "-n", sys.executable, "-c", code]) as child:
        assert child.stdout.readline() == "8080\n"
        tables = SocketTables()
        with open_process(REAL, os.getpid(), tables=tables) as own:
            assert 8080 not in own.listen_ports
        with open_process(REAL, child.pid, tables=tables) as view:
            assert frozenset({8080}) == view.listen_ports


def test_real_server_in_another_pid_namespace_is_read_by_the_hosts_id():
    if not can_unshare("-pf"):
        pytest.skip("cannot make a pid namespace: needs root")
    with running(["unshare", "-pf", sys.executable, "-c", SERVER]) as child:
        port = int(child.stdout.readline())
        inner = int((REAL / f"{child.pid}/task/{child.pid}/children").read_text().split()[0])
        try:
            process = freeze(REAL, inner)
        finally:
            os.kill(inner, 9)
    assert (frozenset({port}), child.pid) == (process.listen_ports, process.parent)


def test_real_blank_first_argument_is_read():
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("no bash")
    with running([shell, "-c", f"exec -a ' ' {sys.executable} -c '{SERVER}'"]) as child:
        child.stdout.readline()
        process = freeze(REAL, child.pid)
    assert process.cmdline[:2] == (" ", "-c")
    assert os.path.realpath(sys.executable) == process.exe


def test_real_deleted_executable_with_a_strange_name_is_read(tmp_path):
    path = os.fsencode(tmp_path) + b"/sl\nee\xffp"
    shutil.copy(os.path.realpath(shutil.which("sleep")), path)
    child = subprocess.Popen([path, "60"])
    try:
        deadline = time.monotonic() + 5
        while (
            os.readlink(f"/proc/{child.pid}/exe").encode(  # noqa: PTH115 - bytes
                "utf-8", "surrogateescape"
            )
            != path
        ):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        Path(os.fsdecode(path)).unlink()
        assert path == freeze(REAL, child.pid).exe.encode("utf-8", "surrogateescape")
    finally:
        child.kill()
        child.wait()


def test_real_program_in_memory_is_read():
    code = (
        "import os, shutil; f = os.memfd_create('payload', 0);"
        f"f2 = os.fdopen(os.dup(f), 'wb'); f2.write(open('{shutil.which('sleep')}', 'rb').read());"
        "f2.flush(); f2.close(); os.execv(f'/proc/self/fd/{f}', ['sleep', '60'])"
    )
    with running([sys.executable, "-c", code]) as child:
        deadline = time.monotonic() + 5
        while "memfd" not in freeze(REAL, child.pid).exe:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert freeze(REAL, child.pid).exe == "/memfd:payload"


def test_real_zombie_is_no_process():
    child = subprocess.Popen(["true"])
    try:
        deadline = time.monotonic() + 5
        while freeze(REAL, child.pid) is not None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert (REAL / str(child.pid)).exists()
    finally:
        child.wait()


def test_real_kernel_thread_is_recognised():
    stat = read_stat(REAL, 2)
    if stat is None or stat.parent != 0:
        pytest.skip("no kernel threads in this pid namespace")
    assert stat.kernel_thread
    assert not read_stat(REAL, os.getpid()).kernel_thread


def test_descriptors_are_given_back(fake):
    fake.add(42, "/bin/x", environ={"OTEL_SERVICE_NAME": "a"}, ports=[80])
    before = len(list((REAL / "self/fd").iterdir()))
    for _ in range(50):
        freeze(fake.path, 42)
        freeze(REAL, os.getpid())
    assert before == len(list((REAL / "self/fd").iterdir()))


def test_environment_of_two_megabytes_costs_little_memory(fake):
    fake.add(42, "/bin/x", environ=b"A=" + b"x" * 2_000_000 + b"\0")
    tracemalloc.start()
    try:
        freeze(fake.path, 42)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000
