"""One choice in the making, as it is told: its tokens become text, scores, and an end."""

from collections.abc import Sequence

from torch import Tensor

from genus.engine.grammar import GrammarState
from genus.engine.request import Candidates, Event, Finish, TokenScore
from genus.engine.sample import NOT_FINITE, NOTHING_LEFT, Row, candidates, log_probs
from genus.engine.schedule import Branch, Work
from genus.engine.stops import StopText
from genus.tokenizers.tokenizer import StreamDecoder, Tokenizer

__all__ = ["Telling"]

_NO_TOKEN = {
    NOT_FINITE: "the model's logits are not finite; its weights are damaged, so take an earlier checkpoint",
    NOTHING_LEFT: "no token is left to choose from; allow more tokens, or ask for a grammar that the tokenizer can write",
}


class Telling:
    """A branch, and what of it is to be told next. `seed` is the request's, or one drawn for it; `grammar` its start."""

    def __init__(self, branch: Branch, tokenizer: Tokenizer | None, seed: int, grammar: GrammarState | None) -> None:
        self.branch, self.tokenizer, self.seed, self.grammar = branch, tokenizer, seed, grammar
        self.decoder = None if tokenizer is None else StreamDecoder(tokenizer)
        self.stops = StopText(branch.request.sampling.stop)
        self.next = _Next()
        self.heard: dict[int, TokenScore] = {}  # place in the prompt -> its score
        self.echoed = False  # they were told; who starts over reads the prompt again

    def fork(self, branch: Branch) -> "Telling":
        """Another choice of the same request, from the end of its prompt on."""
        return Telling(branch, self.tokenizer, self.seed, None if self.grammar is None else self.grammar.copy())

    @property
    def room(self) -> int:
        """How many tokens may be guessed: none before this generates, and none where a grammar says what may come."""
        branch = self.branch
        guessable = branch.generating and self.grammar is None
        return branch.request.max_tokens - len(branch.said) - 1 if guessable else 0

    def rows(self, count: int) -> list[Row]:
        """What `choose` must know of the next token and of those after each of the first guesses."""
        branch = self.branch
        request = branch.request
        border = len(request.prompt) - request.resumed
        prompt, said = branch.tokens[:border], branch.tokens[border:]
        asked = request.sampling, self.seed, branch.choice
        return [Row(*asked, len(said) + k, prompt, said + branch.guesses[:k], self.grammar) for k in range(count)]

    def hear(self, work: Work, logits: Tensor) -> None:
        """Score the prompt's tokens after those that were read, if that was asked for; logits (rows, vocab)."""
        request = self.branch.request
        if not request.echo or self.echoed or work.start >= len(request.prompt):
            return
        places = range(work.start + 1, min(work.start + work.count + 1, len(request.prompt)))
        tokens = [request.prompt[place] for place in places]
        self.heard |= zip(places, _scores(logits[: len(tokens)], tokens, request.log_probs or 0), strict=True)
        if work.guessed >= 0:
            self.echoed = True
            first = TokenScore(request.prompt[0], None)
            self.next.prompt_scores = (first, *(self.heard[place] for place in range(1, len(request.prompt))))

    def say(self, chosen: Sequence[int], logits: Tensor) -> tuple[Finish | None, str]:
        """Take chosen tokens, each as long as the one before was guessed; logits (rows, vocab) are what they come from.

        Gives why the choice is over, None where it goes on, and an error.
        """
        branch, guesses = self.branch, self.branch.guesses
        if branch.request.candidates and not branch.said:
            self.next.candidates = candidates(logits[0], self.rows(1)[0], branch.request.candidates)
        branch.guesses = []
        for place, token in enumerate(chosen):
            if token in _NO_TOKEN:
                return "error", _NO_TOKEN[token]
            if (finish := self._take(token, logits[place])) is not None:
                return finish, ""
            if guesses[place : place + 1] != [token]:
                break
        return None, ""

    def _take(self, token: int, logits: Tensor) -> Finish | None:
        branch, request = self.branch, self.branch.request
        if token in request.ends:
            return "stop"
        branch.tokens.append(token)
        self.next.tokens.append(token)
        if request.log_probs is not None:
            self.next.scores += _scores(logits[None], [token], request.log_probs)
        if self.decoder is not None:
            self.next.text += self.stops.add(self.decoder.add(token))
        if self.grammar is not None:
            self.grammar.advance(token)
        if self.stops.met or (self.grammar is not None and self.grammar.stopped):
            return "stop"
        return "length" if len(branch.said) == request.max_tokens else None

    def event(self, finish: Finish | None = None, error: str = "") -> Event:
        """All that was not told yet."""
        said, self.next = self.next, _Next()
        if finish is not None and self.decoder is not None and not self.stops.met:
            said.text += self.stops.add(self.decoder.flush()) + self.stops.flush()
        return Event(
            request=self.branch.number,
            choice=self.branch.choice,
            tokens=tuple(said.tokens),
            text=said.text,
            scores=tuple(said.scores),
            prompt_scores=said.prompt_scores,
            candidates=said.candidates,
            finish=finish,
            error=error,
        )


class _Next:
    """What the next event will say."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.text = ""
        self.scores: list[TokenScore] = []
        self.prompt_scores: tuple[TokenScore, ...] = ()
        self.candidates: Candidates | None = None


def _scores(logits: Tensor, tokens: Sequence[int], top: int) -> list[TokenScore]:
    """Of tokens, given logits (tokens, vocab)."""
    if not tokens:
        return []
    found = log_probs(logits)
    mine = found.gather(-1, found.new_tensor(tokens).long()[:, None])[:, 0].tolist()
    best = [list(zip(ids, values, strict=True)) for ids, values in zip(*_top(found, top), strict=True)]
    return [TokenScore(token, mine[place], tuple(best[place])) for place, token in enumerate(tokens)]


def _top(log_probs: Tensor, top: int) -> tuple[list[list[int]], list[list[float]]]:
    values, ids = log_probs.topk(min(top, log_probs.shape[-1]), dim=-1)
    return ids.tolist(), values.tolist()
