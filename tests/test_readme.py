"""The README's commands are the ones that run: each is parsed by the program itself, each file it names is there."""

import ast
import re
import shlex
from pathlib import Path

import pytest

import genus
from genus.cli import main as cli
from genus.core.recipe import read_recipe
from genus.models.families import FAMILIES

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
LINES = [
    line.strip()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md")
    for block in re.findall(r"```sh\n(.*?)```", path.read_text("utf-8"), re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]


def targets() -> dict[str, list[str]]:
    """Of the Makefile: name -> its recipe lines."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in (ROOT / "Makefile").read_text().splitlines():
        if match := re.match(r"(\w+):.*##", line):
            name = match[1]
            found[name] = []
        elif line.startswith("\t") and name:
            found[name].append(line.strip())
        elif not line.startswith("\t"):
            name = ""
    return found


@pytest.mark.parametrize("line", LINES)
def test_command(line):
    program, *arguments = shlex.split(line, comments=True)
    match Path(program).name:
        case "make":
            assert targets()[arguments[0]]
        case "genus":
            parse(arguments)
        case "python":
            assert (ROOT / arguments[0]).is_file()
        case other:
            pytest.fail(f"the README runs {other}")


def parse(arguments: list[str]) -> None:
    """As the command line does, short of the work."""
    app = cli.make_app(described=arguments[:1])
    if len(arguments) > 1 and arguments[1].endswith(".toml"):
        recipe = arguments.pop(1)
        app.config = (cli.Dict({arguments[0]: read_recipe(ROOT / recipe)}, source=recipe),)
    app.parse_args(arguments)


def test_make_demo_is_the_command_that_the_tests_run():
    assert targets()["demo"] == ["$(VENV)/bin/genus demo"]


def test_ci_runs_the_two_commands():
    script = (ROOT / ".ci" / "run").read_text()
    assert "make check\nmake test" in script


def test_the_python_example_uses_what_there_is():
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    calls = [node.func for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    names = [call.attr for call in calls if isinstance(call, ast.Attribute)]
    assert {"load", "generate", "score"} <= set(names)
    assert all(hasattr(genus, name) or hasattr(genus.Model, name) for name in names)


def test_links_lead_somewhere():
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)", path.read_text("utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_lineage_table_names_every_family():
    for family in FAMILIES:
        assert f"docs/lineage/{family}.md" in README
        assert f"families/{family}.py" in (ROOT / "docs" / "lineage" / f"{family}.md").read_text("utf-8")


def test_nothing_is_left_to_fill_in():
    assert "@@" not in README
