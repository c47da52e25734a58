"""response_format: what the answer must be, as a grammar."""

import json
from collections.abc import Iterable
from typing import Any

from genus.serve.errors import ApiError

__all__ = ["check_schema", "schema_of"]

_DEPTH, _NODES = 64, 20_000  # of a schema: what people write is far below


def schema_of(wanted: dict[str, Any] | None) -> str | None:
    """The JSON schema that the answer must be of; None for plain text. Raises ApiError for a form that is not known."""
    kind = None if wanted is None else wanted.get("type")
    if wanted is None or kind == "text":
        return None
    if kind == "json_object":
        return '{"type": "object"}'
    if kind != "json_schema" or not isinstance(wanted.get("json_schema"), dict):
        message = "response_format.type must be text, json_object, or json_schema with a json_schema beside it"
        raise ApiError(400, message, "invalid_value", "response_format")
    schema = wanted["json_schema"].get("schema", {"type": "object"})
    return check_schema(schema, "response_format.json_schema.schema")


def check_schema(schema: Any, name: str) -> str:
    """A schema as text. Raises ApiError for one that is no mapping, too deep, or too large to be compiled."""
    if not isinstance(schema, dict):
        raise ApiError(400, f"{name} is not a JSON schema; give an object", "invalid_value", name)
    count, level = 0, list[Any]([schema])
    for _ in range(_DEPTH):
        level = [inner for each in level for inner in _inside(each)]
        count += len(level)
        if not level or count > _NODES:
            break
    if level or count > _NODES:
        message = f"{name} is deeper than {_DEPTH} levels or larger than {_NODES:,} parts; make it simpler"
        raise ApiError(400, message, "invalid_value", name)
    return json.dumps(schema)


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
