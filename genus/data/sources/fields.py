"""A record of named values, from a JSON line or a Parquet row, as a document. Not for how records are found in files."""

import json
import re
from typing import Any

from genus.data.sources.document import Document, Dropped, is_date, sound
from genus.data.sources.text import tidy

__all__ = ["document_of"]

_TEXTS = ("text", "contents", "raw")  # what records call it: most sets, Anserini's, Sphere's


def document_of(record: Any, name: str, where: str, source: str) -> Document | Dropped:
    """The document of a record; `name` is its id where it has none, `where` tells a person which record it is.

    "text" is required, or else "contents" or "raw"; "id", "source", "licence", "date" and "language" are optional; other
    scalars, and those of an object "meta", become meta.
    """
    named = next((each for each in _TEXTS if isinstance(record, dict) and isinstance(record.get(each), str)), None)
    if named is None:
        return Dropped(name, "missing text field", f'{where}: an object with a string "text" is needed')
    text = tidy(record.pop(named))
    if not text.strip():
        return Dropped(name, "empty", f"{where}: no text in it")
    if not text.isascii() and (half := re.search("[\ud800-\udfff]", text)) is not None:
        return Dropped(name, "invalid UTF-8", f"{where}: half a surrogate pair at character {half.start()}")
    meta = record.pop("meta", None)
    fields = _scalars(meta if isinstance(meta, dict) else {}) | _scalars(record)
    fields.setdefault("licence", fields.pop("license", ""))
    if not is_date(fields.get("date", "")):
        fields["date as given"] = fields.pop("date", "")  # hold-out sorts by date, so one that does not sort is only meta
    own = {key: fields.pop(key, "") for key in ("id", "source", "licence", "date", "language")}
    own |= {"id": own["id"] or name, "source": own["source"] or source}
    return Document(text=text, meta={key: value for key, value in fields.items() if value}, **own)


def _scalars(record: dict[Any, Any]) -> dict[str, str]:
    return {sound(str(key)): _scalar(value) for key, value in record.items() if isinstance(value, str | int | float)}


def _scalar(value: str | int | float) -> str:
    return sound(value if isinstance(value, str) else json.dumps(value))
