"""vLLM's words: what an engine is asked, as the body of its /v1/completions, and what it answers, as events.

Token ids cross, both ways; the text of an answer is made of them here, by our tokenizer and our stop strings, so that it
is the same as from our engine. No connection in this file.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from genus.engine.grammar import Grammar
from genus.engine.request import Candidates, Event, Finish, Request, TokenScore
from genus.engine.sampling import Sampling
from genus.engine.stops import StopText
from genus.serve.errors import ApiError
from genus.tokenizers.tokenizer import StreamDecoder, Tokenizer

__all__ = ["NAME", "Hearing", "body_of", "message_of"]

NAME = "model"
"""What the model is called there."""
_NEUTRAL = Sampling()
_UNKNOWN = ("typical_p", "no_repeat_ngram", "top_p_kind")  # fields of Sampling that it has no word for
_GRAMMARS = {"json_schema": "json", "regex": "regex", "lark": "grammar"}
_LEAST = -9999.0  # what it writes for minus infinity


def body_of(request: Request) -> dict[str, Any]:
    """What to post. Raises ApiError 400 naming a field that vLLM has no word for."""
    _check(request)
    if request.max_tokens == 0:
        return _scoring_body(request)
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": NAME,
        "prompt": list(request.prompt),
        "max_tokens": request.max_tokens,
        "n": 1 if sampling.greedy else request.n,  # it refuses more, which are all the same
        "stream": not (request.echo or request.candidates),  # a stream brings no scores of the prompt
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "stop_token_ids": sorted(request.ends),
        "ignore_eos": sampling.grammar is None,  # `ends` are all ends; only a grammar that is complete needs the file's own
        "seed": sampling.seed,
    }
    names = ("temperature", "top_k", "top_p", "min_p")
    penalties = ("presence_penalty", "frequency_penalty", "repetition_penalty")
    body |= {name: getattr(sampling, name) for name in (*names, *penalties)}
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.logit_bias:
        body["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias.items()}
    if sampling.allowed is not None:
        body["allowed_token_ids"] = list(sampling.allowed)
    if sampling.grammar is not None:
        body["structured_outputs"] = _structure(sampling.grammar)
    if request.salt:
        body["cache_salt"] = request.salt
    return body | _scoring(request)


def _check(request: Request) -> None:
    sampling = request.sampling
    for name in _UNKNOWN:
        if getattr(sampling, name) != getattr(_NEUTRAL, name):
            raise _refused(name, "vLLM has no word for it; leave it out, or serve with --engine genus")
    # Greedy, or with fresh randomness, a text goes on as if without a break, but for the penalties of what was said.
    counted = sampling.presence_penalty or sampling.frequency_penalty
    if request.resumed and not request.candidates and (counted or not (sampling.greedy or sampling.seed is None)):
        raise _refused("resumed", "vLLM cannot go on with a seed or penalties; leave them out, or serve with --engine genus")
    if request.candidates and sampling.repetition_penalty != 1:
        raise _refused("repetition_penalty", "vLLM tells no logits, which it needs to show candidates; leave it out")


def _refused(name: str, why: str) -> ApiError:
    return ApiError(400, f"{name}: {why}", "unsupported_parameter", name)


def _structure(grammar: Grammar) -> dict[str, Any]:
    return {_GRAMMARS[grammar.kind]: grammar.text}


def _scoring(request: Request) -> dict[str, Any]:
    """Log-probabilities, as many as are needed."""
    if request.candidates:
        return {"logprobs": -1}  # of all tokens: entropy and cuts need them
    said: dict[str, Any] = {}
    if request.log_probs is not None:
        said["logprobs"] = request.log_probs
    if request.echo:
        said["prompt_logprobs"] = request.log_probs or 0
    return said


def _scoring_body(request: Request) -> dict[str, Any]:
    """A prompt that is scored only. It always generates a token: so the last one, which then need not fit the context."""
    count = request.log_probs or 0
    return {
        "model": NAME,
        "prompt": list(request.read),
        "max_tokens": 1,
        "n": 1,
        "stream": False,
        "temperature": 0,
        "allowed_token_ids": [request.prompt[-1]],
        "ignore_eos": True,
        "logprobs": count,
        "prompt_logprobs": count,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
    }


class Hearing:
    """One request's choices, from vLLM's chunks (or its whole answer, which is as one) to events of a job."""

    def __init__(self, request: Request, job: int, tokenizer: Tokenizer, vocab: int) -> None:
        self.request, self.job, self.vocab = request, job, vocab
        self.choices = [_Text(request, tokenizer) for _ in range(request.n)]

    @property
    def over(self) -> bool:
        """Whether all choices ended."""
        return all(choice.finish for choice in self.choices)

    def events(self, said: Mapping[str, Any]) -> Iterator[Event]:
        """What a chunk says. Raises ApiError for one that tells an error."""
        if "error" in said:
            raise ApiError(500, f"vLLM failed ({message_of(said)})", "generation_failed")
        for chunk in said["choices"]:
            alike = self.request.sampling.greedy or self.request.max_tokens == 0
            for index in range(self.request.n) if alike else (chunk["index"],):
                if self.choices[index].finish is None:
                    yield self._event(index, self.choices[index], chunk)

    def deadline(self) -> Iterator[Event]:
        """The end of those that are not over, as time is up."""
        for index, choice in enumerate(self.choices):
            if choice.finish is None:
                choice.finish = "deadline"
                yield Event(request=self.job, choice=index, finish="deadline")

    def _event(self, index: int, choice: "_Text", chunk: Mapping[str, Any]) -> Event:
        request, text = self.request, ""
        tokens = _new_tokens(chunk) if request.max_tokens else []
        scores = _scores(chunk["logprobs"], request.log_probs) if request.log_probs is not None and tokens else []
        kept = 0
        for token in tokens:
            if choice.finish is not None or token in request.ends:
                choice.finish = "stop"
                break
            text, kept = text + choice.add(token), kept + 1
        choice.finish = choice.finish or (_finish(chunk) if request.max_tokens else "length")
        if choice.finish is not None:
            text += choice.flush()
        told = request.candidates and choice.first and chunk.get("logprobs")
        choice.first = False
        return Event(
            request=self.job,
            choice=index,
            tokens=tuple(tokens[:kept]),
            text=text,
            scores=tuple(scores[:kept]),
            prompt_scores=self._prompt_scores(chunk) if request.echo and index == 0 else (),
            candidates=_candidates(request, chunk["logprobs"]["top_logprobs"][0], self.vocab) if told else None,
            finish=choice.finish,
        )

    def _prompt_scores(self, chunk: Mapping[str, Any]) -> tuple[TokenScore, ...]:
        request, count = self.request, self.request.log_probs or 0
        found = [TokenScore(request.prompt[0], None)]
        for token, ranked in zip(request.read[1:], chunk["prompt_logprobs"][1:], strict=True):
            top = {int(number): float(each["logprob"]) for number, each in ranked.items()}
            found.append(TokenScore(token, top[token], _likeliest(top, count)))
        return (*found, *(_scores(chunk["logprobs"], count) if len(found) < len(request.prompt) else ()))


class _Text:
    """One choice in the making."""

    def __init__(self, request: Request, tokenizer: Tokenizer) -> None:
        self.finish: Finish | None = None
        self.first = True
        self._decoder, self._stops = StreamDecoder(tokenizer), StopText(request.sampling.stop)

    def add(self, token: int) -> str:
        shown = self._stops.add(self._decoder.add(token))
        if self._stops.met:
            self.finish = "stop"
        return shown

    def flush(self) -> str:
        if self._stops.met:
            return ""
        return self._stops.add(self._decoder.flush()) + self._stops.flush()


def _new_tokens(chunk: Mapping[str, Any]) -> list[int]:
    """Without the end token that no text is made of: it is told last, and by its number or by none as the reason."""
    tokens: list[int] = chunk["token_ids"] or []
    ended = chunk["finish_reason"] == "stop" and not isinstance(chunk.get("stop_reason"), str)
    return tokens[:-1] if ended else tokens


def _finish(chunk: Mapping[str, Any]) -> Finish | None:
    reason = chunk["finish_reason"]
    if reason in (None, "stop", "length"):
        return reason
    raise ApiError(500, f"vLLM ended the text by itself ({str(reason)[:100]})", "generation_failed")


def _scores(said: Mapping[str, Any], count: int | None) -> list[TokenScore]:
    rows = zip(said["tokens"], said["token_logprobs"], said["top_logprobs"], strict=True)
    return [TokenScore(_token(name), value, _likeliest(_by_token(top), count or 0)) for name, value, top in rows]


def _by_token(top: Mapping[str, float]) -> dict[int, float]:
    return {_token(name): value for name, value in top.items()}


def _token(name: str) -> int:
    return int(name.removeprefix("token_id:"))


def _likeliest(top: Mapping[int, float], count: int) -> tuple[tuple[int, float], ...]:
    """So many; vLLM adds the token itself to them where it is less likely."""
    return tuple(sorted(top.items(), key=lambda each: -each[1])[:count])


def _candidates(request: Request, top: Mapping[str, float], vocab: int) -> Candidates:
    """Our engine's own account of a choice, over vLLM's log-probabilities of all tokens."""
    import torch

    from genus.engine.sample import Row, candidates

    logits = torch.full((vocab,), _LEAST)
    found = _by_token(top)
    logits[list(found)] = torch.tensor(list(found.values()))
    border = len(request.prompt) - request.resumed
    prompt, said = request.prompt[:border], request.prompt[border:]
    return candidates(logits, Row(request.sampling, 0, 0, len(said), prompt, said), request.candidates)


def message_of(said: Mapping[str, Any]) -> str:
    """What an error of vLLM says, on one line and not too long."""
    error: Any = said["error"]
    text = error.get("message") if isinstance(error, Mapping) else error
    return " ".join(str(text).split())[:300]
