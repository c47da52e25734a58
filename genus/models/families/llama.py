"""LLaMA (Meta, 2023; arXiv 2302.13971). Against GPT-2: RMSNorm, rotary positions, a gated SiLU MLP, no biases, a head of
its own; larger sizes of version 2 and all of version 3 share keys and values between heads (GQA)."""

from dataclasses import replace
from typing import Any

from genus.models.family import Family, HfConfig, Names, Shape, hf_activation, hf_rotary, hf_shape
from genus.models.initialise import Init
from genus.models.rules import Rename, renames
from genus.models.spec import DecoderSpec, Llama3, Mlp, Norm, Rotary

_SIZES = {  # width, depth, heads, kv_heads, hidden, context
    "llama-7b": (4096, 32, 32, 32, 11008, 2048),
    "llama-13b": (5120, 40, 40, 40, 13824, 2048),
    "llama-33b": (6656, 60, 52, 52, 17920, 2048),
    "llama-65b": (8192, 80, 64, 64, 22016, 2048),
    "llama2-7b": (4096, 32, 32, 32, 11008, 4096),
    "llama2-13b": (5120, 40, 40, 40, 13824, 4096),
    "llama2-70b": (8192, 80, 64, 8, 28672, 4096),
    "llama3-8b": (4096, 32, 32, 8, 14336, 8192),
    "llama3.1-8b": (4096, 32, 32, 8, 14336, 131072),
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


def _published(name: str) -> DecoderSpec:
    """Version 1 has eps 1e-6; version 3 has a larger vocabulary and base, and 3.1 stretches its turns."""
    width, depth, heads, kv_heads, hidden, context = _SIZES[name]
    vocab = 128256 if name.startswith("llama3") else 32000
    shape = Shape(vocab=vocab, context=context, width=width, depth=depth, heads=heads, kv_heads=kv_heads, hidden=hidden)
    spec = _spec(shape)
    if name.startswith("llama3"):
        stretch = Llama3() if name.startswith("llama3.1") else None
        return replace(spec, position=Rotary(dim=width // heads, base=500_000.0, stretch=stretch))
    return replace(spec, norm=replace(spec.norm, eps=1e-6)) if name.startswith("llama-") else spec


def _spec_from_hf(config: HfConfig) -> DecoderSpec:
    bias, spec = config.flag("attention_bias", False), _spec(config.shape(_NAMES))
    return replace(
        spec,
        norm=replace(spec.norm, eps=config.real("rms_norm_eps", 1e-6)),
        position=config.rotary(spec.attention.head_dim),
        attention=replace(spec.attention, bias=bias, out_bias=bias),
        mlp=replace(spec.each_mlp, activation=config.activation("hidden_act", "silu"), bias=config.flag("mlp_bias", False)),
        tied=config.flag("tie_word_embeddings", False),
    )


def _hf_from_spec(spec: DecoderSpec) -> dict[str, Any]:
    return {
        **hf_shape(spec, _NAMES),
        "hidden_act": hf_activation(spec),
        "rms_norm_eps": spec.norm.eps,
        **hf_rotary(spec.position),
        "attention_bias": spec.attention.bias,
        "mlp_bias": spec.each_mlp.bias,
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
    sizes={name: _published(name) for name in _SIZES},
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
        *renames({f"{_THEIRS}.{theirs}": f"{_OURS}.{ours}" for theirs, ours in _LINEARS.items()}),
        Rename("model.norm.weight", "decoder.norm.weight"),
        Rename("lm_head.weight", "head.weight"),
    ),
)
