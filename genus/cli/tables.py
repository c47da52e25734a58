"""Rows of words and numbers as aligned lines, or as Markdown."""

from collections.abc import Sequence

__all__ = ["Rows", "aligned", "markdown"]

Rows = Sequence[Sequence[str]]


def aligned(rows: Rows, left: int = 1) -> list[str]:
    """One line a row: the first `left` columns begin together, the others end together."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:{'<' if place < left else '>'}{widths[place]}}" for place, cell in enumerate(row)).rstrip()
            for row in rows]  # fmt: skip


def markdown(rows: Rows) -> str:
    """A table whose first row is its head; the first column begins together, the others end together."""
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, f"| --- |{' ---: |' * (len(rows[0]) - 1)}", *body])
