"""An OTLP/gRPC receiver on a port of 127.0.0.1."""

from __future__ import annotations

from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from tests.receivers._decoded import Answer, Inbox, response

if TYPE_CHECKING:
    from typing_extensions import Self


class OtlpGrpcReceiver(Inbox):
    """A context manager: a server from `with` to its end.

    Args:
        answers: the script; the last one repeats; none: accept everything.
        credentials: of a TLS server; None: in clear.
    """

    def __init__(
        self,
        *answers: Answer,
        credentials: grpc.ServerCredentials | None = None,
        port: int = 0,
        max_receive_bytes: int = 4 * 1024 * 1024,
    ) -> None:
        super().__init__(answers)
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=4),
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", max_receive_bytes),
            ],
        )
        add_MetricsServiceServicer_to_server(_Servicer(self), self._server)
        add_TraceServiceServicer_to_server(_TraceServicer(self), self._server)
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, credentials)
        self._scheme = "https" if credentials else "http"

    @property
    def endpoint(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def traces_endpoint(self) -> str:
        """The same as for metrics."""
        return self.endpoint

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self._server.stop(0).wait(5)


class _Answering:
    method: str

    def __init__(self, receiver: Inbox) -> None:
        self._receiver = receiver

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's own name
        answer = self._receiver.next_answer()
        self._receiver.record(
            path=self.method,
            headers=dict(context.invocation_metadata()),
            body=request.SerializeToString(),
            answer=answer,
        )
        if answer.silent:
            self._receiver.closed.wait()
        if answer.status is not None:
            _abort(context, answer)
        return response(self.method, answer.rejected)


class _Servicer(_Answering, MetricsServiceServicer):
    method = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"


class _TraceServicer(_Answering, TraceServiceServicer):
    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


def _abort(context: Any, answer: Answer) -> None:
    code = grpc.StatusCode[str(answer.status)]
    if answer.retry_after_seconds is not None:
        info = RetryInfo()
        info.retry_delay.FromNanoseconds(int(answer.retry_after_seconds * 1e9))
        detail = AnyMessage()
        detail.Pack(info)
        status = Status(code=code.value[0], message="scripted", details=[detail])
        context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
    context.abort(code, "scripted")
