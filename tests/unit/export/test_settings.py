"""Settings do not show their secrets."""

from __future__ import annotations

from otelauto.export.settings import OtlpSettings, PrometheusSettings


def test_no_representation_holds_a_secret():
    otlp = OtlpSettings(
        "http://user:s3cret@h/v1/metrics?k=s3cret", headers=(("authorization", "s3cret"),)
    )
    prometheus = PrometheusSettings(port=9400, username="prom", password="s3cret")
    assert "s3cret" not in f"{otlp!r} {otlp} {prometheus!r} {prometheus}"


def test_the_endpoint_is_for_this_host_only_unless_told_otherwise():
    assert PrometheusSettings(port=9400).listen_address == "127.0.0.1"


def test_equal_settings_are_equal_values():
    """A reload compares them, secrets included, to see whether anything changed."""
    one = OtlpSettings("http://h/", headers=(("k", "1"),))
    assert one == OtlpSettings("http://h/", headers=(("k", "1"),))
    assert one != OtlpSettings("http://h/", headers=(("k", "2"),))
