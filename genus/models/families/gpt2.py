"""GPT-2 (OpenAI, 2019). Against GPT-1: the norm moves before each part, a final norm is added, contexts of 1,024 tokens,
a byte-level vocabulary, and the maps that write to the residual stream start smaller the deeper the model is."""

from dataclasses import replace
from typing import Any

from genus.models.family import Family, HfConfig, Names, Shape, hf_activation, hf_shape
from genus.models.initialise import Init
from genus.models.rules import FusedInThirds, Rename, Transpose, renames
from genus.models.spec import DecoderSpec, Learned, Mlp, Norm

_SIZES = {  # width, depth, heads
    "gpt2": (768, 12, 12),
    "gpt2-medium": (1024, 24, 16),
    "gpt2-large": (1280, 36, 20),
    "gpt2-xl": (1600, 48, 25),
}

_NAMES: Names = {
    "vocab": ("vocab_size", 50257),
    "context": ("n_positions", 1024),
    "width": ("n_embd", 768),
    "depth": ("n_layer", 12),
    "heads": ("n_head", 12),
    "hidden": ("n_inner", None),
    "dropout": ("resid_pdrop", 0.1),
}


def _spec(shape: Shape) -> DecoderSpec:
    return shape.spec(
        norm=Norm(), position=Learned(), attention=shape.attention(), mlp=Mlp(hidden=shape.hidden or 4 * shape.width)
    )


def _init(spec: DecoderSpec) -> Init:
    # 2 L additions to the stream, each 1 / sqrt(2 L) as large (section 2.3); 0.01 for positions is in the released code
    return Init(matrix=0.02, residual=0.02 * (2 * spec.depth) ** -0.5, embed=0.02, position=0.01)


def _spec_from_hf(config: HfConfig) -> DecoderSpec:
    config.only("scale_attn_by_inverse_layer_idx", False)
    config.only("add_cross_attention", False)
    spec = _spec(config.shape(_NAMES))
    return replace(
        spec,
        norm=replace(spec.norm, eps=config.real("layer_norm_epsilon", 1e-5)),
        attention=replace(spec.attention, scale=None if config.flag("scale_attn_weights", True) else 1.0),
        mlp=replace(spec.each_mlp, activation=config.activation("activation_function", "gelu_new")),
        tied=config.flag("tie_word_embeddings", True),
    )


def _hf_from_spec(spec: DecoderSpec) -> dict[str, Any]:
    return {
        **hf_shape(spec, _NAMES),
        "activation_function": hf_activation(spec),
        "layer_norm_epsilon": spec.norm.eps,
        "scale_attn_weights": spec.attention.scale is None,
        "tie_word_embeddings": spec.tied,
        "embd_pdrop": spec.dropout,
        "attn_pdrop": spec.dropout,
    }


_THEIRS, _OURS = "transformer.h.{i}", "decoder.blocks.{i}"
_ATTENTION = [f"{_OURS}.attention.{part}" for part in "qkv"]
_TRANSPOSED = {"attn.c_proj": "attention.out", "mlp.c_fc": "mlp.up", "mlp.c_proj": "mlp.down"}

FAMILY = Family(
    name="gpt2",
    title="GPT-2 (2019)",
    model_type="gpt2",
    architecture="GPT2LMHeadModel",
    sizes={
        name: _spec(Shape(vocab=50257, context=1024, width=width, depth=depth, heads=heads))
        for name, (width, depth, heads) in _SIZES.items()
    },
    spec=_spec,
    init=_init,
    spec_from_hf=_spec_from_hf,
    hf_from_spec=_hf_from_spec,
    prefix="transformer.",
    ignored=("transformer.h.{i}.attn.bias", "transformer.h.{i}.attn.masked_bias"),
    rules=(
        Rename("transformer.wte.weight", "decoder.embed.weight"),
        Rename("transformer.wpe.weight", "decoder.position.weight"),
        *renames({f"{_THEIRS}.ln_1": f"{_OURS}.attention_norm", f"{_THEIRS}.ln_2": f"{_OURS}.mlp_norm"}),
        FusedInThirds(f"{_THEIRS}.attn.c_attn.weight", tuple(f"{part}.weight" for part in _ATTENTION)),
        FusedInThirds(f"{_THEIRS}.attn.c_attn.bias", tuple(f"{part}.bias" for part in _ATTENTION)),
        *(Transpose(f"{_THEIRS}.{theirs}.weight", f"{_OURS}.{ours}.weight") for theirs, ours in _TRANSPOSED.items()),
        *(Rename(f"{_THEIRS}.{theirs}.bias", f"{_OURS}.{ours}.bias") for theirs, ours in _TRANSPOSED.items()),
        *renames({"transformer.ln_f": "decoder.norm"}),
        Rename("lm_head.weight", "head.weight"),
    ),
)
