from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from struct import Struct

import pytest
from tests.unit.kernel import toy

from otelauto.errors import LoadError
from otelauto.kernel import bpf, layout, preflight
from otelauto.kernel.attach import Hook, HookKind, attach
from otelauto.kernel.bpf import MapType, ProgramType
from otelauto.kernel.diagnosis import Layout
from otelauto.kernel.loader import LoadRequest, Program, interpreters, load
from otelauto.kernel.maps import HashMap, PerCpuArray, possible_cpus
from otelauto.kernel.ring import RingReader
from otelauto.kernel.source import bpf_folder

#: What every false child starts with: the protocol of the real one, as far as it keeps to it.
PROTOCOL = """
import array, json, os, signal, socket, struct, sys, time
channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=int(sys.argv[1]))
def read():
    (count,) = struct.unpack("!I", channel.recv(4))
    content = b""
    while len(content) < count:
        content += channel.recv(count - len(content))
    return json.loads(content)
def write(content):
    channel.sendall(struct.pack("!I", len(content)) + content)
def good(programs=(), maps=(), refused=None, layouts=()):
    return json.dumps({"ok": True, "programs": programs, "refused": refused or {}, "maps": maps,
                       "layouts": layouts, "bcc": "0", "seconds": {}}).encode()
def send(*descriptors, content=b"D"):
    rights = array.array("i", descriptors).tobytes()
    channel.sendmsg([content], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def false_load(tmp_path, descriptors):
    """Runs load() with a child that does this; nothing may be left open or running."""

    def run(code: str, *, timeout_seconds: float = 20.0, request: LoadRequest | None = None):
        child = tmp_path / "child.py"
        child.write_text(PROTOCOL + code)
        before = descriptors()
        try:
            load(
                request
                or LoadRequest(source="x" * 300_000, programs=[], state_dir=tmp_path / "s"),
                timeout_seconds=timeout_seconds,
                candidates=[sys.executable],
                child=child,
            ).close()
        finally:
            assert before == descriptors()
            with pytest.raises(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)

    return run


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("die()", "it was ended by SIGKILL before it answered"),
        ("read(); die()", "it was ended by SIGKILL before it answered"),
        ("read(); os.abort()", "it was ended by SIGABRT before it answered"),
        ("read(); sys.exit(3)", "it ended with status 3 before it answered"),
        ("read(); channel.sendall(b'\\0\\0'); die()", "it was ended by SIGKILL"),
        ("read(); write(good(['p'], ['m'])); die()", "it was ended by SIGKILL"),
        ("read(); write(good(['p'], ['m'])); send(0); die()", "it was ended by SIGKILL"),
        ("read(); write(b'nonsense')", "it answered 'nonsense' (JSONDecodeError)"),
        ("read(); write(b'[]')", "it answered '[]' (TypeError)"),
        ("read(); write(b'{\"ok\": true}')", "(KeyError)"),
        ("read(); channel.sendall(b'\\xff' * 4)", "an answer of 4294967295 bytes is no answer"),
        ("read(); write(good(['p'])); send(0, 1, 2)", "3 descriptors instead of 1"),
    ],
)
def test_a_child_that_breaks_the_protocol_is_an_error_that_says_how(false_load, code, message):
    with pytest.raises(LoadError) as caught:
        false_load(code)
    assert message in caught.value.message
    assert caught.value.hint
    assert 3 == caught.value.exit_code


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("read(); write(good(['p'])); send(0)", "a descriptor that is no prog"),
        ("read(); write(good([], ['m'])); send(0)", "a descriptor that is no map"),
        ("read(); write(good([], [], {'p': 'why'}))", "for other programs or maps than"),
    ],
)
def test_descriptors_are_what_was_asked_for_or_an_error(false_load, code, message):
    programs = [] if "refused" in code or "'why'" in code else [Program("p", ProgramType.KPROBE)]
    request = LoadRequest(source="", programs=programs, maps=["other"])
    with pytest.raises(LoadError, match=message):
        false_load(code, request=request)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("time.sleep(60)", "it did not read its request in time"),
        ("read(); time.sleep(60)", "it did not answer in time"),
        ("read(); write(good(['p'])); time.sleep(60)", "it did not answer in time"),
    ],
)
def test_a_child_that_hangs_is_ended_at_the_deadline(false_load, code, message):
    start = time.monotonic()
    with pytest.raises(LoadError, match=f"took longer than 1 s: {message}"):
        false_load(code, timeout_seconds=1.0, request=LoadRequest("x" * 2_000_000, []))
    assert time.monotonic() - start < 10


def test_a_child_that_answers_and_stays_is_ended_too(false_load):
    start = time.monotonic()
    false_load("read(); write(good()); time.sleep(60)", request=LoadRequest("", []))
    assert time.monotonic() - start < 10


def test_what_a_child_printed_is_in_the_message_and_in_a_private_file(false_load, tmp_path):
    with pytest.raises(LoadError) as caught:
        false_load(
            "read(); print('LLVM ERROR: odd input', file=sys.stderr, flush=True); os.abort()"
        )
    path = tmp_path / "s" / "loader.log"
    assert "LLVM ERROR: odd input" in caught.value.message
    assert f"the whole log is in {path}" in caught.value.message
    assert "LLVM ERROR: odd input\n" == path.read_text()


def test_a_child_gets_none_of_our_variables_or_descriptors(false_load, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret")
    monkeypatch.setenv("ARCH", "mips")
    report = (
        "read(); raise SystemExit(sorted(set(os.environ) - {'LC_CTYPE'}) + "
        "[int(fd) for fd in os.listdir('/proc/self/fd') if int(fd) > 2])"
    )
    with pytest.raises(LoadError) as caught:
        false_load(report, request=LoadRequest("", [], kernel_source=Path("/k")))
    # The channel, and the listing of the folder itself.
    assert "['BCC_KERNEL_SOURCE', 'LC_ALL', 'PATH', " in caught.value.message
    assert 2 == caught.value.message.partition("'PATH', ")[2].partition("]")[0].count(",") + 1


def test_an_interpreter_that_does_not_exist_is_an_error(descriptors):
    before = descriptors()
    with pytest.raises(LoadError, match="cannot run the loader with /no/python"):
        load(LoadRequest("", []), candidates=["/no/python"])
    assert before == descriptors()


def test_without_any_interpreter_the_package_is_named():
    with pytest.raises(LoadError, match="install python3-bpfcc"):
        load(LoadRequest("", []), candidates=[])


NO_BCC = """read(); write(json.dumps({"ok": False, "stage": "bcc", "errno": 2, "program": "",
                                      "message": "No module named 'bcc'"}).encode())"""


def test_the_first_interpreters_lack_of_bcc_is_reported(false_load):
    with pytest.raises(LoadError) as caught:
        false_load(NO_BCC)
    assert f"{sys.executable} cannot import bcc: No module named 'bcc'" == caught.value.message
    assert "python3-bpfcc" in caught.value.hint


def test_the_distributions_interpreter_comes_first_and_each_is_named_once(tmp_path):
    for name in ("bin/python3.11", "bin/python3.9", "bin/python3-config", "local/bin/python3"):
        path = tmp_path / "usr" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "usr/bin/python3").symlink_to("python3.11")
    assert (
        f"{tmp_path}/usr/bin/python3",
        f"{tmp_path}/usr/bin/python3.9",
        f"{tmp_path}/usr/local/bin/python3",
    ) == interpreters(tmp_path)


def pss_kib() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Pss:")))


SEEN = Layout("seen", "value", 16, {"kind": 0, "len": 4, "value": 8})


@pytest.mark.live
class TestLive:
    def test_a_program_from_its_text_to_its_records(self, record_property):
        """Compile, load, fill a tail call, attach, read ring and maps: the whole way."""
        before = pss_kib()
        with load(toy.request(witnesses=[SEEN])) as loaded:
            record_property("seconds", loaded.seconds)
            bpf.set_program(loaded.maps["jumps"].fd, 2, program_fd=loaded.programs["second"])
            hook = Hook("first", HookKind.RAW_TRACEPOINT, "sys_exit")
            with RingReader(loaded.maps["ring"].fd) as ring, select.epoll() as poll:
                poll.register(ring.fileno(), select.EPOLLIN)
                with attach([hook], loaded.programs):
                    for _ in range(101):
                        os.getppid()
                assert poll.poll(1)
                records = [Struct("=IIQ").unpack(one) for one in ring.read()]
            table = HashMap(loaded.maps["seen"].fd, Struct("=Q"), Struct("=IIQ"))
            parent = table.get((os.getppid(),))
            (runs,) = PerCpuArray(
                loaded.maps["counts"].fd, Struct("=Q"), cpus=possible_cpus()
            ).total(1)
            grown = pss_kib() - before
        record_property("pss_growth_kib", grown)
        # raw_syscalls:sys_exit has the result as its second argument.
        assert len([one for one in records if one == (2, 16, os.getppid())]) >= 101
        assert (2, 16, os.getppid()) == parent
        assert runs >= len(records) >= 101
        assert grown < 8192, "LLVM must not be in this process"

    def test_the_kernel_says_what_was_loaded(self):
        with load(toy.request()) as loaded:
            assert ["first", "second"] == list(loaded.programs)
            assert "second" == bpf.program_info(loaded.programs["second"]).name
            kinds = {name: one.type for name, one in loaded.maps.items()}
            assert {
                "seen": MapType.HASH,
                "counts": MapType.PERCPU_ARRAY,
                "ring": MapType.RINGBUF,
                "jumps": MapType.PROG_ARRAY,
            } == kinds
            ring = loaded.maps["ring"]
            assert 16 * os.sysconf("SC_PAGE_SIZE") == ring.max_entries
            assert {"import", "compile", "load"} == set(loaded.stages)
            assert loaded.bcc

    def test_200_loaded_and_closed_descriptors_leave_none(self, descriptors):
        before = descriptors()
        many = "".join(
            f"int p{number}(struct bpf_raw_tracepoint_args *ctx) {{ return {number}; }}\n"
            for number in range(200)
        )
        programs = [Program(f"p{number}", ProgramType.RAW_TRACEPOINT) for number in range(200)]
        with load(toy.request(source=many, programs=programs, maps=[])) as loaded:
            assert 199 == bpf.run_raw_tracepoint(loaded.programs["p199"], ())
        assert before == descriptors()

    def test_one_function_is_loaded_under_two_types(self):
        source = "int f(void *ctx) { return 1; }\n"
        programs = [
            Program("f", ProgramType.RAW_TRACEPOINT, name="f_raw"),
            Program("f", ProgramType.KPROBE, name="f_uprobe"),
        ]
        with load(toy.request(source=source, programs=programs, maps=[])) as loaded:
            assert {"f_raw": ProgramType.RAW_TRACEPOINT, "f_uprobe": ProgramType.KPROBE} == {
                name: bpf.program_info(fd).type for name, fd in loaded.programs.items()
            }

    def test_a_name_that_bcc_would_attach_by_itself_is_only_loaded(self):
        source = "RAW_TRACEPOINT_PROBE(no_such_tracepoint) { return 0; }\n"
        program = Program("raw_tracepoint__no_such_tracepoint", ProgramType.RAW_TRACEPOINT)
        with load(toy.request(source=source, programs=[program], maps=[])) as loaded:
            assert [program.function] == list(loaded.programs)

    def test_a_compilers_error_names_file_and_line(self, tmp_path, descriptors):
        before = descriptors()
        with pytest.raises(LoadError) as caught:
            load(toy.request(source='#line 7 "core/x.h"\nint a = b;\n', state_dir=tmp_path))
        assert (
            "the kernel programs do not compile: core/x.h:7:9: error: use of undeclared identifier"
        ) in caught.value.message
        assert "undeclared" in (tmp_path / "loader.log").read_text()
        assert before == descriptors()

    REFUSED = """
