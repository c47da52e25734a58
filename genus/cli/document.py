"""docs/cli.md, the table of docs/recipes.md and those of docs/lineage/, written from the code itself: `make docs`.

A test fails while a page is not fresh.
"""

import sys
from pathlib import Path

from genus.cli.main import COMMANDS, bind_stage, make_app
from genus.cli.models import size_rows
from genus.cli.tables import markdown
from genus.core.errors import GenusError
from genus.core.files import write_text
from genus.core.recipe import read_recipe
from genus.train.recipe import Pretrain

__all__ = ["command_page", "lineage_page", "recipe_page"]

_RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def command_page() -> str:
    """The page of all commands, in Markdown."""
    page: str = make_app(described=COMMANDS).generate_docs(output_format="markdown")
    return "\n".join(line.rstrip() for line in page.splitlines()) + "\n"


def lineage_page(text: str, family_name: str) -> str:
    """A family's page with its sizes, and the diagram of the first, written anew between `<!-- sizes -->` and its end.

    Raises GenusError when a block has no place in the page.
    """
    from genus.models.diagram import draw
    from genus.models.families import family_named

    sizes = family_named(family_name).sizes
    blocks = {"sizes": markdown(size_rows(sizes)), "diagram": f"```text\n{draw(next(iter(sizes.values())))}\n```"}
    return _filled(text, f"the page of {family_name}", blocks)


def recipe_page(text: str) -> str:
    """docs/recipes.md with the table of the papers' recipes written anew.

    Raises GenusError when the table has no place in the page.
    """
    found = [(path, bind_stage("pretrain", read_recipe(path), str(path))[1]) for path in _RECIPES.glob("*/pretrain.toml")]
    head = ("recipe", "parameters", "tokens", "batch", "rate", "course")
    rows = [_recipe_row(path, recipe) for path, recipe in sorted(found, key=_by_family)]
    return _filled(text, "docs/recipes.md", {"recipes": markdown([head, *rows])})


def _by_family(found: tuple[Path, Pretrain]) -> tuple[int, int]:
    """In the lineage's order, and in that of size."""
    from genus.models.families import FAMILIES
    from genus.train.shape import shape_model

    family, spec = shape_model(found[1].model)
    return FAMILIES.index(family.name), spec.parameters


def _recipe_row(path: Path, recipe: Pretrain) -> tuple[str, ...]:
    from genus.train.shape import shape_model

    _, spec = shape_model(recipe.model)
    name, course, sizes = path.parent.name, recipe.schedule, recipe.ramp.sizes(recipe.batch)
    end = f" to {course.final:.2g}" if course.decay != "inverse_sqrt" else ""
    end += f" at {_count(course.decay_tokens)}" if course.decay_tokens else ""
    return (
        f"[{name}](../recipes/{name}/pretrain.toml)",
        _count(spec.parameters),
        _count(recipe.tokens) if recipe.tokens else f"{recipe.epochs} x",
        (f"{sizes[0]} to " if len(sizes) > 1 else "") + f"{recipe.batch:,} x {spec.context:,}",
        f"{recipe.optim.lr * 1e4:.3g}e-4" + (f", {recipe.optim.kind}" if recipe.optim.kind != "adamw" else ""),
        f"{_count(course.warmup_tokens)}, {course.decay}{end}",
    )


def _count(number: int) -> str:
    """Three digits: 374,999,040 as 375M."""
    for factor, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if number >= 0.9995 * factor:
            return f"{float(f'{number / factor:.3g}'):g}{unit}"
    return str(number)


def _filled(text: str, page: str, blocks: dict[str, str]) -> str:
    """The text with each block between its two marks. Raises GenusError, naming the page, where marks are missing."""
    for name, block in blocks.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->\n")
        if not end:
            raise GenusError(f"{page} lacks <!-- {name} --> and <!-- end of {name} -->; add both lines")
        text = f"{before}{begin}{block}\n{end}{after}"
    return text


def _page(path: Path) -> str:
    if path.stem == "cli":
        return command_page()
    text = path.read_text("utf-8")
    return recipe_page(text) if path.stem == "recipes" else lineage_page(text, path.stem)


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        write_text(page, _page(page))
