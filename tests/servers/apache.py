"""Apache httpd (event MPM) with a configuration of its own; the host's is not touched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.servers.process import Running, Supervisor

__all__ = ["start"]

MODULES = Path("/usr/lib/apache2/modules")


def start(supervisor: Supervisor, directory: Path, *, port: int, name: str = "apache") -> Running:
    """Start httpd in the foreground: /ok and any name under /users/ 200, /missing 404, /error 500.

    It answers without touching files, because its workers may not read a test's directory.

    The access log, directory/NAME/access.log, has one line per request: "METHOD path status".
    """
    home = directory / name
    home.mkdir(parents=True)
    config = home / "httpd.conf"
    config.write_text(_config(port, home))
    argv = ["apache2", "-d", str(home), "-f", str(config), "-DFOREGROUND"]
    return supervisor.start(name, argv, ports=(port,))


def _config(port: int, home: Path) -> str:
    wanted = ("mpm_event", "authz_core", "alias", "rewrite")
    modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in wanted)
    return f"""
{modules}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile "{home}/httpd.pid"
DefaultRuntimeDir "{home}"
User www-data
Group www-data
ErrorLog "{home}/error.log"
LogFormat "%m %U %>s" counted
CustomLog "{home}/access.log" counted
# All processes from the start to the end: one that is spared would hang up on its clients. So
# would one whose threads are all busy (event.c, process_keepalive_queue), however uneven the
# kernel's choice of the process that accepts: each has more threads than any test has connections.
StartServers 2
ServerLimit 2
MinSpareThreads 64
MaxSpareThreads 640
ThreadLimit 320
ThreadsPerChild 320
MaxRequestWorkers 640
MaxKeepAliveRequests 0
KeepAliveTimeout 65
DocumentRoot "{home}"
RewriteEngine on
RewriteRule ^/(ok|users/.*)$ - [R=200,L]
Redirect 404 /missing
Redirect 500 /error
"""