BPF_TABLE("hash", int, u64, numbers, 1);
int reads_null(struct bpf_raw_tracepoint_args *ctx)
{
    int index = 0;
    u64 *number = numbers.lookup(&index);
    return *number;
}
int fine(struct bpf_raw_tracepoint_args *ctx) { return 4; }
"""
    READS_NULL = Program("reads_null", ProgramType.RAW_TRACEPOINT)
    FINE = Program("fine", ProgramType.RAW_TRACEPOINT)

    def test_the_verifiers_reason_is_in_the_message_and_its_log_in_a_file(self, tmp_path):
        request = toy.request(
            source=self.REFUSED, programs=[self.FINE, self.READS_NULL], maps=[],
            state_dir=tmp_path,
        )  # fmt: skip
        with pytest.raises(LoadError) as caught:
            load(request)
        assert "the kernel refuses program reads_null: " in caught.value.message
        assert "R0 invalid mem access 'map_value_or_null'" in caught.value.message
        assert f"the whole log is in {tmp_path}/loader.log" in caught.value.message
        log = (tmp_path / "loader.log").read_text()
        assert "R0 invalid mem access" in log
        assert len(log) > len(caught.value.message) / 2

    def test_an_optional_program_that_is_refused_stops_nothing_else(self):
        optional = Program("reads_null", ProgramType.RAW_TRACEPOINT, optional=True)
        request = toy.request(
            source=self.REFUSED, programs=[optional, self.FINE], maps=["numbers"]
        )
        with load(request) as loaded:
            assert ["fine"] == list(loaded.programs)
            assert ["reads_null"] == list(loaded.refused)
            assert "R0 invalid mem access" in loaded.refused["reads_null"]
            assert 4 == bpf.run_raw_tracepoint(loaded.programs["fine"], ())

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"maps": ["gone"]}, "no such map: gone"),
            ({"programs": [Program("gone", ProgramType.KPROBE)]}, "program gone"),
            (
                {"witnesses": [Layout("seen", "value", 24, {"kind": 0, "value": 16})]},
                (
                    "value of map seen: 16 bytes instead of 24; value of map seen: member value "
                    "at 8 instead of 16; value of map seen: unknown member len"
                ),
            ),
            ({"witnesses": [Layout("gone", "key", 8, {})]}, "no such map: gone"),
        ],
    )  # fmt: skip
    def test_programs_that_are_not_what_is_expected_are_refused(
        self, changes, message, descriptors
    ):
        before = descriptors()
        with pytest.raises(LoadError, match=message):
            load(toy.request(**changes))
        assert before == descriptors()

    def test_members_of_kernel_structures_cannot_be_used_by_accident(self):
        source = "int f(void *c) { struct task_struct *t = c; return t->pid; }\n"
        with pytest.raises(LoadError, match="incomplete definition of type 'struct task_struct'"):
            load(toy.request(source=source, programs=[], maps=[]))

    def test_offsets_reach_the_programs(self):
        """The C side of layout.py: the thread group id of this process, read by a program."""
        source = """
