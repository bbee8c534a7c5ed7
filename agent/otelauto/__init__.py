"""otelauto: request rate, errors and duration of every service on a host, from the kernel."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
