from __future__ import annotations

from otelauto.config.changes import Changes, applied, diff, fingerprint
from otelauto.config.load import loads


def config(text, **environ):
    return loads(
        "ebpf: {open_port: 80}\nnoop: true\n" + text, file="o.yml", environ=environ
    ).config


def test_equal_configurations_do_not_differ():
    assert Changes() == diff(config(""), config("log_level: INFO\n"))
    assert not diff(config(""), config(""))


def test_changes_are_live_or_need_a_restart():
    changes = diff(
        config(""),
        config("log_level: WARN\nbuckets: {duration_histogram: [1]}\ntrace_printer: json"),
    )
    assert changes.live == ("log_level",)
    assert set(changes.restart) == {"buckets.duration_histogram", "trace_printer"}


def test_after_a_reload_what_needs_a_restart_is_as_it_was():
    """Whatever sections it is in; entries and live options are the new ones."""
    old = config("resource_attributes: {a: '1'}\nroutes: {placeholder: '*'}")
    new = config(
        "resource_attributes: {a: '2'}\nroutes: {placeholder: '{id}', unmatched: path}\n"
        "log_level: WARN\ndiscovery: {instrument: [{pids: [1]}]}"
    )
    found = applied(old, new)
    assert (("a", "1"),) == found.resource_attributes
    assert ("*", "path", "WARN") == (
        found.routes.placeholder,
        found.routes.unmatched,
        found.log_level,
    )
    assert new.discovery == found.discovery
    assert diff(old, new).restart == diff(found, new).restart
    assert new == applied(new, new)


def test_a_new_token_alone_is_a_change():
    """A reload that changes only a secret must reach the exporter."""
    old = config("otel_metrics_export: {endpoint: 'http://localhost', headers: {a: '1'}}")
    new = config("otel_metrics_export: {endpoint: 'http://localhost', headers: {a: '2'}}")
    changes = diff(old, new)
    assert changes.live == ("otel_metrics_export.headers",)
    assert changes.touches("otel_metrics_export")
    assert not changes.touches("otel_metrics")


def test_entries_change_as_a_whole():
    changes = diff(config(""), config("discovery: {instrument: [{pids: [1]}]}"))
    assert changes.live == ("discovery.instrument",)


def test_options_without_effect_do_not_count():
    assert not diff(config(""), config("channel_buffer_len: 99\n"))


def test_the_fingerprint_tells_configurations_apart_and_says_nothing_of_secrets():
    export = "otel_metrics_export: {{endpoint: 'http://u:{0}@localhost', headers: {{a: '{0}'}}}}"
    same = {fingerprint(config(export.format(secret))) for secret in ("s3cret", "other")}
    assert len(same) == 1
    assert fingerprint(config("")) == fingerprint(config("log_level: INFO"))
    entry = "discovery: {instrument: [{pids: [1]}]}"
    assert len({fingerprint(config(text)) for text in ("", "log_level: WARN", entry)}) == 3
