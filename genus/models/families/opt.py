"""OPT (Meta, 2022; arXiv 2205.01068). GPT-3's sizes, in the open: against GPT-2, ReLU, positions counted from row 2 of
their table (a habit of fairseq's), and dense layers only.

The 350m is another model than its siblings: the norm comes after each part with none at the end, by a flag flipped in
error (metaseq issues 383 and 388), and its token table is 512 wide, with maps to 1,024 and back.
"""

from dataclasses import replace
from typing import Any

from genus.models.family import Family, HfConfig, Names, Shape, hf_activation, hf_shape
from genus.models.initialise import Init
from genus.models.rules import Rename, renames
from genus.models.spec import DecoderSpec, Learned, Mlp, Norm

_SIZES = {  # width, depth, heads
    "opt-125m": (768, 12, 12),
    "opt-350m": (1024, 24, 16),
    "opt-1.3b": (2048, 24, 32),
    "opt-2.7b": (2560, 32, 32),
    "opt-6.7b": (4096, 32, 32),
    "opt-13b": (5120, 40, 40),
    "opt-30b": (7168, 48, 56),
    "opt-66b": (9216, 64, 72),
    "opt-175b": (12288, 96, 96),
}

_NAMES: Names = {
    "vocab": ("vocab_size", 50272),
    "context": ("max_position_embeddings", 2048),
    "width": ("hidden_size", 768),
    "depth": ("num_hidden_layers", 12),
    "heads": ("num_attention_heads", 12),
    "hidden": ("ffn_dim", 3072),
    "dropout": ("dropout", 0.1),
}


def _spec(shape: Shape) -> DecoderSpec:
    return shape.spec(
        norm=Norm(),
        position=Learned(offset=2),
        attention=shape.attention(),
        mlp=Mlp(hidden=shape.hidden or 4 * shape.width, activation="relu"),
    )


def _published(name: str) -> DecoderSpec:
    width, depth, heads = _SIZES[name]
    spec = _spec(Shape(vocab=50272, context=2048, width=width, depth=depth, heads=heads))
    return replace(spec, wiring="post", embed_dim=512) if name == "opt-350m" else spec


def _init(spec: DecoderSpec) -> Init:
    return Init(matrix=0.006, residual=0.006 * (2 * spec.depth) ** -0.5, embed=0.006, position=0.006)  # section 2.2


def _spec_from_hf(config: HfConfig) -> DecoderSpec:
    config.only("_remove_final_layer_norm", False)
    spec, bias = _spec(config.shape(_NAMES)), config.flag("enable_bias", True)
    affine = config.flag("layer_norm_elementwise_affine", True)
    embed_dim = config.whole("word_embed_proj_dim", spec.width)
    return replace(
        spec,
        norm=replace(spec.norm, bias=affine, gain=affine),
        attention=replace(spec.attention, bias=bias, out_bias=bias),
        mlp=replace(spec.each_mlp, activation=config.activation("activation_function", "relu"), bias=bias),
        wiring="pre" if config.flag("do_layer_norm_before", True) else "post",
        embed_dim=None if embed_dim == spec.width else embed_dim,
        tied=config.flag("tie_word_embeddings", True),
    )


def _hf_from_spec(spec: DecoderSpec) -> dict[str, Any]:
    return {
        **hf_shape(spec, _NAMES),
        "activation_function": hf_activation(spec),
        "do_layer_norm_before": spec.wiring == "pre",
        "enable_bias": spec.attention.bias,
        "layer_norm_elementwise_affine": spec.norm.gain,
        "word_embed_proj_dim": spec.embed_width,
        "tie_word_embeddings": spec.tied,
        "attention_dropout": spec.dropout,
    }


_THEIRS, _OURS = "model.decoder.layers.{i}", "decoder.blocks.{i}"
_PARTS = {
    "self_attn_layer_norm": "attention_norm",
    "self_attn.q_proj": "attention.q",
    "self_attn.k_proj": "attention.k",
    "self_attn.v_proj": "attention.v",
    "self_attn.out_proj": "attention.out",
    "final_layer_norm": "mlp_norm",
    "fc1": "mlp.up",
    "fc2": "mlp.down",
}

FAMILY = Family(
    name="opt",
    title="OPT (2022)",
    model_type="opt",
    architecture="OPTForCausalLM",
    sizes={name: _published(name) for name in _SIZES},
    spec=_spec,
    init=_init,
    spec_from_hf=_spec_from_hf,
    hf_from_spec=_hf_from_spec,
    prefix="model.",
    rules=(
        Rename("model.decoder.embed_tokens.weight", "decoder.embed.weight"),
        Rename("model.decoder.embed_positions.weight", "decoder.position.weight"),
        Rename("model.decoder.project_in.weight", "decoder.project.weight"),
        *renames({f"{_THEIRS}.{theirs}": f"{_OURS}.{ours}" for theirs, ours in _PARTS.items()}),
        *renames({"model.decoder.final_layer_norm": "decoder.norm"}),
        Rename("model.decoder.project_out.weight", "head.project.weight"),
        Rename("lm_head.weight", "head.weight"),
    ),
)
