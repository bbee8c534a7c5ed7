"""The configuration as YAML: what is in effect, and the commented example.

Pure functions from values and declarations to text. What they print is read back by ``load`` to
the same values, secrets excepted.
"""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING, Any

from otelauto.config.schema import Config
from otelauto.options import Group, Member, Option, members

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otelauto.config.load import Loaded
    from otelauto.options import Plain

__all__ = ["effective", "example", "yaml_text"]

_PLAIN = re.compile(r"[A-Za-z0-9/._][A-Za-z0-9/._+*-]*(://?[A-Za-z0-9/._+*:-]*[A-Za-z0-9/])?")
_WORDS = frozenset({"null", "Null", "NULL", "~", ""})
_WIDTH = 95
_ACTIVE = {
    "ebpf.open_port": "80,443,3000,5000,8000-8999",
    "otel_metrics_export.endpoint": "http://localhost:4318",
}
_EXAMPLE_HEAD = """\
Configuration of otelauto.

Lines that begin with "#" and no space show the other options with their defaults or an example.
Check a change with: otelauto check /etc/otelauto/otelauto.yml
Apply it with: systemctl reload otelauto
Values may hold ${NAME}, ${NAME:-default} and $$ for a dollar sign.
"""


def yaml_text(value: Plain) -> str:
    """One value in YAML's flow style; strings never take another meaning."""
    if isinstance(value, str):
        if value not in _WORDS and _PLAIN.fullmatch(value):
            return value
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ", ".join(yaml_text(item) for item in value) + "]"
    if isinstance(value, dict):
        pairs = (f"{yaml_text(key)}: {yaml_text(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    return json.dumps(value)


def _doubled(value: Plain) -> Plain:
    """The value with its dollar signs doubled, so that nothing is substituted in it."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, list):
        return [_doubled(item) for item in value]
    if isinstance(value, dict):
        return {key: _doubled(item) for key, item in value.items()}
    return value


def effective(loaded: Loaded) -> str:
    """The configuration that is in effect, each value with its origin, secrets as ``***``."""
    lines = list(_effective(loaded, loaded.config, path="", indent=""))
    return "\n".join(lines) + "\n"


def _effective(loaded: Loaded, section: Any, *, path: str, indent: str) -> Iterator[str]:
    for member in members(type(section)):
        here = path + member.key
        value = getattr(section, member.attribute)
        if isinstance(member.spec, Group) and not member.spec.many:
            yield f"{indent}{member.key}:"
            yield from _effective(loaded, value, path=here + ".", indent=indent + "  ")
        elif isinstance(member.spec, Group):
            yield from _effective_entries(loaded, value, member, path=here, indent=indent)
        elif not member.spec.inert or here in loaded.origins:
            yield f"{indent}{member.key}: {_shown(member.spec, value)}{_origin(loaded, here)}"


def _effective_entries(
    loaded: Loaded, entries: Any, member: Member, *, path: str, indent: str
) -> Iterator[str]:
    comment = _origin(loaded, path)
    if not entries:
        yield f"{indent}{member.key}: []{comment}"
        return
    yield f"{indent}{member.key}:{comment}"
    for index, entry in enumerate(entries):
        lines = list(_given(loaded, entry, path=f"{path}[{index}].", indent=indent + "    "))
        lines = lines or [f"{indent}    {{}}"]
        yield f"{indent}  - {lines[0].strip()}"
        yield from lines[1:]


def _given(loaded: Loaded, section: Any, *, path: str, indent: str) -> Iterator[str]:
    """The members of an entry that differ from their defaults."""
    for member in members(type(section)):
        here, value = path + member.key, getattr(section, member.attribute)
        if value == member.default:
            continue
        if isinstance(member.spec, Group):
            yield f"{indent}{member.key}:"
            yield from _given(loaded, value, path=here + ".", indent=indent + "  ")
        else:
            yield f"{indent}{member.key}: {_shown(member.spec, value)}{_origin(loaded, here)}"


def _shown(option: Option, value: Any) -> str:
    if option.secret and not value:
        return yaml_text(option.kind.plain(value)) if value == () else '""'
    return yaml_text(_doubled(option.kind.plain(value)))


def _origin(loaded: Loaded, path: str) -> str:
    origin = loaded.origins.get(path)
    return f"  # {origin.text(loaded.file)}" if origin else ""


def example() -> str:
    """The commented example; valid as it stands, and with every option uncommented."""
    lines = [f"# {line}".rstrip() for line in _EXAMPLE_HEAD.splitlines()]
    lines += _example(Config, path="", indent="")
    return "\n".join(lines) + "\n"


def _example(cls: type[Any], *, path: str, indent: str) -> Iterator[str]:
    for member in members(cls):
        here = path + member.key
        if isinstance(member.spec, Option):
            if member.spec.inert:
                continue
            yield from _prose(member.spec.help, indent)
            mark = "" if here in _ACTIVE else "#"
            yield f"{mark}{indent}{member.key}: {_example_value(here, member, member.spec)}"
            continue
        if not path:
            yield ""
        yield from _prose(member.spec.help, indent)
        if member.spec.many:
            yield from _example_entries(member, member.spec, indent)
            continue
        mark = "" if any(active.startswith(here + ".") for active in _ACTIVE) else "#"
        yield f"{mark}{indent}{member.key}:"
        yield from _example(member.spec.cls, path=here + ".", indent=indent + "  ")


def _example_value(path: str, member: Member, option: Option) -> str:
    if path in _ACTIVE:
        return yaml_text(_ACTIVE[path])
    if option.example:
        return option.example
    return _shown(option, member.default)


def _example_entries(member: Member, group: Group, indent: str) -> Iterator[str]:
    entries = group.example or tuple(
        {
            inner.key: inner.spec.kind.plain(getattr(entry, inner.attribute))
            for inner in members(group.cls)
            if isinstance(inner.spec, Option) and getattr(entry, inner.attribute) != inner.default
        }
        for entry in member.default
    )
    yield f"#{indent}{member.key}:"
    for entry in entries:
        first = "- "
        for key, value in entry.items():
            yield f"#{indent}  {first}{key}: {yaml_text(value)}"
            first = "  "


def _prose(text: str, indent: str) -> list[str]:
    plain = text.replace("`", '"')
    width = _WIDTH - len(indent)
    return [f"{indent}# {line}" for line in textwrap.wrap(plain, width)]
