"""Choosing the next token of each row from its logits, and raw log-probabilities.

The order is Hugging Face's (transformers 5.23, generation/utils.py, `_get_logits_processor`): logit bias, repetition
penalty, presence and frequency penalty (OpenAI's, which it lacks), what n-grams, allowed tokens and grammar rule out; then
temperature, top-k, top-p, min-p, typical. Tokens as likely as the last that a filter keeps are kept too, so that nothing
hangs on how a sort breaks ties.

Randomness has no state. The token is the argmax of logits / temperature + Gumbel noise over the tokens that are left, which
draws from their softmax, and the noise is a function of (seed, choice, position, token) alone: Philox 4x64-10, keyed by
seed and choice, counted from the position (kernels/draw.py), the same numbers as NumPy's. So a text does not depend on what
else is in the batch, on how often it was preempted, or on whether its tokens were guessed first: a guess is compared with
what is drawn there anyway, and a draft model that draws with the same noise guesses well.

What a user sets is in sampling.py; this file knows no requests, and no row can disturb another: each is worked on alone.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from genus.engine.grammar import GrammarState
from genus.engine.kernels.draw import draw
from genus.engine.request import Candidates
from genus.engine.sampling import BAN, Sampling

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NOTHING_LEFT", "NOT_FINITE", "Row", "candidates", "choose", "log_probs"]

NOT_FINITE = -1
"""In place of a token: the row's logits hold NaN or infinity."""
NOTHING_LEFT = -2
"""In place of a token: no token is allowed here, by `allowed`, n-grams, bans and grammar together."""
# Not the luckiest token of this relative weight outruns the unluckiest of weight 1: 2^-53 / ln(2^53) is 3e-18.
_NEVER = np.float32(1e-18)


class Row(NamedTuple):
    """What the choice of a token depends on beside its logits."""

    sampling: Sampling
    seed: int
    """Of the request, see `Sampling.draw_seed`."""
    choice: int = 0
    """Which of the request's texts."""
    position: int = 0
    """Tokens that this text has before this one, the prompt's apart."""
    prompt: Sequence[int] = ()
    said: Sequence[int] = ()
    """The text's tokens after the prompt. They and the prompt are read by the penalties and n-grams only."""
    grammar: GrammarState | None = None


def choose(logits: Tensor, rows: Sequence[Row]) -> list[int]:
    """One token for each row of logits (rows, vocab); NOT_FINITE or NOTHING_LEFT, not an exception, for a row that has none.

    A row's token is the same, bit for bit, alone and in any batch. `logits` are left as they are.
    """
    scores = logits.detach().float().cpu().numpy()
    best, finite = scores.argmax(1).tolist(), np.isfinite(scores).all(1)  # of equals the first
    with np.errstate(over="ignore"):  # beyond fp32 is as good as infinite
        found = [_settle(scores[place], row, best[place]) if finite[place] else NOT_FINITE for place, row in enumerate(rows)]
    tokens = {place: each for place, each in enumerate(found) if isinstance(each, int)}
    weights = {place: each for place, each in enumerate(found) if not isinstance(each, int)}
    if weights:
        keys = [(rows[place].seed, rows[place].choice, rows[place].position) for place in weights]
        tokens |= zip(weights, draw(np.stack(list(weights.values())), keys), strict=True)
    return [tokens[place] for place in range(len(rows))]


def candidates(logits: Tensor, row: Row, top: int) -> Candidates:
    """How the choice of a token stands, given its logits (vocab,): the raw distribution, and what `choose` draws from."""
    raw = log_probs(logits.cpu()).double()
    p = raw.exp()
    scores = logits.detach().float().cpu().numpy()
    drawn = np.zeros(len(scores))
    if (weighed := _weighed(scores, row, int(scores.argmax()))) is not None:
        scores, best = weighed
        if row.sampling.greedy:
            drawn[best] = 1.0
        else:
            drawn += _left(scores, best, row.sampling)
            drawn /= drawn.sum()
    likeliest = raw.topk(min(top, len(raw))).indices.tolist()
    shown = tuple((token, float(raw[token]), float(drawn[token])) for token in likeliest)
    return Candidates(float(-(p * raw).nan_to_num().sum()) / math.log(2), int((drawn > 0).sum()), shown)


def log_probs(logits: Tensor) -> Tensor:
    """Log-softmax in fp32 over the last dimension, of the logits as they are: no penalty, no temperature, no filter."""
    return logits.float().log_softmax(-1)


def _settle(scores: "NDArray[np.float32]", row: Row, best: int) -> "int | NDArray[np.float32]":
    """The token of one row of logits (vocab,) where nothing is to be drawn, else what is left to draw from."""
    weighed = _weighed(scores, row, best)
    if weighed is None:
        return NOTHING_LEFT
    scores, best = weighed
    if not np.isfinite(scores[best]):
        return NOT_FINITE
    return best if row.sampling.greedy else _left(scores, best, row.sampling)


def _weighed(scores: "NDArray[np.float32]", row: Row, best: int) -> "tuple[NDArray[np.float32], int] | None":
    """The scores after all that is done to them before the temperature, and the best token; None where none is left."""
    if not _changes_scores(row):
        return scores, best
    scores = scores.copy()
    _weigh(scores, row)
    _forbid(scores, row)
    best = int(scores.argmax())
    return None if scores[best] == -np.inf else (scores, best)


