"""One choice as clients hear it: text, and the tokens that it is made of, cut where the text is cut."""

from collections.abc import Sequence
from typing import NamedTuple

from genus.engine.request import Event, TokenScore
from genus.tokenizers.tokenizer import StreamDecoder, Tokenizer

__all__ = ["Choice", "Piece", "Placed", "place", "token_name"]


class Placed(NamedTuple):
    """A token and its score, and at which character of the text it starts."""

    token: int
    start: int
    score: TokenScore | None


class Piece(NamedTuple):
    """What is new: text, and its tokens. Token by token they may lag behind each other, and end together."""

    text: str
    tokens: list[Placed]


class Choice:
    """One choice of a request in the making. `start` is where its text begins, in characters.

    Without a tokenizer, its tokens are not told: to place each costs as much as all else here.
    """

    def __init__(self, tokenizer: Tokenizer | None, start: int = 0) -> None:
        self.text, self.start = "", start
        self.finish: str | None = None
        self.generated = 0  # tokens, those of a stop string too
        self.total = 0.0  # of log-probabilities, where they are asked for
        self.tokens: list[Placed] = []  # those that make the text
        self.prompt_scores: tuple[TokenScore, ...] = ()
        self._decoder = StreamDecoder(tokenizer) if tokenizer else None
        self._written = 0  # characters that the tokens so far make
        self._held: list[Placed] = []  # tokens whose text is not out, which may turn out to be a stop string

    def add(self, event: Event) -> Piece:
        """Take what the engine said; what of it may be told."""
        self.total += sum(score.log_prob or 0.0 for score in event.scores)
        self.generated += len(event.tokens)
        self.prompt_scores = self.prompt_scores or event.prompt_scores
        self.text += event.text
        self.finish = event.finish
        return Piece(event.text, self._placed(self._decoder, event) if self._decoder else [])

    def _placed(self, decoder: StreamDecoder, event: Event) -> list[Placed]:
        """The tokens whose text is out."""
        scores = event.scores or (None,) * len(event.tokens)
        for token, score in zip(event.tokens, scores, strict=True):
            self._held.append(Placed(token, self.start + self._written, score))
            self._written += len(decoder.add(token))
        end, cut = self.start + len(self.text), False
        if event.finish is not None:
            self._written += len(decoder.flush())
            cut = len(self.text) < self._written  # at a stop string
        out = [held for held in self._held if held.start < end or (event.finish is not None and not cut)]
        self._held = [held for held in self._held if held.start >= end] if event.finish is None else []
        self.tokens += out
        return out

    @property
    def mean(self) -> float:
        """The mean log-probability of its tokens, by which best_of ranks."""
        return self.total / max(1, self.generated)


def place(tokenizer: Tokenizer, scores: Sequence[TokenScore]) -> list[Placed]:
    """A prompt's tokens as they are placed in its text."""
    decoder, written, placed = StreamDecoder(tokenizer), 0, []
    for score in scores:
        placed.append(Placed(score.token, written, score))
        written += len(decoder.add(score.token))
    return placed


def token_name(tokenizer: Tokenizer, token: int) -> str:
    """A token as text; where its bytes are no text by themselves, `bytes:\\\\xe2\\\\x80`, as OpenAI's API names it."""
    content = tokenizer.token_bytes(token)
    try:
        return content.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in content)
