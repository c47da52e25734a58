"""The models of decode.py: one Hugging Face folder that every contender starts from, and the same weights as a GGUF file."""

import json
import random
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from safetensors import safe_open

from genus.core.files import new_folder
from genus.models.families import family_named, spec_of
from genus.models.families.gguf import architecture_named
from genus.models.heads import LanguageModel
from genus.models.importing import import_model
from genus.models.initialise import initialise
from genus.models.spec import DecoderSpec, Rotary
from genus.models.weights import read_spec, save_model
from genus.tokenizers.formats import find_tokenizer
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["SHAPES", "ids_of", "make_folder", "write_gguf"]

SHAPES: dict[str, dict[str, int] | None] = {  # GPT-2's architecture; None is imported
    "5M": {"vocab": 8192, "context": 1024, "width": 256, "depth": 4, "heads": 4},
    "124M": {"vocab": 50257, "context": 1024, "width": 768, "depth": 12, "heads": 12},
    "smollm2": None,
}
_LOUDER = 4.0


def make_folder(shape: str, folder: Path) -> DecoderSpec:
    """Write the folder in fp32: random weights, or `genus import smollm2`. Raises GenusError where that is not installed."""
    sizes = SHAPES[shape]
    if sizes is None:
        return import_model(shape, folder, "fp32")
    spec, family = spec_of("gpt2", **sizes), family_named("gpt2")
    model = LanguageModel(spec)
    initialise(model, family.init(spec), seed=0)
    with torch.no_grad():  # first weights leave a stream that only repeats the last token: any wrong model would agree
        for parameter in model.decoder.blocks.parameters():
            if parameter.dim() == 2:
                parameter.mul_(_LOUDER)
    with new_folder(folder) as partial:
        save_model(partial, model, family)
    return spec


def ids_of(folder: Path, spec: DecoderSpec) -> list[int]:
    """Token ids to cut prompts from: of an English text where there is a tokenizer, random ones where there is none."""
    if find_tokenizer(folder):
        return Tokenizer.load(folder).encode((Path(__file__).parents[1] / "LICENSE").read_text("utf-8"))
    return random.Random(0).choices(range(spec.vocab), k=4096)


def write_gguf(folder: Path, path: Path, kind: str) -> None:
    """The folder's weights as llama.cpp's converter writes them; matrices as `kind`, "F32" or "BF16"; no vocabulary."""
    spec, _ = read_spec(folder)
    architecture = json.loads((folder / "config.json").read_text("utf-8"))["model_type"]
    names = architecture_named(architecture, str(folder))
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in _metadata(spec).items():
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(f"{architecture}.{key}", value)
    writer.add_tokenizer_model("none")
    places = {
        ours.replace("{i}", str(layer)): theirs.replace("{i}", str(layer))
        for theirs, ours in names.tensors.items()
        for layer in range(spec.depth if "{i}" in theirs else 1)
    }
    with safe_open(folder / "model.safetensors", framework="np") as stored:
        for ours in stored.keys():  # noqa: SIM118 - it is no mapping
            name, array = places[ours], stored.get_tensor(ours)
            if name.endswith(names.transposed):
                array = array.T
            if name.endswith(names.turned):  # halves that turn together become neighbours
                halves = array.reshape(-1, 2, spec.attention.head_dim // 2, array.shape[-1])
                array = halves.swapaxes(1, 2).reshape(array.shape)
            plain = array.ndim == 1 or name.startswith("position_embd")
            form = Kind.F32 if plain else Kind[kind]
            writer.add_tensor(name, gguf.quantize(np.ascontiguousarray(array), form), raw_dtype=form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _metadata(spec: DecoderSpec) -> dict[str, Any]:
    found: dict[str, Any] = {
        "context_length": spec.context,
        "embedding_length": spec.width,
        "block_count": spec.depth,
        "feed_forward_length": spec.each_mlp.hidden,
        "attention.head_count": spec.attention.heads,
        "vocab_size": spec.vocab,
    }
    if not isinstance(spec.position, Rotary):
        return found | {"attention.layer_norm_epsilon": spec.norm.eps}
    return found | {
        "attention.head_count_kv": spec.attention.kv_heads,
        "attention.layer_norm_rms_epsilon": spec.norm.eps,
        "rope.dimension_count": spec.attention.head_dim,
        "rope.freq_base": spec.position.base,
    }
