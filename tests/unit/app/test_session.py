"""What is written to the kernel, in which order, and what comes out at a collection."""

from __future__ import annotations

import threading

import pytest
from tests.unit.app.doubles import full, match, service, target
from tests.unit.discovery.fakeproc import FakeProc

from otelauto.abi import _layout as abi
from otelauto.app import session as session_module
from otelauto.config.selection import EntryRoutes
from otelauto.discovery.events import ExecEvent, TargetAdded, TargetChanged, TargetRemoved
from otelauto.kernel.driver import PathRecord

CART = service("cart")
KEEP_SECONDS = session_module._KEEP_SECONDS


def calls(rig, *names):
    return [call for call in rig.kernel.calls if call[0] in names]


def path_record(key):
    return abi.EVENT_PATH.pack(abi.EventKind.PATH, abi.EVENT_PATH.size, 1, key.hash, key.service)


# --- targets -------------------------------------------------------------------------------------


def test_events_are_asked_for_before_the_scan_so_that_nothing_is_missed_between(rig):
    rig.proc.add(7, "/usr/bin/x", start=1)
    rig.watch.next = [TargetAdded(target(7), match())]
    rig.watch.wanted = frozenset({"exec", "listen"})
    rig.session.start()
    assert abi.EventBit.EXEC | abi.EventBit.LISTEN == rig.kernel.wanted
    assert "want_events" == rig.kernel.calls[0][0]
    assert {7: 1} == rig.kernel.pids


def test_a_service_is_complete_in_the_kernel_before_a_process_is_a_target(new_rig):
    rig = new_rig("routes: {patterns: [/a]}\n")
    rig.run(7)
    assert ["put_routes", "open_service", "delete_routes", "set_target"] == [
        name for name, *_ in rig.kernel.calls
    ]
    assert "/a" == rig.session._paths.name(1, rig.kernel.walk(1, b"/a"))


def test_processes_of_a_service_share_its_id_and_others_have_another(rig):
    rig.run(7)
    rig.run(8)
    rig.run(9, CART)
    assert {7: 1, 8: 1, 9: 2} == rig.kernel.pids
    assert [("open_service", 1), ("open_service", 2)] == calls(rig, "open_service")


@pytest.mark.parametrize("alive", [None, 2], ids=["gone", "its id is another's"])
def test_a_process_that_ends_before_it_is_a_target_does_not_stay_one(rig, alive):
    """Its exit event may have come before: nothing else would take its id out again."""
    if alive:
        rig.proc.add(7, "/usr/bin/y", start=alive)
    rig.apply(TargetAdded(target(7, start=1), match()))
    assert {} == rig.kernel.pids
    rig.now += KEEP_SECONDS
    rig.collect()
    assert () == rig.session._services.numbers()


def test_what_ends_is_no_target_any_more(rig):
    rig.run(7)
    rig.apply(TargetRemoved(7, target(7)))
    assert {} == rig.kernel.pids


def test_a_child_that_never_was_a_target_here_is_dropped_in_the_kernel(rig):
    rig.kernel.pids[8] = 1
    rig.apply(TargetRemoved(8))
    assert {} == rig.kernel.pids


def test_a_target_that_gets_another_service_is_never_none_meanwhile(rig):
    rig.run(7)
    rig.kernel.calls.clear()
    rig.apply(TargetChanged(target(7), target(7, CART), match()))
    assert {7: 2} == rig.kernel.pids
    assert [("set_target", 7)] == calls(rig, "set_target", "drop_target")
    rig.now += KEEP_SECONDS
    rig.collect()
    assert (2,) == rig.session._services.numbers()


def test_a_target_whose_metrics_nobody_wants_any_more_is_dropped(rig):
    rig.run(7)
    rig.apply(TargetChanged(target(7), target(7, exports=frozenset({"traces"})), match()))
    assert {} == rig.kernel.pids


def test_traces_alone_make_no_target(rig):
    rig.run(7, exports=frozenset({"traces"}))
    assert {} == rig.kernel.pids
    assert () == rig.session._services.numbers()


def test_there_may_be_too_many_services(rig, monkeypatch):
    monkeypatch.setattr(rig.session._services, "add", lambda *_: 0)
    rig.run(7)
    assert {} == rig.kernel.pids
    assert {"too_many_services": 1} == rig.session.instrumentation_errors
    assert ["a selected process cannot be instrumented"] == rig.log.events("error")


