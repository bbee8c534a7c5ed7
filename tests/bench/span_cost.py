"""What a span costs the agent, from the bytes of the ring's record to the wire.

    python -m tests.bench.span_cost [SPANS]

Needs no root: the records are made up, everything behind the ring is the agent's own. The receiver
is a process of its own that reads and answers, and CPU time is this process's, all threads.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Any

import structlog
from tests.unit.spans.records import HEAD, record

from otelauto.app.span_sinks import SpanSinks
from otelauto.app.spans import SpanPipeline
from otelauto.config.load import loads
from otelauto.spans.build import Traced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otelauto.abi import _layout as abi

__all__ = ["span_cost_microseconds"]

_AT_ONCE = 256
_RESOURCE = tuple((f"resource.attribute.{number}", f"value {number}") for number in range(14))
_HEAD = HEAD[:-2] + b"Accept: */*\r\nCookie: a=b; c=d\r\nAccept-Encoding: gzip\r\n\r\n"


class _Ring:
    """A ring with as much as the pipeline takes at once."""

    def __init__(self) -> None:
        self.records: list[bytes] = []

    def fileno(self) -> int:
        return -1

    def read(self, _limit: int) -> list[bytes]:
        found, self.records = self.records, []
        return found


def span_cost_microseconds(number: int = 50_000) -> float:
    """CPU microseconds of one span.

    Raises:
        AssertionError: a span was lost on the way.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=8)
    receiver = multiprocessing.get_context("fork").Process(
        target=_receive, args=(listener,), daemon=True
    )
    receiver.start()
    text = (
        "ebpf: {open_port: 1}\notel_traces_export:\n"
        f"  endpoint: http://127.0.0.1:{listener.getsockname()[1]}\n"
        f"  max_queue_size: {number + 4096}\n  batch_timeout: 1s\n"
    )
    listener.close()
    config = loads(text, file="bench", environ={}).config
    log = structlog.get_logger()
    ring = _Ring()
    sinks = SpanSinks(config, stream=sys.stdout, log=log)
    pipeline = SpanPipeline(config, ring=_any(ring), traced=_traced, sinks=sinks, log=log)
    pipeline.start()
    try:
        _pass(pipeline, ring, 5000)  # what is made once
        begin = time.process_time()
        _pass(pipeline, ring, number)
        return (time.process_time() - begin) / number * 1e6
    finally:
        pipeline.stop(10)
        receiver.terminate()
        receiver.join()


def _pass(pipeline: SpanPipeline, ring: _Ring, number: int) -> None:
    """So many spans, at the speed at which they are exported."""
    start = pipeline.counts.get("exported", 0)
    for begin in range(0, number, _AT_ONCE):
        size = min(_AT_ONCE, number - begin)
        ring.records = [
            record(_HEAD, trace=os.urandom(16), span=os.urandom(8), client_port=one + 1)
            for one in range(size)
        ]
        pipeline.on_readable()
    deadline = time.monotonic() + 120
    while pipeline.counts.get("exported", 0) - start < number:
        assert time.monotonic() < deadline, pipeline.counts
        time.sleep(0.01)


def _traced(exchanges: Sequence[tuple[abi.EventSpan, bytes]]) -> list[Traced | None]:
    return [Traced(_RESOURCE, "/users/{id}") for _ in exchanges]


def _any(value: Any) -> Any:
    return value


def _receive(listener: socket.socket) -> None:
    """Reads requests and accepts them."""
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            while line := stream.readline():
                length = 0
                while line.strip():
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                    line = stream.readline()
                stream.read(length)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    sys.stdout.write(f"{span_cost_microseconds(wanted):.1f} us of CPU a span\n")
