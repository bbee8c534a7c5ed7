"""nginx with a configuration of its own in the test's directory; the host's is not touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.process import Running, Supervisor

__all__ = ["Site", "access_counts", "start"]


@dataclass(frozen=True, slots=True)
class Site:
    """What one nginx serves. Besides these, always: /ok 200, /missing 404, /error 500, /empty 204,
    /files/NAME (sendfile) and /stub (stub_status).

    Attributes:
        port: TCP port on 127.0.0.1 and ::1.
        workers: worker processes; the first may be pinned.
        cpu: pin all workers to this CPU; -1: not pinned.
        upstream: address of the application behind upstream_path, such as "127.0.0.1:8080" or
            "unix:/run/x.sock"; empty: none.
        upstream_path: what is passed on, without this prefix; "/": everything else.
        upstream_version: protocol to the upstream, "1.0" (nginx's default) or "1.1" (kept alive).
        access_log: write one line per request, "METHOD path status"; off for benchmarks.
        requests_per_connection: keepalive_requests.
    """

    port: int
    workers: int = 1
    cpu: int = -1
    upstream: str = ""
    upstream_path: str = "/app/"
    upstream_version: str = "1.0"
    access_log: bool = True
    requests_per_connection: int = 1_000_000_000


def start(supervisor: Supervisor, directory: Path, site: Site, *, name: str = "nginx") -> Running:
    """Start nginx in the foreground; its access log is directory/NAME/access.log."""
    home = directory / name
    (home / "files").mkdir(parents=True)
    for kilobytes in (0, 4, 100, 5000):
        (home / "files" / f"{kilobytes}k").write_bytes(b"f" * 1024 * kilobytes)
    (home / "tmp").mkdir()
    config = home / "nginx.conf"
    config.write_text(_config(site, home))
    argv = ["nginx", "-p", str(home), "-e", str(home / "error.log"), "-c", str(config)]
    return supervisor.start(name, argv, ports=(site.port,))


def _config(site: Site, home: Path) -> str:
    affinity = f"worker_cpu_affinity 1{'0' * site.cpu};" if site.cpu >= 0 else ""
    log = f'access_log "{home}/access.log" counted;' if site.access_log else "access_log off;"
    upstream, app = _upstream(site)
    takes_all = site.upstream and site.upstream_path == "/"
    rest = "" if takes_all else 'location / { return 200 "ok\\n"; }'
    return f"""
daemon off;
# The test's directory is readable by root only.
user root;
worker_processes {site.workers};
{affinity}
pid "{home}/nginx.pid";
error_log "{home}/error.log" warn;
events {{ worker_connections 4096; }}
http {{
    log_format counted "$request_method $uri $status";
    {log}
    sendfile on;
    keepalive_requests {site.requests_per_connection};
    keepalive_timeout 65s;
    client_body_temp_path "{home}/tmp/body";
    proxy_temp_path "{home}/tmp/proxy";
    fastcgi_temp_path "{home}/tmp/fastcgi";
    uwsgi_temp_path "{home}/tmp/uwsgi";
    scgi_temp_path "{home}/tmp/scgi";
    client_max_body_size 100m;
    {upstream}
    server {{
        listen 127.0.0.1:{site.port} backlog=4096;
        listen [::1]:{site.port} backlog=4096;
        location = /stub {{ stub_status; access_log off; }}
        location = /missing {{ return 404; }}
        location = /error {{ return 500; }}
        location = /empty {{ return 204; }}
        location /files/ {{ root "{home}"; }}
        {app}
        {rest}
    }}
}}
"""


def _upstream(site: Site) -> tuple[str, str]:
    if not site.upstream:
        return "", ""
    keep = "keepalive 64;" if site.upstream_version == "1.1" else ""
    connection = 'proxy_set_header Connection "";' if keep else ""
    block = f"upstream app {{ server {site.upstream}; {keep} }}"
    location = (
        f"location {site.upstream_path} {{ proxy_pass http://app/; "
        f"proxy_http_version {site.upstream_version}; {connection} }}"
    )
    return block, location


def access_counts(directory: Path, name: str = "nginx") -> dict[tuple[str, str, int], int]:
    """What nginx itself logged: (method, path, status) to number of requests."""
    counts: dict[tuple[str, str, int], int] = {}
    for line in (directory / name / "access.log").read_text().splitlines():
        method, path, status = line.split(" ")
        key = (method, path, int(status))
        counts[key] = counts.get(key, 0) + 1
    return counts
