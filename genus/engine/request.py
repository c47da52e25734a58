"""What is asked of the engine, and what it says. No tensors here."""

import time
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from genus.core.errors import GenusError
from genus.engine.sampling import Sampling

__all__ = ["Candidates", "Event", "Finish", "Request", "TokenScore"]

Finish = Literal["stop", "length", "aborted", "deadline", "error"]
"""Why a choice ended: an ending token, stop string or grammar; max_tokens; abort(); its deadline; the model failed."""


class TokenScore(NamedTuple):
    """log p of one token given those before it, in nats, raw: before temperature and all that narrows the choice."""

    token: int
    log_prob: float | None  # None of a text's first token, which nothing precedes
    top: tuple[tuple[int, float], ...] = ()  # the likeliest tokens and theirs, as many as were asked for


class Candidates(NamedTuple):
    """How the choice of one token stood."""

    entropy: float  # in bits, of the raw distribution
    kept: int  # tokens that could be chosen
    likeliest: tuple[tuple[int, float, float], ...]  # token, raw log p in nats, probability to be chosen (0 where cut)


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt and what to do with it. `n` choices share the prompt's pages and differ by their randomness."""

    prompt: tuple[int, ...]
    max_tokens: int
    """0 only reads the prompt, for `echo`."""
    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    n: int = 1
    ends: frozenset[int] = frozenset()
    """Tokens after which a choice is over; they are not part of it."""
    log_probs: int | None = None
    """Score each new token, and tell this many of the likeliest; None tells nothing."""
    echo: bool = False
    """Score the prompt too, with as many of the likeliest."""
    resumed: int = 0
    """So many of the prompt's last tokens were said before: penalties and randomness go on as if they were said just now."""
    candidates: int = 0
    """Tell how the choice of the first new token stands, with this many of the likeliest."""
    salt: str = ""
    """Only requests with equal salts share pages."""
    timeout: float | None = None
    """Seconds from now on after which it is given up."""
    since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if not self.prompt:
            raise GenusError("the prompt is empty; give at least one token")
        if self.max_tokens < 0 or (self.max_tokens == 0 and not self.echo):
            raise GenusError(f"max_tokens = {self.max_tokens} is out of range; choose 1 or more (0 goes with echo)")
        if not 0 <= self.resumed < len(self.prompt) or (self.resumed and self.sampling.grammar is not None):
            raise GenusError(
                f"resumed = {self.resumed} must leave a token of the prompt, and goes with no grammar; correct it"
            )
        if self.n < 1 or (self.log_probs is not None and self.log_probs < 0):
            raise GenusError(f"n = {self.n} must be at least 1, and log_probs = {self.log_probs} at least 0; correct it")

    @property
    def read(self) -> tuple[int, ...]:
        """What of the prompt is read: where nothing is to follow, its last token is only scored."""
        return self.prompt if self.max_tokens else self.prompt[:-1] or self.prompt

    @property
    def most(self) -> int:
        """Tokens of a choice at its longest whose keys and values are kept: the last is never read."""
        return len(self.prompt) + max(0, self.max_tokens - 1)


@dataclass(frozen=True, kw_only=True)
class Event:
    """What a step brought for one choice of one request: `tokens` that are new, their text, perhaps its end."""

    request: int
    choice: int = 0
    tokens: tuple[int, ...] = ()
    text: str = ""
    scores: tuple[TokenScore, ...] = ()
    prompt_scores: tuple[TokenScore, ...] = ()  # with `echo`, once, before anything new
    candidates: Candidates | None = None  # with the first new token
    finish: Finish | None = None
    error: str = ""
