"""Log-probabilities of given texts, through the engine."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from genus.core.errors import GenusError
from genus.engine.engine import Engine
from genus.engine.request import Request

__all__ = ["token_log_probs"]


def token_log_probs(engine: Engine, texts: Sequence[Sequence[int]]) -> list[Tensor]:
    """For each text of n tokens, n - 1 log-probabilities: of each token after its first, given those before it.

    A text longer than the context is read in windows that overlap by half, so that every token after the first window
    has at least half a context before it; each token is scored once.
    """
    context = engine.reader.context
    windows = [window for number, text in enumerate(texts) for window in _windows(number, len(text), context)]
    scores = [torch.empty(max(0, len(text) - 1)) for text in texts]
    asked = {}
    for number, start, end, scored in windows:
        request = Request(prompt=tuple(texts[number][start : end + 1]), max_tokens=0, echo=True)
        asked[engine.add(request)] = number, start, scored
    while asked:
        for event in engine.step():
            if event.error:
                raise GenusError(event.error)
            if event.request in asked and event.prompt_scores:
                number, start, scored = asked[event.request]
                found = [score.log_prob for score in event.prompt_scores]
                scores[number][scored : start + len(found) - 1] = torch.tensor(found[1 + scored - start :])
            if event.finish:
                asked.pop(event.request, None)
    return scores


def _windows(number: int, length: int, context: int) -> Iterator[tuple[int, int, int, int]]:
    """(text, start, end, scored): read tokens start .. end - 1, count the predictions from `scored` on."""
    start = scored = 0
    while scored < length - 1:
        end = min(start + context, length - 1)
        yield number, start, end, scored
        scored, start = end, end - context // 2