int f(struct bpf_raw_tracepoint_args *ctx)
{
    u32 tgid = 0;
    u64 task = bpf_get_current_task();
    bpf_probe_read_kernel(&tgid, sizeof(tgid), (void *)(task + OFF_task_struct_tgid));
    return tgid;
}
"""
        program = Program("f", ProgramType.RAW_TRACEPOINT)
        cflags = layout.from_btf().cflags
        with load(
            toy.request(source=source, programs=[program], maps=[], cflags=cflags)
        ) as loaded:
            assert os.getpid() == bpf.run_raw_tracepoint(loaded.programs["f"], ())

    def test_headers_planted_in_tmp_are_not_used(self):
        """Case O7: a folder that BCC would trust, prepared by another user."""
        code = """
import os, pathlib
from tests.unit.kernel import toy
from otelauto.kernel.loader import load
planted = pathlib.Path(f"/tmp/kheaders-{os.uname().release}/include/linux")
planted.mkdir(parents=True)
(planted / "kconfig.h").write_text("#define PLANTED 1\\n")
source = toy.SOURCE + "\\n#ifdef PLANTED\\n#error planted\\n#endif\\n"
with load(toy.request(source=source)) as loaded:
    print(len(loaded.programs))
"""
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c",
             'mount --make-rprivate / && mount -t tmpfs none /tmp && exec "$0" -c "$1"',
             sys.executable, code],
            env=os.environ | {"PYTHONPATH": "agent:.", "TMPDIR": "/tmp"},
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert "2" == done.stdout.strip(), done.stderr

    def test_an_agent_killed_while_it_loads_leaves_neither_child_nor_program(self):
        code = (
            "from tests.unit.kernel import toy\n"
            "from otelauto.kernel.loader import load\n"
            "print('go', flush=True)\n"
            "load(toy.request())\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": "agent:."},
            stdout=subprocess.PIPE,
            text=True,
        ) as agent:
            assert agent.stdout is not None
            agent.stdout.readline()
            children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children")
            deadline = time.monotonic() + 10
            while not (pids := children.read_text().split()) and time.monotonic() < deadline:
                time.sleep(0.005)
            agent.send_signal(signal.SIGKILL)
        while Path(f"/proc/{pids[0]}").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not Path(f"/proc/{pids[0]}").exists()

    def test_without_privilege_the_error_says_so(self):
        code = (
            "from tests.unit.kernel import toy\n"
            "from otelauto.kernel.loader import load\n"
            "from otelauto.errors import LoadError\n"
            "try:\n    load(toy.request())\n"
            "except LoadError as error:\n    print(error)\n"
        )
        done = subprocess.run(
            ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": "agent:."},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "the kernel does not give us map jumps: Operation not permitted" in done.stdout
        assert "otelauto check" in done.stdout

    def test_headers_of_the_kernel_folder_are_those_of_the_package(self):
        assert (bpf_folder() / "include/linux/kconfig.h").is_file()
        assert preflight.interpreters()
