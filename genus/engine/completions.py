"""Requests run to their end and given back whole: for evaluations and for everybody who does not stream."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from genus.core.errors import GenusError
from genus.engine.engine import Engine
from genus.engine.request import Event, Finish, Request, TokenScore
from genus.engine.sampling import Sampling

__all__ = ["Completion", "beam_search", "complete"]

_Beam = tuple[float, tuple[int, ...]]  # summed log-probability, tokens


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One choice of a request. `mean` is its tokens' mean log-probability, where they were scored."""

    tokens: tuple[int, ...]
    text: str
    finish: Finish
    scores: tuple[TokenScore, ...] = ()
    prompt_scores: tuple[TokenScore, ...] = ()
    error: str = ""

    @property
    def mean(self) -> float:
        """In nats; a choice without tokens is certain."""
        found = [score.log_prob for score in self.scores if score.log_prob is not None]
        return sum(found) / max(1, len(found))


def complete(engine: Engine, requests: Sequence[Request], best_of: int | None = None) -> list[list[Completion]]:
    """The choices of each request, which run together. Of `best_of` choices the `n` best by mean are given, best first.

    A request that fails has choices whose `error` says why.
    """
    if best_of is not None:
        if any(best_of < request.n for request in requests):
            raise GenusError(f"best_of = {best_of} must be at least n = {max(request.n for request in requests)}; raise it")
        asked = [replace(request, n=best_of, log_probs=request.log_probs or 0) for request in requests]
    else:
        asked = list(requests)
    heard: dict[int, list[list[Event]]] = {engine.add(each): [[] for _ in range(each.n)] for each in asked}
    left = set(heard)
    while left:
        for event in engine.step():
            if event.request in heard:
                heard[event.request][event.choice].append(event)
        left = {number for number in left if number in engine.requests}
    found = [[_joined(events) for events in choices if events] for choices in heard.values()]
    if best_of is None:
        return found
    pairs = zip(found, requests, strict=True)
    return [sorted(choices, key=lambda choice: -choice.mean)[: request.n] for choices, request in pairs]


def beam_search(
    engine: Engine, request: Request, width: int, length_penalty: float = 1.0, offset: int = 0
) -> list[Completion]:
    """The `width` likeliest texts that were found by keeping so many beginnings, best first, ranked by their summed
    log-probability over ((offset + length) / (offset + 1)) ** length_penalty; ends count as a token. Offset 5 is GNMT's
    (Wu et al. 2016, arXiv 1609.08144, equation 14), 0 that of most others.

    The request's sampling is not used. Beginnings share the pages of what they have in common.
    """
    beams: list[_Beam] = [(0.0, ())]
    done: list[tuple[float, float, tuple[int, ...]]] = []  # rank, sum, tokens

    def rank(total: float, length: int) -> float:
        return total / ((offset + length) / (offset + 1)) ** length_penalty

    for length in range(1, request.max_tokens + 1):
        longer = _longer(engine, request, beams, 2 * width)
        best = sorted(longer, key=lambda pair: -pair[0])[: 2 * width]
        for total, said in best[:width]:
            if said[-1] in request.ends:
                done.append((rank(total, length), total, said[:-1]))
        beams = [pair for pair in best if pair[1][-1] not in request.ends][:width]
        done = sorted(done, reverse=True)[:width]
        if not beams or (len(done) == width and done[-1][0] >= rank(beams[0][0], length)):
            break
    else:
        done += [(rank(total, request.max_tokens), total, said) for total, said in beams]
    decode = engine.tokenizer.decode if engine.tokenizer else lambda _: ""
    most = request.max_tokens
    return [
        Completion(tokens=said, text=decode(said), finish="length" if len(said) == most else "stop")
        for _, _, said in sorted(done, reverse=True)[:width]
    ]


def _longer(engine: Engine, request: Request, beams: Sequence[_Beam], most: int) -> list[_Beam]:
    """Each beam with each of its `most` likeliest next tokens."""
    greedy = Sampling(temperature=0)
    steps = [
        Request(prompt=request.prompt + said, max_tokens=1, sampling=greedy, log_probs=most, salt=request.salt)
        for _, said in beams
    ]
    found = []
    for (total, said), (choice,) in zip(beams, complete(engine, steps), strict=True):
        if choice.error:
            raise GenusError(choice.error)
        found += [(total + log_prob, (*said, token)) for token, log_prob in choice.scores[0].top]
    return found


def _joined(events: Sequence[Event]) -> Completion:
    finish = events[-1].finish
    assert finish is not None
    return Completion(
        tokens=tuple(token for event in events for token in event.tokens),
        text="".join(event.text for event in events),
        finish=finish,
        scores=tuple(score for event in events for score in event.scores),
        prompt_scores=tuple(score for event in events for score in event.prompt_scores),
        error=events[-1].error,
    )
