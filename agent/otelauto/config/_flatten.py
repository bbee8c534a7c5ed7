"""From the tree of a file to its options, each under its present path.

Here former places and spellings are understood and unknown keys are found. Values stay unread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from otelauto.config._document import ListNode, MapNode, Node, Scalar
from otelauto.config._grammar import quoted
from otelauto.config.paths import moved, suggestion
from otelauto.config.schema import Config
from otelauto.options import Group, Member, members

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Flat", "Given", "Problem", "flatten"]

_MOST_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and where.

    Attributes:
        line: 0 if it is not from a line of the file.
        path: the option, or the unknown key; empty if none.
        unknown: the key is not known.
    """

    line: int
    message: str
    path: str = ""
    variable: str = ""
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """A value that the file gives.

    Attributes:
        line: the line of its key.
        written: the dotted path as it is written.
    """

    node: Node
    line: int
    written: str


@dataclass(slots=True)
class Flat:
    """What a file gives: options by path, entries of lists by path, and what is wrong.

    Attributes:
        values: path, with entries as in discovery.instrument[0].name, to value.
        entries: path of a list of entries to the line of each.
    """

    values: dict[str, Given] = field(default_factory=dict)
    entries: dict[str, tuple[int, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notices: list[tuple[int, str]] = field(default_factory=list)


def flatten(root: Node | None) -> Flat:
    """All options that the document gives."""
    walk = _Walk()
    if root is not None:
        walk.section(Config, root, canonical="", written="")
    return walk.flat


def _find_moved(old: Mapping[str, str], written: str) -> tuple[str, Member] | None:
    """The present path and declaration of a former place."""
    path = old.get(written)
    if path is None:
        return None
    cls: type[Any] = Config
    *parents, last = path.split(".")
    for name in parents:
        spec = next(m.spec for m in members(cls) if m.key == name)
        assert isinstance(spec, Group)  # noqa: S101 - only sections have keys below them
        cls = spec.cls
    return path, next(m for m in members(cls) if m.key == last)


class _Walk:
    def __init__(self) -> None:
        self.flat = Flat()
        self.moved = moved()

    def problem(self, line: int, message: str, path: str) -> None:
        self.flat.problems.append(Problem(line, message, path))

    def section(self, cls: type[Any], node: Node, *, canonical: str, written: str) -> None:
        if isinstance(node, Scalar) and node.null:
            return
        if not isinstance(node, MapNode):
            what = "a list" if isinstance(node, ListNode) else "one value"
            where = quoted(written.rstrip(".")) if written else "the configuration"
            message = f"{where} must be a mapping, not {what}"
            # At the top nothing at all is known of what was meant.
            self.flat.problems.append(Problem(node.line, message, canonical, unknown=not written))
            return
        for name, first, again in node.repeated:
            message = f"key {quoted(name)} is given twice (first in line {first}); keep one"
            self.problem(again, message, canonical + name)
        known = {m.key: m for m in members(cls)}
        aliases = {alias: m for m in known.values() for alias in m.spec.aliases}
        for key, value in node.pairs:
            member = known.get(key.text) or aliases.get(key.text)
            path = canonical + (member.key if member else key.text)
            if member is None and (found := _find_moved(self.moved, written + key.text)):
                path, member = found
            if member is None:
                self.unknown(key, cls, written.rstrip("."))
                continue
            if path != written + key.text and path != canonical + key.text:
                self.flat.notices.append((
                    key.line, f"{quoted(written + key.text)} is read as {quoted(path)}",
                ))  # fmt: skip
            self.member(member, key, value, canonical=path, written=written + key.text)

    def unknown(self, key: Scalar, cls: type[Any], section: str) -> None:
        hint = suggestion(key.text, cls, section)
        where = f" in {quoted(section)}" if section else ""
        message = f"unknown key {quoted(key.text)}{where} ({hint})"
        self.flat.problems.append(Problem(key.line, message, key.text, unknown=True))

    def member(
        self, member: Member, key: Scalar, value: Node, *, canonical: str, written: str
    ) -> None:
        if isinstance(member.spec, Group) and not member.spec.many:
            self.section(member.spec.cls, value, canonical=canonical + ".", written=written + ".")
            return
        if isinstance(value, Scalar) and value.null:
            return
        given = self.flat.values.get(canonical)
        if given is not None:
            if not _same(given.node, value):
                self.problem(
                    key.line,
                    f"{quoted(written)} differs from {quoted(given.written)} in line {given.line},"
                    " which means the same; keep one",
                    canonical,
                )
            return
        self.flat.values[canonical] = Given(value, key.line, written)
        if isinstance(member.spec, Group):
            self.entries(member.spec, value, canonical=canonical, written=written)

    def entries(self, group: Group, node: Node, *, canonical: str, written: str) -> None:
        if not isinstance(node, ListNode):
            message = f'{quoted(written)} must be a list; begin each entry with "- "'
            self.problem(node.line, message, canonical)
            return
        if len(node.items) > _MOST_ENTRIES:
            message = f"{quoted(written)} has more than {_MOST_ENTRIES} entries"
            self.problem(node.line, message, canonical)
            return
        self.flat.entries[canonical] = tuple(item.line for item in node.items)
        for index, item in enumerate(node.items):
            self.section(
                group.cls,
                item,
                canonical=f"{canonical}[{index}].",
                written=f"{written}[{index}].",
            )


def _same(one: Node, other: Node) -> bool:
    """Whether two nodes hold the same values, whatever their lines."""
    if isinstance(one, Scalar) and isinstance(other, Scalar):
        return one.text == other.text and one.null == other.null
    if isinstance(one, ListNode) and isinstance(other, ListNode):
        return len(one.items) == len(other.items) and all(
            _same(a, b) for a, b in zip(one.items, other.items, strict=True)
        )
    if isinstance(one, MapNode) and isinstance(other, MapNode):
        left = {key.text: value for key, value in one.pairs}
        right = {key.text: value for key, value in other.pairs}
        return left.keys() == right.keys() and all(_same(left[k], right[k]) for k in left)
    return False
