# SPDX-License-Identifier: Apache-2.0
"""Whether a changed configuration can be reloaded, by the schema's ``x-reload``."""

from __future__ import annotations

from typing import Any

__all__ = ["restart_keys"]


def restart_keys(old: Any, new: Any, schema: dict[str, Any]) -> list[str]:
    """The options that differ and take effect at the next start only, by path.

    What the schema does not know counts as one of them: then a restart is the safe answer.
    """
    found: list[str] = []
    _compare(old, new, schema, schema, "", found)
    return found


def _compare(  # noqa: PLR0917
    old: Any, new: Any, node: dict[str, Any], root: dict[str, Any], path: str, found: list[str]
) -> None:
    if old == new:
        return
    if "$ref" in node:
        target: Any = root
        for part in str(node["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        _compare(old, new, target, root, path, found)
    elif node.get("properties"):
        before = old if isinstance(old, dict) else {}
        after = new if isinstance(new, dict) else {}
        for key in sorted({*before, *after}, key=str):
            place = f"{path}.{key}" if path else str(key)
            if key not in node["properties"]:
                if before.get(key) != after.get(key):
                    found.append(place)
                continue
            inside = node["properties"][key]
            _compare(before.get(key), after.get(key), inside, root, place, found)
    elif "items" in node and node["items"].get("properties"):
        _compare_items(old, new, node, root, path, found)
    elif node.get("x-reload") != "live":
        found.append(path)


def _compare_items(  # noqa: PLR0917
    old: Any, new: Any, node: dict[str, Any], root: dict[str, Any], path: str, found: list[str]
) -> None:
    before = old if isinstance(old, list) else []
    after = new if isinstance(new, list) else []
    for at in range(max(len(before), len(after))):
        one = before[at] if at < len(before) else None
        other = after[at] if at < len(after) else None
        _compare(one, other, node["items"], root, f"{path}[{at}]", found)
