"""log p of completions after contexts, many at once: what completions share is read once.

Requests are sorted, so that those with a common beginning are neighbours, and laid out in rows as trees: a token sees those
before it in its own request and no others. Logits are made only where a completion is said.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from genus.core.errors import GenusError
from genus.core.progress import progress
from genus.models.attend import TreeAttend
from genus.models.heads import LanguageModel

__all__ = ["Likelihood", "Request", "likelihoods"]

_ROW = 384  # tokens; attention within a row is computed whole
_SHARED = 4  # a row is so many times what its requests share, at least: each row reads that once
_BATCH = 3072  # tokens of a forward
_LOGITS = 2**25  # numbers that are there at once


class Request(NamedTuple):
    """Token ids; the context has one at least (what starts a text)."""

    context: tuple[int, ...]
    completion: tuple[int, ...]


class Likelihood(NamedTuple):
    """log p of each completion token in nats, whether each was the likeliest, and how many context tokens did not fit."""

    nats: tuple[float, ...]
    greedy: bool
    cut: int = 0

    @property
    def total(self) -> float:
        """log p of the completion."""
        return sum(self.nats)


class _Row:
    """A tree of tokens: `paths` are the places of each request's tokens, in order."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.path: list[int] = []  # places of the newest request
        self.stretches: list[tuple[list[int], int, int]] = []  # places before it, first, last + 1
        self.depths: list[int] = []
        self.reads: list[tuple[int, list[int], tuple[int, ...]]] = []  # request, places, targets

    def add(self, number: int, fed: Sequence[int], shared: int, request: Request) -> None:
        """Put a request in, of whose tokens the newest one has the first `shared` too."""
        before, first = self.path[:shared], len(self.tokens)
        self.tokens += fed[shared:]
        self.depths += range(shared, len(fed))
        self.path = before + list(range(first, len(self.tokens)))
        if len(self.tokens) > first:
            self.stretches.append((before, first, len(self.tokens)))
        self.reads.append((number, self.path[len(request.context) - 1 :], request.completion))


@torch.inference_mode()
def likelihoods(model: LanguageModel, requests: Sequence[Request], title: str | None = "likelihoods") -> list[Likelihood]:
    """Of each request, in order. A context that does not fit loses its beginning. Without a title no progress is shown.

    Raises GenusError for a completion without tokens, or with more than the model's context.
    """
    fitted = [_fit(request, model.spec.context) for request in requests]
    found: list[Likelihood | None] = [None] * len(requests)
    model.eval()
    with progress(title, len(requests)) if title else nullcontext(_untold) as update:
        done = 0
        for rows in _batches(fitted):
            for number, nats, greedy in _read(model, rows):
                cut = len(requests[number].context) - len(fitted[number].context)
                found[number] = Likelihood(nats, greedy, cut)
                done += 1
            update(done, "")
    return [each for each in found if each is not None]


def _untold(_done: float, _note: str) -> None:
    """Whoever asks for little at a time shows progress of the whole."""


def _fit(request: Request, context: int) -> Request:
    if not request.completion or not request.context:
        raise GenusError("a completion and what is before it need a token at least; see what the tokenizer makes of it")
    room = context + 1 - len(request.completion)  # the last token is said, not read
    if room < 1:
        raise GenusError(
            f"a completion of {len(request.completion):,} tokens does not fit a context of {context:,}; shorten it, or "
            "choose a model with a longer context"
        )
    return request._replace(context=request.context[-room:])


def _batches(requests: Sequence[Request]) -> Iterator[list[_Row]]:
    """Rows of about equal length, a forward's at a time."""
    batch: list[_Row] = []
    for row in sorted(_rows(requests), key=lambda row: -len(row.tokens)):
        if batch and (len(batch) + 1) * len(batch[0].tokens) > _BATCH:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _rows(requests: Sequence[Request]) -> Iterator[_Row]:
    fed = [(*request.context, *request.completion[:-1]) for request in requests]
    row, last = _Row(), tuple[int, ...]()
    for number in sorted(range(len(requests)), key=fed.__getitem__):
        shared = _shared(last, fed[number])
        if row.tokens and len(row.tokens) + len(fed[number]) - shared > max(_ROW, _SHARED * shared):
            yield row
            row, shared = _Row(), 0
        row.add(number, fed[number], shared, requests[number])
        last = fed[number]
    if row.tokens:
        yield row


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))


def _read(model: LanguageModel, rows: Sequence[_Row]) -> Iterator[tuple[int, tuple[float, ...], bool]]:
    """Each request's number, the log p of its tokens, and whether they are the likeliest."""
    time, device = max(len(row.tokens) for row in rows), model.decoder.embed.weight.device
    tokens = torch.zeros(len(rows), time, dtype=torch.long)
    positions, only = torch.zeros_like(tokens), torch.zeros(len(rows), time, dtype=torch.bool)
    seen = torch.eye(time, dtype=torch.bool).repeat(len(rows), 1, 1)  # what fills a row up sees itself
    for number, row in enumerate(rows):
        tokens[number, : len(row.tokens)] = torch.tensor(row.tokens)
        positions[number, : len(row.tokens)] = torch.tensor(row.depths)
        for before, first, after in row.stretches:
            seen[number, first:after, before] = True
            seen[number, first:after, first:after] = torch.ones(after - first, after - first, dtype=torch.bool).tril()
        only[number, [place for _, places, _ in row.reads for place in places]] = True
    attend = TreeAttend(model.spec, seen.to(device), positions.to(device))
    hidden = model.decoder(tokens.to(device), positions.to(device), attend, only.to(device))
    order = (only.flatten().cumsum(0) - 1).view_as(only)  # of each marked place its row in `hidden`
    places = torch.cat([order[i, mine] for i, row in enumerate(rows) for _, mine, _ in row.reads])
    targets = torch.tensor([token for row in rows for _, _, said in row.reads for token in said])
    nats, best = _said(model, hidden, places.to(device), targets.to(device))
    first = 0
    for number, _, said in (read for row in rows for read in row.reads):
        mine = slice(first, first + len(said))
        yield number, tuple(nats[mine].tolist()), bool(best[mine].all())
        first += len(said)


def _said(model: LanguageModel, hidden: Tensor, places: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """log p of targets (n,) after rows `places` of hidden, and whether each is the likeliest."""
    order = places.argsort(stable=True)
    nats, best = torch.empty(len(places)), torch.empty(len(places), dtype=torch.bool)
    size, first = max(1, _LOGITS // model.spec.vocab), 0
    for begin in range(0, len(hidden), size):
        logits = model.logits(hidden[begin : begin + size]).float()
        after = first + int(((places >= begin) & (places < begin + size)).sum())
        mine = order[first:after]
        rows, said = places[mine] - begin, targets[mine]
        highest, likeliest = logits.max(-1)
        total = highest + (logits - highest[:, None]).exp_().sum(-1).log()
        nats[mine.cpu()] = (logits[rows, said] - total[rows]).cpu()
        best[mine.cpu()] = (likeliest[rows] == said).cpu()
        first = after
    return nats, best
