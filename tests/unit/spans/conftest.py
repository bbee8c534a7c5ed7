"""Hypothesis on a machine that is shared."""

from __future__ import annotations

from hypothesis import settings

# An example that takes long says nothing about the code.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")
