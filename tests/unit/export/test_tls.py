"""TLS to a receiver: who is trusted, and files that cannot be used."""

from __future__ import annotations

import ssl
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import grpc
import pytest
import structlog.testing
import trustme
from tests.receivers import OtlpGrpcReceiver, OtlpHttpReceiver
from tests.unit.export.otlp_rig import RECEIVERS, exporter

from otelauto.errors import ExportError
from otelauto.export.otlp import OtlpExporter
from otelauto.export.settings import OtlpSettings


def tls_receiver(protocol, issued, *answers, client_ca=None):
    if protocol == "grpc":
        credentials = grpc.ssl_server_credentials(
            [
                (
                    issued.private_key_pem.bytes(),
                    b"".join(p.bytes() for p in issued.cert_chain_pems),
                )
            ],
            root_certificates=client_ca.cert_pem.bytes() if client_ca else None,
            require_client_auth=client_ca is not None,
        )
        return OtlpGrpcReceiver(*answers, credentials=credentials)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    if client_ca is not None:
        client_ca.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return OtlpHttpReceiver(*answers, tls=context)


def test_a_receiver_of_a_known_authority_is_trusted(protocol, rich, server_pem, ca_file):
    with tls_receiver(protocol, server_pem) as receiver:
        assert exporter(receiver, protocol, lambda: rich, certificate=ca_file).export()


def test_an_unknown_authority_is_refused_with_the_reason(protocol, rich, server_pem):
    with (
        tls_receiver(protocol, server_pem) as receiver,
        structlog.testing.capture_logs() as logs,
    ):
        one = exporter(receiver, protocol, lambda: rich)
        assert not one.export()
        assert receiver.requests == ()
    assert one.status.errors == {"tls": 1}
    assert "certificate" in logs[0]["detail"].lower()


def test_another_name_is_refused(protocol, rich, authority, ca_file):
    with tls_receiver(protocol, authority.issue_cert("elsewhere.example")) as receiver:
        one = exporter(receiver, protocol, lambda: rich, certificate=ca_file)
        assert not one.export()
        assert receiver.requests == ()
    assert one.status.errors == {"tls": 1}


def test_an_expired_certificate_is_refused(protocol, rich, authority, ca_file):
    past = datetime.now(tz=timezone.utc) - timedelta(days=1)
    expired = authority.issue_cert(
        "127.0.0.1", not_before=past - timedelta(days=9), not_after=past
    )
    with tls_receiver(protocol, expired) as receiver:
        one = exporter(receiver, protocol, lambda: rich, certificate=ca_file)
        assert not one.export()
        assert receiver.requests == ()
    assert one.status.errors == {"tls": 1}


def test_skip_verify_works_and_warns_at_each_start(protocol, rich):
    stranger = trustme.CA().issue_cert("elsewhere.example")
    with (
        tls_receiver(protocol, stranger) as receiver,
        structlog.testing.capture_logs() as logs,
    ):
        for _ in range(2):
            one = exporter(receiver, protocol, lambda: rich, insecure_skip_verify=True)
            assert one.export()
            one.shutdown()
    assert sum("not verified" in line["event"] for line in logs) == 2


def test_a_client_certificate_is_shown(protocol, rich, authority, ca_file, client_files):
    chain, key = client_files
    with tls_receiver(
        protocol, authority.issue_cert("127.0.0.1"), client_ca=authority
    ) as receiver:
        assert not exporter(receiver, protocol, lambda: rich, certificate=ca_file).export()
        one = exporter(
            receiver,
            protocol,
            lambda: rich,
            certificate=ca_file,
            client_certificate=chain,
            client_key=key,
        )
        assert one.export()


def test_https_is_never_sent_in_clear(protocol, rich):
    """The receiver speaks no TLS: nothing arrives."""
    with RECEIVERS[protocol]() as receiver:
        endpoint = receiver.endpoint.replace("http://", "https://")
        one = exporter(receiver, protocol, lambda: rich, endpoint=endpoint)
        assert not one.export()
        assert receiver.requests == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"certificate": "/nowhere/ca.pem"},
        {"certificate": __file__},
        {"client_certificate": "/nowhere/client.pem"},
        {"client_key": "/nowhere/client.key"},
        {"endpoint": "ftp://127.0.0.1/x"},
        {"headers": (("bad name", "x"),)},
        {"headers": (("x", "a\nb: c"),)},
    ],
    ids=repr,
)
def test_settings_that_cannot_work_are_errors_at_start(protocol, rich, changes):
    with pytest.raises(ExportError) as caught:
        OtlpExporter(
            replace(OtlpSettings("http://127.0.0.1:9/v1/metrics", protocol), **changes),
            lambda: rich,
        )
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_grpc_does_not_write_past_the_log(server_pem):
    """Its core has a log of its own on stderr, with a line for each handshake that fails."""
    code = (
        "import sys\n"
        "from otelauto.export.otlp import OtlpExporter\n"
        "from otelauto.export.settings import OtlpSettings\n"
        "from tests.unit.export.samples import histogram, service, snapshot\n"
        "class Log:\n"
        "    warning = staticmethod(lambda *_, **__: None)\n"
        "one = OtlpExporter(OtlpSettings(sys.argv[1], 'grpc', timeout_seconds=2),\n"
        "    lambda: snapshot(service(histogram())), log=Log())\n"
        "one.export()\n"
        "print(dict(one.status.errors))\n"
    )
    with tls_receiver("grpc", server_pem) as receiver:
        done = subprocess.run(
            [sys.executable, "-c", code, receiver.endpoint],
            env={"PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    assert (done.stdout, done.stderr) == ("{'tls': 1}\n", "")
