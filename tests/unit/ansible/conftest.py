"""The collection, importable under the name that Ansible's loader gives it."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
COLLECTIONS = ROOT / ".cache" / "collections"


def linked() -> Path:
    """A collections path in which otelauto.fleet is this checkout."""
    link = COLLECTIONS / "ansible_collections" / "otelauto" / "fleet"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(ROOT / "ansible", target_is_directory=True)
    return COLLECTIONS


if str(linked()) not in sys.path:
    sys.path.append(str(COLLECTIONS))
