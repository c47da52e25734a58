"""The tables of numbers.toml, and why a figure of one's own may differ from one of them."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["Asking", "Table", "beside", "gaps", "published"]


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How a task was asked. Empty or None is not known."""

    shots: int | None = None
    prompt: str = ""
    scoring: str = ""
    items: int | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Figures of models by measure, in the units in which Genus reports them."""

    task: str
    source: str
    asking: Asking
    values: Mapping[str, Mapping[str, float]]
    arxiv: str = ""
    note: str = ""

    @property
    def cited(self) -> str:
        """The source in words."""
        return f"{self.source}, arXiv {self.arxiv}" if self.arxiv else self.source


def published(task: str = "") -> list[Table]:
    """The tables of a task; all there are where none is named."""
    return [table for table in _all() if task in ("", table.task)]


def gaps(own: Asking, table: Table) -> list[str]:
    """The reasons that can be told why one's own figure is not the paper's, in words."""
    theirs, reasons = table.asking, []
    if theirs.shots is None and own.shots is not None:
        reasons.append(f"shots: {own.shots} here, not one number in the paper")
    elif own.shots != theirs.shots:
        reasons.append(f"shots: {_said(own.shots)} here, {theirs.shots} published")
    for name, mine, other in (("prompt", own.prompt, theirs.prompt), ("scoring", own.scoring, theirs.scoring)):
        if not other:
            reasons.append(f"{name}: not printed in the paper")
        elif mine != other:
            reasons.append(f"{name}: {mine or 'not known'} here, {other} published")
    if own.items is not None and theirs.items is not None and own.items != theirs.items:
        reasons.append(f"subset: {own.items:,} items here, {theirs.items:,} published")
    return [*reasons, table.note] if table.note else reasons


def beside(task: str, figures: Mapping[str, float | None], own: Asking) -> list[dict[str, Any]]:
    """One's own figures by measure, each with what was published of it: model, figure, source and reasons for a gap."""
    rows = []
    for measure, figure in figures.items():
        others = [
            {"model": model, "value": values[measure], "source": table.cited, "gaps": gaps(own, table)}
            for table in published(task)
            for model, values in table.values.items()
            if measure in values
        ]
        if others:
            rows.append({"measure": measure, "own": figure, "published": others})
    return rows


@cache
def _all() -> tuple[Table, ...]:
    text = files("genus.evaluate.published").joinpath("numbers.toml").read_text("utf-8")
    return tuple(_table(values) for values in tomllib.loads(text)["table"])


def _table(values: dict[str, Any]) -> Table:
    divide = values.pop("divide", 1)
    asking = Asking(**{each.name: values.pop(each.name) for each in fields(Asking) if each.name in values})
    scaled = {
        model: {measure: figure / divide for measure, figure in figures.items()}
        for model, figures in values.pop("values").items()
    }
    return Table(asking=asking, values=scaled, **values)


def _said(shots: int | None) -> str:
    return "not known" if shots is None else str(shots)
