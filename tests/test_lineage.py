"""docs/lineage: a page for each family, in one form, whose numbers and claims are the code's."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from genus.cli.document import lineage_page
from genus.cli.explain import fields_of
from genus.core.errors import GenusError
from genus.models.families import FAMILIES, family_named
from tests.test_readme import parse

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "lineage"
PAGES = {name: (FOLDER / f"{name}.md").read_text("utf-8") for name in FAMILIES}


def test_a_page_for_each_family_and_no_other():
    assert {path.stem for path in FOLDER.glob("*.md")} == set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_sizes_and_diagram_are_fresh(name):
    assert lineage_page(PAGES[name], name) == PAGES[name], "run `make docs`"
    for spec in family_named(name).sizes.values():
        assert f"| {spec.parameters:,} |" in PAGES[name]


@pytest.mark.parametrize("name", FAMILIES)
def test_one_form(name):
    title, *rest = PAGES[name].splitlines()
    assert title.startswith("# ") and family_named(name).title[-5:-1] in title
    assert [line for line in rest if line.startswith("#")] == [
        "## Sizes", "## From tokens to logits", "## Train a small one", "## Traps"]  # fmt: skip
    assert "\nWhy: " in PAGES[name]


@pytest.mark.parametrize("name", FAMILIES)
def test_its_commands_are_ones_that_run(name):
    (block,) = re.findall(r"```sh\n(.*?)```", PAGES[name], re.DOTALL)
    compare, pretrain = (shlex.split(line) for line in block.splitlines())
    assert compare[:2] == ["genus", "compare"] and name in compare
    assert pretrain[pretrain.index("--model.family") + 1] == name
    for _, *arguments in (compare, pretrain):
        parse(arguments)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_it_says_is_in_the_spec(name):
    """Every `field=value` of the table, where the value is a plain one, is a field of some size."""
    specs = [fields_of(spec) for spec in family_named(name).sizes.values()]
    checked = 0
    for row in re.findall(r"^\|[^|]*\|(.*)\|$", PAGES[name].split("\nWhy: ")[0], re.MULTILINE):
        for code in re.findall(r"`([^`]*\w=[^`]*)`", row):
            call = code if re.match(r"\w+\(", code) else f"spec({code})"
            for field, value in re.findall(r"(\w+)=(\"\w+\"|\w[\w.]*|\([\w, ]*\))[,)]", call):
                try:
                    meant = ast.literal_eval(value)
                except ValueError:
                    continue
                held = [entry for spec in specs for path, (_, entry) in spec.items() if path.split(".")[-1] == field]
                if call.startswith("Init("):
                    held = [getattr(family_named(name).init(spec), field) for spec in family_named(name).sizes.values()]
                assert meant in held, f"{code}: {field} is {held}"
                checked += 1
    assert checked


def test_a_page_without_a_place_for_the_sizes():
    with pytest.raises(GenusError, match="lacks <!-- sizes -->"):
        lineage_page("# A page\n<!-- sizes -->\n", "gpt2")
