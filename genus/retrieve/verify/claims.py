"""Claims with the documents they were checked against, from JSONL in the forms in which such sets are published.

A line is one of: {"claim", "passages" or "evidence": [texts], "label", "document"}, as WiCE has it (its evidence is a page's
sentences, in order); {"claim", "evidences": [{"evidence", "evidence_label", "article"}]}, as CLIMATE-FEVER has it; or
{"premise", "hypothesis", "label"}, as RTE. Without a label a document is one that the claim cites, and no more is known.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genus.core.errors import GenusError
from genus.tasks.records import json_lines

__all__ = ["Checked", "Claim", "hundreds", "read_claims"]

_WORDS = 100  # of a passage, as the index has them
_LABELS = {
    2: ("supported", "supports", "entailment"),
    1: ("partial", "partially supported"),
    0: ("not supported", "refutes", "not enough info", "contradiction", "neutral", "not entailment"),
}
_NUMBERS = {name: number for number, names in _LABELS.items() for name in names}


class Checked(NamedTuple):
    """A document and what was found of it: 2 supported, 1 in part, 0 not, None unknown (cited)."""

    passages: tuple[str, ...]
    label: int | None
    name: str = ""


class Claim(NamedTuple):
    """`group` is the text that the claim is from: what is of one group, or has a document in common, is never split."""

    text: str
    documents: tuple[Checked, ...]
    group: str = ""


def read_claims(path: Path) -> list[Claim]:
    """All claims of a file, in order. Raises GenusError naming the line and what is wrong with it."""
    try:
        found = [_claim(values, where) for where, values in json_lines(path)]
    except OSError as error:
        raise GenusError(f"{path} cannot be read ({error.strerror}); name a .jsonl file of claims") from error
    except UnicodeDecodeError as error:
        raise GenusError(f"{path} is not UTF-8 (byte {error.start} of a block); save it as UTF-8") from error
    if not found:
        raise GenusError(f"{path} holds no claims; give it lines with claim, passages and label")
    return found


def hundreds(text: str) -> tuple[str, ...]:
    """A text in passages of 100 words."""
    words = text.split()
    return tuple(" ".join(words[first : first + _WORDS]) for first in range(0, len(words), _WORDS))


def _claim(values: Mapping[str, Any], where: str) -> Claim:
    if "premise" in values and "hypothesis" in values:
        premise = _text(values, "premise", where)
        document = Checked((premise,), _label(values.get("label"), where), _name(None, premise))
        return Claim(_text(values, "hypothesis", where), (document,))
    text, meta = _text(values, "claim", where), values.get("meta")
    group = str(meta.get("claim_title", "")) if isinstance(meta, dict) else ""
    if "evidences" in values:
        return Claim(text, tuple(_evidences(values["evidences"], where)), group)
    field = "passages" if "passages" in values else "evidence"
    texts = _texts(values.get(field), field, where)
    passages = texts if field == "passages" else hundreds(" ".join(texts))
    document = Checked(passages, _label(values.get("label"), where), _name(values.get("document"), texts[0]))
    return Claim(text, (document,), group)


def _evidences(given: Any, where: str) -> Iterator[Checked]:
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise GenusError(f"{where}: evidences is not a list of objects with evidence and evidence_label; correct the line")
    for each in given:
        label = _label(each.get("evidence_label"), where)
        text = _text(each, "evidence", where)
        yield Checked((text,), label, _name(each.get("article"), text))


def _name(given: Any, text: str) -> str:
    """What a document is called; by how it begins, claims about one that has no name are seen to be so."""
    return str(given or text[:200])


def _text(values: Mapping[str, Any], name: str, where: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value.strip():
        raise GenusError(f"{where}: {name} = {str(value)[:60]!r} is not a text; give one that is not empty")
    return value


def _texts(value: Any, name: str, where: str) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    good = isinstance(texts, Sequence) and all(isinstance(text, str) for text in texts)
    if not good or not any(text.strip() for text in texts):
        raise GenusError(f"{where}: {name} = {str(value)[:60]!r} is not a list of texts; give the passages of the document")
    return tuple(text for text in texts if text.strip())


def _label(value: Any, where: str) -> int | None:
    if value is None:
        return None
    plain = str(value).lower().replace("_", " ").replace("-", " ").strip()
    if plain not in _NUMBERS:
        raise GenusError(
            f"{where}: label = {str(value)[:60]!r} is none of supported, partial, not supported (nor a known name of "
            "these, such as SUPPORTS); correct it"
        )
    return _NUMBERS[plain]
