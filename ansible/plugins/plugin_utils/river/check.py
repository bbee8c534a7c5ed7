# SPDX-License-Identifier: Apache-2.0
"""What a collector would refuse to load although the syntax is right.

Only what holds for every component: names given twice, references to nothing, cycles. What each
component's arguments are is the collector's own knowledge (``alloy validate``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dialect import CONSTANTS, FUNCTIONS, dotted
from .errors import MeaningError
from .scanner import decode_string
from .syntax import (
    Access,
    Array,
    Attribute,
    Binary,
    Block,
    Body,
    Call,
    Expression,
    Field,
    Index,
    Literal,
    Name,
    Object,
    Paren,
    Unary,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["EXPORTS", "check", "variables"]

#: What the components of the pipeline export; a component that is not here may export anything.
EXPORTS: dict[str, frozenset[str]] = {
    "otelcol.receiver.otlp": frozenset(),
    "otelcol.processor.batch": frozenset({"input"}),
    "otelcol.processor.memory_limiter": frozenset({"input"}),
    "otelcol.connector.spanmetrics": frozenset({"input"}),
    "otelcol.connector.servicegraph": frozenset({"input"}),
    "otelcol.exporter.prometheus": frozenset({"input"}),
    "otelcol.exporter.otlp": frozenset({"input"}),
    "otelcol.exporter.otlphttp": frozenset({"input"}),
    "otelcol.auth.basic": frozenset({"handler"}),
    "otelcol.auth.bearer": frozenset({"handler"}),
    "prometheus.remote_write": frozenset({"receiver"}),
    "prometheus.scrape": frozenset(),
    "prometheus.relabel": frozenset({"receiver", "rules"}),
    "local.file": frozenset({"content"}),
}
#: Blocks at the top of a file that are no components; each may stand there once.
SINGLETONS = frozenset({"logging", "tracing", "http", "livedebugging", "remotecfg"})
#: Blocks that bring names of their own, whose inside is not looked at.
OPAQUE = frozenset({"declare", "argument", "export", "foreach"})


def check(body: Body, dialect: str = "alloy") -> None:
    """Refuse a file that no collector would load.

    Raises:
        MeaningError: the first thing that is wrong, with its line.
    """
    components = _components(body)
    needs: dict[str, set[str]] = {}
    for statement in body.statements:
        if not isinstance(statement, Block) or statement.name[0] in OPAQUE:
            continue
        _once(statement.body, statement)
        found = needs.setdefault(statement.title, set())
        for name, line in _references(statement.body, dialect):
            found.add(_resolve(name, components, line))
    _no_cycle(needs)


def variables(body: Body) -> set[str]:
    """The names of the environment variables that a file asks for, where they are literal."""
    found: set[str] = set()
    for statement in body.statements:
        if isinstance(statement, Block):
            found |= variables(statement.body)
        elif isinstance(statement, Attribute):
            found |= {name for call in _calls(statement.value) for name in _variable(call)}
    return found


def _variable(call: Call) -> Iterator[str]:
    if dotted(call.of) in ("sys.env", "env"):
        for argument in call.arguments.elements:
            if isinstance(argument, Literal) and argument.kind == "string":
                yield decode_string(argument.text)


def _calls(node: Expression | Field) -> Iterator[Call]:
    if isinstance(node, Call):
        yield node
    for inside in _inside(node):
        yield from _calls(inside)


def _inside(node: Expression | Field) -> tuple[Expression | Field, ...]:
    if isinstance(node, Field):
        return (node.value,)
    if isinstance(node, Call):
        return (node.of, *node.arguments.elements)
    if isinstance(node, Access):
        return (node.of,)
    if isinstance(node, Index):
        return (node.of, node.index)
    if isinstance(node, Unary):
        return (node.operand,)
    if isinstance(node, Binary):
        return (node.left, node.right)
    if isinstance(node, Paren):
        return (node.inner,)
    if isinstance(node, (Array, Object)):
        return node.items.elements
    return ()


def _components(body: Body) -> dict[str, Block]:
    found: dict[str, Block] = {}
    for statement in body.statements:
        if isinstance(statement, Attribute):
            raise MeaningError(
                f"{statement.name!r} stands at the top of the file, where only blocks may",
                statement.line,
            )
        if isinstance(statement, Block):
            if statement.title in found:
                raise MeaningError(f"{statement.title} is given twice", statement.line)
            found[statement.title] = statement
    return found


def _once(body: Body, block: Block) -> None:
    seen: set[str] = set()
    for statement in body.statements:
        if isinstance(statement, Block):
            _once(statement.body, statement)
        elif isinstance(statement, Attribute):
            if statement.name in seen:
                raise MeaningError(
                    f"{statement.name!r} is given twice in {block.title}", statement.line
                )
            seen.add(statement.name)


def _references(body: Body, dialect: str) -> Iterator[tuple[str, int]]:
    for statement in body.statements:
        if isinstance(statement, Block):
            yield from _references(statement.body, dialect)
        elif isinstance(statement, Attribute):
            for name in _names(statement.value, dialect, statement.line):
                yield name, statement.line


def _names(node: Expression | Field, dialect: str, line: int) -> Iterator[str]:
    """The dotted names that are values; those of functions are only looked up."""
    if isinstance(node, (Name, Access)) and (name := dotted(node)):
        yield name
        return
    inside = _inside(node)
    if isinstance(node, Call):
        _known_function(dotted(node.of), dialect, line)
        inside = node.arguments.elements
    for one in inside:
        yield from _names(one, dialect, line)


def _known_function(name: str, dialect: str, line: int) -> None:
    # Alloy still knows the Agent's names, under deprecation.
    known = {agent for agent in FUNCTIONS.values() if agent}
    if dialect == "alloy":
        known |= set(FUNCTIONS)
    if name not in known:
        raise MeaningError(f"there is no function {name!r} in the dialect {dialect}", line)


def _resolve(name: str, components: dict[str, Block], line: int) -> str:
    """The component that a reference names; empty for a constant."""
    if name in CONSTANTS:
        return ""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        title = ".".join(parts[:length])
        if title in components:
            exports = EXPORTS.get(".".join(components[title].name))
            if exports is not None and parts[length] not in exports:
                raise MeaningError(f"{title} exports no {parts[length]!r}", line)
            return title
    raise MeaningError(f"{name} refers to nothing in this file", line)


def _no_cycle(needs: dict[str, set[str]]) -> None:
    done: set[str] = set()
    for start, first in needs.items():
        path = [start]
        pending = [(start, iter(sorted(first)))]
        while pending:
            rest = pending[-1][1]
            following = next(rest, None)
            if following is None:
                pending.pop()
                done.add(path.pop())
            elif following in path:
                circle = " -> ".join([*path[path.index(following) :], following])
                raise MeaningError(f"a cycle: {circle}", 0)
            elif following and following not in done:
                path.append(following)
                pending.append((following, iter(sorted(needs.get(following, ())))))
