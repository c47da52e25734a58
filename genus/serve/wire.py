"""What crosses between the server and an engine's process: lines of JSON, of token ids, numbers and short texts."""

import json
from dataclasses import fields
from typing import Any

from genus.engine.grammar import Grammar
from genus.engine.request import Candidates, Event, Request, TokenScore
from genus.engine.sampling import Sampling

__all__ = ["event_from", "event_to", "line", "request_from", "request_to"]


def line(message: dict[str, Any]) -> bytes:
    """One message as it is sent. JSON's text has no line break of its own."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def request_to(request: Request) -> dict[str, Any]:
    """A request as JSON can say it."""
    grammar = request.sampling.grammar
    sampling = _fields(request.sampling) | {
        "logit_bias": list(request.sampling.logit_bias.items()),
        "grammar": None if grammar is None else _fields(grammar),
    }
    return _fields(request) | {"ends": sorted(request.ends), "sampling": sampling}


def request_from(said: dict[str, Any]) -> Request:
    """The request again, equal to the one sent. Raises as Request and Sampling do."""
    sampling = dict(said["sampling"])
    grammar = sampling["grammar"]
    sampling["grammar"] = None if grammar is None else Grammar(**grammar)
    sampling["logit_bias"] = dict(sampling["logit_bias"])
    sampling["stop"] = tuple(sampling["stop"])
    lists = {"prompt": tuple(said["prompt"]), "ends": frozenset(said["ends"]), "sampling": Sampling(**sampling)}
    return Request(**{**said, **lists})


def event_to(event: Event, job: int) -> dict[str, Any]:
    """What an event says for a job, without what is empty."""
    said = {each.name: value for each in fields(event) if (value := getattr(event, each.name)) or each.name == "choice"}
    return said | {"request": job}


def event_from(said: dict[str, Any]) -> Event:
    """The event again, of the job as its request."""
    told = {**said, "tokens": tuple(said.get("tokens", ()))}
    for name in ("scores", "prompt_scores"):
        if name in said:
            told[name] = _scores(said[name])
    if "candidates" in said:
        entropy, kept, likeliest = said["candidates"]
        told["candidates"] = Candidates(entropy, kept, tuple(tuple(each) for each in likeliest))
    return Event(**told)


def _fields(value: Any) -> dict[str, Any]:
    """Of a dataclass, as they are: asdict would copy every token."""
    return {each.name: getattr(value, each.name) for each in fields(value)}


def _scores(said: Any) -> tuple[TokenScore, ...]:
    return tuple(TokenScore(token, value, tuple((other, of) for other, of in top)) for token, value, top in said)
