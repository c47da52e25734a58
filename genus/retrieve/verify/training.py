"""`genus tune --form support`: a judge of support from claims with their documents. What it is afterwards is judge.py's.

A layer weighs what is counted, and what a GPT says that learned to read claims; without a GPT there is the layer alone.

Per claim the cited document stands among others: a list of which it should be the best (SIDE, arXiv 2207.06220, learns so),
and where somebody labelled a document, its two scores are pulled to the label. A document is its best passage.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genus.core.errors import GenusError
from genus.core.files import locked, new_folder, write_json, write_text
from genus.core.progress import progress, say
from genus.data.examples import Shuffled
from genus.models.family import Family
from genus.models.scorer import Scorer
from genus.models.weights import save_scorer
from genus.retrieve.verifier import Thresholds
from genus.retrieve.verify.claims import Checked, Claim, read_claims
from genus.retrieve.verify.coverage import keep_best
from genus.retrieve.verify.features import Floats
from genus.retrieve.verify.fitting import (
    best_logits,
    check_enough,
    choose_thresholds,
    fit_calibrated,
    folds_of,
    groups_of,
    shares,
)
from genus.retrieve.verify.judge import OUTPUTS, Reader, Senses, save_judge
from genus.retrieve.verify.layer import Layer
from genus.retrieve.verify.meaning import Meaning
from genus.retrieve.verify.measuring import measure
from genus.retrieve.verify.negatives import Neighbours, altered
from genus.retrieve.verify.trees import Tree, grow, tree_scores
from genus.retrieve.verify.words import WordCounts
from genus.tasks.marks import mark, pad_of
from genus.train.loop import Scored
from genus.train.task_recipe import TaskTuning
from genus.train.tuning import Tuned, fingerprint, open_start, tune

__all__ = ["Listed", "listed", "support_loss", "train_verifier"]

_HELD = 5  # of so many parts of the groups one is held out where the recipe names no file


class Listed(NamedTuple):
    """A claim's documents for the loss: the tree of all their passages, each branch's document, and each document's label.

    A label is 2, 1 or 0; None for a document that is cited, or -1 for one that nobody cited.
    """

    tree: Tree
    owners: tuple[int, ...]
    labels: tuple[int | None, ...]


def train_verifier(recipe: TaskTuning, restart: bool = False) -> Path:
    """Tune to the end, from wherever an earlier start stopped; give the judge's folder.

    Raises GenusError before any work for files, claims or a model that do not fit; Stopped when asked to stop.
    """
    if str(recipe.model) == "none":
        return _weigh(recipe)
    claims, held_out = _split(recipe)
    opened = open_start(recipe.model, recipe.dropout)
    tokenizer, tables = mark(opened.network, opened.tokenizer, recipe.seed)
    scorer = Scorer.of(opened.network, len(OUTPUTS))
    reader = Reader(scorer, tokenizer, min(recipe.max_tokens or opened.context, opened.context))
    neighbours = Neighbours(claims)
    learned = [listed(each, reader, neighbours, recipe) for each in claims]
    usable = [each for each in learned if len(set(each.labels)) > 1 or set(each.labels) & {0, 1, 2}]
    if not usable:
        raise GenusError(f"{recipe.train} has neither labels nor documents to tell apart; bring labelled claims")
    say(f"{len(usable):,} claims to learn from, {len(held_out):,} held out")
    measured = _HeldOut(recipe, held_out, reader)
    tuned = Tuned(
        model=scorer,
        source=Shuffled(usable, recipe.seed),
        prepare=list,
        loss=partial(support_loss, scorer),
        validate=measured.loss,
        write=partial(_write, recipe, opened.family, measured),
        length=lambda item: item.tree.size,
        family=opened.family,
        tables=tables,
        facts={"model": opened.digest, "claims": fingerprint([*claims, *held_out, recipe.support])},
    )
    return tune(recipe, tuned, restart)


def listed(claim: Claim, reader: Reader, neighbours: Neighbours, recipe: TaskTuning) -> Listed:
    """A claim's own documents, then `negatives`: one altered, the others neighbours; of each its best passages."""
    counts, chosen = neighbours.counts, recipe.support
    own = [_kept(claim.text, each, chosen.passages, counts) for each in claim.documents]
    good = [each for each in own if each.label != 0]
    documents = own + _made(claim, good[0], neighbours, recipe) if good else own
    owners = tuple(number for number, each in enumerate(documents) for _ in each.passages)
    tree = grow(reader.tokenizer, claim.text, [passage for each in documents for passage in each.passages], reader.time)
    return Listed(tree, owners, tuple(each.label for each in documents))


