"""Scores from log-probabilities and from what a model said: plain arithmetic, no model here.

Choices: arXiv 2005.14165, section 2.4. Answers: exact match and F1 of words (SQuAD, arXiv 1606.05250), BLEU (sacrebleu).
"""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genus.core.errors import GenusError

__all__ = ["best", "bleu", "bleu_counts", "choice_scores", "final_number", "plain_words", "said_well", "word_f1"]

_ARTICLES = {"a", "an", "the"}
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def choice_scores(
    nats: Sequence[float], tokens: Sequence[int], sizes: Sequence[int], unconditional: Sequence[float] | None = None
) -> dict[str, list[float]]:
    """By rule the score of each choice: log p as it is, over tokens, over UTF-8 bytes, less log p(choice | "Answer:")."""
    found = {
        "sum": list(nats),
        "per_token": [each / count for each, count in zip(nats, tokens, strict=True)],
        "per_byte": [each / size for each, size in zip(nats, sizes, strict=True)],
    }
    if unconditional is not None:
        found["unconditional"] = [each - alone for each, alone in zip(nats, unconditional, strict=True)]
    return found


def best(scores: Sequence[float]) -> int:
    """The number of the highest; of equals the first."""
    return max(range(len(scores)), key=lambda number: (scores[number], -number))


def plain_words(text: str) -> list[str]:
    """Lower-cased words without punctuation and articles."""
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    return [word for word in bare.split() if word not in _ARTICLES]


def word_f1(said: str, answers: Sequence[str]) -> float:
    """The harmonic mean of precision and recall of the words said; of several answers the best."""
    return max(_f1(plain_words(said), plain_words(answer)) for answer in answers)


def _f1(said: list[str], right: list[str]) -> float:
    if not said or not right:
        return float(said == right)
    shared = sum((Counter(said) & Counter(right)).values())
    return 2 * shared / (len(said) + len(right))


def final_number(text: str) -> float | None:
    """The number after ####, as GSM8K's solutions end (arXiv 2110.14168); else the last there is."""
    numbers = _NUMBER.findall(text.split("####", 1)[1])[:1] if "####" in text else _NUMBER.findall(text)[-1:]
    return float(numbers[0].replace(",", "")) if numbers else None


def said_well(measure: str, said: str, answers: Sequence[str]) -> Mapping[str, Any]:
    """What of an answer is kept, by measure: whether it is exact, its F1, its number, or the counts that BLEU is made of."""
    match measure:
        case "exact":
            return {"exact": said.strip() in [answer.strip() for answer in answers]}
        case "f1":
            words = plain_words(said)
            return {"exact": any(words == plain_words(answer) for answer in answers), "f1": word_f1(said, answers)}
        case "number":
            number = final_number(said)
            return {"number": number, "exact": number is not None and number in map(final_number, answers)}
        case _:
            return {"bleu": bleu_counts(said, answers)}


def bleu_counts(said: str, answers: Sequence[str]) -> list[int]:
    """n-grams of 1 to 4 that match, those there are, and the lengths of both sides: sums of these make a corpus's BLEU."""
    score = _sacrebleu().BLEU(effective_order=True).sentence_score(said, list(answers))
    return [*score.counts, *score.totals, score.sys_len, score.ref_len]


def bleu(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """BLEU, from 0 to 100, of sums (..., 10) of `bleu_counts`."""
    compute, whole = _sacrebleu().BLEU.compute_bleu, np.rint(counts).astype(int)
    scores = [compute(row[:4], row[4:8], row[8], row[9]).score for row in whole.reshape(-1, 10).tolist()]
    return np.asarray(scores).reshape(whole.shape[:-1])


def _sacrebleu() -> Any:
    try:
        from sacrebleu.metrics import bleu as found
    except ImportError:
        raise GenusError("BLEU is counted by sacrebleu; pip install 'genus[bleu]'") from None
    return found
