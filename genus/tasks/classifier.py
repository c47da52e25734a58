"""A model tuned on a task, put to use: labels for texts. What `genus tune` saves is read here.

import genus
judge = genus.load_classifier("runs/sst2/model")
judge.classify(["a film that one remembers"])   # [Verdict(label="positive", shares={"negative": 0.03, "positive": 0.97})]
judge.classify([{"premise": "It rains.", "hypothesis": "It is dry."}])   # of other forms: their fields by name
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genus.core.errors import GenusError
from genus.core.files import read_json, write_json
from genus.models.scorer import Scorer
from genus.models.weights import load_scorer
from genus.tasks.batches import read_scores, run_decoder, task_batch
from genus.tasks.forms import Form, Record, form_named
from genus.tasks.marks import encode
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["Classifier", "Verdict", "describe_task", "load_classifier"]

_TASK = "genus_task"  # in config.json: the form's name, whether labels are numbers, the longest sequence
_TOKENS = 4096  # of a batch


class Verdict(NamedTuple):
    """`label` is what the model says: a class, the number of the answer, or a number. `shares` are its probabilities."""

    label: str
    shares: Mapping[str, float] = {}


@dataclass
class Classifier:
    """A scorer and what its scores mean. With `numbers` its one score is the answer. `time` is the longest sequence."""

    scorer: Scorer
    tokenizer: Tokenizer
    form: Form
    labels: tuple[str, ...]
    numbers: bool
    time: int

    def classify(self, texts: Sequence[str | Mapping[str, Any]]) -> list[Verdict]:
        """What the model says of each text, or of texts by the form's names. Raises GenusError naming a bad one."""
        named = [{self.form.fields[0]: text} if isinstance(text, str) else text for text in texts]
        records = [self.form.record(each, f"texts[{number}]", labelled=False) for number, each in enumerate(named)]
        return [self._verdict(record, scores) for record, scores in zip(records, self.scores(records), strict=True)]

    @torch.inference_mode()
    def scores(self, records: Sequence[Record]) -> list[Tensor]:
        """Of each record its scores: one a class, one an answer, or the one number. Long records go together."""
        encoded = encode(self.form, records, self.tokenizer, self.time)
        sizes = [len(each.sequences) * max(len(ids) for ids in each.sequences) for each in encoded]
        device, found = self.scorer.score.weight.device, [torch.empty(0)] * len(records)
        for group in _groups(sizes):
            batch = task_batch([encoded[number] for number in group], device)
            scores = read_scores(self.scorer, run_decoder(self.scorer, batch), batch, self.form).cpu()
            for number, each in zip(group, scores, strict=True):
                found[number] = each[: len(records[number].answers)] if self.form.answers else each
        return found

    def _verdict(self, record: Record, scores: Tensor) -> Verdict:
        if self.numbers:
            return Verdict(f"{float(scores[0]):.6g}")
        names = [str(number) for number in range(len(record.answers))] if self.form.answers else self.labels
        shares = dict(zip(names, scores.softmax(-1).tolist(), strict=True))
        return Verdict(max(shares, key=shares.__getitem__), shares)


def load_classifier(folder: Path | str) -> Classifier:
    """The classifier in a folder that `genus tune` made, or in its run's. Raises GenusError for a folder of another kind."""
    folder = Path(folder)
    if not (folder / "config.json").is_file() and (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    scorer, _, labels = load_scorer(folder)
    task = read_json(folder / "config.json").get(_TASK)
    if not isinstance(task, dict):
        raise GenusError(f"{folder} was tuned on no task; name a model that `genus tune` made")
    form = form_named(str(task.get("form")))
    return Classifier(scorer, Tokenizer.load(folder), form, labels, bool(task.get("numbers")), int(task["time"]))


def describe_task(folder: Path, classifier: Classifier) -> None:
    """Write beside a saved scorer's settings what `load_classifier` has to know."""
    task = {"form": classifier.form.name, "numbers": classifier.numbers, "time": classifier.time}
    told = {_TASK: task, **({"problem_type": "regression"} if classifier.numbers else {})}
    write_json(folder / "config.json", read_json(folder / "config.json") | told)


def _groups(sizes: Sequence[int]) -> list[list[int]]:
    """Records of about the same length together, so that little is filled up."""
    groups: list[list[int]] = []
    held = 0
    for number in sorted(range(len(sizes)), key=lambda number: -sizes[number]):
        if not groups or held + sizes[groups[-1][0]] > _TOKENS:
            groups.append([])
            held = 0
        groups[-1].append(number)
        held += sizes[groups[-1][0]]
    return groups