@pytest.mark.parametrize("where", ["set_target", "open_service"])
def test_a_full_map_is_counted_and_said_and_costs_only_that_process(rig, where):
    rig.run(6, CART)
    rig.kernel.refuse = {where}
    rig.run(7)
    assert {6: 1} == rig.kernel.pids
    assert {"map_full": 1} == rig.session.instrumentation_errors
    rig.kernel.refuse = set()
    rig.collect()
    assert (1,) == rig.session._services.numbers()
    rig.run(8)
    assert {6, 8} == rig.kernel.pids.keys()


def test_a_full_aggregate_is_said_and_the_service_is_counted_as_far_as_there_is_room(rig):
    rig.kernel.aggregate_full = True
    rig.run(7)
    assert {7: 1} == rig.kernel.pids
    assert ["the aggregate is full: raise ebpf.max_series"] == rig.log.events("warning")


def test_targets_are_counted_by_the_rule_that_named_them(rig):
    rig.watch.found = {7: target(7), 8: target(8)}
    assert {"selector": 2} == rig.session.targets_by_rule()
    assert rig.watch.targets() == rig.session.targets()


# --- events --------------------------------------------------------------------------------------


def test_an_event_reaches_the_watch(rig):
    rig.apply()
    assert [ExecEvent(1)] == rig.watch.handled


def test_an_event_that_cannot_be_handled_costs_no_other(rig):
    rig.proc.add(7, "/usr/bin/x", start=1)
    good = abi.EVENT_PROCESS.pack(abi.EventKind.EXEC, 32, 1, 7, 0, 0)
    rig.watch.next = [TargetAdded(target(7), match())]
    rig.kernel.records = [b"", good[:-1], good]
    rig.session.on_events()
    assert {7: 1} == rig.kernel.pids
    assert {"error": 2} == rig.session.instrumentation_errors
    assert ["an event was not handled"] == rig.log.events("error")


def test_lost_events_make_the_agent_look_again_once(rig):
    rig.run(7)
    rig.kernel.counters[abi.Count.EVENT_LOST] = 3
    rig.watch.next = [TargetRemoved(7, target(7))]
    rig.collect()
    rig.collect()
    assert 1 == rig.watch.rescans
    assert {} == rig.kernel.pids
    rig.kernel.counters[abi.Count.EVENT_LOST] = 4
    rig.collect()
    assert 2 == rig.watch.rescans


def test_after_lost_events_no_process_stays_a_target_of_which_nobody_knows(rig):
    """A child that inherited its service in the kernel and runs another program by now."""
    rig.run(7)
    rig.kernel.pids[8] = 1
    rig.kernel.counters[abi.Count.EVENT_LOST] = 1
    rig.collect()
    assert {7: 1} == rig.kernel.pids


# --- restarts ------------------------------------------------------------------------------------


def test_a_restart_keeps_the_id_and_goes_on_counting(rig):
    rig.run(7)
    rig.kernel.exchange(7, b"/a", count=3)
    rig.apply(TargetRemoved(7, target(7)))
    rig.now += KEEP_SECONDS - 1
    assert {("shop", "/a"): 3} == rig.collect()
    newer = service(attributes=(("service.version", "2"),))
    rig.run(8, newer)
    rig.kernel.exchange(8, b"/a", count=4)
    assert {8: 1} == rig.kernel.pids
    assert {("shop", "/a"): 7} == rig.collect()
    (resource,) = rig.session.collect()
    assert "2" == dict(resource.resource)["service.version"]
    assert [("open_service", 1)] == calls(rig, "open_service")


def test_a_service_without_processes_is_forgotten_after_its_time(new_rig):
    rig = new_rig("routes: {patterns: [/a, '/b/{id}']}\n")
    rig.run(7)
    rig.kernel.exchange(7, b"/a", count=3)
    rig.collect()
    rig.apply(TargetRemoved(7, target(7)))
    rig.now += KEEP_SECONDS
    assert {} == rig.collect()
    assert ({}, {}) == (rig.kernel.entries, rig.kernel.edges)
    assert () == rig.session._services.numbers()
    assert 3 == rig.session.exchanges


