"""Readings of /proc give seconds and bytes."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from tests.bench.measure import cpu_seconds, descendants, median, pss_bytes
from tests.bench.scenarios import alternate

TASK = "S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 2 0 1 1 1"


def fake(tmp_path, *, schedstat):
    task = tmp_path / "7" / "task"
    for thread in ("7", "8"):
        (task / thread).mkdir(parents=True)
        if schedstat:
            (task / thread / "schedstat").write_text("1500000000 9 9\n")
    (tmp_path / "7" / "stat").write_text(f"7 (a) b) {TASK}\n")
    (tmp_path / "7" / "smaps_rollup").write_text("Rss: 9000 kB\nPss:  2000 kB\nPss_Anon: 1 kB\n")
    return tmp_path


def test_cpu_time_is_the_sum_over_threads(tmp_path):
    assert 3.0 == cpu_seconds([7], fake(tmp_path, schedstat=True))


def test_cpu_time_comes_from_ticks_where_the_kernel_keeps_no_schedstat(tmp_path):
    assert 2.0 == cpu_seconds([7], fake(tmp_path, schedstat=False))


def test_memory_is_the_proportional_set_in_bytes(tmp_path):
    assert 2000 * 1024 == pss_bytes([7], fake(tmp_path, schedstat=True))


def test_a_busy_process_is_charged_what_it_used():
    code = "import time\nwhile time.process_time() < 0.2: pass\nprint('x', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        assert 0.2 <= cpu_seconds([process.pid]) < 0.5
        process.stdin.write(b"\n")


def test_descendants_go_all_the_way_down():
    shell = ["bash", "-c", "bash -c 'sleep 30 & wait' & wait"]
    with subprocess.Popen(shell, start_new_session=True) as process:
        deadline = time.monotonic() + 5
        while len(descendants(process.pid)) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        found = descendants(process.pid)
        subprocess.run(["kill", *map(str, found)], check=True)
    assert 3 == len(found)


@pytest.mark.parametrize(("values", "middle"), [([3, 1, 2], 2), ([4, 1, 2, 3], 2.5)])
def test_the_median_is_in_the_middle(values, middle):
    assert middle == median(values)


def test_no_values_have_no_median():
    with pytest.raises(ValueError, match="no values"):
        median([])


def test_a_run_is_compared_with_its_neighbours_so_that_drift_cancels():
    speeds = iter([100, 90, 80, 70, 60])
    falling = iter([95 * 0.9, 85 * 0.9, 75 * 0.9, 65 * 0.9])
    ratio = alternate(4, lambda: next(speeds), lambda: next(falling))
    assert abs(ratio - 0.9) < 1e-9
