"""From a YAML file to a small tree that remembers every line.

Scalars stay text here: no guess of YAML (``no``, ``010``, ``1:30``, dates) ever changes a value,
the option's kind reads it. The tree is bounded in size, depth and the work that aliases can cause,
so that no file can exhaust the agent. Nothing here knows an option.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from otelauto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "ListNode",
    "MapNode",
    "Node",
    "Scalar",
    "parse_document",
    "read_text",
    "shown_path",
]

_MOST_BYTES = 1 << 20
_DEEPEST = 32
_MOST_NODES = 50_000
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map")
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as text.

    Attributes:
        plain: it is written without quotes.
        size: how many values it stands for, aliases included (here and in the other nodes).
        depth: how many levels are below it (here and in the other nodes).
    """

    text: str
    plain: bool
    line: int
    size: int = 1
    depth: int = 0

    @property
    def null(self) -> bool:
        """Whether it means that nothing is given."""
        return self.plain and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list."""

    items: tuple[Node, ...]
    line: int
    size: int
    depth: int


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping; ``repeated`` names each key that is given again, with the lines."""

    pairs: tuple[tuple[Scalar, Node], ...]
    line: int
    size: int
    depth: int
    repeated: tuple[tuple[str, int, int], ...] = ()


Node: TypeAlias = "Scalar | ListNode | MapNode"


def shown_path(path: Path) -> str:
    """The path for messages: on one line, and printable whatever its bytes are."""
    return "".join(c if c.isprintable() else "?" for c in str(path))


def read_text(path: Path) -> str:
    """The text of the file, without byte order mark.

    Raises:
        ConfigError: it cannot be read, is too large, or is not UTF-8.
    """
    name = shown_path(path)
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise ConfigError(f"{name}: cannot read the configuration: {reason}") from None
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{name}: the configuration is larger than {_MOST_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: not UTF-8 text; save the file as UTF-8") from None


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


@dataclass(slots=True)
class _Composer:
    """Builds nodes from the parser's events; the parser itself keeps no recursion."""

    file: str
    events: Iterator[Any]
    anchors: dict[str, Node | None] = field(default_factory=dict)
    nodes: int = 0

    def fail(self, event: Any, message: str) -> ConfigError:
        return ConfigError(f"{self.file}:{_line(event)}: {message}")

    def count(self, event: Any, size: int) -> None:
        self.nodes += size
        if self.nodes > _MOST_NODES:
            raise self.fail(event, f"more than {_MOST_NODES} values, aliases included")

    def compose(self, event: Any, depth: int) -> Node:
        import yaml  # noqa: PLC0415 - costs start time, and only reading needs it

        if depth > _DEEPEST:
            raise self.fail(event, f"nested more than {_DEEPEST} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth)
        self.count(event, 1)
        if event.tag not in {None, "!"} and event.tag not in _TAGS:
            raise self.fail(event, "tags are not accepted; remove the word that begins with !")
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            plain = event.style is None and event.tag in {None, "tag:yaml.org,2002:null"}
            node = Scalar(event.value, plain, _line(event))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self.sequence(event, depth)
        else:
            node = self.mapping(event, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def alias(self, event: Any, depth: int) -> Node:
        if event.anchor not in self.anchors:
            raise self.fail(event, f'"*{event.anchor[:40]}" refers to nothing')
        node = self.anchors[event.anchor]
        if node is None:
            raise self.fail(event, f'"*{event.anchor[:40]}" contains itself')
        if depth + node.depth > _DEEPEST:
            # A chain of aliases nests without any brackets.
            raise self.fail(event, f"nested more than {_DEEPEST} levels deep")
        self.count(event, node.size)
        return node

    def sequence(self, start: Any, depth: int) -> ListNode:
        import yaml  # noqa: PLC0415 - see compose

        items: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.compose(event, depth + 1))
        size = 1 + sum(item.size for item in items)
        below = 1 + max((item.depth for item in items), default=0)
        return ListNode(tuple(items), _line(start), size, below)

    def mapping(self, start: Any, depth: int) -> MapNode:
        import yaml  # noqa: PLC0415 - see compose

        own: dict[str, tuple[Scalar, Node]] = {}
        merged: dict[str, tuple[Scalar, Node]] = {}
        repeated: list[tuple[str, int, int]] = []
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.compose(event, depth + 1)
            if not isinstance(key, Scalar):
                raise self.fail(event, "a key must be one word")
            value = self.compose(next(self.events), depth + 1)
            if key.plain and key.text == "<<":
                for pair in self.merge(event, value):
                    merged.setdefault(pair[0].text, pair)
            elif key.text in own:
                repeated.append((key.text, own[key.text][0].line, key.line))
            else:
                own[key.text] = (key, value)
        pairs = tuple((merged | own).values())
        size = 1 + sum(1 + value.size for _, value in pairs)
        below = 1 + max((value.depth for _, value in pairs), default=0)
        return MapNode(pairs, _line(start), size, below, tuple(repeated))

    def merge(self, event: Any, value: Node) -> tuple[tuple[Scalar, Node], ...]:
        sources = value.items if isinstance(value, ListNode) else (value,)
        pairs: list[tuple[Scalar, Node]] = []
        for source in sources:
            if not isinstance(source, MapNode):
                raise self.fail(event, '"<<" needs a mapping, such as <<: *name')
            self.count(event, source.size)
            pairs.extend(source.pairs)
        return tuple(pairs)


def parse_document(text: str, *, file: str) -> Node | None:
    """The tree of the text; None if it holds nothing.

    Args:
        text: what the file holds.
        file: its name for messages.

    Raises:
        ConfigError: it is not YAML, or not within the bounds. Only the first fault is known,
            since what follows a fault of syntax has no sure meaning.
    """
    import yaml  # noqa: PLC0415 - costs start time, and only reading needs it

    events = yaml.parse(text, Loader=yaml.SafeLoader)
    composer = _Composer(file, events)
    root: Node | None = None
    try:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise composer.fail(event, 'a second document begins; remove the "---"')
                root = composer.compose(next(events), 0)
                if isinstance(root, Scalar) and root.null:
                    root = None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{file}:{line}: a control character (code {_code(error.character)}) is not allowed"
        ) from None
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, file) from None
    return root


def _code(character: Any) -> str:
    return f"{ord(character):#04x}" if isinstance(character, str) else f"{int(character):#04x}"


def _syntax_error(error: Any, text: str, file: str) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    lines = text.splitlines()
    near = lines[line - 1] if line <= len(lines) else ""
    indent = near[: len(near) - len(near.lstrip())]
    if "\t" in indent or "'\\t'" in str(error.problem):
        return ConfigError(f"{file}:{line}: a tab is not allowed here; indent with spaces")
    problem = str(error.problem or error.context or "not understood").split("\n")[0]
    if "but got '{'" in problem or "but got '['" in problem:
        problem += "; put text with braces or brackets in quotes"
    return ConfigError(f"{file}:{line}: not valid YAML: {problem}")
