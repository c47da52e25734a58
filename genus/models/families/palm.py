"""PaLM (Google, 2022; arXiv 2204.02311). Against GPT-3: attention and MLP side by side after one norm, a gated SiLU MLP,
one head of keys and values for all queries, rotary positions, no bias anywhere, logits scaled by width ** -0.5.

The weights were never released. Which two dimensions turn together is not in the paper: neighbours, as in GPT-J.
"""

from dataclasses import replace
from typing import Any

from genus.models.family import Family, HfConfig, Names, Shape, hf_activation, hf_rotary, hf_shape
from genus.models.initialise import Init
from genus.models.rules import OWN_NAMES
from genus.models.spec import DecoderSpec, Mlp, Norm, Rotary

_SIZES = {  # width, depth, heads
    "palm-8b": (4096, 32, 16),
    "palm-62b": (8192, 64, 32),
    "palm-540b": (18432, 118, 48),
}

_NAMES: Names = {
    "vocab": ("vocab_size", 256000),
    "context": ("max_position_embeddings", 2048),
    "width": ("hidden_size", 4096),
    "depth": ("num_hidden_layers", 32),
    "heads": ("num_attention_heads", 16),
    "kv_heads": ("num_key_value_heads", 1),
    "head_dim": ("head_dim", 256),
    "hidden": ("intermediate_size", None),
    "dropout": ("hidden_dropout", 0.0),
}


def _spec(shape: Shape) -> DecoderSpec:
    attention = replace(shape, kv_heads=shape.kv_heads or 1).attention(bias=False, out_bias=False)
    return shape.spec(
        norm=Norm(bias=False),
        position=Rotary(dim=attention.head_dim, pairs="neighbours"),
        attention=attention,
        mlp=Mlp(hidden=shape.hidden or 4 * shape.width, activation="silu", gated=True, bias=False),
        wiring="parallel_one_norm",
        head_scale=shape.width**-0.5,
    )


def _init(spec: DecoderSpec) -> Init:
    return Init(matrix=None, residual=None, embed=1.0)  # section 5; a table this large is why the logits are scaled down


def _spec_from_hf(config: HfConfig) -> DecoderSpec:
    spec = _spec(config.shape(_NAMES))
    config.only("rope_pairs", "neighbours", "halves")
    return replace(
        spec,
        norm=replace(spec.norm, eps=config.real("layer_norm_eps", 1e-5)),
        position=replace(config.rotary(spec.attention.head_dim), pairs=config.values.get("rope_pairs") or "neighbours"),
        mlp=replace(spec.each_mlp, activation=config.activation("hidden_act", "silu")),
        head_scale=config.real("logit_scale", spec.head_scale),
        tied=config.flag("tie_word_embeddings", True),
    )


def _hf_from_spec(spec: DecoderSpec) -> dict[str, Any]:
    return {
        **hf_shape(spec, _NAMES),
        **hf_rotary(spec.position),
        "rope_pairs": spec.position.pairs if isinstance(spec.position, Rotary) else None,
        "hidden_act": hf_activation(spec),
        "layer_norm_eps": spec.norm.eps,
        "logit_scale": spec.head_scale,
        "tie_word_embeddings": spec.tied,
    }


FAMILY = Family(
    name="palm",
    title="PaLM (2022)",
    model_type="palm",
    architecture="GenusForCausalLM",
    sizes={
        name: _spec(Shape(vocab=256000, context=2048, width=width, depth=depth, heads=heads, head_dim=256))
        for name, (width, depth, heads) in _SIZES.items()
    },
    spec=_spec,
    init=_init,
    spec_from_hf=_spec_from_hf,
    hf_from_spec=_hf_from_spec,
    rules=OWN_NAMES,
)