def test_what_is_left_of_a_forgotten_service_is_not_reported(rig):
    rig.kernel.count(9, abi.Route.NONE, count=5)
    assert {} == rig.collect()


# --- routes --------------------------------------------------------------------------------------


def test_a_path_is_learned_at_its_event_and_the_kernel_knows_the_route(rig):
    rig.run(7)
    key = rig.kernel.exchange(7, b"/12345")
    rig.kernel.records = [path_record(key)]
    rig.session.on_events()
    route, generation = rig.kernel.cache[key]
    assert "/{id}" == rig.session._paths.name(1, route)
    assert rig.kernel.services[1].generation == generation
    assert route == rig.kernel.walk(1, b"/67890")


def test_a_path_that_has_to_wait_is_told_to_the_kernel_when_it_is_decided(rig):
    rig.run(7)
    key = rig.kernel.exchange(7, b"/login.php")
    rig.kernel.records = [path_record(key)]
    rig.session.on_events()
    assert {} == rig.kernel.cache
    rig.collect()
    assert "/login.php" == rig.session._paths.name(1, rig.kernel.cache[key][0])


def test_an_update_is_written_so_that_a_walk_sees_the_old_or_the_new_routes(new_rig, config):
    rig = new_rig("routes: {patterns: [/a]}\n")
    rig.run(7)
    rig.kernel.calls.clear()
    rig.session.reselect(config("routes: {patterns: [/b]}\n"), object())
    written = [name for name, *_ in calls(rig, "put_routes", "set_service", "delete_routes")]
    assert ["put_routes", "set_service", "delete_routes"] == written
    assert [0, "/b"] == [
        rig.kernel.walk(1, b"/a"),
        rig.session._paths.name(1, rig.kernel.walk(1, b"/b")),
    ]


@pytest.mark.parametrize("known", [True, False], ids=["service is gone", "path is gone"])
def test_the_event_of_a_path_that_came_too_late_does_nothing(rig, known):
    rig.run(7)
    key = abi.PathKey(5, 9 if known else 1)
    if known:
        rig.kernel.texts[key] = PathRecord(b"/a", truncated=False)
    rig.kernel.records = [path_record(key)]
    rig.session.on_events()
    assert ({}, {}) == (rig.kernel.cache, rig.session.instrumentation_errors)


def test_exchanges_that_wait_for_a_route_have_one_when_they_are_collected(rig):
    rig.run(7)
    for number in range(5):
        rig.kernel.exchange(7, b"/users/%d" % (1000 + number), count=2)
    assert {("shop", "/users/{id}"): 10} == rig.collect()
    assert 1 == rig.session.routes_learned
    rig.kernel.exchange(7, b"/users/77777")
    assert {("shop", "/users/{id}"): 11} == rig.collect()


def test_a_path_whose_text_the_kernel_lost_is_other(rig):
    rig.run(7)
    rig.kernel.count(1, abi.Route.PENDING, path=99, count=2)
    assert {("shop", "other"): 2} == rig.collect()


def test_without_a_route_there_is_no_attribute(new_rig):
    rig = new_rig("routes: {unmatched: unset}\n")
    rig.run(7)
    rig.kernel.exchange(7, b"/a", count=2)
    assert {("shop", None): 2} == rig.collect()


def test_ignored_paths_are_not_reported(new_rig):
    rig = new_rig("routes: {ignored_patterns: [/health], patterns: [/a]}\n")
    rig.run(7)
    rig.kernel.exchange(7, b"/health", count=9)
    rig.kernel.exchange(7, b"/a", count=1)
    assert {("shop", "/a"): 1} == rig.collect()
    assert 1 == rig.session.exchanges


def test_entries_of_paths_that_have_a_route_by_now_are_deleted_when_they_rest(rig):
    rig.run(7)
    rig.kernel.exchange(7, b"/a", count=3)
    for _ in range(session_module._IDLE_READS + 1):
        assert {("shop", "/a"): 3} == rig.collect()
    assert {} == rig.kernel.entries
    rig.kernel.exchange(7, b"/a", count=1)
    assert {("shop", "/a"): 4} == rig.collect()


