"""Pages that stand alone: everything inside, and no script, since they show texts of strangers. Words are escaped here.

Not for what a page says: that is in the module that makes it.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from html import escape
from string import Template

__all__ = ["grid", "page", "section", "small"]

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>$title</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; } h2 { font-size: 1.15rem; margin-top: 2.4rem; } h3 { font-size: 1rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
td, th { padding: .2rem .9rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #8883; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: 1rem 0; max-width: 46rem; } figure svg { width: 100%; height: auto; } figcaption { font-size: .9rem; }
figure.plot { background: #fff; }
blockquote { margin: .2rem 0 .4rem; padding-left: .8rem; border-left: 3px solid #8886; white-space: pre-wrap;
  overflow-wrap: anywhere; font-size: .85rem; }
details { margin: .4rem 0; } summary { cursor: pointer; } code, li p { overflow-wrap: anywhere; }
pre { overflow-x: auto; background: #8881; padding: .8rem; font-size: .85rem; } .small { font-size: .85rem; opacity: .8; }
</style></head><body>
<h1>$title</h1>
<p>$summary</p>
$sections
</body></html>
""")


def page(title: str, summary: str, sections: Iterable[str]) -> str:
    """A page of words and of sections in HTML; those without a body are left out."""
    body = "\n".join(filter(None, sections))
    return _PAGE.substitute(title=escape(title), summary=escape(summary), sections=body)


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
