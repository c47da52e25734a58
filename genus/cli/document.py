"""docs/cli.md and the tables and diagrams of docs/lineage/, written from the code itself: `make docs`.

A test fails while a page is not fresh.
"""

import sys
from pathlib import Path

from genus.cli.main import COMMANDS, make_app
from genus.cli.models import size_rows
from genus.cli.tables import markdown
from genus.core.errors import GenusError
from genus.core.files import write_text

__all__ = ["command_page", "lineage_page"]


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
    for name, block in blocks.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->\n")
        if not end:
            raise GenusError(f"the page of {family_name} lacks <!-- {name} --> and <!-- end of {name} -->; add both lines")
        text = f"{before}{begin}{block}\n{end}{after}"
    return text


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        write_text(page, command_page() if page.stem == "cli" else lineage_page(page.read_text("utf-8"), page.stem))
