"""Settings choose the way to a receiver."""

from __future__ import annotations

import pytest
from tests.unit.app.doubles import Log

from otelauto.errors import ExportError
from otelauto.export._connect import connected
from otelauto.export.settings import OtlpSettings


@pytest.mark.parametrize(
    ("protocol", "name"), [("http/protobuf", "HttpTransport"), ("grpc", "GrpcTransport")]
)
@pytest.mark.parametrize("signal", ["metrics", "traces"])
def test_the_protocol_chooses_the_transport(protocol, name, signal):
    settings = OtlpSettings("http://localhost:4318/x", protocol)
    transport = connected(settings, signal=signal, version="1", log=Log())
    assert name == type(transport).__name__
    transport.close()


@pytest.mark.parametrize(("scheme", "said"), [("https", 1), ("http", 0)])
def test_a_certificate_that_is_not_verified_is_warned_of(scheme, said):
    log = Log()
    settings = OtlpSettings(f"{scheme}://u:secret@h:1/x", insecure_skip_verify=True)
    connected(settings, signal="traces", version="1", log=log).close()
    assert said == len(log.events("warning"))
    assert "secret" not in str(log.said)


def test_an_endpoint_that_cannot_work_is_an_error():
    with pytest.raises(ExportError):
        connected(OtlpSettings("nowhere"), signal="traces", version="1", log=Log())
