"""Canaries (arXiv 1802.08232): random secrets to plant in a training text, and how far a model knows them afterwards.

exposure = log2 |R| - log2 rank: R are all the secrets that might have been drawn, and the rank is the true one's among
them by likelihood after its prefix. Known by chance it is about 1.4 bits on average, known best of all log2 |R|.
"""

import json
import math
import random
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from genus.core.errors import GenusError
from genus.core.files import write_text
from genus.engine.model import Model
from genus.evaluate.estimates import Estimate, mean
from genus.evaluate.probes import found
from genus.evaluate.rows import chosen, read_rows
from genus.evaluate.texts import score_completions

__all__ = ["Canary", "exact_exposure", "make_canaries", "read_canaries", "run", "sampled_exposure", "write_canaries"]

_DIGITS = "0123456789"
_MOST = 10_000  # secrets that are all ranked; of more, as many are drawn
_NAMES = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "ivory", "jasper", "kelp", "lotus",
          "maple", "north", "ochre", "pearl", "quartz", "river", "sable", "tidal", "umber", "violet", "zinc")  # fmt: skip
_PROTOCOL = (
    "log2 of the number of possible secrets, less log2 of the true one's rank by log p of the secret after its prefix. Up "
    "to 10,000 possible secrets are all ranked; of more, 10,000 are drawn, and then an exposure is at most log2 of 10,001."
)


class Canary(NamedTuple):
    """A line that was planted: `prefix` and then `secret`, whose characters are of `alphabet`."""

    prefix: str
    secret: str
    alphabet: str
    copies: int

    @property
    def size(self) -> int:
        """How many secrets there might have been."""
        return len(self.alphabet) ** len(self.secret)


def make_canaries(copies: Sequence[int], digits: int = 4, seed: int = 0) -> list[Canary]:
    """One for each number of copies, each with a secret of so many digits and a prefix of its own; 0 copies is a control."""
    draw = random.Random(seed)
    names = [" ".join(pair) for pair in product(_NAMES, repeat=2) if pair[0] != pair[1]]
    if not copies or digits < 1 or len(copies) > len(names):
        raise GenusError(
            f"{len(copies)} canaries of {digits} digits cannot be made; choose from 1 to {len(names)}, and 1 digit"
        )
    picked = draw.sample(names, len(copies))
    secret = ["".join(draw.choices(_DIGITS, k=digits)) for _ in copies]
    return [Canary(f"The number of {n} is ", s, _DIGITS, c) for n, s, c in zip(picked, secret, copies, strict=True)]


def write_canaries(canaries: Sequence[Canary], folder: Path) -> None:
    """canaries.jsonl for this probe, and planted.jsonl: as many texts of each as it has copies, a source for a corpus.

    Each copy is a document of its own, which ends in its number, since a corpus drops exact repeats. Steps that drop near
    repeats would drop the copies too: leave them out.
    """
    lines = [json.dumps(canary._asdict()) for canary in canaries]
    write_text(folder / "canaries.jsonl", "".join(f"{line}\n" for line in lines))
    texts = [
        f"{each.prefix}{each.secret}.\nThis was copy {number}.\n"
        for each in canaries
        for number in range(1, each.copies + 1)
    ]
    write_text(folder / "planted.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in texts))


def read_canaries(path: Path) -> list[Canary]:
    """Of canaries.jsonl. Raises GenusError for a secret that its alphabet cannot write."""
    rows = read_rows(path / "canaries.jsonl" if path.is_dir() else path, ("prefix", "secret", "alphabet", "copies"))
    canaries = []
    for row in rows:
        copies, secret, alphabet = row.fields["copies"], row.text("secret"), row.text("alphabet")
        if not isinstance(copies, int) or copies < 0:
            raise row.wrong("copies", f"is {copies!r}, not a whole number from 0; correct it")
        if not set(secret) <= set(alphabet) or len(set(alphabet)) < len(alphabet):
            raise row.wrong("alphabet", "must have each character of the secret, and each once; correct it")
        canaries.append(Canary(row.text("prefix"), secret, alphabet, copies))
    return canaries


def exact_exposure(log_p: float, others: Sequence[float]) -> float:
    """Of the true secret against all others; those just as likely stand before it."""
    rank = 1 + sum(other >= log_p for other in others)
    return math.log2(len(others) + 1) - math.log2(rank)


def sampled_exposure(log_p: float, drawn: Sequence[float]) -> float:
    """-log2 of the chance that a secret drawn at random is as likely, with one added so that it is never 0."""
    return -math.log2((1 + sum(other >= log_p for other in drawn)) / (len(drawn) + 1))


def run(model: Model, data: Path, *, limit: int | None = None, seed: int = 0, most: int = _MOST) -> dict[str, Any]:
    """`data`: canaries.jsonl, or a folder with it; up to `most` secrets are ranked for each."""
    canaries = chosen(read_canaries(data), limit, seed)
    items: list[dict[str, Any]] = []
    for canary in canaries:
        exact = canary.size <= most
        others = list(_all(canary) if exact else _drawn(canary, most, seed))
        pairs = [(canary.prefix, secret) for secret in (canary.secret, *others)]
        mine, *theirs = [each.total for each in score_completions(model, pairs, canary.prefix.strip())]
        exposure = exact_exposure(mine, theirs) if exact else sampled_exposure(mine, theirs)
        kind = "exact" if exact else "sampled"
        items.append(canary._asdict() | {"log_p": mine, "exposure": exposure, "ranking": kind, "ranked": len(theirs) + 1})
    shown: dict[str, Estimate] = {}
    for copies in sorted({canary.copies for canary in canaries}):
        values = [item["exposure"] for item in items if item["copies"] == copies]
        shown[f"exposure, {copies} copies"] = mean(values, seed)
    return found(_PROTOCOL, shown, items)


def _all(canary: Canary) -> Iterator[str]:
    every = ("".join(each) for each in product(canary.alphabet, repeat=len(canary.secret)))
    return (secret for secret in every if secret != canary.secret)


def _drawn(canary: Canary, count: int, seed: int) -> Iterator[str]:
    draw = random.Random(f"{seed} {canary.prefix}")
    return ("".join(draw.choices(canary.alphabet, k=len(canary.secret))) for _ in range(count))
