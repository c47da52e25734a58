"""Pictures of a run's metrics for the report page: losses, gradient norm, learning rate and speed, as inline SVG."""

import io
from typing import Any

__all__ = ["curves"]

_SMOOTH = 20  # steps that the drawn training loss is averaged over
_TRAINING, _HELD_OUT, _LEFT, _SPIKE = "#4878a8", "#c8643c", "#bbbbbb", "#b02020"

Records = list[dict[str, Any]]


def curves(records: Records) -> str:
    """Four charts over the tokens read. Red lines are spikes; what the run left by going back is drawn in grey.

    `records` are those of metrics.jsonl, the abandoned ones too.
    """
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    panels = (("gradient norm", "gradient_norm"), ("learning rate", "lr"), ("tokens per second", "tokens_per_second"))
    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": "genus", "font.family": "sans-serif"}):
        figure, axes = pyplot.subplots(4, 1, figsize=(7, 7.6), sharex=True, height_ratios=(3, 1, 1, 1))
        _draw_losses(axes[0], records)
        for axis, (label, key) in zip(axes[1:], panels, strict=True):
            _draw(axis, records, key)
            axis.set_ylabel(label)
        for axis in axes:
            axis.grid(alpha=0.3)
            for record in _spikes(records):
                axis.axvline(record["tokens"] / 1e6, color=_SPIKE, lw=0.7, alpha=0.7)
        axes[-1].set_xlabel("million tokens read")
        file = io.StringIO()
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
        pyplot.close(figure)
    return f'<figure class="plot">{file.getvalue()[file.getvalue().index("<svg") :]}</figure>{_told(records)}'


def _draw_losses(axis: Any, records: Records) -> None:
    _draw(axis, records, "loss", _SMOOTH, "training")
    held_out = [record for record in records if "validation_loss" in record and "abandoned" not in record]
    tokens, losses = [record["tokens"] / 1e6 for record in held_out], [record["validation_loss"] for record in held_out]
    axis.plot(tokens, losses, "o-", ms=3, label="held out", color=_HELD_OUT)
    axis.set_ylabel("loss, nats per token")
    axis.legend(frameon=False)


def _draw(axis: Any, records: Records, key: str, smooth: int = 1, label: str | None = None) -> None:
    """The values of the run itself, and in grey those of each detour. A value that was not finite is left out."""
    known = [record for record in records if record.get(key) is not None]
    for detour in sorted({record.get("abandoned", 0) for record in known}, reverse=True):  # the run itself last, on top
        part = [record for record in known if record.get("abandoned", 0) == detour]
        values = _smoothed([record[key] for record in part], smooth)
        colour, name = (_LEFT, None) if detour else (_TRAINING, label)
        axis.plot([record["tokens"] / 1e6 for record in part], values, color=colour, label=name)


def _smoothed(values: list[float], width: int) -> list[float]:
    return [sum(part) / len(part) for end in range(1, len(values) + 1) if (part := values[max(0, end - width) : end])]


def _spikes(records: Records) -> Records:
    return [record for record in records if "spike" in record]


def _told(records: Records) -> str:
    """The spikes in a sentence; nothing where there were none."""
    spikes = _spikes(records)
    if not spikes:
        return ""
    done = {"skip": "left out", "rollback": "rolled back", "lower": "gone back for, and on with a lower rate"}
    each = ", ".join(f"{record['step']:,} ({done[record['spike']]})" for record in spikes)
    grey = " Grey is what the run left." if any("abandoned" in record for record in records) else ""
    return f'<p class="small">Red lines: spikes, at step {each}.{grey}</p>'
