"""Read and write a Hugging Face model folder, one tensor at a time, by a family's rules. Safetensors only, never pickle.

Every tensor of the file and every parameter of the model is used exactly once; whatever is missing, left over, of the wrong
shape or not finite is named before a model is returned. How bytes come and go is in stored.py and written.py.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from genus.core.errors import GenusError
from genus.core.files import read_json, write_json
from genus.core.memory import require_memory
from genus.models.families import family_of
from genus.models.family import Family, HfConfig
from genus.models.heads import LanguageModel
from genus.models.rules import Rename, Rule
from genus.models.scorer import Scorer
from genus.models.spec import DecoderSpec
from genus.models.stored import StoredTensors, open_tensors
from genus.models.written import Layout, write_weights

__all__ = [
    "check_model",
    "config_of",
    "empty_model",
    "layout_of",
    "load_model",
    "load_scorer",
    "read_spec",
    "save_model",
    "save_scorer",
    "tensors_of",
    "write_config",
]

M = TypeVar("M", LanguageModel, Scorer)
_TIED_HEAD = "lm_head.weight"  # which some files repeat beside the embedding
_SCORE = Rename("score.weight", "score.weight")  # in files of every family
_SHIFT = "genus_score_shift"  # in config.json; transformers' classes have no bias there


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
    quantised = values.get("quantization_config")
    if quantised and not (isinstance(quantised, dict) and quantised.get("quant_method") == "mxfp4"):
        raise GenusError(f"{path} is of quantised weights ({str(quantised)[:80]}), of which Genus reads mxfp4 only")
    family = family_of(str(values.get("model_type")))
    return family.spec_from_hf(HfConfig(values, str(path))), family


def load_model(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[LanguageModel, Family]:
    """The model in a folder, in `dtype`, in evaluation mode. Raises GenusError naming the tensor that is wrong.

    A tensor that is stored as it is used is not copied: the parameter is the mapped file, read when it is first needed.
    """
    spec, family = read_spec(folder)
    return _filled(lambda: empty_model(spec), spec, family, (folder, dtype)), family


def load_scorer(folder: Path, dtype: torch.dtype = torch.float32) -> tuple[Scorer, Family, tuple[str, ...]]:
    """The scorer in a folder, as `load_model`, and the names of its scores. Raises GenusError for one of another kind."""
    spec, family = read_spec(folder)
    values = read_json(folder / "config.json")
    if values.get("architectures") != [_classifier(family)]:
        raise GenusError(f"{folder} holds no scores of texts ({_classifier(family)}); name a reward model or a tuned one")
    labels = tuple(values.get("id2label", {"0": "0", "1": "1"}).values())  # transformers' own default is two
    model = _filled(lambda: _empty_scorer(spec, len(labels)), spec, family, (folder, dtype))
    model.shift = float(values.get(_SHIFT, 0.0))
    return model, family, labels


def _empty_scorer(spec: DecoderSpec, outputs: int) -> Scorer:
    with torch.device("meta"), _Unfilled():
        return Scorer(spec, outputs)


def _filled(make: Callable[[], M], spec: DecoderSpec, family: Family, source: tuple[Path, torch.dtype]) -> M:
    """A model with the weights of a folder, in a dtype. It is made once config.json is found to fit the weights."""
    folder, dtype = source
    require_memory(spec.parameters * dtype.itemsize, f"{folder}, with {spec.parameters:,} parameters,")
    with open_tensors(folder) as stored:
        _check_depth(stored, spec)
        model = make()
        found = {name: part.to(dtype).contiguous() for name, part in _stored_parts(stored, model, family)}
    model.load_state_dict(found, assign=True)
    model.eval()
    return model


def _classifier(family: Family) -> str:
    """The class that other libraries open scores of this family with."""
    return re.sub("LMHeadModel|ForCausalLM", "ForSequenceClassification", family.architecture)


def check_model(folder: Path) -> DecoderSpec:
    """Everything that `load_model` checks, in the memory of one tensor."""
    spec, family = read_spec(folder)
    with open_tensors(folder) as stored:
        _check_depth(stored, spec)
        for _ in _stored_parts(stored, empty_model(spec), family):
            pass
    return spec


def layout_of(spec: DecoderSpec, family: Family) -> Layout:
    """Names and shapes of every tensor in a folder of this spec, before any of them exists."""
    return {name: tuple(tensor.shape) for name, tensor in tensors_of(empty_model(spec), family)}


def tensors_of(model: LanguageModel | Scorer, family: Family) -> Iterator[tuple[str, Tensor]]:
    """Every tensor as the family's files name it, one at a time; tied and absent ones are left out."""
    ours = dict(model.named_parameters())
    for rule, theirs, names in _pairs(family, model.spec, set(ours)):
        yield theirs, rule.save(model.spec, [ours[name].detach() for name in names])


