"""How a request's tokens are chosen: what a user sets. Light: `genus generate --help` reads this without loading PyTorch.

What the fields do to logits is sample.py's.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from genus.core.errors import GenusError
from genus.engine.grammar import Grammar

__all__ = ["BAN", "Sampling"]

BAN = -100.0  # the logit bias that OpenAI's API names for "never": taken at its word
_GREEDY_BELOW = 1e-5  # dividing by less would overflow
_MOST_BIASES, _MOST_STOPS, _LONGEST_STOP = 1024, 64, 1000
_RANGES: dict[str, tuple[float, float]] = {  # whole numbers where both ends are
    "temperature": (0.0, 100.0),
    "top_k": (0, 2**31 - 1),
    "top_p": (1e-6, 1.0),
    "min_p": (0.0, 1.0),
    "typical_p": (1e-6, 1.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
    "repetition_penalty": (0.1, 10.0),
    "no_repeat_ngram": (0, 2**31 - 1),
}
_Kind = Literal["including", "excluding"]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to choose each token of a text, and where the text ends. Raises GenusError for a value out of range."""

    temperature: float = 1.0
    """Below 1 sharpens, above 1 flattens; 0 always takes the likeliest token."""
    top_k: int = 0
    """Keep this many of the likeliest tokens, and those as likely as the last; 0 keeps all."""
    top_p: float = 1.0
    """Keep the likeliest tokens up to this sum of probability."""
    top_p_kind: _Kind = "including"
    """Whether top_p keeps the token that reaches the sum (arXiv 1904.09751), or stops before it, as GPT-2's own code."""
    min_p: float = 0.0
    """Keep tokens at least this share as likely as the likeliest (arXiv 2407.01082)."""
    typical_p: float = 1.0
    """Keep the tokens nearest to the expected surprise, up to this sum of probability (arXiv 2202.00666)."""
    presence_penalty: float = 0.0
    """Taken from the logit of each token that was generated already, once; below 0 makes it likelier."""
    frequency_penalty: float = 0.0
    """Taken from the logit of each token as often as it was generated already."""
    repetition_penalty: float = 1.0
    """Divides the logit of each token of prompt and text, or multiplies one below 0 (CTRL, arXiv 1909.05858)."""
    no_repeat_ngram: int = 0
    """No run of this many tokens comes twice in prompt and text; 0 lets all be."""
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    """Added to the logits of these tokens, from -100 to 100; -100 is never."""
    allowed: tuple[int, ...] | None = None
    """Choose among these tokens only."""
    grammar: Grammar | None = None
    """What the whole text must be."""
    stop: tuple[str, ...] = ()
    """The text ends before the first of these."""
    seed: int | None = None
    """The same seed gives the same text; unset draws a new one each time."""

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value, kind = getattr(self, name), "a whole number" if isinstance(least, int) else "a number"
            if not isinstance(value, int if isinstance(least, int) else int | float) or not least <= value <= most:  # or NaN
                raise GenusError(f"{name} = {value!r} is out of range; choose {kind} from {least:g} to {most:g}")
        if self.top_p_kind not in get_args(_Kind):
            raise GenusError(f"top_p_kind = {self.top_p_kind!r} is unknown; choose {' or '.join(get_args(_Kind))}")
        if self.seed is not None and not (isinstance(self.seed, int) and -(2**63) <= self.seed < 2**63):
            raise GenusError(f"seed = {self.seed} is out of range; choose a 64-bit whole number")
        object.__setattr__(self, "stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))
        object.__setattr__(self, "logit_bias", dict(self.logit_bias))
        object.__setattr__(self, "allowed", None if self.allowed is None else tuple(self.allowed))
        self._check_stop()
        self._check_tokens()

    def _check_stop(self) -> None:
        if len(self.stop) > _MOST_STOPS:
            raise GenusError(f"stop holds {len(self.stop):,} strings; give at most {_MOST_STOPS}")
        for index, text in enumerate(self.stop):
            if not isinstance(text, str) or not 1 <= len(text) <= _LONGEST_STOP:
                raise GenusError(f"stop[{index}] is not a text of 1 to {_LONGEST_STOP:,} characters; correct it")

    def _check_tokens(self) -> None:
        if len(self.logit_bias) > _MOST_BIASES:
            raise GenusError(f"logit_bias names {len(self.logit_bias):,} tokens; give at most {_MOST_BIASES:,}")
        for token, bias in self.logit_bias.items():
            if not BAN <= bias <= -BAN:
                raise GenusError(f"logit_bias of token {token} = {bias} is out of range; choose from -100 to 100")
        if self.allowed == ():
            raise GenusError("allowed names no token, so none could be chosen; name one, or leave it out")
        for name, tokens in (("logit_bias", self.logit_bias), ("allowed", self.allowed or ())):
            for token in tokens:
                if isinstance(token, bool) or not isinstance(token, int) or token < 0:
                    raise GenusError(f"{name} names {token!r}, which is not a token id; ids are whole numbers from 0")

    def check_vocab(self, vocab: int) -> None:
        """Raise GenusError when `logit_bias` or `allowed` names a token that a model of `vocab` tokens does not have."""
        for name, tokens in (("logit_bias", self.logit_bias), ("allowed", self.allowed or ())):
            if (token := max(tokens, default=0)) >= vocab:
                raise GenusError(f"{name} names token {token}; this model's ids go from 0 to {vocab - 1}")

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature < _GREEDY_BELOW

    def draw_seed(self) -> int:
        """`seed`, or one that was never used where it is unset: once for each request, then the request keeps it."""
        return secrets.randbits(63) if self.seed is None else self.seed
