"""docs/corpus.md and the recipes of corpora: the commands parse, and no step, rule or reason is forgotten."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any, get_args

import pytest
from cyclopts.config import Dict

from genus.cli.main import bind_stage, make_app
from genus.core.recipe import read_recipe
from genus.data.pipeline.recipe import Corpus, StepName
from genus.data.steps.budgets import ROOTS
from genus.data.steps.rules import CODE_SETS, TEXT_SETS

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "corpus.md").read_text("utf-8")
WORDS = " ".join(PAGE.split())
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
LINES = [line for block in BLOCKS for line in block.replace("\\\n", "").splitlines()]


@pytest.mark.parametrize("line", LINES)
def test_its_commands_are_ones_that_run(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == "genus"
    app = make_app(described=arguments[:1])
    if arguments[1].endswith(".toml"):
        recipe = arguments.pop(1)
        app.config = (Dict({arguments[0]: read_recipe(ROOT / recipe)}, source=recipe),)
    app.parse_args(arguments)


@pytest.mark.parametrize("name", [*get_args(StepName), *TEXT_SETS, *CODE_SETS])
def test_every_step_and_set_is_told_of(name: str) -> None:
    assert f"`{name}`" in PAGE


def reasons(folder: Path) -> set[str]:
    """What is given as a reason anywhere in the modules of a folder, where it is written out."""
    found = set()
    for path in folder.glob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)):
            name = getattr(call.func, "id", "")
            place = {"Dropped": 1, "Broken": 0, "_dropped": 1, "Fate": 1, "Cut": 1}.get(name)
            if place is not None and len(call.args) > place and isinstance(call.args[place], ast.Constant):
                found.add(call.args[place].value)
    return found - {""}


@pytest.mark.parametrize("folder", ["sources", "steps"])
def test_every_reason_is_told_of(folder: str) -> None:
    found = reasons(ROOT / "genus" / "data" / folder)
    assert len(found) > 5 and not [reason for reason in found if f"`{reason}`" not in WORDS]


def recipe(name: str) -> Any:
    path = ROOT / "recipes" / name / "corpus.toml"
    return bind_stage("corpus", read_recipe(path), str(path))[1]


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*/corpus.toml")), ids=lambda path: path.parent.name)
def test_recipes_are_ones_that_run(path: Path) -> None:
    made = recipe(path.parent.name)
    assert isinstance(made, Corpus)
    for _ in made.opened(("extract", "repair", "language", "rules", "personal", "toxicity")):
        pass
    assert f"../recipes/{path.parent.name}/corpus.toml" in PAGE


def test_the_multilingual_recipe_has_blooms_languages_and_sizes() -> None:
    made = recipe("corpus-multilingual")
    sizes = {name: size for name, size in ROOTS.items() if name not in ("code", "zh-Hans", "zh-Hant")}
    assert made.budgets == {**sizes, "zh": ROOTS["zh-Hans"] + ROOTS["zh-Hant"]}
    assert set(made.language.keep) == set(made.budgets)
