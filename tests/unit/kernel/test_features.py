from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from otelauto.kernel import features
from otelauto.kernel.features import instruction, probe, probe_uprobes

PROBED = sorted(set(features.Features.__dataclass_fields__) - {"possible_cpus", "errors"})


def test_an_instruction_is_eight_bytes_with_both_registers_in_one():
    assert bytes.fromhex("61 31 f8ff 05000000") == instruction(0x61, dst=1, src=3, off=-8, imm=5)


def test_a_kernel_that_refuses_everything_has_no_feature_but_a_number_of_cpus(
    tmp_path, monkeypatch
):
    def refuse(*_args, **_names):
        raise OSError(errno.EPERM, "no")

    for name in ("load_program", "create_map", "attach_raw_tracepoint", "perf_event_open"):
        monkeypatch.setattr(features, name, refuse)
    found = probe(tmp_path)
    assert dict.fromkeys(PROBED, False) == {name: getattr(found, name) for name in PROBED}
    assert (errno.EPERM, errno.ENOENT) == (
        found.error_number("ring_buffer"), found.error_number("btf")
    )  # fmt: skip
    assert (os.cpu_count() or 1) == found.possible_cpus


def test_a_damaged_file_of_sys_is_a_missing_feature(tmp_path):
    path = tmp_path / "sys/bus/event_source/devices/kprobe/type"
    path.parent.mkdir(parents=True)
    path.write_text("nonsense")
    assert errno.EINVAL == features._errno_of(lambda: features._has_kprobes(path.parents[1]))


@pytest.mark.parametrize(
    ("number", "works"), [(errno.EACCES, True), (errno.EINVAL, False), (errno.EPERM, False)]
)
def test_the_loop_helper_is_told_by_what_the_verifier_dislikes(monkeypatch, number, works):
    def refuse(_code):
        raise OSError(number, "no")

    monkeypatch.setattr(features, "_load", refuse)
    assert works is (features._errno_of(features._has_loop_helper) == 0)


@pytest.mark.live
class TestLive:
    @pytest.fixture
    def found(self):
        return probe()

    def test_a_feature_is_missing_exactly_if_it_has_an_errno(self, found):
        assert {name: name not in found.errors for name in PROBED} == {
            name: getattr(found, name) for name in PROBED
        }

    def test_what_every_supported_kernel_has_is_found(self, found):
        assert (True, True, True, True) == (
            found.sys_exit, found.bounded_loops, found.lru_hash, found.ring_buffer
        )  # fmt: skip

    def test_probing_agrees_with_what_the_kernel_lists(self, found):
        """The kernel's own lists are an independent witness."""
        assert Path("/sys/kernel/btf/vmlinux").exists() is found.btf
        assert Path("/sys/bus/event_source/devices/kprobe").exists() is found.kprobes
        events = Path("/sys/kernel/tracing/events/sock")
        if events.is_dir():
            assert (events / "sock_send_length").exists() is found.sock_length

    def test_uprobes_work_for_root(self):
        assert 0 == probe_uprobes().events

    def test_uprobes_without_cap_sys_admin_are_links_only(self):
        code = (
            "from otelauto.kernel.features import probe, probe_uprobes\n"
            "print(probe().ring_buffer, probe_uprobes().events)\n"
        )
        rights = "-all,+bpf,+perfmon"
        done = subprocess.run(
            ["setpriv", f"--bounding-set={rights}", "--inh-caps=-all", sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": "agent"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"True {errno.EACCES}" == done.stdout.strip(), done.stderr

    def test_probing_leaves_no_descriptor(self, descriptors):
        before = descriptors()
        probe()
        probe_uprobes()
        assert before == descriptors()
