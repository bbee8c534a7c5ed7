from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from otelauto.config.load import Loaded, loads
from otelauto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

_WHOLE = "ebpf: {open_port: 80}\nprint_traces: true\n"


@pytest.fixture
def read() -> Callable[..., Loaded]:
    """Loads a text to which a selector and an exporter are added first, on two lines."""

    def load_text(text: str = "", **environ: str) -> Loaded:
        return loads(_WHOLE + text, file="o.yml", environ=environ)

    return load_text


@pytest.fixture
def faults() -> Callable[..., list[str]]:
    """The lines of the error of a text that must not be valid; nothing is added to it."""

    def faults_of(text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loads(text, file="o.yml", environ=environ)
        return caught.value.message.split("\n")

    return faults_of
