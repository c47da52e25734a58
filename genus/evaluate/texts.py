"""What the probes ask of a model: how likely texts are, and what it writes. All go through one forward or one engine."""

import math
from collections.abc import Sequence
from dataclasses import replace

from genus.core.errors import GenusError
from genus.core.progress import progress
from genus.engine.engine import Engine
from genus.engine.model import Model
from genus.engine.request import Request
from genus.engine.sampling import Sampling
from genus.engine.schedule import Limits
from genus.evaluate.incontext.encoding import encode_pairs
from genus.evaluate.likelihood import Likelihood, likelihoods

__all__ = ["continuations", "score_completions", "score_texts", "written"]


def score_texts(model: Model, texts: Sequence[str], title: str = "texts") -> list[Likelihood]:
    """log p of whole texts, each after what starts a text.

    Raises GenusError for a text without tokens, one longer than the context, or a model that has nothing to start with.
    """
    return score_completions(model, [("", text) for text in texts], title)


def score_completions(model: Model, pairs: Sequence[tuple[str, str]], title: str = "completions") -> list[Likelihood]:
    """log p of each completion after its context, encoded as incontext.encoding.encode_pairs does."""
    return likelihoods(model.network, [each.request for each in encode_pairs(model.tokenizer, pairs)], title)


def written(
    model: Model, prompts: Sequence[str], sampling: Sampling, max_tokens: int, *, n: int = 1, title: str = "samples"
) -> list[list[str]]:
    """`n` texts that go on from each prompt, to the end of text or `max_tokens`."""
    decode = model.tokenizer.decode
    asked = [model.prompt_ids(prompt) for prompt in prompts]
    return [
        [decode(each) for each in found] for found in continuations(model, asked, sampling, max_tokens, n=n, title=title)
    ]


def continuations(
    model: Model,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    max_tokens: int,
    *,
    n: int = 1,
    title: str = "samples",
) -> list[list[list[int]]]:
    """`written` as token ids, without the one that ended a text. The k-th text of all has the sampling's seed + k.

    Raises GenusError, before anything is written, when a prompt and `max_tokens` do not fit the context.
    """
    end = model.tokenizer.end_of_text
    ends = frozenset(() if end is None else (end,))
    engine = Engine(model, limits=Limits(slowing=math.inf))  # nobody waits for a word
    found: list[list[int]] = [[] for _ in range(len(prompts) * n)]
    numbers = {}
    for place in range(len(found)):
        seed = None if sampling.seed is None else sampling.seed + place
        request = Request(
            prompt=tuple(prompts[place // n]), max_tokens=max_tokens, sampling=replace(sampling, seed=seed), ends=ends
        )
        numbers[engine.add(request)] = place
    with progress(title, len(found)) as update:
        while not engine.idle:
            for event in engine.step():
                if event.error:
                    raise GenusError(event.error)
                found[numbers[event.request]] += event.tokens
            update(len(found) - len(engine.requests), "")
    return [found[first : first + n] for first in range(0, len(found), n)]
