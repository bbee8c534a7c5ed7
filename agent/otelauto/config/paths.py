"""The schema as a flat list of dotted paths, and the search for a key that was meant.

Pure functions over the declarations; nothing is read and nothing is rendered here.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otelauto.config.schema import Config
from otelauto.options import Group, Member, Option, Variable, members

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Leaf", "derived_variable", "leaves", "moved", "suggestion", "variables"]

#: Keys of later versions of Beyla that have no counterpart here; they are told apart from
#: misspelt ones.
_FOREIGN = frozenset({
    "context_propagation", "cuda", "enforce_sys_caps", "exemplar_filter", "features", "filter",
    "grafana", "health_check", "heuristic_sql_detect", "high_request_volume", "injector",
    "instrument_cuda", "instrumentations", "javaagent", "jvm_runtime_metrics", "kubernetes",
    "languages", "log_config", "log_enricher", "metrics", "name_resolver", "native_histogram",
    "network", "nodejs", "otel_sdk_log_level", "payload_extraction", "processes",
    "reporters_cache_len", "route_harvester_timeout", "select", "stats", "survey",
    "topology", "traffic_control_backend", "ttl",
})  # fmt: skip
_MOST_PLACES = 3


@dataclass(frozen=True, slots=True)
class Leaf:
    """One option with its place.

    Attributes:
        path: dotted, with ``[]`` after a list of entries, such as discovery.instrument[].name.
        member: its declaration.
        option: ``member.spec``.
    """

    path: str
    member: Member
    option: Option

    @property
    def in_entry(self) -> bool:
        """Whether it stands in a list of entries, where no variable reaches."""
        return "[]" in self.path


def _walk(cls: type[Any], prefix: str) -> Iterator[tuple[str, Member]]:
    for member in members(cls):
        path = prefix + member.key
        yield path, member
        if isinstance(member.spec, Group):
            dots = "[]." if member.spec.many else "."
            yield from _walk(member.spec.cls, path + dots)


def leaves() -> tuple[Leaf, ...]:
    """All options, in the order of their declaration."""
    return tuple(
        Leaf(path, member, member.spec)
        for path, member in _walk(Config, "")
        if isinstance(member.spec, Option)
    )


def derived_variable(path: str) -> str:
    """The variable that follows from a path, such as OTELAUTO_EBPF_OPEN_PORT."""
    return "OTELAUTO_" + path.upper().replace(".", "_")


def variables(leaf: Leaf) -> tuple[Variable, ...]:
    """All variables that set an option, the strongest first; none within entries."""
    if leaf.in_entry:
        return ()
    derived = Variable(derived_variable(leaf.path))
    return (derived, *(v for v in leaf.option.env if v.name != derived.name))


def moved() -> dict[str, str]:
    """Where keys used to stand: former dotted path to present one."""
    return {old: path for path, member in _walk(Config, "") for old in member.spec.elsewhere}


def _spellings(member: Member) -> tuple[str, ...]:
    return (member.key, *member.spec.aliases)


def suggestion(key: str, cls: type[Any], section: str) -> str:
    """What to say of an unknown key: where it belongs, or what it resembles.

    Args:
        key: the unknown key.
        cls: the class of the mapping in which it stands.
        section: that mapping's path; empty for the whole file.
    """
    here = {spelling: member.key for member in members(cls) for spelling in _spellings(member)}
    everywhere = [(path, member) for path, member in _walk(Config, "")]
    places = [path for path, member in everywhere if key in _spellings(member)]
    if places:
        shown = ", ".join(places[:_MOST_PLACES])
        return f"it does not belong here; its place is {shown}"
    if key.lower() in here:
        return f'did you mean "{here[key.lower()]}"?'
    if key in _FOREIGN:
        return "this key of other versions has no counterpart here; remove it"
    longer = [name for name in here if len(key) > 2 and name.startswith(key + "_")]
    close = longer or difflib.get_close_matches(key, here, n=1, cutoff=0.7)
    if close:
        return f'did you mean "{here[close[0]]}"?'
    names: dict[str, str] = {}
    for path, member in everywhere:
        for spelling in _spellings(member):
            names.setdefault(spelling, path)
    far = difflib.get_close_matches(key, names, n=1, cutoff=0.75)
    if far:
        return f'did you mean "{names[far[0]]}"?'
    where = f"under {section}" if section else "at the top level"
    return f"keys {where}: {', '.join(member.key for member in members(cls))}"
