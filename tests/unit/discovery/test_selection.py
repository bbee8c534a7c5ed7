from __future__ import annotations

from functools import partial

import pytest
from tests.unit.discovery.fakeproc import FakeProc

from otelauto.discovery import selection
from otelauto.discovery.proc import open_process
from otelauto.discovery.selectors import Match, Selector
from otelauto.discovery.sockets import SocketTables
from otelauto.errors import ConfigError

#: Nothing is excluded by default here.
Selection = partial(selection.Selection, default_exclude=())
BOTH = frozenset({"metrics", "traces"})


@pytest.fixture
def fake(tmp_path):
    return FakeProc(tmp_path)


@pytest.fixture
def opened(fake):
    views = []

    def open_pid(pid):
        view = open_process(fake.path, pid, tables=SocketTables())
        views.append(view)
        return view

    yield open_pid
    for view in views:
        view.close()


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (Selector(open_ports=((8080, 8080),)), True),
        (Selector(open_ports=((80, 90), (8000, 8999))), True),
        (Selector(open_ports=((8081, 65535),)), False),
        (Selector(exe_path=("*/python3.11",)), True),
        (Selector(exe_path=("python3*",)), True),
        (Selector(exe_path=("/usr/bin/{python,ruby}*",)), True),
        (Selector(exe_path=("bin/python3.11",)), False),
        (Selector(exe_path=("*/ruby", "*/python*")), True),
        (Selector(cmd_args=("*a/app.py*",)), True),
        (Selector(cmd_args=("/srv/a/app.py --fast",)), True),
        (Selector(cmd_args=("python3 /srv/a/*",)), True),
        (Selector(cmd_args=("*b/app.py*",)), False),
        (Selector(systemd_unit=("shop",)), True),
        (Selector(systemd_unit=("shop.service",)), True),
        (Selector(systemd_unit=("sho?",)), True),
        (Selector(systemd_unit=("nginx",)), False),
        (Selector(pids=frozenset({42, 43})), True),
        (Selector(pids=frozenset({43})), False),
        (Selector(executable_name="python3.11"), True),
        (Selector(executable_name="ruby"), False),
        (Selector(exe_regexp=r"python3\.\d+$"), True),
        (Selector(exe_regexp="^python"), False),
        (Selector(every_process=True), True),
        (Selector(open_ports=((8080, 8080),), exe_path=("*/python*",)), True),
        (Selector(open_ports=((8080, 8080),), exe_path=("*/ruby",)), False),
        (Selector(open_ports=((80, 80),), exe_path=("*/python*",)), False),
    ],
)
def test_all_criteria_of_an_entry_must_hold(fake, opened, selector, expected):
    fake.add(
        42,
        "/usr/bin/python3.11",
        cmdline=["python3", "/srv/a/app.py", "--fast"],
        unit="shop.service",
        ports=[8080],
    )
    assert expected == (Selection([selector]).match(opened(42)) is not None)


def test_later_entries_override_what_they_set(fake, opened):
    fake.add(42, "/bin/x", ports=[80])
    selection = Selection(
        [
            Selector(every_process=True, name="a", namespace="n", routes="r"),
            Selector(exe_path=("*/other",), name="not this"),
            Selector(open_ports=((80, 80),), name="b", exports=frozenset({"metrics"})),
        ]
    )
    assert selection.match(opened(42)) == Match((0, 2), "b", "n", frozenset({"metrics"}), "r")


def test_exports_default_to_the_configurations(fake, opened):
    fake.add(42, "/bin/x")
    every = [Selector(every_process=True)]
    assert Selection(every).match(opened(42)).exports == BOTH
    narrow = Selection(every, exports=frozenset({"traces"}))
    assert narrow.match(opened(42)).exports == frozenset({"traces"})


def test_exclusion_wins(fake, opened):
    fake.add(42, "/bin/x", ports=[80])
    every = [Selector(every_process=True), Selector(pids=frozenset({42}), name="x")]
    selection = Selection(every, [Selector(open_ports=((80, 80),))])
    assert selection.match(opened(42)) is None
    assert selection.excluded(opened(42)) == "discovery.exclude_instrument[0]"


