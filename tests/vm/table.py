"""The table of what the verifiers say: a line for each program, a column for each kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.vm.machine import Findings

__all__ = ["rows", "text"]


def rows(found: Mapping[str, Findings]) -> list[list[str]]:
    """The table with its head: verified instructions / states, by program, kernel and way."""
    columns = [
        (
            f"{one.release.removesuffix('-amd64')} {way} {verdicts['compiler']}",
            verdicts["programs"],
        )
        for one in found.values()
        for way, compilers in one.report.get("verifier", {}).items()
        for verdicts in compilers.values()
        if "programs" in verdicts
    ]
    names = list(dict.fromkeys(name for _, programs in columns for name in programs))
    head = ["program", *(title for title, _ in columns)]
    cells = [[name, *(_cell(programs.get(name)) for _, programs in columns)] for name in names]
    return [head, *cells]


def _cell(verdict: Mapping[str, object] | None) -> str:
    if verdict is None:
        return "-"
    if verdict["errno"]:
        return f"refused ({verdict['errno']})"
    return f"{verdict['instructions']} / {verdict['states']}"


def text(table: Sequence[Sequence[str]]) -> str:
    """The table in lines, its columns aligned."""
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"
