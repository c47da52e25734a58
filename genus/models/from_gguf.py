"""A model folder out of a GGUF file, one tensor at a time: config.json, weights, tokenizer, card."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genus.core.errors import GenusError
from genus.core.files import sha256, write_json, write_text
from genus.models.families import family_named
from genus.models.families.gguf import DIGITS_APART, GgufNames, architecture_named, check_tokenizer
from genus.models.family import Family, HfConfig
from genus.models.gguf import GgufFile
from genus.models.spec import DecoderSpec
from genus.models.weights import layout_of, write_config
from genus.models.written import write_weights

__all__ = ["write_from_gguf"]

_CONTROL, _USER_DEFINED = 3, 4  # token types of llama.cpp
_SPECIAL = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}  # config.json's names and GGUF's

_CARD = """---
library_name: genus
pipeline_tag: text-generation
license: {licence}
tags: [{family}]
---

# {title}

A {family_title} model of {parameters:,} parameters, imported by Genus from a quantised file. Its weights are stored here as
{dtype}, but hold no more than the quantised ones did. The folder opens in Genus, and in transformers as it is.

| | |
| --- | --- |
| source | {source} |
| SHA-256 of the source | {digest} |
| quantisation of the source | {kinds} |
| made by | {organisation} |
| licence | {licence} |
"""


def write_from_gguf(path: Path, folder: Path, dtype: torch.dtype, update: Callable[[float, str], None]) -> None:
    """Fill `folder`, a new one; `update` hears the share done and a name. Raises GenusError naming what is wrong."""
    file = GgufFile(path)
    names = architecture_named(file.metadata.get("general.architecture"), str(path))
    family = family_named(names.family)
    spec = family.spec_from_hf(HfConfig(_config(file, names), str(path)))
    if spec.depth > len(file.shapes):  # before as many layers are built
        raise GenusError(f"{path} claims {spec.depth:,} layers, but holds {len(file.shapes)} tensors; download it again")
    turned = file.metadata.get(f"{file.metadata['general.architecture']}.rope.dimension_count", spec.attention.head_dim)
    if turned != spec.attention.head_dim:
        raise GenusError(f"{path} turns {turned} of {spec.attention.head_dim} dimensions of a head; Genus imports all")
    layout = layout_of(spec, family)
    places = _places(file, names, spec, set(layout))
    special = {ours: _token_id(file, theirs) for ours, theirs in _SPECIAL.items()}
    _write_tokenizer(folder, file, special)
    write_config(folder, spec, family, dtype, {name: special[name] for name in ("bos", "eos", "pad")})

    def tensors() -> Iterator[Tensor]:
        for number, theirs in enumerate(layout):
            update(number / len(layout), theirs)
            yield _tensor(file, names, spec, places[theirs], layout[theirs])

    write_weights(folder, layout, tensors(), dtype)
    write_text(folder / "README.md", _card(file, spec, family, dtype))


def _config(file: GgufFile, names: GgufNames) -> dict[str, Any]:
    """config.json's keys from the metadata. Metadata that may change the numbers and is not understood is refused."""
    prefix = f"{file.metadata['general.architecture']}."
    found = {key.removeprefix(prefix): value for key, value in file.metadata.items() if key.startswith(prefix)}
    strange = sorted(found.keys() - names.config.keys() - set(names.known))
    if strange:
        raise GenusError(f"{file.path} sets {prefix}{strange[0][:80]}, which Genus does not compute; choose a plain model")
    missing = [prefix + key for key in names.config if key not in found and key not in names.optional]
    missing += [] if "token_embd.weight" in file.shapes else ["token_embd.weight"]
    if missing:
        raise GenusError(f"{file.path} has no {missing[0]}; choose a plain model, whole")
    config: dict[str, Any] = {
        ours: float(f"{found[theirs]:.7g}") if isinstance(found[theirs], float) else found[theirs]  # fp32's digits
        for theirs, ours in names.config.items()
        if theirs in found
    }
    return config | {
        "vocab_size": file.shapes["token_embd.weight"][0],
        "tie_word_embeddings": "output.weight" not in file.shapes,
    }


def _token_id(file: GgufFile, name: str) -> int | None:
    number = file.metadata.get(f"tokenizer.ggml.{name}_token_id")
    if number is not None and number not in range(len(file.metadata.get("tokenizer.ggml.tokens", ()))):
        raise GenusError(f"{file.path} has the {name} token {str(number)[:80]!a}, outside its vocabulary; download it again")
    return number


