"""The tables of programs, hooks and maps, and the definitions, are those of the C sources."""

from __future__ import annotations

import itertools
import re

import pytest

from otelauto.abi import _layout as abi
from otelauto.kernel.bpf import ProgramType
from otelauto.kernel.programs import (
    WITNESSES,
    KernelSettings,
    cflags,
    hooks,
    jumps,
    maps,
    programs,
)
from otelauto.kernel.source import bpf_folder, expand

WAYS = ("sock", "syscall")
SETTINGS = KernelSettings("auto", (0.0, 0.005, 2.5), (0.0, 100.0), (2.5,), 1000, 500, 7)
FRONT_ENDS = {"sock": {"sock_recv_length", "sock_send_length"}, "syscall": {"sys_exit"}}


def all_sources():
    folder = bpf_folder()
    paths = [folder / "main.bpf.c", *folder.glob("*.h"), *folder.glob("core/*.h")]
    paths += folder.glob("probes/*.h")
    return "\n".join(path.read_text() for path in paths)


SOURCES = all_sources()
#: Functions that are programs: they take the context of a raw tracepoint and are not inlined.
FUNCTIONS = set(
    re.findall(r"^int (\w+)\(struct bpf_raw_tracepoint_args \*ctx\)", SOURCES, re.MULTILINE)
)
TABLES = set(re.findall(r"^BPF_TABLE\([^;]*?(\w+), \w+\);", SOURCES, re.MULTILINE)) | set(
    re.findall(r"^BPF_(?:RINGBUF_OUTPUT|PROG_ARRAY)\((\w+),", SOURCES, re.MULTILINE)
)


def names(way):
    return [program.name or program.function for program in programs(way, spans=True)]


def test_every_program_of_the_sources_is_loaded_by_some_way_and_no_other():
    assert FUNCTIONS == {name for way in WAYS for name in names(way)}


@pytest.mark.parametrize("way", WAYS)
def test_each_program_is_loaded_once_as_a_raw_tracepoint(way):
    assert len(names(way)) == len(set(names(way)))
    assert {ProgramType.RAW_TRACEPOINT} == {program.type for program in programs(way, spans=True)}


@pytest.mark.parametrize("way", WAYS)
def test_a_way_has_its_own_front_end_and_not_the_others(way):
    (other,) = set(WAYS) - {way}
    assert FRONT_ENDS[way] <= set(names(way))
    assert not FRONT_ENDS[other] & set(names(way))


@pytest.mark.parametrize("way", WAYS)
def test_every_hook_has_its_program_and_only_the_traffic_cannot_be_done_without(way):
    found = hooks(way)
    assert {hook.program for hook in found} <= set(names(way))
    assert FRONT_ENDS[way] == {hook.program for hook in found if not hook.optional}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_missing_without_an_optional_hook_is_told(way):
    assert all(hook.consequence for hook in hooks(way) if hook.optional)


@pytest.mark.parametrize("way", WAYS)
def test_traffic_is_hooked_last_so_that_no_exchange_is_seen_without_its_process(way):
    order = [hook.program for hook in hooks(way)]
    last = order[-len(FRONT_ENDS[way]) :]
    assert FRONT_ENDS[way] == set(last)
    assert order[:3] == ["sched_process_fork", "sched_process_exec", "sched_process_exit"]


def test_tail_calls_lead_where_the_sources_say():
    body = re.search(r"enum jump \{(.*?)\};", SOURCES, re.DOTALL)
    numbers = [int(number) for number in re.findall(r"JUMP_\w+ = (\d+)", body.group(1))]
    assert list(range(len(jumps(spans=True)))) == numbers
    for way in WAYS:
        assert set(jumps(spans=True)) <= set(names(way))


@pytest.mark.parametrize("way", WAYS)
def test_without_spans_the_programs_are_the_same_but_for_those_of_spans(way):
    plain = {program.function for program in programs(way, spans=False)}
    assert {"span"} == set(names(way)) - plain
    assert jumps(spans=True)[: len(jumps(spans=False))] == jumps(spans=False)
    assert set(jumps(spans=False)) <= plain


def test_every_map_that_is_asked_for_is_in_the_sources():
    assert set() == set(maps(spans=False)) - TABLES
    assert len(maps(spans=True)) == len(set(maps(spans=True)))


