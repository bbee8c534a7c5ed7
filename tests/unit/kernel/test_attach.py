from __future__ import annotations

import errno
import os

import pytest
from tests.unit.kernel import toy

from otelauto.errors import LoadError
from otelauto.kernel.attach import Attachments, AttachResult, Hook, HookKind, attach
from otelauto.kernel.bpf import ProgramType, load_program

RAW = HookKind.RAW_TRACEPOINT
EXEC = Hook("p", RAW, "sched_process_exec")
GONE = Hook("p", RAW, "no_such", optional=True, consequence="nothing is counted")


@pytest.fixture
def programs(keep):
    return {"p": keep(load_program(ProgramType.RAW_TRACEPOINT, toy.returns(0)))}


@pytest.mark.parametrize(
    ("hook", "name"),
    [
        (EXEC, "raw_tracepoint:sched_process_exec"),
        (Hook("p", HookKind.TRACEPOINT, "a:b"), "tracepoint:a:b"),
        (Hook("p", HookKind.URETPROBE, "/x/lib.so", offset=0x16), "uretprobe:/x/lib.so+0x16"),
    ],
)
def test_a_hook_is_named_by_kind_and_place(hook, name):
    assert name == hook.name


def test_a_program_that_is_not_loaded_is_a_result_for_an_optional_hook():
    with attach([GONE], {}) as attachments:
        assert [
            AttachResult(
                "raw_tracepoint:no_such",
                ok=False,
                error_number=errno.ENOENT,
                consequence="nothing is counted",
                reason="program p is not loaded",
            )
        ] == attachments.results


def test_a_program_that_is_not_loaded_is_an_error_for_a_required_hook():
    with pytest.raises(LoadError, match="program p is not loaded"):
        attach([EXEC], {})


def test_a_tracepoint_without_tracefs_says_what_to_do(tmp_path):
    hook = Hook("p", HookKind.TRACEPOINT, "syscalls:sys_exit_read")
    with pytest.raises(LoadError, match="is tracefs mounted") as caught:
        attach([hook], {"p": 0}, tracefs=tmp_path)
    assert "cannot attach p to tracepoint:syscalls:sys_exit_read" in caught.value.message


def test_a_damaged_description_of_the_event_source_is_a_result(tmp_path):
    (tmp_path / "uprobe").mkdir()
    (tmp_path / "uprobe" / "type").write_text("nonsense")
    hook = Hook("p", HookKind.UPROBE, "/bin/true", offset=1, optional=True)
    with attach([hook], {"p": 0}, devices=tmp_path) as attachments:
        assert [errno.EINVAL] == [result.error_number for result in attachments.degraded]


@pytest.mark.live
class TestLive:
    def test_what_can_be_attached_is_and_what_cannot_is_reported(self, programs):
        with attach([EXEC, GONE], programs) as attachments:
            assert [True, False] == [result.ok for result in attachments.results]
            assert 1 == len(attachments)
            (missing,) = attachments.degraded
        assert ("raw_tracepoint:no_such", errno.ENOENT, "nothing is counted") == (
            missing.name, missing.error_number, missing.consequence
        )  # fmt: skip
        assert "BPF_RAW_TRACEPOINT_OPEN no_such" in missing.reason

    def test_a_required_hook_that_fails_detaches_the_others(self, programs, descriptors):
        before = descriptors()
        with pytest.raises(LoadError, match="this kernel does not have it"):
            attach([EXEC, Hook("p", RAW, "no_such")], programs)
        assert before == descriptors()

    def test_closing_detaches_all_and_may_be_repeated(self, programs, descriptors):
        before = descriptors()
        attachments = attach([EXEC, Hook("p", RAW, "sched_process_exit")], programs)
        attachments.close()
        attachments.close()
        assert before == descriptors()

    def test_one_hook_is_attached_once_and_can_be_removed(self, programs, descriptors):
        before = descriptors()
        with Attachments() as attachments:
            assert attachments.add(EXEC, programs["p"]).ok
            assert attachments.add(EXEC, programs["p"]).ok
            assert 1 == len(attachments)
            assert attachments.remove(EXEC) is True
            assert attachments.remove(EXEC) is False
            assert [] == attachments.results
        assert before == descriptors()

    def test_20_attached_and_removed_hooks_leave_no_descriptor(self, keep, descriptors, tmp_path):
        """Case L3: a new inode each time, gone before the probe is."""
        program = keep(load_program(ProgramType.KPROBE, toy.returns(0)))
        code = tmp_path / "code"
        before = descriptors()
        with Attachments() as attachments:
            for number in range(20):  # 0.1 s each: the kernel waits for its CPUs
                code.write_bytes(b"\x90" * 4096)
                hook = Hook("p", HookKind.UPROBE, str(code), offset=8 * number)
                assert attachments.add(hook, program).ok
                os.unlink(code)  # noqa: PTH108
                assert attachments.remove(hook)
        assert before == descriptors()