def _made(claim: Claim, good: Checked, neighbours: Neighbours, recipe: TaskTuning) -> list[Checked]:
    near = neighbours.find(claim, recipe.support.negatives)
    made = [_kept(claim.text, Checked(each, -1), recipe.support.passages, neighbours.counts) for each in near]
    others = [passage for each in made for passage in each.passages]
    changed = altered(claim.text, good.passages[0], others, random.Random(f"{recipe.seed} {claim.text}"))
    return [*([Checked((changed,), 0)] if changed else []), *made][: recipe.support.negatives]


def _kept(claim: str, document: Checked, count: int, counts: WordCounts) -> Checked:
    return document._replace(passages=keep_best(claim, document.passages, count, counts))


def support_loss(scorer: Scorer, claims: Sequence[Listed]) -> Scored:
    """Sum over claims of the mean over labelled documents of -log p(label), and of -log p(the good one of a list).

    The label's two parts, full support and support in part at least, are told apart by one score each. The list is of one
    good document (cited, or labelled 1 or 2) and all bad ones, by the score of support in part; its mean over good ones.
    """
    total = torch.zeros((), device=scorer.score.weight.device)
    for claim, scores in zip(claims, tree_scores(scorer, [claim.tree for claim in claims]), strict=True):
        total = total + _claim_loss(claim, scores)
    return Scored(total, len(claims))


def _claim_loss(claim: Listed, scores: Tensor) -> Tensor:
    """scores (branches, 2)."""
    owners = torch.tensor(claim.owners, device=scores.device)
    best = torch.stack([scores[owners == number].amax(0) for number in range(len(claim.labels))])  # (documents, 2)
    loss = scores.new_zeros(())
    told = [number for number, label in enumerate(claim.labels) if label is not None and label >= 0]
    if told:
        labels = torch.tensor([claim.labels[number] for number in told], device=scores.device)
        targets = torch.stack([labels == 2, labels >= 1], dim=1).float()
        loss = loss + F.binary_cross_entropy_with_logits(best[told], targets, reduction="sum") / len(told)
    good = [number for number, label in enumerate(claim.labels) if label is None or label > 0]
    bad = [number for number, label in enumerate(claim.labels) if label is not None and label <= 0]
    if good and bad:
        lists = torch.stack([best[[number, *bad], 1] for number in good])  # (good, 1 + bad)
        loss = loss + F.cross_entropy(lists, torch.zeros(len(good), dtype=torch.long, device=scores.device))
    return loss


@dataclass
class _HeldOut:
    """Labelled claims that are not learned: to follow a run by, and to fit the layer to."""

    recipe: TaskTuning
    claims: Sequence[Claim]
    reader: Reader | None = None
    senses: Senses = field(init=False)
    pairs: list[tuple[Claim, Checked]] = field(init=False)

    def __post_init__(self) -> None:
        self.neighbours = Neighbours(self.claims)
        counts = self.neighbours.counts
        self.senses = Senses(counts, Meaning(counts) if self.recipe.support.meaning else None, self.reader)
        self.pairs = [(claim, each) for claim in self.claims for each in claim.documents if each.label is not None]
        # labels are looked at before hours are spent
        check_enough([each.label == 2 for _, each in self.pairs], _groups(self.pairs))

    def loss(self) -> dict[str, float]:
        """-log p(label) of the GPT's two scores; nothing before the first step, when they are zero."""
        if self.reader is None or not self.reader.scorer.score.weight.any():
            return {}
        losses = []
        for claim, document in self.pairs:
            passages = keep_best(claim.text, document.passages, self.recipe.support.passages, self.senses.counts)
            best = self.reader.logits(claim.text, passages).max(0)
            targets = np.array([document.label == 2, (document.label or 0) >= 1])
            losses.append(float(np.logaddexp(0, np.where(targets, -best, best)).sum()))
        return {"validation_loss": float(np.mean(losses))}

    def inputs(self, claim: str, passages: Sequence[str]) -> Floats:
        """What the layer takes of the passages of a document that cover most."""
        kept = keep_best(claim, passages, self.recipe.support.passages, self.senses.counts)
        return self.senses.inputs(claim, kept)

    def fit(self) -> tuple[Layer, Thresholds, dict[str, Any]]:
        """The layer, the thresholds, and what they are worth on claims that they were not fitted to."""
        documents: list[Floats] = []
        others: list[Floats] = []
        with progress("held-out claims", len(self.pairs)) as update:
            for done, (claim, document) in enumerate(self.pairs, 1):
                near = self.neighbours.find(claim, 1)
                documents.append(self.inputs(claim.text, document.passages))
                others.append(self.inputs(claim.text, near[0]) if near else documents[-1][:0])
                update(done, "")
        labels = [int(document.label or 0) for _, document in self.pairs]
        supported, groups = [label == 2 for label in labels], _groups(self.pairs)
        layer, logits = fit_calibrated(documents, supported, groups)
        differences = [
            float(shares(best_logits(layer, [other]))[0] - score)
            for other, score, right in zip(others, shares(best_logits(layer, documents)), supported, strict=True)
            if right and len(other)
        ]
        figures = measure(documents, others, labels, groups)
        return layer, choose_thresholds(shares(logits), labels, differences), figures


