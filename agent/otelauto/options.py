"""How one configuration option is declared: the field helpers of every configuration class.

Only declarations live here: what an option is called, means, accepts and needs. Nothing reads a
file or a variable, and no option of the product is named. A configuration class is a frozen
dataclass whose fields are made by ``opt`` (one value), ``section`` (one nested class) or
``entries`` (a list of nested classes); everything else (loading, documentation, schemas) is
derived by walking ``members``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "BadValueError",
    "Group",
    "Kind",
    "Member",
    "Option",
    "Plain",
    "Raw",
    "Reload",
    "Variable",
    "entries",
    "members",
    "opt",
    "section",
]

T = TypeVar("T")

#: A value as written: a scalar is its text, so that no guess of YAML (no, 1:30, 010) changes it.
Raw: TypeAlias = "str | tuple[Raw, ...] | dict[str, Raw]"
#: A value as it is shown: what YAML and JSON can hold.
Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
Reload: TypeAlias = Literal["live", "restart"]

_METADATA = "otelauto"


class BadValueError(ValueError):
    """A value that its kind does not accept.

    Args:
        message: what is wrong; it never repeats the value of a secret.
        items: for lists and maps, the position or key of each bad item and its own message.
    """

    def __init__(self, message: str, *, items: tuple[tuple[int | str, str], ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.items = items


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of value: how it is read, checked, shown and described.

    Attributes:
        name: what the documentation calls it, such as "duration".
        parse: makes the value from its written form; raises BadValueError.
        plain: the value in a form that ``parse`` reads back to an equal value.
        schema: JSON Schema (2020-12) of the written form.
    """

    name: str
    parse: Callable[[Raw], T]
    plain: Callable[[T], Plain]
    schema: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable that sets an option.

    Attributes:
        name: its name.
        kind: how its text is read where that differs from the option's own kind.
        lenient: a bad value is a notice and is ignored, as the OpenTelemetry specification asks
            for its numeric and enumerated variables.
    """

    name: str
    kind: Kind[Any] | None = None
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """What is known of one option beside its type and default; see ``opt``."""

    kind: Kind[Any]
    help: str
    key: str
    env: tuple[Variable, ...]
    reload: Reload
    secret: bool
    aliases: tuple[str, ...]
    elsewhere: tuple[str, ...]
    since: str
    inert: str
    lenient: bool
    example: str


@dataclass(frozen=True, slots=True)
class Group:
    """A nested class: one mapping, or a list of mappings if ``many``."""

    cls: type[Any]
    help: str
    key: str
    many: bool
    aliases: tuple[str, ...]
    elsewhere: tuple[str, ...]
    example: tuple[Mapping[str, Plain], ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """One field of a configuration class.

    Attributes:
        attribute: its name in Python.
        key: its name in the file.
        spec: its declaration.
        default: its default value; for groups an instance or a tuple of instances.
    """

    attribute: str
    key: str
    spec: Option | Group
    default: Any


def opt(
    default: T,
    *,
    kind: Kind[T],
    help: str,  # noqa: A002 - the word every option parser uses
    key: str = "",
    env: tuple[str | Variable, ...] = (),
    reload: Reload = "live",
    secret: bool = False,
    aliases: tuple[str, ...] = (),
    elsewhere: tuple[str, ...] = (),
    since: str = "0.1.0",
    inert: str = "",
    lenient: bool = False,
    example: str = "",
) -> T:
    """Declare one option.

    Args:
        default: the value if nothing sets it.
        kind: what it accepts.
        help: one sentence, or a few, for the reference.
        key: name in the file if it is not the attribute's; the attribute carries the unit.
        env: variables that set it, the strongest first; the name derived from its path is always
            there and stronger than these.
        reload: "live" if a reload applies it, "restart" if only a new start does.
        secret: never shown, whole.
        aliases: other spellings of the key at the same place, accepted with a notice.
        elsewhere: whole dotted paths where it used to stand, accepted with a notice.
        since: version that brought it.
        inert: why it has no effect although it is accepted; empty if it has one.
        lenient: a bad value is a notice and the default is used, instead of an error.
        example: a value for the commented example, if the default does not show one.
    """
    variables = tuple(Variable(name) if isinstance(name, str) else name for name in env)
    option = Option(
        kind=kind,
        help=help,
        key=key,
        env=variables,
        reload=reload,
        secret=secret,
        aliases=aliases,
        elsewhere=elsewhere,
        since=since,
        inert=inert,
        lenient=lenient,
        example=example,
    )
    return dataclasses.field(default=default, metadata={_METADATA: option}, repr=not secret)


def section(
    cls: type[T],
    *,
    help: str,  # noqa: A002 - see opt
    key: str = "",
    aliases: tuple[str, ...] = (),
    elsewhere: tuple[str, ...] = (),
) -> T:
    """Declare a nested mapping of options; ``cls()`` is its default."""
    group = Group(cls, help, key=key, many=False, aliases=aliases, elsewhere=elsewhere)
    return dataclasses.field(default_factory=cls, metadata={_METADATA: group})


def entries(
    cls: type[T],
    *,
    help: str,  # noqa: A002 - see opt
    default: tuple[T, ...] = (),
    key: str = "",
    aliases: tuple[str, ...] = (),
    elsewhere: tuple[str, ...] = (),
    example: tuple[Mapping[str, Plain], ...] = (),
) -> tuple[T, ...]:
    """Declare a list of nested mappings."""
    group = Group(
        cls, help, key=key, many=True, aliases=aliases, elsewhere=elsewhere, example=example
    )
    return dataclasses.field(default=default, metadata={_METADATA: group})


def members(cls: type[Any]) -> tuple[Member, ...]:
    """The declared fields of a configuration class, in their order."""
    found = []
    for item in dataclasses.fields(cls):
        spec = item.metadata[_METADATA]
        default = (
            item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
        )
        found.append(Member(item.name, spec.key or item.name, spec, default))
    return tuple(found)
