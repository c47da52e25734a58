"""docs/cli.md, written from the commands themselves: `make docs`. A test fails while the page is not fresh."""

import sys
from pathlib import Path

from genus.cli.main import COMMANDS, make_app
from genus.core.files import write_text

__all__ = ["command_page"]


def command_page() -> str:
    """The page, in Markdown."""
    page: str = make_app(described=COMMANDS).generate_docs(output_format="markdown")
    return "\n".join(line.rstrip() for line in page.splitlines()) + "\n"


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), command_page())
