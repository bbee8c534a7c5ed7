"""Application servers of several runtimes that all answer alike.

GET /ok and /users/N 200, /missing 404, /error 500, /slow?ms=N 200 after so long, POST /upload 201;
anything else 404. Each source is a plain program beside this file, and none knows of otelauto.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.servers.process import Running, Supervisor

__all__ = ["start_gunicorn", "start_java", "start_node", "start_origin", "start_threaded"]

HERE = Path(__file__).parent
# A server of the distribution must not see the test's own packages.
CLEAN = {"PYTHONPATH": "", "VIRTUAL_ENV": ""}


def start_gunicorn(
    supervisor: Supervisor,
    *,
    port: int = 0,
    unix: Path | None = None,
    worker_class: str = "sync",
    workers: int = 2,
) -> Running:
    """The distribution's gunicorn on a port or a unix socket, worker class "sync" or "gthread"."""
    place = f"unix:{unix}" if unix else f"127.0.0.1:{port}"
    argv = ["/usr/bin/gunicorn", "--bind", place, "--workers", str(workers)]
    argv += ["--worker-class", worker_class, "--backlog", "1024", "--keep-alive", "30"]
    if worker_class == "gthread":
        argv += ["--threads", "8", "--worker-connections", "1000"]
    argv += ["--chdir", str(HERE), "wsgi_app:application"]
    env = {**CLEAN, "PYTHONDONTWRITEBYTECODE": "1"}
    where = {"sockets": (unix,)} if unix else {"ports": (port,)}
    return supervisor.start(f"gunicorn-{worker_class}", argv, env=env, **where)


def start_node(supervisor: Supervisor, *, port: int) -> Running:
    """Node's http server, one process."""
    return supervisor.start("node", ["node", str(HERE / "node_app.js"), str(port)], ports=(port,))


def start_java(supervisor: Supervisor, *, port: int) -> Running:
    """com.sun.net.httpserver from a single source file; compiles at start."""
    argv = ["java", "-Xmx128m", "-XX:+UseSerialGC", "-Dsun.net.httpserver.nodelay=true"]
    # By default it closes idle connections above 200, without saying so in the response.
    argv += ["-Dsun.net.httpserver.maxIdleConnections=4096"]
    argv += [str(HERE / "JavaApp.java"), str(port)]
    return supervisor.start("java", argv, ports=(port,), timeout_seconds=60)


def start_threaded(supervisor: Supervisor, *, port: int) -> Running:
    """The standard library's threading server: one thread per connection, buffered reads."""
    argv = [sys.executable, str(HERE / "threaded_app.py"), str(port)]
    return supervisor.start("threaded", argv, ports=(port,))


def start_origin(
    supervisor: Supervisor,
    directory: Path,
    *,
    port: int = 0,
    unix: Path | None = None,
    address: str = "127.0.0.1",
    workers: int = 1,
) -> tuple[Running, Path]:
    """The origin of origin.py on a port or a unix socket; also its access log."""
    access = directory / f"origin-{port or 'unix'}.jsonl"
    argv = [sys.executable, str(HERE / "origin.py"), "--access", str(access)]
    argv += ["--unix", str(unix)] if unix else ["--port", str(port), "--address", address]
    argv += ["--workers", str(workers)]
    ports = () if unix else (port,)
    sockets = (unix,) if unix else ()
    return supervisor.start("origin", argv, ports=ports, sockets=sockets), access
