"""The generated files are fresh, and every example of the configuration in the docs is valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from otelauto.config.json_schema import json_schema, json_schema_text
from otelauto.config.load import loads
from otelauto.config.paths import leaves
from otelauto.config.reference import reference
from otelauto.config.render import example
from otelauto.config.schema import Config
from otelauto.options import members

ROOT = Path(__file__).parents[2]
ENVIRON = {"OTLP_TOKEN": "token"}
GENERATED = {
    "docs/configuration.md": ("reference", reference),
    "docs/otelauto.schema.json": ("schema", json_schema_text),
    "packaging/otelauto.yml": ("example", example),
}
FENCE = re.compile(r"^```ya?ml\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECTIONS = {member.key for member in members(Config)}


def documented():
    """Each YAML block of the docs that begins with a key of the configuration."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        for number, block in enumerate(FENCE.findall(page.read_text(encoding="utf-8"))):
            content = yaml.safe_load(block)
            if isinstance(content, dict) and content.keys() & SECTIONS:
                yield pytest.param(block, id=f"{page.relative_to(ROOT)}#{number}")


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_generated_files_are_what_the_declarations_give(name):
    verb, generate = GENERATED[name]
    current = (ROOT / name).read_text(encoding="utf-8")
    assert generate() == current, f"run: otelauto config {verb} > {name}"


@pytest.mark.parametrize("block", list(documented()))
def test_every_example_in_the_docs_is_valid(block):
    assert loads(block, file="example", environ=ENVIRON).config.has_selector


def test_there_are_examples_in_the_reference():
    assert len(FENCE.findall(reference())) >= 2


def uncommented(text):
    """The example with every option in effect."""
    return "\n".join(re.sub(r"^#(?! )(?=\s*\S)|^#(?=  )", "", line) for line in text.split("\n"))


def test_the_example_file_is_valid_and_says_nothing_on_start():
    assert loads(example(), file="otelauto.yml", environ={}).notices == ()


def test_every_line_of_the_example_file_can_be_uncommented():
    loaded = loads(uncommented(example()), file="otelauto.yml", environ=ENVIRON)
    given = {re.sub(r"\[\d+\]", "[]", path) for path in loaded.origins}
    missing = {
        leaf.path
        for leaf in leaves()
        if not leaf.in_entry and not leaf.option.inert and leaf.member.default is not None
    }
    assert set() == missing - given


@pytest.mark.parametrize("text", [example(), uncommented(example())], ids=["as it is", "whole"])
def test_the_example_file_satisfies_the_schema(text):
    faults = Draft202012Validator(json_schema()).iter_errors(yaml.safe_load(text))
    assert [f"{list(fault.path)}: {fault.message[:80]}" for fault in faults] == []
