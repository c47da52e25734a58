"""Read and write a Hugging Face model folder, one tensor at a time, by a family's rules. Safetensors only, never pickle.

Every tensor of the file and every parameter of the model is used exactly once; whatever is missing, left over, of the wrong
shape or not finite is named before a model is returned.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from genus.core.errors import GenusError
from genus.core.files import read_json, write_json
from genus.core.memory import require_memory
from genus.models.families import family_of
from genus.models.family import Family, HfConfig
from genus.models.heads import LanguageModel
from genus.models.rules import Rule
from genus.models.spec import DecoderSpec
from genus.models.stored import StoredTensors, open_tensors

__all__ = ["config_of", "load_model", "read_spec", "save_model", "tensors_of"]

_SHARD_BYTES = 5 * 10**9
_TIED_HEAD = "lm_head.weight"  # which some files repeat beside the embedding


def read_spec(folder: Path) -> tuple[DecoderSpec, Family]:
    """The spec and family of a model folder, from its config.json alone. Raises GenusError for what Genus cannot read."""
    path = folder / "config.json"
    if not folder.is_dir():
        raise GenusError(f"{folder} is not a folder that exists; name one that holds config.json and model.safetensors")
    if not path.is_file():
        raise GenusError(f"{folder} has no config.json; name a model folder, such as one that `genus` saved")
    values = read_json(path)
    if not isinstance(values, dict):
        raise GenusError(f"{path} is not a JSON object; take it from the model's publisher again")
    if "auto_map" in values:
        raise GenusError(f"{path} asks to run code from its folder (auto_map), which Genus never does; remove that key")
    family = family_of(str(values.get("model_type")))
    return family.spec_from_hf(HfConfig(values, str(path))), family


def load_model(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[LanguageModel, Family]:
    """The model in a folder, in `dtype`, in evaluation mode. Raises GenusError naming the tensor that is wrong."""
    spec, family = read_spec(folder)
    require_memory(spec.parameters * dtype.itemsize, f"{folder}, with {spec.parameters:,} parameters,")
    with torch.device("meta"):
        model = LanguageModel(spec)
    model.to(dtype).to_empty(device="cpu")
    ours = dict(model.named_parameters())
    with open_tensors(folder) as stored, torch.no_grad():
        pairs = list(_pairs(family, spec, set(ours)))
        names = _match(stored, family, spec, [theirs for _, theirs, _ in pairs])
        for rule, theirs, targets in pairs:
            tensor = stored.read(names[theirs])
            for parameter, part in _parts(rule, spec, tensor, [ours[name] for name in targets]):
                if part is None or part.shape != parameter.shape:
                    what = f"has shape {list(tensor.shape)}, which does not fit config.json; the two are not of one model"
                    raise stored.wrong(theirs, what)
                parameter.copy_(part)
    return model.eval(), family


def tensors_of(model: LanguageModel, family: Family) -> Iterator[tuple[str, Tensor]]:
    """Every tensor as the family's files name it, one at a time; tied and absent ones are left out."""
    ours = dict(model.named_parameters())
    for rule, theirs, names in _pairs(family, model.spec, set(ours)):
        yield theirs, rule.save(model.spec, [ours[name].detach() for name in names])


def config_of(spec: DecoderSpec, family: Family, dtype: torch.dtype) -> dict[str, Any]:
    """config.json for a spec. Raises GenusError naming the fields that this family's files cannot say."""
    config = family.hf_from_spec(spec)
    again = family.spec_from_hf(HfConfig(config, "config.json"))
    lost = [
        field.name
        for field in dataclasses.fields(spec)
        if field.name != "dropout" and getattr(spec, field.name) != getattr(again, field.name)
    ]
    if lost:
        raise GenusError(f"{family.title} files cannot say {', '.join(lost)} of this model; save it as another family")
    dtype_name = str(dtype).removeprefix("torch.")
    return {"architectures": [family.architecture], "model_type": family.model_type, "dtype": dtype_name, **config}


