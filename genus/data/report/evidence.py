"""Dropped documents in the page: what was found in each, how it begins, and the copy that stays instead."""

from collections.abc import Iterable
from html import escape
from itertools import groupby
from typing import Any

__all__ = ["samples"]


def samples(rows: Iterable[dict[str, Any]]) -> str:
    """A list under each step and reason, closed at first. `rows`: of report.json, in its order."""
    text = ""
    for (step, reason), found in groupby(rows, key=lambda row: (row["step"], row["reason"])):
        each = [_sample(row) for row in found]
        title = escape(f"{step}: {reason.removeprefix(f'{step}: ')} ({len(each)})")
        text += f"<details><summary>{title}</summary><ul>{''.join(each)}</ul></details>"
    return text


def _sample(row: dict[str, Any]) -> str:
    about = f"{row['bytes']:,} bytes of {row['collection']}: {row['detail']}"
    said = f"<p><code>{escape(row['id'])}</code>, {escape(about)}</p>{_quote(row['excerpt'])}"
    if row["kept_excerpt"]:
        said += f"<p>stays: <code>{escape(row['kept'])}</code></p>{_quote(row['kept_excerpt'])}"
    return f"<li>{said}</li>"


def _quote(text: str) -> str:
    return f"<blockquote>{escape(text)}</blockquote>" if text else ""
