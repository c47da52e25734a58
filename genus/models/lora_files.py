"""LoRA as peft's files: adapter_config.json and adapter_model.safetensors, which `PeftModel.from_pretrained` opens.

Their modules may hold several of our parts, such as q, k and v in one. There A is ours one under another, and B has each
part's columns of its own, laid out by the rule that the family's weights follow; the rank and alpha of such a module grow
alike, so that the scale stays. Read back, any such product is cut up by the same rules and added to the weights.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from genus.core.errors import GenusError
from genus.core.files import read_json, write_json
from genus.models.family import Family
from genus.models.heads import LanguageModel
from genus.models.lora import LoraLinear, lora_parts
from genus.models.rules import Rule
from genus.models.scorer import Scorer
from genus.models.spec import DecoderSpec

__all__ = ["merge_adapter", "save_adapter"]

_CONFIG, _WEIGHTS, _PREFIX = "adapter_config.json", "adapter_model.safetensors", "base_model.model."
_PLAIN = {"bias": "none", "use_dora": False}


class _Module(NamedTuple):
    """A linear module of theirs, and the weights of ours that are in it."""

    rule: Rule
    name: str  # transformer.h.0.attn.c_attn
    suffix: str  # attn.c_attn: the same in each layer
    ours: tuple[str, ...]


def save_adapter(folder: Path, model: nn.Module, family: Family, base: str, new_rows: bool = False) -> None:
    """Write what LoRA learned on a language model or a scorer, before it is merged; `base` is where the model came from.

    A scorer's head is saved whole. With `new_rows` so are the tables, for a base whose tables were first made as long.
    """
    if not isinstance(model, LanguageModel | Scorer):
        raise GenusError(f"LoRA on {type(model).__name__} has no form in peft's files; save the merged model alone")
    parts = {f"{path}.weight": part for path, part in lora_parts(model)}
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    one = next(iter(parts.values()))
    rank, scale = one.lora_a.shape[0], one.scale
    for module in _modules(family, model.spec):
        if any(name in parts for name in module.ours):
            a, b = _fused(module, model, parts)
            ranks[module.suffix] = a.shape[0]
            tensors |= {f"{_PREFIX}{module.name}.lora_{x}.weight": tensor for x, tensor in (("A", a), ("B", b))}
    scorer = isinstance(model, Scorer)
    if isinstance(model, Scorer):
        tensors[f"{_PREFIX}score.weight"] = model.score.weight
    if new_rows:
        whole = model.decoder if scorer else model  # a scorer's files have no token head
        ours = {name: table for name, table in model.named_parameters() if table in set(whole.parameters())}
        tensors |= {f"{_PREFIX}{theirs}": ours[name] for theirs, name in _tables(family).items() if name in ours}
    wider = {suffix: of for suffix, of in ranks.items() if of != rank}
    config = {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if scorer else "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": _number(scale * rank),
        "lora_dropout": one.dropout,
        "target_modules": sorted(ranks),
        "rank_pattern": wider,
        "alpha_pattern": {suffix: _number(scale * of) for suffix, of in wider.items()},
        "modules_to_save": ["score"] if scorer else None,
        "fan_in_fan_out": all(module.rule.transposed for module in _modules(family, model.spec) if module.suffix in ranks),
        "bias": "none",
        "inference_mode": True,
    }
    write_json(folder / _CONFIG, config)
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, folder / _WEIGHTS)


@torch.no_grad()
def merge_adapter(model: LanguageModel | Scorer, family: Family, folder: Path) -> None:
    """Add a folder of LoRA in peft's form to the weights of `model`, in place. Raises GenusError for what does not fit."""
    config = read_json(folder / _CONFIG)
    _check(folder, config)
    left = _read(folder / _WEIGHTS)
    ours = dict(model.named_parameters())
    for module in _modules(family, model.spec):
        a, b = (left.pop(f"{_PREFIX}{module.name}.lora_{x}.weight", None) for x in "AB")
        if a is None or b is None:
            continue
        delta = _scale(config, module.name, a.shape[0]) * (b.float() @ a.float())  # (out, in), as theirs has the outputs
        cut = module.rule.load(model.spec, delta.T if module.rule.transposed else delta)
        for name, part in zip(module.ours, cut, strict=True):
            if ours[name].shape != part.shape:
                what = f"{module.name} is of shape {list(delta.shape)}, the model's is not"
                raise GenusError(f"{folder}: {what}; take the adapter's own base")
            ours[name].add_(part.to(ours[name]))
    for theirs, name in (*_tables(family).items(), ("score.weight", "score.weight")):
        tensor = left.pop(f"{_PREFIX}{theirs}", None)
        if tensor is not None and (name not in ours or ours[name].shape != tensor.shape):
            raise GenusError(f"{folder}: {theirs} is of shape {list(tensor.shape)}, which the model has no place for")
        if tensor is not None:
            ours[name].copy_(tensor)
    if left:
        raise GenusError(f"{folder}: {min(left)} has no place in the model; take the adapter's own base")


def _modules(family: Family, spec: DecoderSpec) -> Iterator[_Module]:
    """Every matrix of the blocks, as the family's files name it."""
    for rule in family.rules:
        home, _, kind = rule.theirs.rpartition(".")
        if "{i}." in home and kind == "weight" and all(name.endswith(".weight") for name in rule.ours):
            for layer in range(spec.depth):
                ours = tuple(name.replace("{i}", str(layer)) for name in rule.ours)
                yield _Module(rule, home.replace("{i}", str(layer)), home.partition("{i}.")[2], ours)


def _fused(module: _Module, model: LanguageModel | Scorer, parts: Mapping[str, LoraLinear]) -> tuple[Tensor, Tensor]:
    """A (rank, in) and B (out, rank) of their module, its rank being that of our parts together."""
    there = [parts[name] for name in module.ours if name in parts]
    rank, first = sum(part.lora_a.shape[0] for part in there), 0
    blocks = []
    for name in module.ours:
        part = parts.get(name)
        block = torch.zeros(model.get_parameter(name).shape[0], rank)
        if part is not None:
            after = first + part.lora_a.shape[0]
            block[:, first:after] = part.lora_b.detach()
            first = after
        blocks.append(block)
    b = module.rule.save(model.spec, blocks)
    return torch.cat([part.lora_a.detach() for part in there]), b.T if module.rule.transposed else b


def _check(folder: Path, config: Any) -> None:
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise GenusError(f"{folder / _CONFIG} is not of LoRA, the one kind of adapter that Genus reads")
    for name, plain in _PLAIN.items():
        if config.get(name, plain) != plain:
            raise GenusError(f"{folder / _CONFIG} has {name} = {config[name]!r}; Genus reads {plain!r} alone")


def _number(value: float) -> float | int:
    """A whole number as one, as others write it."""
    return round(value) if abs(value - round(value)) < 1e-9 else value


def _scale(config: Mapping[str, Any], name: str, rank: int) -> float:
    alphas = config.get("alpha_pattern") or {}
    alpha = next((alpha for key, alpha in alphas.items() if f".{name}".endswith(f".{key}")), config.get("lora_alpha", 8))
    return float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
    except Exception as error:
        raise GenusError(f"{path} is not a whole safetensors file ({error}); copy or save it again") from error


def _tables(family: Family) -> dict[str, str]:
    """Their names and ours of what has a row for each token."""
    names = {("decoder.embed.weight",), ("head.weight",), ("head.bias",)}
    return {rule.theirs: rule.ours[0] for rule in family.rules if rule.ours in names}