def test_what_an_entry_counts_until_it_is_deleted_is_not_lost(rig):
    """Between the read and the deletion the programs go on."""
    rig.run(7)
    rig.kernel.exchange(7, b"/a", count=3)
    for _ in range(session_module._IDLE_READS):
        rig.collect()
    pending = next(raw for raw in rig.kernel.entries if abi.RED_KEY.unpack(raw)[0])
    path = abi.RED_KEY.unpack(pending)[0]
    real = rig.kernel.take_red

    def late(keys):
        rig.kernel.count(1, abi.Route.PENDING, path=path, count=2)
        return real(keys)

    rig.kernel.take_red = late
    assert {("shop", "/a"): 5} == rig.collect()
    assert {} == rig.kernel.entries
    assert {("shop", "/a"): 5} == rig.collect()


def test_an_entrys_routes_are_its_services_only(rig):
    rig.run(7, routes=EntryRoutes(patterns=("/own/{name}",), unmatched="wildcard"))
    rig.run(8, CART)
    rig.kernel.exchange(7, b"/own/x")
    rig.kernel.exchange(7, b"/else")
    rig.kernel.exchange(8, b"/own/x")
    assert {("shop", "/own/{name}"): 1, ("shop", "/**"): 1, ("cart", "/own/x"): 1} == rig.collect()


def test_a_reload_renames_paths_from_then_on(new_rig, config):
    rig = new_rig("routes: {unmatched: wildcard}\n")
    rig.run(7)
    rig.kernel.exchange(7, b"/a/1")
    rig.session.reselect(config("routes: {patterns: ['/a/{n}'], unmatched: wildcard}\n"), object())
    rig.kernel.exchange(7, b"/a/1")
    assert {("shop", "/**"): 1, ("shop", "/a/{n}"): 1} == rig.collect()


def test_a_reload_reaches_the_watch_and_asks_for_the_events_it_needs(rig, config):
    selection = object()
    rig.watch.wanted = frozenset({"listen"})
    rig.session.reselect(config(), selection)
    assert [selection] == rig.watch.selections
    assert abi.EventBit.LISTEN == rig.kernel.wanted


MANY = "routes: {patterns: [" + ", ".join(f"/p{n}/x" for n in range(40)) + "]}\n"


def test_a_service_whose_patterns_find_no_room_is_counted_without_them(new_rig):
    rig = new_rig(MANY, max_steps=10)
    rig.run(7)
    rig.run(8)
    assert {7: 1, 8: 1} == rig.kernel.pids
    rig.kernel.exchange(7, b"/p1/x", count=2)
    assert {("shop", "/**"): 2} == rig.collect()
    assert {"RoutesRefusedError": 2} == rig.session.instrumentation_errors
    assert "are refused" in rig.log.events("error")[0]


def test_a_reload_whose_patterns_find_no_room_keeps_those_of_before(new_rig, config):
    rig = new_rig("routes: {patterns: [/a]}\n", max_steps=10)
    rig.run(7)
    rig.session.reselect(config(MANY), object())
    rig.kernel.exchange(7, b"/a", count=2)
    assert {("shop", "/a"): 2} == rig.collect()
    assert {"RoutesRefusedError": 1} == rig.session.instrumentation_errors


def test_routes_for_which_the_kernel_has_no_room_are_found_by_the_agent(rig):
    rig.run(7)
    rig.kernel.exchange(7, b"/login.php", count=2)
    rig.kernel.put_routes = lambda _: (_ for _ in ()).throw(full("route_edges"))
    assert {("shop", "/login.php"): 2} == rig.collect()
    assert {"OSError": 1} == rig.session.instrumentation_errors
    assert ["the kernel has no room for more routes"] == rig.log.events("error")


# --- collections ---------------------------------------------------------------------------------


def test_each_service_is_a_resource_with_the_configured_attributes(new_rig):
    rig = new_rig("resource_attributes: {zone: b}\n")
    rig.run(7)
    rig.run(8, CART)
    rig.kernel.exchange(7, b"/a")
    rig.kernel.exchange(8, b"/a")
    found = [dict(resource.resource) for resource in rig.session.collect()]
    assert [("shop", "prod", "web-1", "b"), ("cart", "prod", "web-1", "b")] == [
        (one["service.name"], one["service.namespace"], one["host.name"], one["zone"])
        for one in found
    ]


