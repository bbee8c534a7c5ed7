"""Every error the agent raises on purpose.

Only exception types live here. Each carries what is wrong, where, and what to do next; the command
line prints it as one line and exits with the type's code::

    OtelautoError            (1)
      ConfigError            (2)  the configuration is not valid
        NothingSelectedError (2)  all is well, but there is nothing to do yet
      CannotInstrumentError  (3)  this host or this privilege cannot run the probes
        LoadError            (3)  the kernel programs did not compile, load or attach
        SelfTestError        (3)  no way of hooking reports a known exchange correctly
      ExportError            (4)  an exporter cannot start (busy port, unreadable certificate)
"""

from __future__ import annotations

__all__ = [
    "CannotInstrumentError",
    "ConfigError",
    "ExportError",
    "LoadError",
    "NothingSelectedError",
    "OtelautoError",
    "SelfTestError",
]


class OtelautoError(Exception):
    """An error with a remedy.

    Args:
        message: what is wrong, with the value and the place.
        hint: what to do next; empty if nothing useful can be said.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(OtelautoError):
    """The configuration is not valid; the message names file, line and key, or the variable."""

    exit_code = 2


class NothingSelectedError(ConfigError):
    """The only fault of the configuration is that it selects nothing, as after an installation."""


class CannotInstrumentError(OtelautoError):
    """This host, kernel or privilege cannot run the probes."""

    exit_code = 3


class LoadError(CannotInstrumentError):
    """The kernel programs did not compile, load or attach."""


class SelfTestError(CannotInstrumentError):
    """No way of hooking reports a known exchange correctly."""


class ExportError(OtelautoError):
    """An exporter cannot start."""

    exit_code = 4
