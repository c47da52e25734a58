"""BLOOM (BigScience, 2022; arXiv 2211.05100). Against GPT-2: ALiBi in place of positions, a norm on the embedding for
stability, a vocabulary of 250,880 rows for 46 languages, and very small starting weights."""

from dataclasses import replace
from typing import Any

from genus.models.family import Family, HfConfig, Names, Shape, hf_shape
from genus.models.initialise import Init
from genus.models.rules import FusedByHead, Rename, renames
from genus.models.spec import Alibi, DecoderSpec, Mlp, Norm

_SIZES = {  # width, depth, heads
    "bloom-560m": (1024, 24, 16),
    "bloom-1b1": (1536, 24, 16),
    "bloom-1b7": (2048, 24, 16),
    "bloom-3b": (2560, 30, 32),
    "bloom-7b1": (4096, 30, 32),
    "bloom-176b": (14336, 70, 112),
}

_NAMES: Names = {
    "vocab": ("vocab_size", 250880),
    "context": ("seq_length", 2048),  # ALiBi has no table, so this is what it was trained at
    "width": ("hidden_size", 64),
    "depth": ("n_layer", 2),
    "heads": ("n_head", 8),
    "dropout": ("hidden_dropout", 0.0),
}


def _spec(shape: Shape) -> DecoderSpec:
    return shape.spec(
        norm=Norm(),
        position=Alibi(),
        attention=shape.attention(),
        mlp=Mlp(hidden=shape.hidden or 4 * shape.width),
        embed_norm=True,
    )


def _init(spec: DecoderSpec) -> Init:
    return Init(matrix=0.0048, residual=0.0048, embed=0.0048)  # sqrt(1 / (3 * 14336)) in the scripts of every size


def _spec_from_hf(config: HfConfig) -> DecoderSpec:
    config.only("apply_residual_connection_post_layernorm", False)
    older = "n_embed" in config.values and "hidden_size" not in config.values
    spec = _spec(config.shape({**_NAMES, "width": ("n_embed", 64)} if older else _NAMES))
    return replace(
        spec,
        norm=replace(spec.norm, eps=config.real("layer_norm_epsilon", 1e-5)),
        tied=config.flag("tie_word_embeddings", True),
    )


def _hf_from_spec(spec: DecoderSpec) -> dict[str, Any]:
    return {
        **hf_shape(spec, _NAMES),
        "layer_norm_epsilon": spec.norm.eps,
        "apply_residual_connection_post_layernorm": False,
        "tie_word_embeddings": spec.tied,
        "attention_dropout": spec.dropout,
    }


_THEIRS, _OURS = "transformer.h.{i}", "decoder.blocks.{i}"
_ATTENTION = [f"{_OURS}.attention.{part}" for part in "qkv"]
_SAME = {
    "transformer.word_embeddings_layernorm": "decoder.embed_norm",
    f"{_THEIRS}.input_layernorm": f"{_OURS}.attention_norm",
    f"{_THEIRS}.self_attention.dense": f"{_OURS}.attention.out",
    f"{_THEIRS}.post_attention_layernorm": f"{_OURS}.mlp_norm",
    f"{_THEIRS}.mlp.dense_h_to_4h": f"{_OURS}.mlp.up",
    f"{_THEIRS}.mlp.dense_4h_to_h": f"{_OURS}.mlp.down",
    "transformer.ln_f": "decoder.norm",
}

FAMILY = Family(
    name="bloom",
    title="BLOOM (2022)",
    model_type="bloom",
    architecture="BloomForCausalLM",
    sizes={
        name: _spec(Shape(vocab=250880, context=2048, width=width, depth=depth, heads=heads))
        for name, (width, depth, heads) in _SIZES.items()
    },
    spec=_spec,
    init=_init,
    spec_from_hf=_spec_from_hf,
    hf_from_spec=_hf_from_spec,
    prefix="transformer.",
    rules=(
        Rename("transformer.word_embeddings.weight", "decoder.embed.weight"),
        *renames(_SAME),
        FusedByHead(f"{_THEIRS}.self_attention.query_key_value.weight", tuple(f"{part}.weight" for part in _ATTENTION)),
        FusedByHead(f"{_THEIRS}.self_attention.query_key_value.bias", tuple(f"{part}.bias" for part in _ATTENTION)),
        Rename("lm_head.weight", "head.weight"),
    ),
)
