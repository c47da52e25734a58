"""LLaMA (Meta, 2023; arXiv 2302.13971). Against GPT-2: RMSNorm, rotary positions, a gated SiLU MLP, no biases, a head of
its own; larger sizes of version 2 and all of version 3 share keys and values between heads (GQA)."""

from dataclasses import replace
from typing import Any

from genus.core.errors import GenusError
from genus.models.family import Family, HfConfig, Names, Shape, hf_activation, hf_shape
from genus.models.initialise import Init
from genus.models.rules import Rename
from genus.models.spec import DecoderSpec, Mlp, Norm, Rotary

_SIZES = {
    "llama-7b": Shape(vocab=32000, context=2048, width=4096, depth=32, heads=32, hidden=11008),
    "llama-13b": Shape(vocab=32000, context=2048, width=5120, depth=40, heads=40, hidden=13824),
    "llama-33b": Shape(vocab=32000, context=2048, width=6656, depth=60, heads=52, hidden=17920),
    "llama-65b": Shape(vocab=32000, context=2048, width=8192, depth=80, heads=64, hidden=22016),
    "llama2-70b": Shape(vocab=32000, context=4096, width=8192, depth=80, heads=64, kv_heads=8, hidden=28672),
}


_NAMES: Names = {
    "vocab": ("vocab_size", 32000),
    "context": ("max_position_embeddings", 2048),
    "width": ("hidden_size", 4096),
    "depth": ("num_hidden_layers", 32),
    "heads": ("num_attention_heads", 32),
    "kv_heads": ("num_key_value_heads", None),
    "head_dim": ("head_dim", None),
    "hidden": ("intermediate_size", 11008),
}


def _spec(shape: Shape) -> DecoderSpec:
    # two thirds of 4 widths keep the gated MLP's parameters at those of a plain one; 64 keeps small models' rows even
    step = 256 if shape.width >= 1024 else 64
    hidden = -(-(8 * shape.width // 3) // step) * step
    attention = shape.attention(bias=False, out_bias=False)
    return shape.spec(
        norm=Norm(kind="rms", eps=1e-5, bias=False),
        position=Rotary(dim=attention.head_dim),
        attention=attention,
        mlp=Mlp(hidden=shape.hidden or hidden, activation="silu", gated=True, bias=False),
        tied=False,
    )


def _init(spec: DecoderSpec) -> Init:
    return Init(matrix=0.02, residual=0.02 * (2 * spec.depth) ** -0.5, embed=0.02)  # unpublished; GPT-2's


def _spec_from_hf(config: HfConfig) -> DecoderSpec:
    config.only("rope_scaling", {}, {"rope_type": "default"})
    rope = config.values.get("rope_parameters") or {}
    if not isinstance(rope, dict) or rope.get("rope_type", "default") != "default":
        raise GenusError(f"{config.where} asks for a rope_type that Genus does not read; it reads 'default'")
    base = HfConfig({**config.values, **rope}, config.where).real("rope_theta", 1e4)  # older files have it at the top
    bias, spec = config.flag("attention_bias", False), _spec(config.shape(_NAMES))
    return replace(
        spec,
        norm=replace(spec.norm, eps=config.real("rms_norm_eps", 1e-6)),
        position=Rotary(dim=spec.attention.head_dim, base=base),
        attention=replace(spec.attention, bias=bias, out_bias=bias),
        mlp=replace(spec.mlp, activation=config.activation("hidden_act", "silu"), bias=config.flag("mlp_bias", False)),
        tied=config.flag("tie_word_embeddings", False),
    )


def _hf_from_spec(spec: DecoderSpec) -> dict[str, Any]:
    base = spec.position.base if isinstance(spec.position, Rotary) else None
    return {
        **hf_shape(spec, _NAMES),
        "hidden_act": hf_activation(spec),
        "rms_norm_eps": spec.norm.eps,
        "rope_theta": base,  # read by libraries older than rope_parameters
        "rope_parameters": {"rope_theta": base, "rope_type": "default"},
        "attention_bias": spec.attention.bias,
        "mlp_bias": spec.mlp.bias,
        "tie_word_embeddings": spec.tied,
    }


_THEIRS, _OURS = "model.layers.{i}", "decoder.blocks.{i}"
_LINEARS = {
    "self_attn.q_proj": "attention.q",
    "self_attn.k_proj": "attention.k",
    "self_attn.v_proj": "attention.v",
    "self_attn.o_proj": "attention.out",
    "mlp.gate_proj": "mlp.gate",
    "mlp.up_proj": "mlp.up",
    "mlp.down_proj": "mlp.down",
}

FAMILY = Family(
    name="llama",
    title="LLaMA (2023)",
    model_type="llama",
    architecture="LlamaForCausalLM",
    sizes=_SIZES,
    spec=_spec,
    init=_init,
    spec_from_hf=_spec_from_hf,
    hf_from_spec=_hf_from_spec,
    prefix="model.",
    ignored=("model.layers.{i}.self_attn.rotary_emb.inv_freq",),
    rules=(
        Rename("model.embed_tokens.weight", "decoder.embed.weight"),
        Rename(f"{_THEIRS}.input_layernorm.weight", f"{_OURS}.attention_norm.weight"),
        Rename(f"{_THEIRS}.post_attention_layernorm.weight", f"{_OURS}.mlp_norm.weight"),
        *(Rename(f"{_THEIRS}.{theirs}.weight", f"{_OURS}.{ours}.weight") for theirs, ours in _LINEARS.items()),
        *(Rename(f"{_THEIRS}.{theirs}.bias", f"{_OURS}.{ours}.bias") for theirs, ours in _LINEARS.items()),
        Rename("model.norm.weight", "decoder.norm.weight"),
        Rename("lm_head.weight", "head.weight"),
    ),
)