def _split(recipe: TaskTuning) -> tuple[list[Claim], list[Claim]]:
    """Claims to learn from, and those held out: of another file, or a fifth of the groups."""
    claims = read_claims(recipe.train)
    if recipe.held_out:
        return claims, read_claims(recipe.held_out)
    groups = groups_of([_keys(claim, claim.documents) for claim in claims])
    folds = folds_of(groups, recipe.seed, _HELD)
    held_out = [claim for claim, fold in zip(claims, folds, strict=True) if fold == _HELD - 1]
    return [claim for claim, fold in zip(claims, folds, strict=True) if fold < _HELD - 1], held_out


def _groups(pairs: Sequence[tuple[Claim, Checked]]) -> list[int]:
    return groups_of([_keys(claim, (document,)) for claim, document in pairs])


def _keys(claim: Claim, documents: Sequence[Checked]) -> list[tuple[str, str]]:
    """What a claim has in common with others: its own text's, its documents, and its words."""
    named = [("document", each.name) for each in documents if each.name]
    return [*named, *([("group", claim.group)] if claim.group else []), ("claim", claim.text)]


def _weigh(recipe: TaskTuning) -> Path:
    """The layer alone, fitted to the held-out claims if there are some, else to all."""
    claims = read_claims(recipe.held_out or recipe.train)
    with locked(recipe.out), new_folder(recipe.out / "model") as folder:
        _write_layer(recipe, _HeldOut(recipe, claims), folder)
    return recipe.out / "model"


def _write(recipe: TaskTuning, family: Family, measured: _HeldOut, folder: Path) -> None:
    """The judge's folder."""
    reader = measured.reader
    assert reader is not None
    scorer = reader.scorer.eval()
    special = {"pad": pad_of(reader.tokenizer), "eos": reader.tokenizer.end_of_text}
    save_scorer(folder, scorer, family, OUTPUTS, special)
    reader.tokenizer.save(folder)
    _write_layer(recipe, measured, folder)


def _write_layer(recipe: TaskTuning, measured: _HeldOut, folder: Path) -> None:
    """verifier.json and the card, and what the judge reached in results.json beside the folder."""
    layer, thresholds, figures = measured.fit()
    save_judge(folder, layer, thresholds, measured.senses)
    write_json(recipe.out / "results.json", figures)
    what = f"tuned from {recipe.model.name}" if measured.reader else "that counts and reads nothing"
    write_text(folder / "README.md", _CARD.format(what=what, results=json.dumps(figures, indent=1)))
    judge, coverage = (figures[name]["auroc"]["value"] for name in ("judge", "coverage"))
    say(f"held-out AUROC {judge:.3f}, that of the coverage of words {coverage:.3f}")


_CARD = """---
library_name: genus
pipeline_tag: text-classification
---

# A judge of support, {what}

It says how far a passage bears a claim out. Made with Genus (`genus tune --form support`), which opens the folder with
`--judge`. verifier.json holds the weights of what is counted of words, numbers and names; where the folder has a GPT, it is
in transformers a sequence classifier of two scores, without that layer.

A claim can be true without its source saying so, and false though its source says so: this judges the source alone. Figures
on held-out claims, by folds in which no text and no document is on both sides:

```json
{results}
```
"""