def _left(scores: "NDArray[np.float32]", best: int, sampling: Sampling) -> "NDArray[np.float32]":
    """Weights relative to the likeliest token's, which is 1; 0 for tokens that the filters leave out."""
    weights = scores - scores[best]
    weights /= np.float32(sampling.temperature)
    np.exp(weights, out=weights)
    tokens = _filter(weights, sampling)
    if isinstance(tokens, slice):
        return weights
    left = np.zeros_like(weights)
    left[tokens] = weights[tokens]
    return left


def _changes_scores(row: Row) -> bool:
    """Whether anything is done to the logits before the temperature."""
    s = row.sampling
    weighed = s.logit_bias or s.repetition_penalty != 1 or s.presence_penalty or s.frequency_penalty
    return bool(weighed or s.allowed or s.no_repeat_ngram or row.grammar is not None)


def _weigh(scores: "NDArray[np.float32]", row: Row) -> None:
    """Logit bias, then the penalties."""
    sampling = row.sampling
    if sampling.logit_bias:
        bias = np.fromiter(sampling.logit_bias.values(), np.float32)
        scores[list(sampling.logit_bias)] += np.where(bias > BAN, bias, -np.inf)
    if sampling.repetition_penalty != 1:
        seen, by = np.unique(_ids(row)), sampling.repetition_penalty
        scores[seen] = np.where(scores[seen] < 0, scores[seen] * by, scores[seen] / by)
    if sampling.presence_penalty or sampling.frequency_penalty:
        seen, counts = np.unique(np.array(row.said, np.int64), return_counts=True)
        scores[seen] -= sampling.presence_penalty + sampling.frequency_penalty * counts


def _forbid(scores: "NDArray[np.float32]", row: Row) -> None:
    """Minus infinity for what allowed tokens, n-grams and grammar rule out."""
    sampling, out = row.sampling, np.zeros(len(scores), bool)
    if sampling.allowed is not None:
        out[:] = True
        out[list(sampling.allowed)] = False
    if sampling.no_repeat_ngram:
        out[_completions(_ids(row), sampling.no_repeat_ngram)] = True
    if row.grammar is not None:
        out |= ~row.grammar.mask()
    scores[out] = -np.inf


def _ids(row: Row) -> "NDArray[np.int64]":
    return np.array([*row.prompt, *row.said], np.int64)


def _completions(ids: "NDArray[np.int64]", size: int) -> "NDArray[np.int64]":
    """The tokens with which `ids` would end in a run of `size` tokens that it holds already."""
    if len(ids) < size:
        return ids[:0]
    runs = sliding_window_view(ids, size)
    begun = (runs[:, :-1] == ids[len(ids) - size + 1 :]).all(-1)
    return runs[begun, -1]


def _filter(weights: "NDArray[np.float32]", sampling: Sampling) -> "NDArray[np.int64] | slice":
    """The tokens that are left, in ascending order. Weights (vocab,) are relative to the likeliest token's, which is 1."""
    least, left = np.float32(0), weights
    if 0 < sampling.top_k < len(weights):
        least = np.partition(weights, -sampling.top_k)[-sampling.top_k]
        left = weights[weights >= least]
    if sampling.top_p < 1:
        least = max(least, _least_of_top_p(left, sampling))
    least = max(least, np.float32(sampling.min_p))
    if not least and sampling.typical_p == 1:
        return slice(None)
    tokens = (weights >= max(least, _NEVER)).nonzero()[0]
    return tokens if sampling.typical_p == 1 else tokens[_is_typical(weights[tokens], sampling.typical_p)]


def _least_of_top_p(weights: "NDArray[np.float32]", sampling: Sampling) -> np.float32:
    """The weight of the last token that top-p keeps.

    "including" (Holtzman et al. 2020, as Hugging Face): the token at which the sum of the likeliest reaches top_p.
    "excluding" (openai/gpt-2, src/sample.py, `top_p_logits`, which counts `cumulative_probs <= p`): the last token at which
    the sum is not above top_p, but at least one. Both of what earlier filters left.
    """
    target = sampling.top_p * float(weights.sum())
    likely = weights[weights >= (1 - sampling.top_p) / len(weights)]  # all others together are less than the tail: no sort
    falling = np.sort(likely)[::-1]
    sums = falling.cumsum(dtype=np.float64)
    if sampling.top_p_kind == "including":
        last = int(np.searchsorted(sums, target))
    else:
        last = max(int(np.searchsorted(sums, target, side="right")) - 1, 0)
    return np.float32(falling[min(last, len(falling) - 1)])


def _is_typical(weights: "NDArray[np.float32]", mass: float) -> "NDArray[np.bool_]":
    """Which tokens locally typical sampling keeps (Meister et al. 2023), as Hugging Face.

    Those whose surprise is nearest to its mean, the entropy, up to and including the one at which the sum reaches `mass`.
    """
    p = weights / weights.sum(dtype=np.float64)
    distance = np.abs(np.log(p) + (-p * np.log(p)).sum())
    nearest = np.argsort(distance, kind="stable")
    last = min(int(np.searchsorted(p[nearest].cumsum(), mass)), len(p) - 1)
    return distance <= distance[nearest[last]]
