"""One load of the kernel programs: what is written is there, and nothing is left afterwards."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from otelauto.abi import _layout as abi
from otelauto.app.selftest import run_self_test
from otelauto.errors import LoadError
from otelauto.kernel import driver, features
from otelauto.kernel.driver import Kernel, PathRecord, first_pid_namespace
from otelauto.kernel.headers import Headers
from otelauto.kernel.loader import Loaded
from otelauto.kernel.maps import ArrayMap, HashMap
from otelauto.kernel.programs import KernelSettings, hooks, jumps, programs
from otelauto.routes.rules import RouteRules
from otelauto.routes.table import RouteTable

SEED = 0xFEDCBA9876543210


def settings(state_dir=None):
    return KernelSettings(
        "auto", (0.0, 0.005, 1.0), (0.0, 9.0), (0.0, 9.0), 256, 128, SEED, state_dir
    )


# --- on stand-ins --------------------------------------------------------------------------------


def test_the_first_pid_namespace_is_none_of_its_own(tmp_path):
    class Proc:
        def __init__(self, inode):
            self.inode = inode

        def __truediv__(self, path):
            assert "self/ns/pid" == path
            return SimpleNamespace(stat=lambda: SimpleNamespace(st_ino=self.inode))

    assert first_pid_namespace(Proc(0xEFFFFFFC)) is None
    assert 4026532836 == first_pid_namespace(Proc(4026532836))


class Rig:
    """What the driver asks of the loader, and what it gets."""

    def __init__(self, monkeypatch):
        self.requests, self.missing, self.namespace = [], (), None
        self.text = "int x;"
        self.image = None
        self.refused = {}
        monkeypatch.setattr(driver.headers, "resolve", lambda mode, folder: self._headers(mode))
        monkeypatch.setattr(
            driver.source,
            "expand",
            lambda *_, **__: SimpleNamespace(text=self.text, sha256=f"sha of {self.text}"),
        )
        monkeypatch.setattr(driver, "first_pid_namespace", lambda: self.namespace)
        monkeypatch.setattr(driver, "load", self._load)

    def _headers(self, mode):
        return Headers(mode, None, ("-DOFF_x=1",), "", self.missing)

    def _load(self, request, *, timeout_seconds):
        self.requests.append(request)
        return Loaded({}, {}, refused=self.refused, image=self.image)

    def load(self, given, way="sock"):
        return driver._load(given, way, 5.0)


@pytest.fixture
def rig(monkeypatch):
    return Rig(monkeypatch)


def test_the_loader_is_asked_for_the_programs_of_the_way(rig):
    rig.load(settings(), "syscall")
    (request,) = rig.requests
    assert programs("syscall", spans=False) == request.programs
    assert ("-DOFF_x=1", "-DHOOK_SYSCALL") == (request.cflags[0], request.cflags[-1])
    assert (None, False) == (request.state_dir, request.image)


def test_a_pid_namespace_without_the_offset_that_it_needs_is_an_error(rig):
    rig.namespace, rig.missing = 4026532836, ("OFF_task_struct_thread_pid",)
    with pytest.raises(LoadError, match="where a task's pid is") as caught:
        rig.load(settings())
    assert "host's pid namespace" in caught.value.hint
    rig.namespace = None
    rig.load(settings())
    assert 1 == len(rig.requests)


@pytest.fixture
def store(monkeypatch):
    """Kept images by key; those in `refused` are not taken by the kernel."""
    kept = SimpleNamespace(images={}, refused=[], dropped=[])

    class Store:
        def __init__(self, directory):
            self.directory = directory

        def load(self, key):
            return kept.images.get(key)

        def save(self, key, image):
            kept.images[key] = image

        def drop(self, key):
            kept.dropped.append(kept.images.pop(key))

    def load_image(image, _maps):
        if image in kept.refused:
            raise OSError(22, "refused")
        return {}, {}

    monkeypatch.setattr(driver, "ImageStore", Store)
    monkeypatch.setattr(driver, "load_image", load_image)
    return kept


def test_what_was_compiled_once_is_not_compiled_again(rig, store, tmp_path):
    rig.image = "an image"
    rig.load(settings(tmp_path))
    again = rig.load(settings(tmp_path))
    assert (1, "an image") == (len(rig.requests), again.image)


@pytest.mark.parametrize("change", ["text", "way", "bounds"])
def test_whatever_changes_is_compiled_anew(rig, store, tmp_path, change):
    rig.image = "an image"
    rig.load(settings(tmp_path))
    given, way = settings(tmp_path), "sock"
    if change == "text":
        rig.text = "int y;"
    elif change == "way":
        way = "syscall"
    else:
        given = KernelSettings("auto", (1.0,), (0.0,), (0.0,), 256, 128, SEED, tmp_path)
    rig.load(given, way)
    assert 2 == len(rig.requests)


def test_an_image_that_the_kernel_refuses_is_dropped_and_made_anew(rig, store, tmp_path):
    rig.image = "old"
    rig.load(settings(tmp_path))
    store.refused, rig.image = ["old"], "new"
    rig.load(settings(tmp_path))
    assert (["old"], ["new"]) == (store.dropped, list(store.images.values()))


def test_a_load_from_which_a_program_is_missing_is_not_kept(rig, store, tmp_path):
    rig.image, rig.refused = "an image", {"x": "the verifier's last words"}
    rig.load(settings(tmp_path))
    assert {} == store.images


# --- on this kernel ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def way():
    found = features.probe()
    return "sock" if found.sock_length and found.task_registers else "syscall"


@pytest.fixture(scope="module")
def shared(request, state, way):
    """One load for all tests that only read and write maps."""
    with contextlib.closing(Kernel(settings(state), way)) as kernel:
        yield kernel


@pytest.fixture
def kernel(shared):
    """With no series left over from another test."""
    shared.delete_red([key for key, _ in shared.red()])
    return shared


def keys(kernel):
    return [abi.RedKey(*abi.RED_KEY.unpack(key)) for key, _ in kernel.red()]


@pytest.mark.live
class TestLoaded:
    def test_a_known_exchange_is_seen_from_both_ends(self, kernel):
        assert run_self_test(kernel) is None

    def test_every_hook_is_attached(self, kernel, way):
        assert () == kernel.degraded
        assert {hook.name for hook in hooks(way)} == {
            result.name for result in kernel._attachments.results
        }

    def test_targets_are_what_was_set_and_not_dropped(self, kernel):
        kernel.set_target(1 << 21, 5)
        kernel.set_target(77, 6)
        kernel.set_target(77, 7)
        kernel.drop_target(1 << 21)
        kernel.drop_target(1 << 21)
        assert {77: 7} == kernel.targets()
        kernel.drop_target(77)

    def test_a_service_has_its_routes_and_two_empty_overflow_series(self, kernel):
        kernel.open_service(9, abi.Service(3, 17, 18, 4, abi.Unmatched.LEARN, 0, 0))
        assert (3, 17, 18, 4, 2, 0, 0) == kernel._services.get(9)
        found = sorted(keys(kernel), key=lambda key: key.role)
        assert [
            (9, abi.Route.OVERFLOW, abi.Role.SERVER),
            (9, abi.Route.OVERFLOW, abi.Role.CLIENT),
        ] == [(key.service, key.route, key.role) for key in found]
        assert {bytes(abi.RED_VALUE.size)} == {value for _, value in kernel.red()}
        kernel.set_service(9, abi.Service(0, 0, 0, 5, abi.Unmatched.UNSET, 0, 0))
        assert (0, 0, 0, 5, 0, 0, 0) == kernel._services.get(9)

    def test_an_overflow_series_that_counts_is_not_begun_again(self, kernel):
        entry = abi.Service(0, 0, 0, 1, 0, 0, 0)
        kernel.open_service(9, entry)
        raw, _ = next(kernel.red())
        value = [7] * len(abi.RED_VALUE.unpack(bytes(abi.RED_VALUE.size)))
        kernel._red.set(abi.RED_KEY.unpack(raw), value)
        kernel.open_service(9, entry)
        assert abi.RED_VALUE.pack(*value) == dict(kernel.red())[raw]

    def test_routes_are_what_was_put_and_not_deleted(self, kernel):
        table = RouteTable(seed=SEED)
        update = table.service_added(
            9, key="x", rules=RouteRules(("/a/{id}", "/b"), (), "wildcard")
        )
        kernel.put_routes(update)
        edges = {
            abi.RouteStep(*key): abi.RouteEdge(*value) for key, value in kernel._edges.items()
        }
        assert dict(update.put) == edges
        kernel.delete_routes(table.service_removed(9))
        assert {} == dict(kernel._edges.items())

    def test_the_route_of_a_path_can_be_told(self, kernel):
        kernel.cache_route(abi.PathKey(1 << 63, 9), 20, 4)
        assert (20, 4) == kernel._cache.get((1 << 63, 9))

    def test_the_text_of_a_path_ends_where_the_path_does(self, kernel):
        text = b"/\xff\0x"
        for length, truncated in ((4, 0), (256, 1)):
            padded = text.ljust(abi.PATH_BYTES, b"\0" if length == 4 else b"y")
            kernel._paths.set((5, 9), (length, truncated, 1, padded))
            expected = PathRecord(padded[:length], bool(truncated))
            assert expected == kernel.path(abi.PathKey(5, 9))
        assert kernel.path(abi.PathKey(6, 9)) is None

    def test_series_that_are_deleted_are_gone_and_others_stay(self, kernel):
        kernel.open_service(9, abi.Service(0, 0, 0, 1, 0, 0, 0))
        kernel.open_service(10, abi.Service(0, 0, 0, 1, 0, 0, 0))
        gone = [key for key, _ in kernel.red() if abi.RED_KEY.unpack(key)[1] == 9]
        kernel.delete_red([*gone, *gone])
        assert {10} == {key.service for key in keys(kernel)}

    def test_series_that_are_taken_give_their_last_value_once(self, kernel):
        kernel.open_service(9, abi.Service(0, 0, 0, 1, 0, 0, 0))
        entries = dict(kernel.red())
        assert entries == dict(kernel.take_red(entries))
        assert [] == kernel.take_red(entries)

    def test_a_service_finds_a_full_aggregate(self, kernel):
        numbers = range(1, kernel._red.max_entries)
        opened = []
        for number in numbers:
            opened.append(kernel.open_service(number, abi.Service(0, 0, 0, number, 0, 0, 0)))
            if not opened[-1]:
                break
        assert [False] == [one for one in opened if not one]
        assert kernel._red.max_entries == len(dict(kernel.red()))
        assert len(opened) == kernel._services.get(len(opened))[3]

    def test_every_counter_is_told_and_counts_over_all_cpus(self, kernel):
        found = kernel.counts()
        assert set(abi.Count) - {abi.Count.MAX} == found.keys()
        assert all(number >= 0 for number in found.values())

    def test_every_method_is_known_by_its_name(self, kernel):
        methods = HashMap(kernel._fd("methods"), abi.METHOD_TEXT, abi.U32)
        found = {number: name.rstrip(b"\0").decode() for (name,), (number,) in methods.items()}
        assert dict(enumerate(abi.METHODS[1:], 1)) == found

    def test_the_seed_of_paths_is_there_whatever_events_are_wanted(self, kernel):
        option = ArrayMap(kernel._fd("option"), abi.OPTIONS)
        for bits in (0, abi.EventBit.EXEC | abi.EventBit.LISTEN):
            kernel.want_events(bits)
            assert abi.Options(SEED, bits, 0) == abi.Options(*option.get(0))
        kernel.want_events(0)

    def test_events_come_only_if_they_are_wanted(self, kernel):
        def pids():
            subprocess.run(["/bin/true"], check=True)
            time.sleep(0.02)
            records = [abi.EVENT_HEADER.unpack_from(record) for record in kernel.events.read()]
            return [kind for kind, *_ in records if kind == abi.EventKind.EXEC]

        kernel.events.read()
        assert [] == pids()
        kernel.want_events(abi.EventBit.EXEC)
        assert [] != pids()
        kernel.want_events(0)

    def test_the_programs_are_those_of_the_way_and_tell_their_numbers(self, kernel, way):
        infos = kernel.program_infos()
        assert {program.function for program in programs(way, spans=False)} == infos.keys()
        assert set(jumps(spans=False)) <= infos.keys()
        assert all(info.instructions for info in infos.values())

    def test_ending_closed_connections_harms_none(self, kernel):
        kernel._unix_sockets.set((12345,), (1,))
        kernel.end_closed()
        kernel.end_closed()
        assert {} == dict(kernel._unix_sockets.items())


@pytest.mark.live
def test_a_second_start_needs_no_compiler_and_leaves_no_descriptor(
    shared, state, way, descriptors, monkeypatch
):
    def compiling(*_, **__):
        pytest.fail("it was compiled again")

    monkeypatch.setattr(driver, "load", compiling)
    before = descriptors()
    kernel = Kernel(settings(state), way)
    try:
        assert "" == kernel.loaded.bcc
        assert run_self_test(kernel) is None
    finally:
        kernel.close()
    assert before == descriptors()


@pytest.mark.live
@pytest.mark.parametrize("where", ["attach", "set_program", "RingReader"])
def test_a_load_that_fails_half_way_leaves_no_descriptor(
    shared, state, way, descriptors, monkeypatch, where
):
    def fails(*_, **__):
        raise LoadError("refused")

    monkeypatch.setattr(driver, where, fails)
    before = descriptors()
    with pytest.raises(LoadError, match="refused"):
        Kernel(settings(state), way)
    assert before == descriptors()


@pytest.mark.live
def test_the_agents_own_namespace_is_told_by_its_inode():
    inode = Path("/proc/self/ns/pid").stat().st_ino
    assert first_pid_namespace() in {None, inode}
    assert (first_pid_namespace() is None) == (inode == 0xEFFFFFFC)
