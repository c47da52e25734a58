"""What a model trained from scratch today is made of; how soon it reaches GPT-2's loss is in records/0005. Against LLaMA:
queries and keys are normalised by head, and the MLP is a plain one with a squared ReLU. Published by nobody at these sizes;
its folders are of the architecture of Apertus (arXiv 2509.14233), which has the same parts but another activation."""

from dataclasses import replace
from typing import Any

from genus.models.family import Family, HfConfig, Names, Shape, hf_activation, hf_rotary, hf_shape
from genus.models.initialise import Init
from genus.models.rules import Rename, renames
from genus.models.spec import DecoderSpec, Mlp, Norm, Rotary

_SIZES = {  # width, depth, heads, context; with GPT-2's vocabulary
    "modern-162m": (768, 12, 12, 1024),
    "modern-405m": (1024, 24, 16, 1024),
}

_NAMES: Names = {
    "vocab": ("vocab_size", 131072),
    "context": ("max_position_embeddings", 65536),
    "width": ("hidden_size", 4096),
    "depth": ("num_hidden_layers", 32),
    "heads": ("num_attention_heads", 32),
    "kv_heads": ("num_key_value_heads", None),
    "head_dim": ("head_dim", None),
    "hidden": ("intermediate_size", 14336),
}


def _spec(shape: Shape) -> DecoderSpec:
    attention = shape.attention(bias=False, out_bias=False, qk_norm=True)
    return shape.spec(
        norm=Norm(kind="rms", eps=1e-5, bias=False),
        position=Rotary(dim=attention.head_dim),
        attention=attention,
        mlp=Mlp(hidden=shape.hidden or 4 * shape.width, activation="relu_squared", bias=False),
        tied=False,
    )


def _init(spec: DecoderSpec) -> Init:
    return Init(matrix=0.02, residual=0.02 * (2 * spec.depth) ** -0.5, embed=0.02)


def _sized(name: str) -> DecoderSpec:
    width, depth, heads, context = _SIZES[name]
    return _spec(Shape(vocab=50257, context=context, width=width, depth=depth, heads=heads))


def _spec_from_hf(config: HfConfig) -> DecoderSpec:
    if not (config.values.get("rope_parameters") or config.values.get("rope_scaling")):
        raise config.wrong("rope_parameters", None, "an object, as every file of this architecture has")
    bias, spec = config.flag("attention_bias", False), _spec(config.shape(_NAMES))
    return replace(
        spec,
        norm=replace(spec.norm, eps=config.real("rms_norm_eps", 1e-5)),
        position=config.rotary(spec.attention.head_dim, 12_000_000.0),
        attention=replace(spec.attention, bias=bias, out_bias=bias),
        mlp=replace(spec.each_mlp, activation=config.activation("hidden_act", "xielu")),
        tied=config.flag("tie_word_embeddings", False),
    )


def _hf_from_spec(spec: DecoderSpec) -> dict[str, Any]:
    return {
        **hf_shape(spec, _NAMES),
        "hidden_act": hf_activation(spec),
        "rms_norm_eps": spec.norm.eps,
        **hf_rotary(spec.position),
        "attention_bias": spec.attention.bias,
        "tie_word_embeddings": spec.tied,
    }


_THEIRS, _OURS = "model.layers.{i}", "decoder.blocks.{i}"
_PARTS = {
    "self_attn.q_proj": "attention.q",
    "self_attn.k_proj": "attention.k",
    "self_attn.v_proj": "attention.v",
    "self_attn.o_proj": "attention.out",
    "self_attn.q_norm": "attention.q_norm",
    "self_attn.k_norm": "attention.k_norm",
    "mlp.up_proj": "mlp.up",
    "mlp.down_proj": "mlp.down",
    "attention_layernorm": "attention_norm",
    "feedforward_layernorm": "mlp_norm",
}

FAMILY = Family(
    name="modern",
    title="modern (2026)",
    model_type="apertus",
    architecture="ApertusForCausalLM",
    sizes={name: _sized(name) for name in _SIZES},
    spec=_spec,
    init=_init,
    spec_from_hf=_spec_from_hf,
    hf_from_spec=_hf_from_spec,
    prefix="model.",
    rules=(
        Rename("model.embed_tokens.weight", "decoder.embed.weight"),
        *renames({f"{_THEIRS}.{theirs}": f"{_OURS}.{ours}" for theirs, ours in _PARTS.items()}),
        Rename("model.norm.weight", "decoder.norm.weight"),
        Rename("lm_head.weight", "head.weight"),
    ),
)