def config_of(spec: DecoderSpec, family: Family, dtype: torch.dtype) -> dict[str, Any]:
    """config.json for a spec. Raises GenusError naming the fields that this family's files cannot say."""
    config = family.hf_from_spec(spec)
    again = family.spec_from_hf(HfConfig(config, "config.json"))
    lost = _differences(spec, again)
    if lost:
        raise GenusError(f"{family.title} files cannot say {', '.join(lost)} of this model; save it as another family")
    dtype_name = str(dtype).removeprefix("torch.")
    return {"architectures": [family.architecture], "model_type": family.model_type, "dtype": dtype_name, **config}


def _differences(one: DecoderSpec, other: DecoderSpec) -> list[str]:
    names = [field.name for field in dataclasses.fields(one) if field.name != "dropout"]
    return [name for name in names if getattr(one, name) != getattr(other, name)]


def save_model(folder: Path, model: LanguageModel, family: Family, end_of_text: int | None = None) -> None:
    """Write config.json, generation_config.json and safetensors into `folder` (a new one: see core.files.new_folder).

    What was written is read again; raises GenusError naming the field or tensor that did not come back as it went.
    """
    write_config(folder, model.spec, family, model.decoder.embed.weight.dtype, {"bos": end_of_text, "eos": end_of_text})
    _write(folder, model, family)


def save_scorer(
    folder: Path, model: Scorer, family: Family, labels: Sequence[str], special: Mapping[str, int | None]
) -> None:
    """As `save_model`, for a scorer without a token head; `labels` name its scores. Readers tell texts apart by "pad"."""
    write_config(folder, model.spec, family, model.decoder.embed.weight.dtype, special)
    names = dict(enumerate(labels))
    told = {"id2label": names, "label2id": {label: number for number, label in names.items()}, _SHIFT: model.shift}
    config = read_json(folder / "config.json") | {"architectures": [_classifier(family)], **told}
    write_json(folder / "config.json", config)
    _write(folder, model, family)


def _write(folder: Path, model: LanguageModel | Scorer, family: Family) -> None:
    tensors = (tensor for _, tensor in tensors_of(model, family))
    layout = {name: tuple(tensor.shape) for name, tensor in tensors_of(model, family)}
    write_weights(folder, layout, tensors, model.decoder.embed.weight.dtype)
    _check_saved(folder, model)


def write_config(
    folder: Path, spec: DecoderSpec, family: Family, dtype: torch.dtype, special: Mapping[str, int | None]
) -> None:
    """Write config.json and generation_config.json; `special` are token ids: "bos", "eos", "pad"."""
    tokens = {f"{name}_token_id": number for name, number in special.items()}
    write_json(folder / "config.json", {**config_of(spec, family, dtype), **tokens})
    write_json(folder / "generation_config.json", tokens)


