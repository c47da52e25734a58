"""Read and write a Hugging Face model folder, one tensor at a time, by a family's rules. Safetensors only, never pickle.

Every tensor of the file and every parameter of the model is used exactly once; whatever is missing, left over, of the wrong
shape or not finite is named before a model is returned.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from genus.core.errors import GenusError
from genus.core.files import read_json, write_json
from genus.models.families import family_of
from genus.models.family import Family, HfConfig
from genus.models.heads import LanguageModel
from genus.models.rules import Rule
from genus.models.spec import DecoderSpec

__all__ = ["config_of", "load_model", "read_spec", "save_model", "tensors_of"]

_SHARD_BYTES = 5 * 10**9
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


def read_spec(folder: Path) -> tuple[DecoderSpec, Family]:
    """The spec and family of a model folder, from its config.json alone. Raises GenusError for what Genus cannot read."""
    path = folder / "config.json"
    if not path.is_file():
        raise GenusError(f"{folder} is not a model folder: it has no config.json; name a folder that `genus` saved")
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
    _check_memory(spec, dtype, folder)
    with torch.device("meta"):
        model = LanguageModel(spec)
    model.to(dtype).to_empty(device="cpu")
    ours = dict(model.named_parameters())
    with ExitStack() as stack, torch.no_grad():
        stored = {name: read for path in _weight_files(folder) for name, read in _open(stack, path)}
        pairs = list(_pairs(family, spec, set(ours)))
        names = _match(folder, family, spec, stored, [theirs for _, theirs, _ in pairs])
        for rule, theirs, targets in pairs:
            tensor = _read(stored[names[theirs]], folder, theirs)
            shapes = [ours[name].shape for name in targets]
            for name, part, shape in zip(targets, _split(rule, spec, tensor, theirs, folder), shapes, strict=True):
                if part.shape != shape:
                    raise GenusError(
                        f"{folder}: {theirs} has shape {list(tensor.shape)}, which does not fit config.json "
                        f"({name} is {list(shape)}); the two are not of one model"
                    )
                ours[name].copy_(part)
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


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(_index_map(index).values()))
        wrong = [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]
        if wrong:
            raise GenusError(f"{index} points outside its folder ({wrong[0][:80]!r}); take it from its publisher again")
        return [folder / name for name in names]
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        raise GenusError(
            f"{folder} holds {pickles[0]}, a pickle, which can run code when opened and is refused; "
            f"convert it with `genus import {folder} --out NEW_FOLDER`"
        )
    raise GenusError(f"{folder} has no model.safetensors; name a folder that `genus` saved")


def _index_map(index: Path) -> dict[str, str]:
    content = read_json(index)
    found = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise GenusError(f"{index} has no weight_map of names; take it from its publisher again")
    return found


def _open(stack: ExitStack, path: Path) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    try:
        file = stack.enter_context(safe_open(path, framework="pt"))
        yield from ((name, lambda name=name: file.get_tensor(name)) for name in file.keys())  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise GenusError(f"{path} is not a whole safetensors file ({error}); copy or save it again") from error


def _match(
    folder: Path, family: Family, spec: DecoderSpec, stored: dict[str, Callable[[], Tensor]], wanted: list[str]
) -> dict[str, str]:
    """Their name -> the name in the file, which may lack the family's prefix. Nothing may be missing or left over."""
    names: dict[str, str] = {}
    for theirs in wanted:
        short = theirs.removeprefix(family.prefix)
        if theirs not in stored and short not in stored:
            raise GenusError(f"{folder}: {theirs} is missing from the weights; copy or save the folder again")
        names[theirs] = theirs if theirs in stored else short
    dead = "|".join(re.escape(name).replace(r"\{i\}", r"\d+") for name in family.ignored)
    tied = {"lm_head.weight"} if spec.tied else set()  # some files repeat the embedding
    for extra in sorted(set(stored) - set(names.values()) - tied):
        if not (dead and re.fullmatch(dead, extra if extra.startswith(family.prefix) else family.prefix + extra)):
            raise GenusError(f"{folder}: the weights hold {extra[:120]}, for which config.json has no place; "
                             "the two are not of one model")  # fmt: skip
    for name in tied & set(stored):
        if not torch.equal(stored[name](), stored[names[family.rules[0].theirs]]()):
            raise GenusError(f"{folder}: config.json ties {name} to the embedding but the two differ; "
                             "set tie_word_embeddings to false")  # fmt: skip
    return names


def _read(read: Callable[[], Tensor], folder: Path, name: str) -> Tensor:
    try:
        tensor = read()
    except (SafetensorError, OSError) as error:
        raise GenusError(f"{folder}: {name} cannot be read ({error}); copy or save the folder again") from error
    if not tensor.is_floating_point():
        raise GenusError(f"{folder}: {name} is {tensor.dtype}, not floating point; Genus reads unquantised weights")
    if not torch.isfinite(tensor).all():
        raise GenusError(f"{folder}: {name} holds NaN or infinity; take an earlier checkpoint")
    return tensor


def _split(rule: Rule, spec: DecoderSpec, tensor: Tensor, name: str, folder: Path) -> tuple[Tensor, ...]:
    try:
        parts = tuple(rule.load(spec, tensor))
    except RuntimeError:
        parts = ()
    if len(parts) != len(rule.ours):
        raise GenusError(f"{folder}: {name} has shape {list(tensor.shape)}, which does not fit config.json; "
                         "the two are not of one model")  # fmt: skip
    return parts


def _check_memory(spec: DecoderSpec, dtype: torch.dtype, folder: Path) -> None:
    needed = spec.parameters * dtype.itemsize
    available = _available_memory()
    if needed > available:
        raise GenusError(
            f"{folder} describes {spec.parameters:,} parameters, {needed / 1e9:,.1f} GB, but {available / 1e9:,.1f} GB "
            "of memory are free; use a smaller model or a larger machine"
        )


def _available_memory() -> int:
    """Bytes that can be had without swapping; on systems that do not say, no limit."""
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 2**63


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
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=1)
    )