def save_model(folder: Path, model: LanguageModel, family: Family, end_of_text: int | None = None) -> None:
    """Write config.json, generation_config.json and safetensors into `folder` (a new one: see core.files.new_folder).

    Weights over 5 GB are split into several files with an index, so that at most one of them is held beside the model.
    """
    dtype = model.decoder.embed.weight.dtype
    config = config_of(model.spec, family, dtype)
    tokens = {"bos_token_id": end_of_text, "eos_token_id": end_of_text}
    write_json(folder / "config.json", {**config, **tokens})
    write_json(folder / "generation_config.json", tokens)
    shards: list[list[str]] = []
    batch: dict[str, Tensor] = {}
    for name, tensor in tensors_of(model, family):
        if batch and _bytes(batch) + tensor.nbytes > _SHARD_BYTES:
            shards.append(_write_shard(folder, len(shards), batch))
            batch = {}
        batch[name] = tensor.contiguous()
    shards.append(_write_shard(folder, len(shards), batch))
    _name_shards(folder, shards, model.spec.parameters * dtype.itemsize)


def _pairs(family: Family, spec: DecoderSpec, ours: set[str]) -> Iterator[tuple[Rule, str, list[str]]]:
    """(rule, their name, our names) for each tensor of this spec. A rule for parts that the spec lacks does not apply."""
    left = set(ours)
    for rule in family.rules:
        for layer in range(spec.depth if "{i}" in rule.theirs else 1):
            names = [name.replace("{i}", str(layer)) for name in rule.ours]
            if names[0] in ours:
                left.difference_update(names)
                yield rule, rule.theirs.replace("{i}", str(layer)), names
    if left:
        raise GenusError(f"{family.title} files have no name for {min(left)}; save this model as another family")


def _match(stored: StoredTensors, family: Family, spec: DecoderSpec, wanted: list[str]) -> dict[str, str]:
    """Their name -> the name in the file, which may lack the family's prefix. Nothing may be missing or left over."""
    names: dict[str, str] = {}
    for theirs in wanted:
        names[theirs] = theirs if theirs in stored.names else theirs.removeprefix(family.prefix)
        if names[theirs] not in stored.names:
            raise stored.wrong(theirs, "is missing from the weights; copy or save the folder again")
    dead = [re.escape(name).replace(r"\{i\}", r"\d+") for name in family.ignored]
    repeated = {_TIED_HEAD} & stored.names if spec.tied else set()
    for extra in sorted(stored.names - set(names.values()) - repeated):
        full = family.prefix + extra.removeprefix(family.prefix)
        if not any(re.fullmatch(pattern, full) for pattern in dead):
            raise stored.wrong(extra, "has no place in config.json; the two are not of one model")
    if repeated and not torch.equal(stored.read(_TIED_HEAD), stored.read(names[_embedding(family)])):
        raise stored.wrong(_TIED_HEAD, "is tied to the embedding by config.json but differs; untie it (tie_word_embeddings)")
    return names


def _embedding(family: Family) -> str:
    return next(rule.theirs for rule in family.rules if rule.ours == ("decoder.embed.weight",))


def _parts(
    rule: Rule, spec: DecoderSpec, tensor: Tensor, targets: list[nn.Parameter]
) -> Iterator[tuple[nn.Parameter, Tensor | None]]:
    """Each of our parameters with its part of their tensor; None where the tensor cannot be cut up so."""
    try:
        parts = rule.load(spec, tensor)
    except RuntimeError:
        parts = ()
    yield from itertools.zip_longest(targets, parts)


def _bytes(tensors: dict[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _write_shard(folder: Path, number: int, tensors: dict[str, Tensor]) -> list[str]:
    try:
        save_file(tensors, folder / f"shard-{number}", metadata={"format": "pt"})
    except SafetensorError as error:
        raise GenusError(f"{folder} could not be written ({error}); free space or choose another folder") from error
    return list(tensors)


def _name_shards(folder: Path, shards: list[list[str]], total: int) -> None:
    """One file is model.safetensors; several are numbered and indexed, as Hugging Face does."""
    if len(shards) == 1:
        (folder / "shard-0").rename(folder / "model.safetensors")
        return
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards):
        file = f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors"
        (folder / f"shard-{number}").rename(folder / file)
        weight_map.update(dict.fromkeys(names, file))
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})
