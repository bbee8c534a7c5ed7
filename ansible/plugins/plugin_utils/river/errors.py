# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a text or with data; callers catch ``RiverError``.

RiverError
├── RiverSyntaxError     a text that is not River, with line and column
├── DataError       data that has no form in River, with the path to it
└── MeaningError    correct syntax that no collector would load, with the line
"""

from __future__ import annotations

__all__ = ["DataError", "MeaningError", "RiverError", "RiverSyntaxError"]


class RiverError(ValueError):
    """Anything that keeps a text or data from being a configuration."""


class RiverSyntaxError(RiverError):
    """A text that the scanner or the parser refuses."""

    def __init__(self, reason: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {reason}")
        self.reason = reason
        self.line = line
        self.column = column


class DataError(RiverError):
    """Data that cannot be written, such as a number that is infinite."""

    def __init__(self, reason: str, path: str) -> None:
        super().__init__(f"{path or 'the data'}: {reason}")
        self.reason = reason
        self.path = path


class MeaningError(RiverError):
    """A reference to nothing, an attribute given twice and the like."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.reason = reason
        self.line = line
