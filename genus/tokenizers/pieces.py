"""Read SentencePiece's tokenizer.model (LLaMA, T5 and others): BPE or unigram, with its own normalisation.

The file is one protobuf message, of which a dozen fields matter; the reader is these few lines, because the
sentencepiece package shows neither the normaliser nor the kind of model without protobuf installed beside it. The result is
a tokenizer.json; not for reading one (tokenizer.py).
"""

import base64
import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError

__all__ = ["read_pieces"]

_NORMAL, _UNKNOWN, _CONTROL, _DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6  # sentencepiece_model.proto
_UNIGRAM, _BPE = 1, 2
_SPACE = "\u2581"


@dataclass(frozen=True)
class _Piece:
    text: str
    score: float
    type: int


def read_pieces(path: Path, config: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A backend and a tokenizer_config.json. Raises GenusError when the file is cut, or of a kind Genus does not read."""
    from tokenizers import Tokenizer

    try:
        message = _Message(path.read_bytes())
        pieces = [_piece(_Message(content)) for content in message.all(1)]
        trainer, normaliser = _Message(message.get(2, b"")), _Message(message.get(3, b""))
        kind = trainer.get(3, _UNIGRAM)
        if not pieces or kind not in (_UNIGRAM, _BPE):
            raise ValueError("no pieces" if not pieces else f"model type {kind} is neither unigram nor BPE")
        spec: dict[str, Any] = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "post_processor": None,
        }
        spec |= {"normalizer": _normaliser(normaliser), "pre_tokenizer": None, "decoder": _decoder(normaliser)}
        if kind == _UNIGRAM:
            spec["pre_tokenizer"] = _apart(pieces)
        spec["model"] = _bpe(pieces, trainer) if kind == _BPE else _unigram(pieces, trainer)
        backend = Tokenizer.from_str(json.dumps(spec))
    except Exception as error:  # the library raises plain Exception
        raise GenusError(f"{path} is not a SentencePiece model that Genus reads ({error}); download it again") from error
    return backend, _special(backend, pieces, trainer, config)


def _special(backend: Any, pieces: list[_Piece], trainer: "_Message", config: dict[str, Any]) -> dict[str, Any]:
    """Add the control pieces and the unknown one as special tokens; the start of text before every text that has one."""
    from tokenizers import AddedToken, processors

    for piece in pieces:
        if piece.type in (_UNKNOWN, _CONTROL, _DEFINED):
            backend.add_tokens([AddedToken(piece.text, special=piece.type != _DEFINED, normalized=False)])
    named = {"unk_token": next((piece.text for piece in pieces if piece.type == _UNKNOWN), None)}
    for name, number, usual in (("bos_token", 41, 1), ("eos_token", 42, 2), ("pad_token", 43, -1)):
        index = trainer.get(number, usual)
        if 0 <= index < len(pieces) and pieces[index].type == _CONTROL:
            named[name] = pieces[index].text
    start = named.get("bos_token")
    if start and config.get("add_bos_token", True):
        special = [(start, backend.token_to_id(start))]
        backend.post_processor = processors.TemplateProcessing(single=f"{start} $A", special_tokens=special)
    return {name: token for name, token in named.items() if token}


def _bpe(pieces: list[_Piece], trainer: "_Message") -> dict[str, Any]:
    """Merges are every way to join two pieces into one, the better-scored result first, as SentencePiece looks for them."""
    usable = {piece.text: piece.score for piece in pieces if piece.type in (_NORMAL, _DEFINED, _UNUSED)}
    merges = [
        (text[:cut], text[cut:])
        for text in sorted(usable, key=lambda text: -usable[text])
        for cut in range(1, len(text))
        if text[:cut] in usable and text[cut:] in usable
    ]
    unknown = next((piece.text for piece in pieces if piece.type == _UNKNOWN), None)
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": unknown,
        "fuse_unk": True,
        "byte_fallback": bool(trainer.get(35, 0)),
    }
    return model | {"vocab": {piece.text: number for number, piece in enumerate(pieces)}, "merges": merges}


def _unigram(pieces: list[_Piece], trainer: "_Message") -> dict[str, Any]:
    unknown = next((number for number, piece in enumerate(pieces) if piece.type == _UNKNOWN), None)
    vocab = [(piece.text, piece.score) for piece in pieces]
    return {"type": "Unigram", "unk_id": unknown, "vocab": vocab, "byte_fallback": bool(trainer.get(35, 0))}


def _apart(pieces: list[_Piece]) -> dict[str, Any]:
    """Cut "<s>" in a text after its first character: the library's unigram model would read it as the special token."""
    named = [piece.text for piece in pieces if piece.type in (_UNKNOWN, _CONTROL, _BYTE) and len(piece.text) > 1]
    pattern = "|".join(f"{re.escape(name[0])}(?={re.escape(name[1:])})" for name in named) or "(?!)"
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "MergedWithPrevious", "invert": False}


def _normaliser(message: "_Message") -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    if charsmap := message.get(2, b""):
        steps.append({"type": "NFC"})  # the next step, of the tokenizers library, misses letters composed inside a cluster
        steps.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()})
    if message.get(4, 1):  # remove_extra_whitespaces
        steps.append({"type": "Replace", "pattern": {"Regex": "^ +| +$"}, "content": ""})
        steps.append({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})
    if message.get(3, 1):  # add_dummy_prefix
        steps.append({"type": "Prepend", "prepend": _SPACE})
    if message.get(5, 1):  # escape_whitespaces
        steps.append({"type": "Replace", "pattern": {"String": " "}, "content": _SPACE})
    return {"type": "Sequence", "normalizers": steps}


def _decoder(message: "_Message") -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"type": "Replace", "pattern": {"String": _SPACE}, "content": " "}]
    steps += [{"type": "ByteFallback"}, {"type": "Fuse"}]
    if message.get(3, 1):
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": steps}


def _piece(message: "_Message") -> _Piece:
    text = message.get(1, b"").decode()
    score = struct.unpack("<f", message.get(2, bytes(4)))[0]
    return _Piece(text, score, message.get(3, _NORMAL))


class _Message:
    """A protobuf message: field number -> its values, in the order of the file. Raises ValueError where it is cut."""

    def __init__(self, content: bytes) -> None:
        self._fields: dict[int, list[Any]] = {}
        for number, value in _read(content):
            self._fields.setdefault(number, []).append(value)

    def all(self, number: int) -> list[Any]:
        """Every value of a repeated field."""
        return self._fields.get(number, [])

    def get(self, number: int, default: Any) -> Any:
        """The value of a single field: the last, as protobuf has it. Raises ValueError when it is of another type."""
        value = self._fields.get(number, [default])[-1]
        if isinstance(value, bytes) != isinstance(default, bytes):
            raise ValueError(f"field {number} has the wrong type")
        return value


def _read(content: bytes) -> Iterator[tuple[int, Any]]:
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        if key & 7 == 0:
            value, place = _varint(content, place)
            yield key >> 3, value - (1 << 64) if value >> 63 else value  # negative numbers fill 64 bits
            continue
        size = {1: 8, 5: 4}.get(key & 7)
        if key & 7 == 2:
            size, place = _varint(content, place)
        if size is None or place + size > len(content):
            raise ValueError(f"cut or damaged at byte {place}")
        yield key >> 3, content[place : place + size]
        place += size


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(content):
            raise ValueError(f"cut at byte {place}")
        byte = content[place]
        value, place = value | (byte & 127) << shift, place + 1
        if byte < 128:
            return value, place
    raise ValueError(f"a number is too long at byte {place}")
