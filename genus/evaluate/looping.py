"""The picture of a degeneration probe: how much repeats, and how many texts are in a loop by which token, as inline SVG."""

import io
from collections.abc import Mapping, Sequence

from genus.evaluate.estimates import mean

__all__ = ["picture"]


def picture(shares: Mapping[str, Sequence[float]], starts: Mapping[str, Sequence[int | None]], tokens: int) -> str:
    """Of each setting: the share of repeated 4-grams of each text, and where each text's loop starts, if it has one."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": "genus", "font.family": "sans-serif"}):
        figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
        for place, (name, values) in enumerate(shares.items()):
            repeated, colour = mean(values), f"C{place}"
            left.barh(place, repeated.value or 0.0, color=colour, alpha=0.8)
            if repeated.low is not None:
                left.plot((repeated.low, repeated.high), (place, place), color="black", lw=1)
            found = sorted(start for start in starts[name] if start is not None)
            steps = [0.0, *[(number + 1) / len(starts[name]) for number in range(len(found))]]
            right.step([0, *found, tokens], [*steps, steps[-1]], where="post", color=colour, label=name)
        left.set_yticks(range(len(shares)), shares)
        left.invert_yaxis()
        left.set_xlabel("repeated 4-grams, share of a text's")
        right.set_xlabel("tokens written")
        right.set_ylabel("texts in a loop")
        right.set_ylim(0, 1.02)
        for axis in (left, right):
            axis.grid(alpha=0.3)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
        pyplot.close(figure)
    return file.getvalue()[file.getvalue().index("<svg") :]
