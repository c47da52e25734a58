"""GPT (OpenAI, 2018), the first. A transformer's decoder alone: learned positions, a norm after each part and none at the
end, tanh GELU, one table for reading and saying tokens."""

from dataclasses import replace
from typing import Any

from genus.models.family import Family, HfConfig, Names, Shape, hf_activation, hf_shape
from genus.models.initialise import Init
from genus.models.rules import FusedInThirds, Rename, Transpose, renames
from genus.models.spec import DecoderSpec, Learned, Mlp, Norm

_NAMES: Names = {
    "vocab": ("vocab_size", 40478),
    "context": ("n_positions", 512),
    "width": ("n_embd", 768),
    "depth": ("n_layer", 12),
    "heads": ("n_head", 12),
    "dropout": ("resid_pdrop", 0.1),
}


def _spec(shape: Shape) -> DecoderSpec:
    return shape.spec(
        norm=Norm(),
        position=Learned(),
        attention=shape.attention(),
        mlp=Mlp(hidden=shape.hidden or 4 * shape.width),
        wiring="post",
    )


def _init(spec: DecoderSpec) -> Init:
    return Init(matrix=0.02, residual=0.02, embed=0.02)


def _spec_from_hf(config: HfConfig) -> DecoderSpec:
    spec = _spec(config.shape(_NAMES))
    # in these files "gelu" names the tanh curve
    activation = "gelu_tanh" if config.values.get("afn") == "gelu" else config.activation("afn", "gelu_new")
    return replace(
        spec,
        norm=replace(spec.norm, eps=config.real("layer_norm_epsilon", 1e-5)),
        mlp=replace(spec.each_mlp, activation=activation),
        tied=config.flag("tie_word_embeddings", True),
    )


def _hf_from_spec(spec: DecoderSpec) -> dict[str, Any]:
    return {
        **hf_shape(spec, _NAMES),
        "afn": {"gelu_new": "gelu"}.get(hf_activation(spec), hf_activation(spec)),
        "layer_norm_epsilon": spec.norm.eps,
        "tie_word_embeddings": spec.tied,
        "embd_pdrop": spec.dropout,
        "attn_pdrop": spec.dropout,
    }


_THEIRS, _OURS = "transformer.h.{i}", "decoder.blocks.{i}"
_ATTENTION = [f"{_OURS}.attention.{part}" for part in "qkv"]
_TRANSPOSED = {"attn.c_proj": "attention.out", "mlp.c_fc": "mlp.up", "mlp.c_proj": "mlp.down"}

FAMILY = Family(
    name="gpt1",
    title="GPT (2018)",
    model_type="openai-gpt",
    architecture="OpenAIGPTLMHeadModel",
    sizes={"gpt1": _spec(Shape(vocab=40478, context=512, width=768, depth=12, heads=12))},
    spec=_spec,
    init=_init,
    spec_from_hf=_spec_from_hf,
    hf_from_spec=_hf_from_spec,
    prefix="transformer.",
    ignored=("transformer.h.{i}.attn.bias",),
    rules=(
        Rename("transformer.tokens_embed.weight", "decoder.embed.weight"),
        Rename("transformer.positions_embed.weight", "decoder.position.weight"),
        *renames({f"{_THEIRS}.ln_1": f"{_OURS}.attention_norm", f"{_THEIRS}.ln_2": f"{_OURS}.mlp_norm"}),
        FusedInThirds(f"{_THEIRS}.attn.c_attn.weight", tuple(f"{part}.weight" for part in _ATTENTION)),
        FusedInThirds(f"{_THEIRS}.attn.c_attn.bias", tuple(f"{part}.bias" for part in _ATTENTION)),
        *(Transpose(f"{_THEIRS}.{theirs}.weight", f"{_OURS}.{ours}.weight") for theirs, ours in _TRANSPOSED.items()),
        *(Rename(f"{_THEIRS}.{theirs}.bias", f"{_OURS}.{ours}.bias") for theirs, ours in _TRANSPOSED.items()),
        Rename("lm_head.weight", "head.weight"),
    ),
)
