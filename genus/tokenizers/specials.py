"""A tokenizer with more special tokens, and what it puts around a text, as files that other libraries read alike."""

import json
from collections.abc import Sequence
from typing import Any

from genus.core.errors import GenusError
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["with_specials"]

Around = Sequence[str]  # special tokens by name, and $A and $B for a first and second text


def with_specials(tokenizer: Tokenizer, names: Sequence[str], single: Around, pair: Around, pad: str) -> Tokenizer:
    """The same tokenizer with new special tokens `names`, putting `single` around a text and `pair` around two.

    What stood before a text stands before both. `pad`, unless the tokenizer has one, fills rows up. Raises GenusError where
    the new tokens would not come behind the others.
    """
    files = tokenizer.files
    spec, config = (json.loads(files.get(name, b"{}")) for name in ("tokenizer.json", "tokenizer_config.json"))
    new = {name: tokenizer.vocab + number for number, name in enumerate(names)}
    spec["added_tokens"] = [*spec.get("added_tokens", []), *(_added(number, name) for name, number in new.items())]
    before = [tokenizer.token_bytes(number).decode() for number in tokenizer.start]
    ids = dict(zip(before, tokenizer.start, strict=True)) | new
    spec["post_processor"] = _template([*before, *single], [*before, *pair], ids)
    for name in ("add_bos_token", "add_eos_token"):  # they would win over what tokenizer.json puts around a text
        config.pop(name, None)
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": config.get("pad_token") or pad}
    files |= {
        "tokenizer.json": json.dumps(spec, ensure_ascii=False).encode(),
        "tokenizer_config.json": json.dumps(config, ensure_ascii=False, indent=1).encode(),
    }
    made = Tokenizer(files)
    if any(made.id_of(name) != number for name, number in new.items()):
        raise GenusError(f"tokenizer.json has holes among its ids, where {names[0]} would fall; take another tokenizer")
    return made


def _added(number: int, name: str) -> dict[str, Any]:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": name, **plain, "special": True}


def _template(single: Around, pair: Around, ids: dict[str, int]) -> dict[str, Any]:
    def piece(name: str) -> dict[str, Any]:
        return {"Sequence": {"id": name[1:], "type_id": 0}} if name in ("$A", "$B") else _special(name)

    def _special(name: str) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": 0}}

    return {
        "type": "TemplateProcessing",
        "single": [piece(name) for name in single],
        "pair": [piece(name) for name in pair],
        "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]} for name, number in ids.items()},
    }
