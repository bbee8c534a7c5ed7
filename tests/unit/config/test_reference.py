from __future__ import annotations

from itertools import pairwise

from otelauto.config.paths import leaves, moved, variables
from otelauto.config.reference import reference


def test_the_page_names_every_option_every_variable_and_every_former_place():
    page = reference()
    for leaf in leaves():
        assert f"`{leaf.path if leaf.option.inert else leaf.member.key}`" in page
        for variable in variables(leaf):
            assert f"`{variable.name}`" in page
    for old in moved():
        assert f"`{old}`" in page


def test_the_page_has_no_broken_table():
    """Every row of a table has as many cells as the line above it."""
    rows = [line.replace("\\|", "") for line in reference().splitlines()]
    for above, row in pairwise(rows):
        if above.startswith("|") and row.startswith("|"):
            assert above.count("|") == row.count("|"), row
