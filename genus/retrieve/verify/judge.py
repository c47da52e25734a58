"""A judge that was fitted to labelled claims: a logistic layer over what can be counted of claim and passage, over how near
their words are in meaning, and over what a GPT says that has read both. verifier.json says which of these it has, words.txt
how rare words were where it was fitted: with the counts of another corpus its weights would be of other inputs.

With a GPT its folder is the GPT's, which transformers opens as a sequence classifier of two scores.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genus.core.errors import GenusError
from genus.core.files import read_json, write_json, write_text
from genus.models.scorer import Scorer
from genus.models.weights import load_scorer
from genus.retrieve.verifier import Thresholds
from genus.retrieve.verify.features import FEATURES, Floats, features
from genus.retrieve.verify.fitting import shares
from genus.retrieve.verify.layer import Layer
from genus.retrieve.verify.meaning import MEANING, Meaning
from genus.retrieve.verify.trees import grow, tree_scores
from genus.retrieve.verify.words import WordCounts
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["OUTPUTS", "VERIFIER", "Judge", "Reader", "Senses", "load_judge", "save_judge"]

VERIFIER, _WORDS = "verifier.json", "words.txt"
OUTPUTS = ("supported", "partial")
"""The scores of the GPT: logits of full support, and of support in part at least."""
_ROW = 1024  # tokens of a row; attention within it is computed whole
_CHARACTERS = 20_000  # characters read of a text; the rest would be cut away as tokens
_TIME = 1_000_000  # tokens of the longest sequence that a file may name


@dataclass(frozen=True)
class Reader:
    """The GPT of a judge; `time` is the longest sequence of claim and passage, in tokens."""

    scorer: Scorer
    tokenizer: Tokenizer
    time: int

    @torch.inference_mode()
    def logits(self, claim: str, passages: Sequence[str]) -> Floats:
        """(passages, 2). A claim's tokens are read once for all passages of a row."""
        if not passages:
            return np.zeros((0, len(OUTPUTS)))
        tree = grow(self.tokenizer, claim, passages, self.time)
        rows = [tree._replace(branches=())]
        for branch in tree.branches:
            if rows[-1].branches and rows[-1].size + len(branch) > _ROW:
                rows.append(tree._replace(branches=()))
            rows[-1] = rows[-1]._replace(branches=(*rows[-1].branches, branch))
        return torch.cat([scores for row in rows for scores in tree_scores(self.scorer, [row])]).double().cpu().numpy()


@dataclass(frozen=True)
class Senses:
    """What a judge knows passages by."""

    counts: WordCounts
    meaning: Meaning | None = None
    reader: Reader | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs, in order."""
        return (*FEATURES, *(MEANING if self.meaning else ()), *(OUTPUTS if self.reader else ()))

    def inputs(self, claim: str, passages: Sequence[str]) -> Floats:
        """What the layer takes, (passages, inputs)."""
        claim, passages = claim[:_CHARACTERS], [passage[:_CHARACTERS] for passage in passages]
        found = [features(claim, passages, self.counts)]
        if self.meaning:
            found.append(self.meaning.coverage(claim, passages))
        if self.reader:
            found.append(self.reader.logits(claim, passages))
        return np.hstack(found)


class Judge:
    """Calibrated on the claims that it was fitted to: of passages with a score of 0.8, four in five support."""

    name = "judge"

    def __init__(self, layer: Layer, thresholds: Thresholds, senses: Senses) -> None:
        self.layer, self.thresholds, self.senses = layer, thresholds, senses

    def scores(self, claim: str, passages: Sequence[str]) -> list[float]:
        """Of each passage, in order."""
        found: list[float] = shares(self.layer.logits(self.senses.inputs(claim, passages))).tolist()
        return found


def save_judge(folder: Path, layer: Layer, thresholds: Thresholds, senses: Senses) -> None:
    """Write verifier.json and words.txt into a folder, beside the GPT's files if it has one."""
    told: dict[str, Any] = {"inputs": list(senses.names), "weights": list(layer.weights), "bias": layer.bias}
    told |= {"thresholds": asdict(thresholds), "time": senses.reader.time if senses.reader else 0}
    write_text(folder / _WORDS, senses.counts.written())
    write_json(folder / VERIFIER, told)


def load_judge(folder: Path) -> Judge:
    """The judge of a folder that `genus tune --form support` made, or of its run's. Raises GenusError for another."""
    if not (folder / VERIFIER).is_file() and (folder / "model" / VERIFIER).is_file():
        folder = folder / "model"
    if not (folder / VERIFIER).is_file():
        raise GenusError(f"{folder} holds no judge of support ({VERIFIER}); make one with `genus tune --form support`")
    told = read_json(folder / VERIFIER)
    try:
        layer = Layer(tuple(map(float, told["weights"])), float(told["bias"]))
        thresholds = Thresholds(**{name: float(value) for name, value in told["thresholds"].items()})
        names, time = tuple(told["inputs"]), int(told["time"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GenusError(f"{folder / VERIFIER} is damaged ({error}); copy the folder again") from error
    numbers = [*layer.weights, layer.bias, *asdict(thresholds).values()]
    if len(layer.weights) != len(names) or not np.isfinite(numbers).all() or not 0 <= time <= _TIME:
        raise GenusError(f"{folder / VERIFIER} is damaged (its numbers do not fit); copy the folder again")
    counts = _counts(folder / _WORDS)
    meaning = Meaning(counts) if set(MEANING) <= set(names) else None
    senses = Senses(counts, meaning, _reader(folder, time) if set(OUTPUTS) <= set(names) else None)
    if names != senses.names:
        raise GenusError(f"{folder / VERIFIER} is of another version of Genus, with other inputs; tune the judge again")
    return Judge(layer, thresholds, senses)


def _counts(path: Path) -> WordCounts:
    try:
        return WordCounts.read(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise GenusError(f"{path} is missing or damaged ({error}); copy the folder again") from error


def _reader(folder: Path, time: int) -> Reader:
    scorer, _, labels = load_scorer(folder)
    if labels != OUTPUTS:
        raise GenusError(f"{folder} scores {', '.join(labels)[:80]} and not support; name a folder of `genus tune`")
    tokenizer = Tokenizer.load(folder)
    tokenizer.check_rows(scorer.spec.vocab, str(folder))
    return Reader(scorer, tokenizer, min(time or scorer.spec.context, scorer.spec.context))
