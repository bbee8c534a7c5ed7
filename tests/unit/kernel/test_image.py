"""Finished programs: their JSON form, and loading them again without BCC."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kernel import toy

from otelauto.kernel.bpf import MapType, ProgramType
from otelauto.kernel.features import instruction
from otelauto.kernel.image import (
    Image,
    MapSpecification,
    ProgramImage,
    image_text,
    load_image,
    parse_image,
)
from otelauto.kernel.loader import load

COUNTS = MapSpecification("counts", MapType.ARRAY, 4, 8, 1, 0)
#: r1 = map counts (two instructions), r0 = 0, exit.
CODE = instruction(0x18, dst=1, src=1) + instruction(0) + instruction(0xB7) + instruction(0x95)
GOOD = Image((COUNTS,), (ProgramImage("one", ProgramType.RAW_TRACEPOINT, CODE, ((0, 0),)),))


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_an_image_survives_its_json_form():
    assert GOOD == parse_image(json.loads(json.dumps(image_text(GOOD))))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("code", "not base64!"),
        ("code", "AAAA"),
        ("uses", [[0, 1]]),
        ("uses", [[-8, 0]]),
        ("uses", [[1000, 0]]),
        ("type", "many"),
    ],
)
def test_a_damaged_image_is_none(key, value):
    raw = image_text(GOOD)
    raw["programs"][0][key] = value
    with pytest.raises((KeyError, TypeError, ValueError)):
        parse_image(raw)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_whatever_json_says_only_these_errors_come(raw):
    with pytest.raises((KeyError, TypeError, ValueError)):
        parse_image(raw)


@pytest.mark.live
def test_a_loaded_image_has_its_programs_and_the_wanted_maps():
    before = open_descriptors()
    programs, maps = load_image(GOOD, ["counts"])
    assert ["one"] == list(programs)
    assert (MapType.ARRAY, 4, 8, 1) == (
        maps["counts"].type,
        maps["counts"].key_size,
        maps["counts"].value_size,
        maps["counts"].max_entries,
    )
    for fd in (*programs.values(), maps["counts"].fd):
        os.close(fd)
    assert before == open_descriptors()


@pytest.mark.live
@pytest.mark.parametrize("wanted", [["counts"], ["missing"]])
def test_a_refused_image_leaves_nothing_open(wanted):
    code = CODE if wanted == ["missing"] else instruction(0x95)  # r0 is not set
    uses = ((0, 0),) if wanted == ["missing"] else ()
    image = Image((COUNTS,), (ProgramImage("one", ProgramType.RAW_TRACEPOINT, code, uses),))
    before = open_descriptors()
    with pytest.raises((OSError, KeyError)):
        load_image(image, wanted)
    assert before == open_descriptors()


@pytest.mark.live
def test_what_bcc_made_loads_again_without_it():
    with load(toy.request(image=True)) as loaded:
        assert loaded.image is not None
        again = parse_image(json.loads(json.dumps(image_text(loaded.image))))
        programs, maps = load_image(again, list(loaded.maps))
        assert list(loaded.programs) == list(programs)
        for name, found in loaded.maps.items():
            assert (found.type, found.key_size, found.value_size, found.max_entries) == (
                maps[name].type,
                maps[name].key_size,
                maps[name].value_size,
                maps[name].max_entries,
            )
        for fd in (*programs.values(), *(found.fd for found in maps.values())):
            os.close(fd)