def test_every_layout_of_the_contract_is_verified_in_some_map_before_anything_runs():
    verified = {(layout.map, layout.part) for layout in WITNESSES}
    assert set() == {name for name, _ in verified} - TABLES
    places: dict[str, set[tuple[str, str]]] = {}
    tables = re.findall(r"^BPF_TABLE\(\"\w+\", ([\w ]+), ([\w ]+), (\w+), ", SOURCES, re.MULTILINE)
    for key, value, table in tables:
        for part, of in (("key", key), ("value", value)):
            places.setdefault(of.removeprefix("struct "), set()).add((table, part))
    unplaced = {"event_header"}  # it is the head of the other events
    assert unplaced == abi.SIZES.keys() - places.keys()
    assert {} == {
        struct: places[struct]
        for struct in abi.SIZES.keys() - unplaced
        if not places[struct] & verified
    }


@pytest.mark.parametrize("layout", WITNESSES, ids=lambda layout: f"{layout.map}.{layout.part}")
def test_a_witness_has_the_size_that_the_contract_states(layout):
    assert layout.size in abi.SIZES.values()
    assert max(layout.offsets.values()) < layout.size


@pytest.mark.parametrize("way", WAYS)
def test_the_sources_expand_to_one_text_with_the_front_end_chosen_by_a_definition(way):
    text = expand("main.bpf.c", folder=bpf_folder(), prelude="").text
    assert f"int {min(FRONT_ENDS[way])}(" in text
    assert ("-DHOOK_SYSCALL" in flags(way=way)) == (way == "syscall")


# --- definitions ---------------------------------------------------------------------------------


def flags(*, way="sock", cpus=2, pid_namespace=None, settings=SETTINGS):
    return cflags(settings, way, cpus=cpus, pid_namespace=pid_namespace)


def defined(**given):
    return dict(flag.removeprefix("-D").partition("=")[::2] for flag in flags(**given))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pid_namespace", [None, 4026531836])
def test_every_definition_is_one_that_the_sources_look_at(way, pid_namespace):
    found = defined(way=way, pid_namespace=pid_namespace, cpus=1)
    used = {name.partition("(")[0] for name in found}
    overridable = set(re.findall(r"^#if(?:n?def) (\w+)", SOURCES, re.MULTILINE))
    assert set() == used - overridable


@pytest.mark.parametrize(
    ("cpus", "shards", "own"),
    [(1, 1, True), (2, 2, True), (3, 4, True), (4, 4, True), (8, 8, True), (9, 8, False),
     (64, 8, False)],
)  # fmt: skip
def test_a_series_is_spread_over_as_many_shards_as_there_are_cpus_up_to_8(cpus, shards, own):
    found = defined(cpus=cpus)
    assert str(shards - 1) == found["SHARD_MASK"]
    assert str(500 * shards) == found["MAX_SERIES"]
    assert own == ("SHARDS_ARE_OWN" in found)


def test_the_process_ids_of_the_agents_namespace_are_asked_for_only_if_it_has_one():
    assert "AGENT_PIDNS" not in defined()
    assert "4026532836U" == defined(pid_namespace=4026532836)["AGENT_PIDNS"]


def test_bounds_become_sums_of_comparisons_in_whole_units():
    found = defined()
    durations = "(ABOVE(x,0ULL)+ABOVE(x,5000000ULL)+ABOVE(x,2500000000ULL))"
    assert durations == found["DURATION_BUCKET(x)"]
    assert "(ABOVE(x,0ULL)+ABOVE(x,100ULL))" == found["REQUEST_SIZE_BUCKET(x)"]
    assert "(ABOVE(x,2ULL))" == found["RESPONSE_SIZE_BUCKET(x)"]


def test_a_histogram_without_bounds_has_one_bucket():
    none = KernelSettings("auto", (), (), (), 1, 1, 7)
    assert "(0)" == defined(settings=none)["DURATION_BUCKET(x)"]


def test_what_is_drawn_anew_at_each_start_is_no_definition():
    """Else no start could use the programs that an earlier one compiled."""
    seeds = [KernelSettings("auto", (0.1,), (), (), 1, 1, seed) for seed in (1, 2)]
    assert flags(settings=seeds[0]) == flags(settings=seeds[1])


def test_no_definition_can_carry_anything_but_numbers():
    """They go to a compiler's command line."""
    for way, cpus, namespace in itertools.product(WAYS, (1, 16), (None, 1)):
        for flag in flags(way=way, cpus=cpus, pid_namespace=namespace):
            assert re.fullmatch(r"-D[A-Z_]+(\(x\))?(=[\w(),+]+)?", flag), flag