def _places(file: GgufFile, names: GgufNames, spec: DecoderSpec, wanted: set[str]) -> dict[str, str]:
    """Name in the family's files -> name in this file. Nothing may be missing or left over."""
    places = {
        ours.replace("{i}", str(layer)): theirs.replace("{i}", str(layer))
        for theirs, ours in names.tensors.items()
        for layer in range(spec.depth if "{i}" in theirs else 1)
    }
    places = {ours: theirs for ours, theirs in places.items() if ours in wanted}
    missing, extra = sorted(set(places.values()) - file.shapes.keys()), sorted(file.shapes.keys() - set(places.values()))
    if missing or extra:
        what = f"has no {missing[0]}" if missing else f"has a tensor {extra[0][:80]!a} that its architecture does not"
        raise GenusError(f"{file.path} {what}; choose a plain model, whole")
    return places


def _tensor(file: GgufFile, names: GgufNames, spec: DecoderSpec, name: str, shape: tuple[int, ...]) -> Tensor:
    array = file.read(name)
    if name.endswith(names.transposed):
        array = array.T
    if array.shape != shape:
        raise GenusError(f"{file.path}: {name} has shape {list(array.shape)}, but its metadata ask for {list(shape)}")
    if name.endswith(names.turned):  # (head, pair, neighbour) back to (head, half, pair)
        pairs = array.reshape(-1, spec.attention.head_dim // 2, 2, array.shape[-1])
        array = pairs.swapaxes(1, 2).reshape(array.shape)
    return torch.from_numpy(np.ascontiguousarray(array))


def _write_tokenizer(folder: Path, file: GgufFile, special: dict[str, int | None]) -> None:
    """tokenizer.json and tokenizer_config.json; user-defined tokens are matched in text, control tokens are special."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    found = file.metadata
    check_tokenizer(found.get("tokenizer.ggml.model"), found.get("tokenizer.ggml.pre", "default"), str(file.path))
    texts, rows = found.get("tokenizer.ggml.tokens", []), file.shapes["token_embd.weight"][0]
    if len(set(texts)) != len(texts) or len(texts) > rows:
        what = f"has {len(texts)} tokens, {len(set(texts))} of them distinct, and an embedding of {rows} rows"
        raise GenusError(f"{file.path} {what}; download it again")
    try:
        merges = [tuple(merge.split(" ")) for merge in found["tokenizer.ggml.merges"]]
        backend = Tokenizer(models.BPE({text: number for number, text in enumerate(texts)}, merges))
    except Exception as error:  # the library raises plain Exception on merges of unknown tokens
        raise GenusError(f"{file.path} has no usable merges ({error}); download it again") from error
    digits = [pre_tokenizers.Digits(individual_digits=True)] if found.get("tokenizer.ggml.pre") in DIGITS_APART else []
    level = pre_tokenizers.ByteLevel(add_prefix_space=bool(found.get("tokenizer.ggml.add_space_prefix", False)))
    backend.pre_tokenizer = pre_tokenizers.Sequence([*digits, level])
    backend.decoder = decoders.ByteLevel()
    for add, wanted in ((backend.add_special_tokens, _CONTROL), (backend.add_tokens, _USER_DEFINED)):
        kinds = zip(texts, found.get("tokenizer.ggml.token_type", ()), strict=False)
        add([AddedToken(text, normalized=False) for text, kind in kinds if kind == wanted])
    write_text(folder / "tokenizer.json", backend.to_str(pretty=True))
    named = {f"{name}_token": texts[number] for name, number in special.items() if number is not None}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **named}
    if "tokenizer.chat_template" in found:
        config["chat_template"] = str(found["tokenizer.chat_template"])
    write_json(folder / "tokenizer_config.json", config)


def _card(file: GgufFile, spec: DecoderSpec, family: Family, dtype: torch.dtype) -> str:
    kinds = Counter(file.kind(name) for name in file.shapes)

    def said(key: str, otherwise: str) -> str:
        """A text of the metadata on one line, as JSON where it would not be plain in the card's front matter."""
        value = str(file.metadata.get(key, otherwise))[:200]
        return value if all(letter.isalnum() or letter in " ._-" for letter in value) else json.dumps(value)

    return _CARD.format(
        title=said("general.name", file.path.stem),
        family=family.model_type,
        family_title=family.title,
        parameters=spec.parameters,
        dtype=str(dtype).removeprefix("torch."),
        source=file.path.name,
        digest=sha256(file.path),
        kinds=", ".join(f"{kind} ({count} tensors)" for kind, count in kinds.most_common()),
        organisation=said("general.organization", "unknown"),
        licence=said("general.license", "unknown"),
    )
