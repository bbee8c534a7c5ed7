"""make demo: the agent on a small shop behind nginx, or on whatever listens on a port here.

    python -m tests.demo.demo [--port N] [--seconds N]

Shows a live table, then says where the metrics are. On a terminal it goes on until Ctrl-C.
Whatever ends it, nothing of it is left running.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from tests.demo.table import render, rows
from tests.live.gate import live_reason, program_reason
from tests.servers import nginx
from tests.servers.agent import Agent, start_agent
from tests.servers.process import StartError, Supervisor, free_port, listening

HERE = Path(__file__).parent
#: (weight, method, path): what the visitors of the shop do.
VISITS = (
    (30, "GET", "/"), (25, "GET", "/products/{}"), (15, "GET", "/products"),
    (10, "GET", "/search?q=tea"), (8, "POST", "/cart/items"), (6, "GET", "/orders/{}"),
    (4, "POST", "/checkout"), (2, "GET", "/favicon.ico"),
)  # fmt: skip


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def visit(port: int, stop: threading.Event) -> None:
    """One visitor: a kept-alive connection and about 20 requests a second."""
    dice = random.Random()
    weights = [weight for weight, _, _ in VISITS]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    while not stop.wait(dice.expovariate(25)):
        _, method, path = dice.choices(VISITS, weights)[0]
        body = b"x" * dice.randrange(10, 500) if method == "POST" else None
        with suppress(OSError, http.client.HTTPException):
            connection.request(method, path.format(dice.randrange(1, 600)), body)
            connection.getresponse().read()
            continue
        connection.close()


def start_shop(supervisor: Supervisor, directory: Path) -> tuple[int, ...]:
    """The shop and nginx before it; gives both ports, nginx's first."""
    shop, front = free_port(), free_port()
    supervisor.start("shop", [sys.executable, str(HERE / "shop.py"), str(shop)], ports=(shop,))
    site = nginx.Site(
        port=front, upstream=f"127.0.0.1:{shop}", upstream_path="/", upstream_version="1.1"
    )
    nginx.start(supervisor, directory, site)
    return front, shop


def show(agent: Agent, seconds: float) -> None:
    """Draw the table once a second on a terminal, once at the end elsewhere."""
    first = agent.samples()
    begin = time.monotonic()
    drawn = 0
    while (left := begin + seconds - time.monotonic()) > 0:
        time.sleep(min(1, left))
        last = time.monotonic() - begin >= seconds
        if not (sys.stdout.isatty() or last):
            continue
        table = render(rows(first, agent.samples()), time.monotonic() - begin)
        back = f"\x1b[{drawn}F\x1b[J" if drawn else ""
        say(back + table)
        drawn = table.count("\n") + 1


def explain(agent: Agent, *, own_port: bool) -> None:
    say(f"\nThe same as Prometheus metrics:  curl http://127.0.0.1:{agent.metrics_port}/metrics")
    if not own_port:
        say("A server of your own that runs on this host:  make demo PORT=8080")
    say("For good: write a configuration (.venv/bin/otelauto config example), then")
    say("  .venv/bin/otelauto check otelauto.yml && .venv/bin/otelauto -config otelauto.yml")


def run(supervisor: Supervisor, directory: Path, *, port: int, seconds: float) -> None:
    ports = (port,) if port else start_shop(supervisor, directory)
    say("Starting the agent: it compiles its probes for this kernel.")
    selected = ",".join(str(number) for number in ports)
    config = f'discovery:\n  instrument:\n    - open_ports: "{selected}"\nlog_level: WARNING\n'
    agent = start_agent(supervisor, directory, config, metrics_port=free_port())
    say(f"Attached after {agent.ready_seconds:.1f} s. Nobody restarted or changed the servers.\n")
    stop = threading.Event()
    crowd = 0 if port else 12
    visitors = [threading.Thread(target=visit, args=(ports[0], stop)) for _ in range(crowd)]
    for visitor in visitors:
        visitor.start()
    try:
        show(agent, seconds)
        explain(agent, own_port=bool(port))
        if sys.stdout.isatty() and sys.stdin.isatty():
            say("\nStill running. Ctrl-C ends it.")
            agent.running.process.wait()
    finally:
        stop.set()
        for visitor in visitors:
            visitor.join()


def refuse(port: int) -> str:
    """Why the demonstration cannot run here; empty if it can."""
    if os.geteuid():
        return "eBPF needs root: run it as root or with sudo."
    if port and not listening(port):
        return f"Nothing listens on port {port}. See what does:  ss -ltn"
    return live_reason() or ("" if port else program_reason("nginx"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="a server that runs already")
    parser.add_argument("--seconds", type=float, default=10, help="how long the table is shown")
    args = parser.parse_args()
    if reason := refuse(args.port):
        sys.stderr.write(f"demo: {reason}\n")
        return 1
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="otelauto-demo-") as name:
        directory = Path(name)
        supervisor = Supervisor(directory)
        try:
            run(supervisor, directory, port=args.port, seconds=args.seconds)
        except KeyboardInterrupt:
            say("")
        except StartError as error:
            sys.stderr.write(f"demo: {error}\n")
            return 1
        finally:
            supervisor.stop_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
