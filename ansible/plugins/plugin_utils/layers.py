# SPDX-License-Identifier: Apache-2.0
"""How the layers of a host's configuration become one: JSON Merge Patch (RFC 7396)."""

from __future__ import annotations

from typing import Any

__all__ = ["LayerError", "merge_layers"]


class LayerError(ValueError):
    """A layer that is not a mapping."""


def merge_layers(layers: list[Any]) -> dict[str, Any]:
    """The layers applied in order, later ones over earlier ones.

    Mappings are merged key by key, everything else (lists too) is replaced, and ``null`` removes
    the key. A layer that is ``null`` or empty changes nothing. The layers themselves stay as they
    are.

    Raises:
        LayerError: a layer is neither a mapping nor ``null``.
    """
    merged: dict[str, Any] = {}
    for number, layer in enumerate(layers, 1):
        if layer is None or layer == "":
            continue
        if not isinstance(layer, dict):
            raise LayerError(f"layer {number} is not a mapping but a {type(layer).__name__}")
        merged = _patched(merged, layer)
    return merged


def _patched(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = _patched(found.get(key), value)
    return found
