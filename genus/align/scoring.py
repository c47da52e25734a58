"""Scores of texts by a reward model: of the last token of each, where the whole answer has been read."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genus.data.examples import Example, stack
from genus.models.attend import FastAttend
from genus.models.scorer import Scorer
from genus.train.losses import Tokens
from genus.train.tuning import to_torch

__all__ = ["Texts", "prepare_texts", "score_examples", "scores_at", "text_scores"]

_AT_ONCE = 16  # texts, where no gradient is asked for


class Texts(NamedTuple):
    """Rows of one text each, and where each ends."""

    tokens: Tokens
    last: Tensor  # (rows,)


def prepare_texts(examples: Sequence[Example], device: torch.device) -> Texts:
    """Texts as tensors."""
    last = torch.tensor([len(example.tokens) - 1 for example in examples], device=device)
    return Texts(to_torch(stack([[example] for example in examples]), device), last)


def scores_at(scorer: Scorer, tokens: Tokens, places: Tensor) -> Tensor:
    """The score of each place that `places` (batch, time) marks, (marked,), fp32."""
    attend = FastAttend(scorer.spec, tokens.documents, scorer.spec.dropout if scorer.training else 0.0)
    return scorer(tokens.tokens, tokens.positions, attend, places)[:, 0].float()


def text_scores(scorer: Scorer, texts: Texts) -> Tensor:
    """The score of each text, (rows,)."""
    places = torch.arange(texts.tokens.tokens.shape[1], device=texts.last.device)
    return scores_at(scorer, texts.tokens, places == texts.last[:, None])


@torch.no_grad()
def score_examples(scorer: Scorer, examples: Sequence[Example]) -> Tensor:
    """The score of each of any number of texts, (texts,), on the CPU."""
    device = scorer.score.weight.device
    order = sorted(range(len(examples)), key=lambda number: len(examples[number].tokens))  # little to fill up
    scores = torch.empty(len(examples))
    for first in range(0, len(order), _AT_ONCE):
        some = order[first : first + _AT_ONCE]
        scores[some] = text_scores(scorer, prepare_texts([examples[number] for number in some], device)).cpu()
    return scores
