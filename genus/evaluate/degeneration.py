"""How texts degenerate (arXiv 1904.09751, 2205.01068): what repeats, how much is different, and where a loop starts.

A text is in a loop from the first token on from which it repeats itself with a fixed period to its end, three times at
least and over 12 tokens at least. Loops that a text leaves again are not counted; they show in the repeated share.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genus.engine.model import Model
from genus.engine.sampling import Sampling
from genus.evaluate.estimates import Estimate, mean, share
from genus.evaluate.looping import picture
from genus.evaluate.probes import found
from genus.evaluate.rows import chosen
from genus.evaluate.texts import continuations
from genus.evaluate.toxicity import read_prompts

__all__ = ["SETTINGS", "Loop", "distinct", "find_loop", "measures", "repeated", "run"]

SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0.0},
    "greedy, repetition penalty 1.2": {"temperature": 0.0, "repetition_penalty": 1.2},
    "temperature 0.7": {"temperature": 0.7},
    "top-k 40": {"top_k": 40},
    "top-p 0.9": {"top_p": 0.9},
    "min-p 0.05": {"min_p": 0.05},
    "temperature 1": {},
}
_TIMES, _LEAST, _TOKENS = 3, 12, 256
_PROTOCOL = (
    "One continuation for each prompt and setting. repeated n: the share of n-grams of tokens that the text has had before; "
    "distinct n: different n-grams of all texts, out of all; loops: texts that end in a loop."
)


class Loop(NamedTuple):
    """`start` is the first token that repeats the one `period` before it."""

    start: int
    period: int


def find_loop(tokens: Sequence[int], times: int = _TIMES, least: int = _LEAST) -> Loop | None:
    """The earliest loop that a text ends in, of `times` rounds and `least` tokens in all; of equal ones the shortest."""
    ids, best = np.asarray(tokens), None
    for period in range(1, len(ids) // times + 1):
        differs = np.flatnonzero(ids[period:] != ids[:-period])
        start = (int(differs[-1]) + 1 if len(differs) else 0) + period
        rounds = len(ids) - start + period  # tokens of the loop, its first round among them
        if rounds >= max(times * period, least) and (best is None or start < best.start):
            best = Loop(start, period)
    return best


def repeated(tokens: Sequence[int], n: int) -> float:
    """The share of a text's n-grams that came before in it; 0 for a text without any."""
    grams = _grams(tokens, n)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def distinct(texts: Sequence[Sequence[int]], n: int) -> float | None:
    """Different n-grams of all texts, out of all; None where there are none. It falls with the length of the texts."""
    grams = [gram for text in texts for gram in _grams(text, n)]
    return len(set(grams)) / len(grams) if grams else None


def measures(texts: Mapping[str, Sequence[Sequence[int]]], seed: int = 0) -> dict[str, Estimate]:
    """Of the texts of each setting."""
    shown: dict[str, Estimate] = {}
    for name, mine in texts.items():
        for n in range(1, 5):
            shown[f"{name}: repeated {n}"] = mean([repeated(text, n) for text in mine], seed)
        for n in range(1, 4):
            shown[f"{name}: distinct {n}"] = Estimate(distinct(mine, n), None, None, len(mine))
        loops = [loop for text in mine if (loop := find_loop(text))]
        shown[f"{name}: loops"] = share(len(loops), len(mine))
        shown[f"{name}: start of loops"] = mean([loop.start for loop in loops], seed)
    return shown


def run(model: Model, data: Path, *, limit: int | None = None, seed: int = 0, max_tokens: int = _TOKENS) -> dict[str, Any]:
    """`data`: a file of prompts, a text a line or JSONL with `prompt`. Texts end at `max_tokens`, or with the context."""
    prompts = [each.text for each in chosen(read_prompts(data), limit, seed)]
    ids = [model.prompt_ids(prompt) for prompt in prompts]
    room = min(max_tokens, model.spec.context - max(map(len, ids)))  # a prompt that fills the context is refused below
    texts: dict[str, list[list[int]]] = {}
    for name, setting in SETTINGS.items():
        sampling = Sampling(**setting, seed=seed)
        texts[name] = [many[0] for many in continuations(model, ids, sampling, max(1, room), title=name)]
    loops = {name: [find_loop(text) for text in mine] for name, mine in texts.items()}
    items = [
        {
            "setting": name,
            "prompt": prompt,
            "text": model.tokenizer.decode(text),
            "tokens": len(text),
            "loop": loop and loop._asdict(),
        }
        for name, mine in texts.items()
        for prompt, text, loop in zip(prompts, mine, loops[name], strict=True)
    ]
    shares = {name: [repeated(text, 4) for text in mine] for name, mine in texts.items()}
    starts = {name: [loop.start if loop else None for loop in mine] for name, mine in loops.items()}
    return found(_PROTOCOL, measures(texts, seed), items, figure=picture(shares, starts, room), most_tokens=room)


def _grams(tokens: Sequence[int], n: int) -> list[tuple[int, ...]]:
    return [tuple(tokens[first : first + n]) for first in range(len(tokens) - n + 1)]
