"""An application whose every request takes about one millisecond of CPU, always the same work.

The work is a fixed number of hash rounds, not a wait for a clock: a wait would hide what a probe
adds to it.

    python one_ms_app.py PORT
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import time

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


def calibrate(target_seconds: float = 0.001) -> int:
    """Rounds of PBKDF2 that take about so long on this machine."""
    rounds = 200
    best = min(_timed(rounds) for _ in range(50))
    return max(1, round(rounds * target_seconds / best))


def _timed(rounds: int) -> float:
    begin = time.perf_counter()
    hashlib.pbkdf2_hmac("sha256", b"p", b"s", rounds)
    return time.perf_counter() - begin


class App(asyncio.Protocol):
    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            _, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            hashlib.pbkdf2_hmac("sha256", b"p", b"s", self.rounds)
            self.transport.write(RESPONSE)


async def main() -> None:
    rounds = calibrate()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: App(rounds), "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