def test_closed_unix_connections_are_ended_before_the_aggregate_is_read(rig):
    rig.collect()
    assert ["end_closed", "red"] == [name for name, *_ in calls(rig, "end_closed", "red")]


def test_the_agents_own_numbers(rig):
    rig.run(7)
    rig.kernel.exchange(7, b"/a", count=3)
    rig.collect()
    found = (
        rig.session.exchanges,
        rig.session.series,
        rig.session.routes_learned,
        rig.session.routes_overflow,
    )
    assert (3, 1, 1, 0) == found


def test_services_that_learn_no_more_are_counted(new_rig):
    rig = new_rig("routes: {max_per_service: 1}\n")
    rig.run(7)
    for path in (b"/login.php", b"/logout.php", b"/index.php"):
        rig.kernel.exchange(7, path)
        rig.collect()
    assert {("shop", "/login.php"): 1, ("shop", "other"): 2} == rig.collect()
    assert 1 == rig.session.routes_overflow


@pytest.mark.parametrize("name", ["exchanges", "series", "routes_learned", "routes_overflow"])
def test_numbers_wait_for_a_collection_under_way(rig, name):
    """What they count changes meanwhile; exporters collect from threads of their own."""
    found = []
    with rig.session._lock:
        asking = threading.Thread(target=lambda: found.append(getattr(rig.session, name)))
        asking.start()
        asking.join(0.05)
        assert [] == found
    asking.join(5)
    assert [0] == found


def test_a_process_file_system_of_its_own_is_asked(tmp_path, new_rig):
    """proc= is injected: a target of this machine's own /proc is none of the session's."""
    rig = new_rig()
    assert isinstance(rig.proc, FakeProc)
    rig.apply(TargetAdded(target(1, start=0), match()))
    assert {} == rig.kernel.pids


# --- traces --------------------------------------------------------------------------------------

BOTH, TRACES = frozenset({"metrics", "traces"}), frozenset({"traces"})
TRACED = "otel_traces_export: {endpoint: 'http://h:1', sampler: {name: traceidratio, arg: 0.5}}\n"


def spans_of(rig, number=1):
    entry = rig.kernel.services[number]
    return entry.sample_below, entry.spans


def test_the_kernel_is_told_how_a_service_is_sampled(new_rig):
    rig = new_rig(TRACED)
    rig.run(7, exports=BOTH)
    rig.run(8, CART)
    assert ((2**62, 1), (0, 0)) == (spans_of(rig), spans_of(rig, 2))


def test_a_reload_changes_the_sampler_of_unchanged_targets(new_rig, config):
    rig = new_rig(TRACED)
    rig.run(7, exports=BOTH)
    rig.session.reselect(config(TRACED.replace("0.5", "0.25")), object())
    assert (2**61, 1) == spans_of(rig)
    rig.session.reselect(config("prometheus_export: {port: 9400}\n"), object())
    assert (0, 0) == spans_of(rig)


def test_a_learned_route_leaves_the_sampler_as_it_is(new_rig):
    rig = new_rig(TRACED)
    rig.run(7, exports=BOTH)
    key = rig.kernel.exchange(7, b"/users/12345")
    rig.kernel.records = [path_record(key)]
    rig.session.on_events()
    rig.collect()
    assert (2**62, 1) == spans_of(rig)


@pytest.mark.parametrize("loaded", [True, False])
def test_a_target_of_traces_only_is_followed_where_there_are_spans(new_rig, loaded):
    rig = new_rig(TRACED)
    rig.kernel.settings.spans = loaded
    rig.run(7, exports=TRACES)
    assert ({7: 1} if loaded else {}) == rig.kernel.pids
    if loaded:
        rig.kernel.exchange(7, b"/a")
    assert {} == rig.collect()


@pytest.mark.parametrize(("more", "limit"), [("", 1000), (", max_spans_per_second: 0", 0)])
def test_the_kernel_is_told_how_many_spans_it_may_send(new_rig, more, limit):
    rig = new_rig(f"otel_traces_export: {{endpoint: 'http://h:1'{more}}}\n")
    rig.session.start()
    assert limit == rig.kernel.span_limit