def test_default_exclusions_are_those_that_are_given(fake, opened):
    fake.add(42, "/usr/bin/alloy")
    every = [Selector(every_process=True)]
    default = selection.Selection(every, default_exclude=[Selector(exe_path=("*/alloy",))])
    assert default.excluded(opened(42)) == "discovery.default_exclude_instrument[0]"
    assert Selection(every).match(opened(42)) is not None


def test_kernel_threads_are_never_selected(fake, opened):
    fake.add(42, "", flags=0x00200000)
    assert Selection([Selector(every_process=True)]).match(opened(42)) is None
    assert Selection([Selector(pids=frozenset({42}))]).match(opened(42)) is None


@pytest.mark.parametrize(
    ("pid", "exe", "comm"),
    [
        (1, "/usr/lib/systemd/systemd", "systemd"),
        (900, "/usr/lib/systemd/systemd", "systemd"),
        (1, "", "systemd"),
        (1, "", "anything"),
    ],
)
def test_service_manager_is_never_selected_by_the_port_it_holds_for_others(
    fake, opened, pid, exe, comm
):
    fake.add(pid, exe, comm=comm, ports=[80])
    assert Selection([Selector(open_ports=((80, 80),))]).match(opened(pid)) is None


def test_first_process_of_a_container_is_selected_by_its_port(fake, opened):
    fake.add(1, "/usr/sbin/nginx", ports=[80])
    assert Selection([Selector(open_ports=((80, 80),))]).match(opened(1)) is not None


def test_ports_heard_of_count_before_the_descriptors_can_be_read(fake, opened):
    fake.add(42, "/bin/x")
    selection = Selection([Selector(open_ports=((80, 80),))])
    assert selection.match(opened(42)) is None
    assert selection.match(opened(42), frozenset({80})) is not None


def test_connected_sockets_do_not_count_as_open_ports(fake, opened):
    fake.add(42, "/bin/x")
    fake.socket(42)
    fake.add(43, "/bin/y", ports=[80])
    assert Selection([Selector(open_ports=((1, 65535),))]).match(opened(42)) is None


def test_nothing_more_is_read_than_the_criteria_need(fake, opened):
    fake.add(42, "/bin/x")
    view = opened(42)
    Selection([Selector(exe_path=("*/nginx",), open_ports=((80, 80),))]).match(view)
    assert {"cmdline", "environ", "place", "cwd", "listen_ports"}.isdisjoint(vars(view))


@pytest.mark.parametrize(
    ("selectors", "exclude", "wanted"),
    [
        ([], [], set()),
        ([Selector(exe_path=("*",))], [], {"exec"}),
        ([Selector(open_ports=((80, 80),))], [], {"exec", "listen"}),
        ([Selector(exe_path=("*",))], [Selector(open_ports=((80, 80),))], {"exec", "listen"}),
    ],
)
def test_only_events_that_can_change_a_decision_are_wanted(selectors, exclude, wanted):
    assert wanted == Selection(selectors, exclude).wanted_events()


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        (Selector(), "discovery.instrument[1] selects nothing"),
        (Selector(name="x"), "discovery.instrument[1] selects nothing"),
        (Selector(exe_path=("[bad",)), "[bad"),
        (Selector(exe_regexp="(bad"), "(bad"),
    ],
)
def test_entry_that_cannot_mean_anything_is_refused(selector, said):
    with pytest.raises(ConfigError) as caught:
        Selection([Selector(every_process=True), selector])
    assert said in str(caught.value)


def test_checks_say_what_was_wanted_and_what_was_found(fake, opened):
    fake.add(42, "/bin/x", ports=[80, 81])
    selection = Selection([Selector(exe_path=("*/y",), open_ports=((80, 80), (90, 99)))])
    assert [
        (each.entry, each.criterion, each.wanted, each.found, each.holds)
        for each in selection.checks(opened(42))
    ] == [
        ("discovery.instrument[0]", "exe_path", "*/y", "/bin/x", False),
        ("discovery.instrument[0]", "open_ports", "80, 90-99", "listens on 80, 81", True),
    ]
