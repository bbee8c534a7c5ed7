"""Defaults, then the file, then the environment: the values of all options.

Here a value is read by its kind and its origin is kept. What options mean together is the business
of ``_rules``.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otelauto.config._document import ListNode, MapNode, Node, Scalar
from otelauto.config._flatten import Flat, Given, Problem
from otelauto.config._grammar import quoted
from otelauto.config._substitute import substitute
from otelauto.config.paths import leaves, variables
from otelauto.options import BadValueError, Group, Member, Option, Raw, Variable, members

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RESERVED_VARIABLES", "Merge", "Origin"]

#: Variables with the product's prefix that are not options: where the file is, arguments of the
#: service, and what a test run demands.
RESERVED_VARIABLES = frozenset({"OTELAUTO_CONFIG_PATH", "OTELAUTO_ARGS", "OTELAUTO_REQUIRE"})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from.

    Attributes:
        line: of the file; 0 if it is not from the file.
        variable: empty if it is not from the environment.
    """

    line: int = 0
    variable: str = ""

    def text(self, file: str) -> str:
        """In words: the variable, FILE:LINE, or default."""
        if self.variable:
            return f"variable {self.variable}"
        return f"{file}:{self.line}" if self.line else "default"


class _BadNodeError(Exception):
    """A problem of this value has been noted already."""


class Merge:
    """Builds the configuration's classes and notes what is wrong on the way.

    Attributes:
        problems: what makes the configuration invalid.
        notices: what the reader should know; a line (0: none) and a sentence each.
        origins: path of each option that is not a default to where it comes from.
    """

    def __init__(self, flat: Flat, environ: Mapping[str, str]) -> None:
        self.flat = flat
        self.problems = list(flat.problems)
        self.notices = list(flat.notices)
        self.origins: dict[str, Origin] = {}
        self._environ = environ
        self._variables = {leaf.path: variables(leaf) for leaf in leaves()}

    def build(self, cls: type[Any], prefix: str) -> Any:
        """An instance of a configuration class whose options begin with the prefix."""
        values: dict[str, Any] = {}
        for member in members(cls):
            path = prefix + member.key
            if isinstance(member.spec, Option):
                values[member.attribute] = self._value(path, member, member.spec)
            elif not member.spec.many:
                values[member.attribute] = self.build(member.spec.cls, path + ".")
            else:
                values[member.attribute] = self._entries(path, member, member.spec)
        return cls(**values)

    def note_unknown_variables(self) -> None:
        """A notice for each variable with the product's prefix that is no option."""
        known = {v.name for found in self._variables.values() for v in found} | RESERVED_VARIABLES
        for name in sorted(self._environ):
            if name.startswith("OTELAUTO_") and name not in known:
                close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
                hint = f"; did you mean {close[0]}?" if close else ""
                self.notices.append((0, f"variable {quoted(name)} is no option{hint}"))

    def _entries(self, path: str, member: Member, group: Group) -> Any:
        given = self.flat.values.get(path)
        if given is None:
            return member.default
        self.origins[path] = Origin(line=given.line)
        lines = self.flat.entries.get(path, ())
        for index, line in enumerate(lines):
            self.origins[f"{path}[{index}]"] = Origin(line=line)
        return tuple(self.build(group.cls, f"{path}[{i}].") for i in range(len(lines)))

    def _value(self, path: str, member: Member, option: Option) -> Any:
        """The option's value; its default where what is given is wrong."""
        value = member.default
        given = self.flat.values.get(path)
        if given is not None:
            try:
                value = option.kind.parse(self._raw(given, path))
                self.origins[path] = Origin(line=given.line)
            except _BadNodeError:
                pass
            except BadValueError as error:
                self._bad_in_file(
                    path, given, error, lenient=option.lenient, kind=option.kind.name
                )
        for variable in self._variables.get(path, ()):
            text = self._environ.get(variable.name, "")
            if not text:
                continue  # An empty variable means the same as none (OpenTelemetry specification).
            try:
                value = (variable.kind or option.kind).parse(text)
            except BadValueError as error:
                if self._bad_variable(path, variable, error, lenient=option.lenient):
                    continue
                break
            self.origins[path] = Origin(variable=variable.name)
            break
        if option.inert and path in self.origins and value != member.default:
            origin = self.origins[path]
            name = origin.variable or path
            self.notices.append((origin.line, f"{name} has no effect: {option.inert}"))
        return value

    def _bad_variable(
        self, path: str, variable: Variable, error: BadValueError, *, lenient: bool
    ) -> bool:
        """Note it; whether the next source may set the option."""
        if lenient or variable.lenient:
            message = f"variable {variable.name}: {error.message}; it is ignored"
            self.notices.append((0, message))
            return True
        self.problems.append(Problem(0, error.message, path, variable=variable.name))
        return False

    def _bad_in_file(
        self, path: str, given: Given, error: BadValueError, *, lenient: bool, kind: str
    ) -> None:
        node = given.node
        line = given.line if isinstance(node, Scalar) else node.line
        found: list[tuple[int, str]] = [
            (_item_line(node, item) or line, message) for item, message in error.items
        ] or [(line, error.message)]
        if _substituted(node, self._environ):
            # What a variable holds may be a secret, so that it is not repeated.
            found = [(line, f"what stands here after substitution is not valid; expected: {kind}")]
        for where, message in found:
            if lenient:
                text = f"{given.written}: {message}; it is ignored"
                self.notices.append((where, text))
            else:
                self.problems.append(Problem(where, f"{given.written}: {message}", path))

    def _raw(self, given: Given, path: str) -> Raw:
        """The value as text, lists and mappings, with variables replaced.

        Raises:
            _BadNodeError: something in it is wrong and has been noted.
        """
        bad: list[tuple[int, str]] = []
        raw = self._replaced(given.node, bad)
        for line, message in bad:
            self.problems.append(Problem(line, f"{given.written}: {message}", path))
        if bad:
            raise _BadNodeError
        return raw

    def _replaced(self, node: Node, bad: list[tuple[int, str]]) -> Raw:
        if isinstance(node, Scalar):
            try:
                return substitute(node.text, self._environ)
            except BadValueError as error:
                bad.append((node.line, error.message))
                return ""
        if isinstance(node, ListNode):
            bad.extend(
                (item.line, "an item is empty; remove its line, or give it a value")
                for item in node.items
                if isinstance(item, Scalar) and item.null
            )
            return tuple(self._replaced(item, bad) for item in node.items)
        bad.extend(
            (again, f"key {quoted(key)} is given twice (first in line {first}); keep one")
            for key, first, again in node.repeated
        )
        bad.extend(
            (key.line, f"key {quoted(key.text)} has no value")
            for key, value in node.pairs
            if isinstance(value, Scalar) and value.null
        )
        return {key.text: self._replaced(value, bad) for key, value in node.pairs}


def _item_line(node: Node, item: int | str) -> int:
    """The line of one item of a list or mapping; 0 if it is not found."""
    if isinstance(node, ListNode) and isinstance(item, int) and item < len(node.items):
        return node.items[item].line
    if isinstance(node, MapNode):
        return next((key.line for key, _ in node.pairs if key.text == item), 0)
    return 0


def _substituted(node: Node, environ: Mapping[str, str]) -> bool:
    """Whether anything in the node was taken from a variable."""
    if isinstance(node, Scalar):
        return "${" in node.text and substitute(node.text, environ) != node.text
    items = node.items if isinstance(node, ListNode) else tuple(value for _, value in node.pairs)
    return any(_substituted(item, environ) for item in items)
