from __future__ import annotations

from otelauto.config._document import parse_document
from otelauto.config._flatten import flatten


def flat(text):
    return flatten(parse_document(text, file="o.yml"))


def test_options_stand_under_their_path_with_the_line_of_their_key():
    values = flat("ebpf:\n  open_port: 443\nlog_level: INFO\n").values
    assert {p: g.line for p, g in values.items()} == {"ebpf.open_port": 2, "log_level": 3}


def test_entries_are_numbered_and_know_their_lines():
    found = flat("discovery:\n  instrument:\n    - open_ports: 80\n    -\n      name: x\n")
    assert found.entries == {"discovery.instrument": (3, 5)}
    assert "discovery.instrument[1].name" in found.values


def test_former_places_and_spellings_are_read_with_a_notice():
    found = flat("open_port: 80\nroutes:\n  unmatch: path\ndiscovery:\n  services:\n  - name: a\n")
    assert {
        "ebpf.open_port",
        "routes.unmatched",
        "discovery.instrument",
        "discovery.instrument[0].name",
    } == set(found.values)
    assert sorted(line for line, _ in found.notices) == [1, 3, 5]
    assert (1, '"open_port" is read as "ebpf.open_port"') in found.notices


def test_a_moved_section_is_read_in_its_place():
    found = flat("prometheus_export:\n  buckets:\n    duration_histogram: [1]\n")
    assert list(found.values) == ["buckets.duration_histogram"]


def test_two_places_for_one_option_must_agree():
    same = "otel_metrics_export: {service_name: a}\notel_traces_export: {service_name: a}\n"
    assert flat(same).problems == []
    (problem,) = flat("otel_metrics_export: {service_name: a}\nservice_name: b\n").problems
    assert problem.line == 2
    assert "line 1" in problem.message


def test_null_means_that_nothing_is_given():
    assert flat("ebpf:\nlog_level: null\nroutes: {unmatched: ~}\n").values == {}


def test_unknown_keys_and_wrong_shapes_are_problems_with_their_lines():
    text = "x: 1\nebpf: 443\ndiscovery:\n  instrument: {a: b}\nroutes:\n  x: 1\n  x: 2\n"
    assert sorted(problem.line for problem in flat(text).problems) == [1, 2, 4, 6, 7]


def test_a_list_of_entries_is_bounded():
    text = "discovery:\n  instrument: [" + "{}," * 1001 + "]"
    assert ["1000" in p.message for p in flat(text).problems] == [True]
