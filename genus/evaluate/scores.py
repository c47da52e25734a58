"""Figures of evaluations for a page: a table with intervals and links, and plots of scores against tokens or size."""

import html
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from genus.evaluate.found import Figure

__all__ = ["Curve", "plot", "score_table"]

Curve = Sequence[tuple[float, float, float | None, float | None]]
"""Points: where, the value, and its interval or None."""
_SHOWN = 3  # published figures of a measure


def score_table(figures: Sequence[Figure], page: Path, names: Sequence[str] = ()) -> str:
    """Rows of figures, each linked from the folder of `page` to its items; `names` of their models, where several."""
    if not figures:
        return ""
    heads = [*(["model"] if names else []), "task", "measure", "shots", "items", "value", "95% interval", "published"]
    rows = ["".join(f"<th>{head}</th>" for head in heads)]
    for at, each in enumerate(figures):
        task = html.escape(each.task)
        if each.items.is_file():
            task = f'<a href="{quote(os.path.relpath(each.items.resolve(), page.resolve().parent))}">{task}</a>'
        interval = "" if each.low is None or each.high is None else f"{each.low:.3f} to {each.high:.3f}"
        counts = ("" if number is None else f"{number:,}" for number in (each.shots, each.count))
        cells = [*([html.escape(names[at])] if names else []), task, html.escape(each.measure), *counts]
        cells += [f"{each.value:.3f}", interval, _published(each)]
        rows.append("".join(f"<td>{cell}</td>" for cell in cells))
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _published(figure: Figure) -> str:
    """What the papers printed, with the reasons that are known for a gap."""
    shown = []
    for other in figure.published[:_SHOWN]:
        why = "; ".join(["another model", *other["gaps"]])
        said = f"{other['model']} {other['value']:.3f} ({other['source']})"
        shown.append(f'{html.escape(said)}<br><span class="small">{html.escape(why)}</span>')
    return "<br>".join(shown)


def plot(panels: Mapping[str, Mapping[str, Curve]], across: str, logarithmic: bool = False) -> str:
    """An inline SVG: a chart for each of `panels`, with its curves by name and their intervals, over one axis `across`."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": "genus", "font.family": "sans-serif"}):
        figure, grid = pyplot.subplots(len(panels), 1, figsize=(7, 0.6 + 2.6 * len(panels)), sharex=True, squeeze=False)
        for axis, (title, curves) in zip(grid[:, 0], panels.items(), strict=True):
            for name, points in curves.items():
                places, values = [point[0] for point in points], [point[1] for point in points]
                (line,) = axis.plot(places, values, "o-", ms=4, label=name)
                known = [point for point in points if point[2] is not None]
                lows, highs = [point[2] for point in known], [point[3] for point in known]
                axis.fill_between([point[0] for point in known], lows, highs, color=line.get_color(), alpha=0.15, lw=0)
            axis.set_ylabel(title)
            axis.grid(alpha=0.3)
            axis.legend(frameon=False, fontsize="small")
            if logarithmic:
                axis.set_xscale("log")
        grid[-1, 0].set_xlabel(across)
        file = io.StringIO()
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
        pyplot.close(figure)
    return f'<figure class="plot">{file.getvalue()[file.getvalue().index("<svg") :]}</figure>'
