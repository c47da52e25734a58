"""Parts of a page: sections and tables of plain words, which are escaped here."""

from collections.abc import Collection, Iterator, Sequence
from html import escape

__all__ = ["grid", "section", "small"]


def section(title: str, body: str) -> str:
    """HTML under a title; nothing where there is none."""
    return f"<h2>{escape(title)}</h2>\n{body}" if body else ""


def small(note: str) -> str:
    """A note in words."""
    return f'<p class="small">{escape(note)}</p>'


def grid(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1, plain: Collection[int] = ()) -> str:
    """A table of words and numbers: the first `left` columns begin together, the others end together. Columns in `plain` are
    HTML, others words."""
    top = "".join(f"<th{_side(place, left, plain)}>{escape(cell)}</th>" for place, cell in enumerate(head))
    body = "".join(f"<tr>{''.join(_cells(row, left, plain))}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{body}</table></div>'


def _cells(row: Sequence[str], left: int, plain: Collection[int]) -> Iterator[str]:
    for place, cell in enumerate(row):
        yield f"<td{_side(place, left, plain)}>{cell if place in plain else escape(cell)}</td>"


def _side(place: int, left: int, plain: Collection[int]) -> str:
    return "" if place < left or place in plain else ' class="n"'
