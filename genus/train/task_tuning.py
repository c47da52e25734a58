"""Task tuning as GPT-1 did it (2018, section 3.2): a score read at the last token, and the language model's loss beside it.

What a task is stands in tasks/; how a run goes in tuning.py.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.core.errors import GenusError
from genus.core.files import write_json, write_text
from genus.core.progress import say
from genus.data.examples import Shuffled
from genus.models.family import Family
from genus.models.initialise import initialise
from genus.models.scorer import Scorer
from genus.models.weights import save_scorer
from genus.tasks.batches import TaskBatch, read_scores, run_decoder, task_batch
from genus.tasks.classifier import Classifier, describe_task
from genus.tasks.forms import Record, form_named
from genus.tasks.marks import Encoded, encode, mark, pad_of
from genus.tasks.measures import class_measures, number_measures
from genus.tasks.records import read_records
from genus.train.cross_entropy import cross_entropy
from genus.train.loop import Scored
from genus.train.task_recipe import TaskTuning
from genus.train.tuning import Opened, Tuned, fingerprint, open_start, tune

__all__ = ["Ready", "task_loss", "tune_task"]


class _Item(NamedTuple):
    """A record to learn from: its sequences, and the class, the answer or the number that is right."""

    encoded: Encoded
    right: float


class Ready(NamedTuple):
    """A micro-batch: what the model reads, and (records,) what is right."""

    batch: TaskBatch
    right: Tensor


def tune_task(recipe: TaskTuning, restart: bool = False) -> Path:
    """Tune to the end, from wherever an earlier start stopped; give the model's folder.

    Raises GenusError before any work for files, records or a model that do not fit; Stopped when asked to stop.
    """
    form = form_named(recipe.form)
    learned = read_records(recipe.train, form)
    held_out = read_records(recipe.held_out, form) if recipe.held_out else []
    labels = _labels(recipe, learned)
    opened = open_start(recipe.model, recipe.dropout)
    judge, tables = _judge(recipe, opened, labels)
    encoded = encode(form, learned, judge.tokenizer, judge.time)
    rights = [_right(judge, record) for record in learned]
    cut = sum(each.cut for each in encoded)
    say(f"{len(learned):,} records to learn from, {cut:,} of them cut to fit; labels: {_told(labels)}")
    measured = _HeldOut(judge, held_out, [_right(judge, record) for record in held_out])
    tuned = Tuned(
        model=judge.scorer,
        source=Shuffled([_Item(*each) for each in zip(encoded, rights, strict=True)], recipe.seed),
        prepare=partial(_prepare, judge),
        loss=partial(task_loss, judge, recipe),
        validate=measured.measure,
        write=partial(_write, recipe, opened.family, judge, measured),
        length=lambda item: max(len(ids) for ids in item.encoded.sequences),
        family=opened.family,
        tables=tables,
        facts={"model": opened.digest, "records": fingerprint([*learned, *held_out, labels])},
    )
    return tune(recipe, tuned, restart)


def task_loss(judge: Classifier, recipe: TaskTuning, ready: Ready) -> Scored:
    """Sum over records of -log p(what is right), or of the squared distance to a number, and the language model's part.

    That is `lm_weight` times the mean over a record's real tokens of -log p(token), as the released code has it.
    Stats: `task_loss` and `language_loss`, each for itself.
    """
    batch, scorer = ready.batch, judge.scorer
    hidden = run_decoder(scorer, batch)
    scores = read_scores(scorer, hidden, batch, judge.form, recipe.head_dropout)
    if judge.numbers:
        loss = (scores[:, 0] - ready.right).square().sum()
    else:
        loss = F.cross_entropy(scores, ready.right.long(), reduction="sum")
    if scorer.head is None:
        return Scored(loss, batch.records)
    rows = torch.bincount(batch.owners, minlength=batch.records)  # of each record
    weights = 1 / (batch.scored.sum(1) * rows[batch.owners])  # (rows,)
    weights = weights[:, None].expand_as(batch.scored)[batch.scored]
    readout = scorer.head(hidden[batch.scored], scorer.decoder.embed.weight)
    language, _ = cross_entropy(readout, batch.targets[batch.scored], weights=weights)
    stats = {"task_loss": loss.detach(), "language_loss": language.detach()}
    return Scored(loss + recipe.lm_weight * language, batch.records, stats)


def _judge(recipe: TaskTuning, opened: Opened, labels: tuple[str, ...]) -> tuple[Classifier, dict[nn.Parameter, range]]:
    """The model that learns, with a new head, and the tables that have rows for the marks."""
    form, time = form_named(recipe.form), min(recipe.max_tokens or opened.context, opened.context)
    tokenizer, tables = mark(opened.network, opened.tokenizer, recipe.seed)
    if recipe.from_scratch:
        initialise(opened.network, opened.family.init(opened.network.spec), recipe.seed)
    scorer = Scorer.of(opened.network, len(labels), language=recipe.lm_weight > 0)
    return Classifier(scorer, tokenizer, form, labels, recipe.labels == "numbers", time), tables


def _labels(recipe: TaskTuning, records: Sequence[Record]) -> tuple[str, ...]:
    """The names of the scores: the classes in order, or that of the one score."""
    if recipe.form == "choice" or recipe.labels == "numbers":
        return ("score",)
    names = {record.label for record in records}
    if len(names) < 2 or len(names) > len(records) // 2:
        what = f"{len(names)} different labels in {len(records)} records"
        raise GenusError(f"{recipe.train} has {what}, which are no classes; give each class records, or labels = numbers")
    whole = all(name.isascii() and name.isdigit() for name in names)
    return tuple(sorted(names, key=int if whole else str))


def _right(judge: Classifier, record: Record) -> float:
    """What is right of a record, as a number. Raises GenusError naming the record where it cannot be."""
    if judge.form.answers:
        return int(record.label)
    if not judge.numbers:
        if record.label not in judge.labels:
            raise GenusError(f"{record.where}: label = {record.label[:60]!r} is none of {_told(judge.labels)}; correct it")
        return judge.labels.index(record.label)
    try:
        number = float(record.label)
    except ValueError:
        number = float("nan")
    if not abs(number) < 1e30:  # NaN too
        raise GenusError(f"{record.where}: label = {record.label[:60]!r} is not a number; correct it, or labels = classes")
    return number


def _told(labels: Sequence[str]) -> str:
    return ", ".join(labels[:8]) + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")


def _prepare(judge: Classifier, items: list[_Item]) -> Ready:
    device = judge.scorer.score.weight.device
    return Ready(
        task_batch([item.encoded for item in items], device), torch.tensor([item.right for item in items], device=device)
    )


@dataclass
class _HeldOut:
    """The records to measure on, and the last that was found."""

    judge: Classifier
    records: Sequence[Record]
    rights: Sequence[float]
    found: dict[str, float] = field(default_factory=dict)

    def measure(self) -> dict[str, float]:
        """validation_loss, and the measures of the form; nothing where nothing is held out, or before the first step."""
        if not self.records or not self.judge.scorer.score.weight.any():  # a head of zeros has nothing to say yet
            return {}
        scores = self.judge.scores(self.records)
        if self.judge.numbers:
            said = [float(each[0]) for each in scores]
            loss = sum((a - b) ** 2 for a, b in zip(said, self.rights, strict=True))
            measures = number_measures(said, self.rights)
        else:
            right = [int(number) for number in self.rights]
            loss = sum(-float(each.log_softmax(-1)[number]) for each, number in zip(scores, right, strict=True))
            classes = max(len(each) for each in scores)
            measures = class_measures([int(each.argmax()) for each in scores], right, classes)
        measures = {name: measures[name] for name in measures if not (self.judge.form.answers and "accuracy" not in name)}
        self.found = {"validation_loss": loss / len(scores), **measures}
        return self.found


def _write(recipe: TaskTuning, family: Family, judge: Classifier, measured: _HeldOut, folder: Path) -> None:
    """The tuned model, and what it reached in results.json beside it."""
    judge.scorer.head = None  # files of scores have none
    pad = pad_of(judge.tokenizer)
    save_scorer(folder, judge.scorer.eval(), family, judge.labels, {"pad": pad, "eos": judge.tokenizer.end_of_text})
    judge.tokenizer.save(folder)
    describe_task(folder, judge)
    found = measured.found or measured.measure()
    results = {"form": recipe.form, "from_scratch": recipe.from_scratch, "held_out": len(measured.records), **found}
    write_json(recipe.out / "results.json", results)
    write_text(folder / "README.md", _card(recipe, judge, results))
    if "accuracy" in found:
        low, high = found["accuracy_low"], found["accuracy_high"]
        say(f"held-out accuracy {found['accuracy']:.1%} ({low:.1%} to {high:.1%}, 95%) of {len(measured.records):,} records")


_CARD = """---
library_name: genus
pipeline_tag: text-classification
---

# A model tuned on a task of {form}

{what} from {source}, with the forms and the loss of GPT-1 (2018, section 3). It knows its task and says nothing of texts
of other kinds.

Made with Genus. The folder opens in Genus (`genus.load_classifier`), and in transformers as a sequence classifier: its
tokenizer puts the marks around a text, or two, by itself.{both}

labels: {labels}

```json
{results}
```
"""
_BOTH = " Of two orders of the same two texts, the scores are to be added."


def _card(recipe: TaskTuning, judge: Classifier, results: dict[str, Any]) -> str:
    return _CARD.format(
        form=recipe.form,
        what="The same architecture from random weights" if recipe.from_scratch else "Tuned",
        source=recipe.model.name,
        both=_BOTH if judge.form.both_orders else "",
        labels=_told(judge.labels),
        results=json.dumps(results, indent=1),
    )
