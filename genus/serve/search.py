"""POST /v1/search: passages of the index that is served. Passages go out as JSON strings, and are never acted on."""

import asyncio
import dataclasses
import time
from functools import partial
from typing import Any, get_args

from starlette.requests import Request as HttpRequest

from genus.retrieve.filters import All, AnyOf, Field, Filter, Is, Not, Range
from genus.serve.answering import unless_gone
from genus.serve.errors import ApiError
from genus.serve.schema import SearchBody
from genus.serve.state import State

__all__ = ["filter_of", "search"]

_FIELDS = get_args(Field)
_DEPTH = 8  # of conditions in conditions
_PARTS = 100  # conditions and values in all: each is looked at for every passage


async def search(http: HttpRequest, state: State, body: SearchBody) -> dict[str, Any]:
    """Answer one request. The search runs in a thread, so that streams of models go on."""
    if state.search is None:
        message = "no index is served here; start the server with genus serve --index PLACE"
        raise ApiError(404, message, "index_not_found")
    state.check_open()
    where = None if body.where is None else filter_of(body.where)
    by = body.by or "both"
    began = time.monotonic()
    async with state.admit(1):
        find = partial(state.search.find, body.query, body.count or 10, by, where)
        hits = await unless_gone(http, asyncio.get_running_loop().run_in_executor(state.threads, find))
    state.measures.searched.labels(by).observe(time.monotonic() - began)
    http.state.log |= {"by": by, "found": len(hits)}
    data = [{"object": "passage", "score": hit.score, **dataclasses.asdict(hit.passage)} for hit in hits]
    return {"object": "list", "by": by, "data": data}


def filter_of(said: Any) -> Filter:
    """Conditions as JSON: {"field", "values"}, {"field", "first", "last"}, {"all": [...]}, {"any": [...]} or {"not": ...}.

    Raises ApiError 400 naming the place of the first that is wrong.
    """
    left = [_PARTS]

    def read(value: Any, place: str, depth: int) -> Filter:
        if depth > _DEPTH:
            raise _wrong(place, f"lies more than {_DEPTH} conditions deep")
        _spend(left, 1, place)
        if not isinstance(value, dict):
            raise _wrong(place, "is not an object")
        match sorted(value):
            case ["field", "values"]:
                values = value["values"]
                if not isinstance(values, list) or not values or not all(isinstance(each, str) for each in values):
                    raise _wrong(f"{place}.values", "is not a list of strings")
                _spend(left, len(values), place)
                return Is(_field(value, place), tuple(values))
            case ["field", "first"] | ["field", "last"] | ["field", "first", "last"]:
                ends = value.get("first", ""), value.get("last", "")
                if not all(isinstance(end, str) for end in ends):
                    raise _wrong(place, "has bounds that are not strings")
                return Range(_field(value, place), *ends)
            case ["all" | "any" as name]:
                parts = value[name]
                if not isinstance(parts, list) or not parts:
                    raise _wrong(f"{place}.{name}", "is not a list of conditions")
                found = tuple(read(part, f"{place}.{name}[{number}]", depth + 1) for number, part in enumerate(parts))
                return All(found) if name == "all" else AnyOf(found)
            case ["not"]:
                return Not(read(value["not"], f"{place}.not", depth + 1))
        raise _wrong(place, "is none of {field, values}, {field, first, last}, {all}, {any}, {not}")

    return read(said, "where", 1)


def _field(value: dict[str, Any], place: str) -> Field:
    name: Field = value["field"]
    if name not in _FIELDS:
        raise _wrong(f"{place}.field", f"is none of {', '.join(_FIELDS)}")
    return name


def _spend(left: list[int], count: int, place: str) -> None:
    left[0] -= count
    if left[0] < 0:
        raise _wrong(place, f"brings conditions and values over {_PARTS}; ask with fewer")


def _wrong(place: str, what: str) -> ApiError:
    return ApiError(400, f"{place} {what}", "invalid_value", "where")
