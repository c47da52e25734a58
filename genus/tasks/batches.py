"""Records put together for a model, and the scores that it gives them: what tuning and classifying have in common."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from genus.data.examples import Example, stack
from genus.models.attend import FastAttend
from genus.models.scorer import Scorer
from genus.tasks.forms import Form
from genus.tasks.marks import Encoded

__all__ = ["TaskBatch", "read_scores", "run_decoder", "task_batch"]


class TaskBatch(NamedTuple):
    """Sequences of records, one a row: tokens, what comes next, places, and which are real, each (rows, time).

    ends (rows,) is the place of `_classify_`; owners (rows,) the record that a row is of, and turns (rows,) which of its own
    it is. `records` counts records.
    """

    tokens: Tensor
    targets: Tensor
    positions: Tensor
    scored: Tensor
    ends: Tensor
    owners: Tensor
    turns: Tensor
    records: int


def task_batch(encoded: Sequence[Encoded], device: torch.device) -> TaskBatch:
    """The sequences of some records, filled up to the longest."""
    rows = [(owner, turn, ids) for owner, each in enumerate(encoded) for turn, ids in enumerate(each.sequences)]
    packed = stack([[Example(ids, ids >= 0)] for _, _, ids in rows])

    def tensor(values: Any) -> Tensor:
        return torch.as_tensor(values).to(device, non_blocking=True)

    return TaskBatch(
        tokens=tensor(packed.tokens),
        targets=tensor(packed.targets),
        positions=tensor(packed.positions),
        scored=tensor(packed.scored),
        ends=tensor([len(ids) - 1 for _, _, ids in rows]),
        owners=tensor([owner for owner, _, _ in rows]),
        turns=tensor([turn for _, turn, _ in rows]),
        records=len(encoded),
    )


def run_decoder(scorer: Scorer, batch: TaskBatch) -> Tensor:
    """(rows, time, width). No mask is needed: what fills a row up comes last."""
    attend = FastAttend(scorer.spec, None, scorer.spec.dropout if scorer.training else 0.0)
    hidden: Tensor = scorer.decoder(batch.tokens, batch.positions, attend)
    return hidden


def read_scores(scorer: Scorer, hidden: Tensor, batch: TaskBatch, form: Form, dropout: float = 0.0) -> Tensor:
    """(records, outputs), or of a choice (records, most answers) with -inf where a record has fewer. In fp32.

    Both orders of a similarity add up: the score is linear, so this is the score of the sum of their vectors. While training
    a share `dropout` of the vectors is dropped, for all rows of a record the same, as the released code does.
    """
    vectors = hidden[torch.arange(len(hidden), device=hidden.device), batch.ends].float()  # (rows, width)
    if scorer.training and dropout:
        kept = F.dropout(vectors.new_ones(batch.records, vectors.shape[1]), dropout)
        vectors = vectors * kept[batch.owners]
    scores = scorer.score(vectors).float()  # (rows, outputs)
    if form.answers:
        most = int(batch.turns.max()) + 1
        chosen = scores.new_full((batch.records, most), float("-inf"))
        return chosen.index_put((batch.owners, batch.turns), scores[:, 0])
    return scores.new_zeros(batch.records, scores.shape[1]).index_add(0, batch.owners, scores)
