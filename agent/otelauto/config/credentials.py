"""Secrets that the configuration names but does not hold.

Read at start and at each reload, so that a new password needs no restart.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from otelauto.config.values import Secret
from otelauto.errors import ConfigError

if TYPE_CHECKING:
    from otelauto.config.exposition import BasicAuth

__all__ = ["scrape_password"]

_MOST_BYTES = 4096


def scrape_password(auth: BasicAuth) -> Secret:
    """The password of the Prometheus endpoint: the given one, or the first line of its file.

    Empty if no authentication is configured.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8, or its first line is empty.
    """
    if not auth.password_file:
        return auth.password
    key = "prometheus_export.basic_auth.password_file"
    try:
        with Path(auth.password_file).open("rb") as file:
            line = file.readline(_MOST_BYTES).rstrip(b"\r\n").decode()
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise ConfigError(f'{key}: cannot read "{auth.password_file}": {reason}') from None
    except UnicodeDecodeError:
        raise ConfigError(f'{key}: "{auth.password_file}" is not UTF-8 text') from None
    if not line:
        raise ConfigError(f'{key}: the first line of "{auth.password_file}" is empty')
    return Secret(line)