def _check_saved(folder: Path, model: LanguageModel | Scorer) -> None:
    spec, family = read_spec(folder)
    lost = _differences(model.spec, spec)
    if lost:
        raise GenusError(f"{folder} is not read with the {', '.join(lost)} it was saved with; report this defect of Genus")
    ours = dict(model.named_parameters())
    with open_tensors(folder) as stored:
        for name, part in _stored_parts(stored, model, family):
            if not torch.equal(part, ours[name].detach().cpu()):
                raise GenusError(f"{folder}: {name} is not read as it was saved; report this defect of Genus")


class _Unfilled(TorchFunctionMode):
    """Modules made under it skip their random start, which for tensors without memory imports a compiler: 1 s."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(function, "__module__", None) == "torch.nn.init":
            return (*args, *(kwargs or {}).values())[0]
        return function(*args, **(kwargs or {}))


def empty_model(spec: DecoderSpec) -> LanguageModel:
    """A model whose parameters have shapes and no memory yet (device "meta")."""
    with torch.device("meta"), _Unfilled():
        return LanguageModel(spec)


def _stored_parts(stored: StoredTensors, model: LanguageModel | Scorer, family: Family) -> Iterator[tuple[str, Tensor]]:
    """Our name and a view of the stored tensor for every parameter; the next one may have its memory."""
    spec, ours = model.spec, dict(model.named_parameters())
    pairs = list(_pairs(family, spec, set(ours)))
    names = _match(stored, family, spec, [theirs for _, theirs, _ in pairs])
    for rule, theirs, targets in pairs:
        tensor = stored.read(names[theirs])
        for name, part in itertools.zip_longest(targets, _cut(rule, spec, tensor)):
            if part is None or part.shape != ours[name].shape:
                what = f"has shape {list(tensor.shape)}, which does not fit config.json; the two are not of one model"
                raise stored.wrong(theirs, what)
            yield name, part
        stored.release(names[theirs])


def _check_depth(stored: StoredTensors, spec: DecoderSpec) -> None:
    """Before as many layers are built."""
    if spec.depth > len(stored.names):
        what = f"config.json has {spec.depth:,} layers, the weights {len(stored.names)} tensors"
        raise GenusError(f"{stored.folder}: {what}; the two are not of one model")


def _cut(rule: Rule, spec: DecoderSpec, tensor: Tensor) -> Sequence[Tensor]:
    """Their tensor in our parts; none where it cannot be cut up so."""
    try:
        return rule.load(spec, tensor)
    except RuntimeError:
        return ()


def _pairs(family: Family, spec: DecoderSpec, ours: set[str]) -> Iterator[tuple[Rule, str, list[str]]]:
    """(rule, their name, our names) for each tensor of this spec. A rule for parts that the spec lacks does not apply."""
    left = set(ours)
    for rule in (*family.rules, _SCORE):
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
        known = (theirs, theirs.removeprefix(family.prefix), family.aliases.get(theirs, theirs))
        found = next((name for name in known if name in stored.names), None)
        if found is None:
            raise stored.wrong(theirs, "is missing from the weights; copy or save the folder again")
        names[theirs] = found
    dead = [re.escape(name).replace(r"\{i\}", r"\d+") for name in family.ignored]
    repeated = {_TIED_HEAD} & stored.names if spec.tied else set()
    for extra in sorted(stored.names - set(names.values()) - repeated):
        full = family.prefix + extra.removeprefix(family.prefix)
        if not any(re.fullmatch(pattern, full) for pattern in dead):
            raise stored.wrong(extra, "has no place in config.json; the two are not of one model")
    embedding = names[_embedding(family)]
    if repeated and not torch.equal(stored.read(_TIED_HEAD), stored.read(embedding)):
        raise stored.wrong(_TIED_HEAD, "is tied to the embedding by config.json but differs; untie it (tie_word_embeddings)")
    return names


def _embedding(family: Family) -> str:
    return next(rule.theirs for rule in family.rules if rule.ours == ("decoder.embed.weight",))
