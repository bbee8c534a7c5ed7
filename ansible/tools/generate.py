"""Writes what the collection takes from elsewhere; with --check only tells what is stale.

    .venv/bin/python ansible/tools/generate.py [--check]

From the agent's schema: the schema that the controller checks with, and the options of
``instrumenter_config``. From each role's argument specification: the table in its README.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from otelauto.config.json_schema import argument_options, json_schema, json_schema_text

COLLECTION = Path(__file__).resolve().parents[1]
ROLES = ("bcc", "grafana_agent", "instrumenter")


class _Indented(yaml.SafeDumper):
    """Lists stand deeper than their key, as the linters want them."""

    def increase_indent(self, flow: Any = False, indentless: Any = False) -> Any:  # noqa: FBT002
        """Never without indentation."""
        del indentless
        return super().increase_indent(flow, False)


def shape(options: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Names and nesting alone: values are checked by the schema, which knows ``${NAME}``."""
    found: dict[str, Any] = {}
    for name, option in options.items():
        inside = schema["properties"][name]
        kept: dict[str, Any] = {"description": described(option)}
        if "options" in option:
            kept["type"] = option["type"]
            if "elements" in option:
                kept["elements"] = option["elements"]
            node = inside["items"] if option["type"] == "list" else inside
            kept["options"] = shape(option["options"], node)
        else:
            kept["type"] = "raw"
        found[name] = kept
    for name, inside in schema["properties"].items():
        if name not in found:
            found[name] = {"description": inside["description"], "type": "raw"}
    return found


def described(option: dict[str, Any]) -> str:
    """The help, with the words that may be chosen; Ansible's markup for code."""
    choices = option.get("choices")
    text = re.sub(r"`([^`]*)`", r"C(\1)", str(option["description"]))
    return f"{text} One of {', '.join(choices)}." if choices else text


def argument_spec() -> str:
    """The instrumenter's specification with the options of its configuration."""
    path = COLLECTION / "roles/instrumenter/meta/argument_specs.yml"
    spec = yaml.safe_load(path.read_text())
    options = spec["argument_specs"]["main"]["options"]
    options["instrumenter_config"]["options"] = shape(argument_options(), json_schema())
    note = "# The options of instrumenter_config are generated: ansible/tools/generate.py.\n"
    text = yaml.dump(spec, Dumper=_Indented, sort_keys=False, allow_unicode=True, width=110)
    return f"---\n{note}{text}"


def cell(text: object) -> str:
    """A text in a cell of a table, Ansible's markup as code."""
    code = re.sub(r"\b[CVOP]\(([^)]*)\)", r"`\1`", " ".join(str(text).split()))
    return code.replace("|", "\\|")


def table(role: str) -> str:
    """The variables of a role, one in each line."""
    spec = yaml.safe_load((COLLECTION / f"roles/{role}/meta/argument_specs.yml").read_text())
    defaults = yaml.safe_load((COLLECTION / f"roles/{role}/defaults/main.yml").read_text())
    lines = ["| variable | kind | default | meaning |", "|---|---|---|---|"]
    for name, option in spec["argument_specs"]["main"]["options"].items():
        kind = option["type"]
        if "choices" in option:
            kind = " or ".join(f"`{choice}`" for choice in option["choices"])
        default = defaults[name]
        long = isinstance(default, dict) and default
        shown = "see below" if long else f"`{json.dumps(default)}`"
        lines.append(f"| `{name}` | {kind} | {shown} | {cell(option['description'])} |")
    return "\n".join(lines)


def readme(role: str) -> str:
    """The README of a role with its table in place."""
    text = (COLLECTION / f"roles/{role}/README.md").read_text()
    parts = re.split(r"(<!-- variables -->\n|\n<!-- end of variables -->)", text)
    if len(parts) != 5:
        sys.exit(f"roles/{role}/README.md lacks its marks of the table")
    parts[2] = table(role)
    return "".join(parts)


def products() -> dict[Path, str]:
    """Every generated file with its text; the specification before the tables made from it."""
    found = {
        COLLECTION / "roles/instrumenter/files/otelauto.schema.json": json_schema_text(),
        COLLECTION / "roles/instrumenter/meta/argument_specs.yml": argument_spec(),
    }
    return {**found, **{COLLECTION / f"roles/{role}/README.md": readme(role) for role in ROLES}}


def main() -> int:
    """Exit code 1 if --check found a stale file."""
    check = "--check" in sys.argv[1:]
    stale = False
    for path, text in products().items():
        if path.exists() and path.read_text() == text:
            continue
        stale = True
        name = path.relative_to(COLLECTION.parent)
        if check:
            sys.stderr.write(f"{name} is stale: run ansible/tools/generate.py\n")
        else:
            path.write_text(text)
            sys.stdout.write(f"wrote {name}\n")
    return int(stale and check)


if __name__ == "__main__":
    sys.exit(main())
