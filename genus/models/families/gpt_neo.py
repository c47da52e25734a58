"""GPT-Neo (EleutherAI, 2021). GPT-3 as far as its paper tells, in the open: every second layer sees the last 256 tokens
only. Two traps: scores are not scaled down (the starting weights are, instead), and q, k and v have no bias.

Its files say Linear where GPT-2's have a transposed Conv1D, under the same names.
"""

from dataclasses import replace
from itertools import chain, islice
from typing import Any

from genus.models.family import Family, HfConfig, Names, Shape, hf_activation, hf_shape
from genus.models.initialise import Init
from genus.models.rules import Rename, renames
from genus.models.spec import DecoderSpec, Learned, Mlp, Norm

_SIZES = {  # width, depth, heads
    "gpt-neo-125m": (768, 12, 12),
    "gpt-neo-1.3b": (2048, 24, 16),
    "gpt-neo-2.7b": (2560, 32, 20),
}

_NAMES: Names = {
    "vocab": ("vocab_size", 50257),
    "context": ("max_position_embeddings", 2048),
    "width": ("hidden_size", 2048),
    "depth": ("num_layers", 24),
    "heads": ("num_heads", 16),
    "hidden": ("intermediate_size", None),
    "window": ("window_size", 256),
    "dropout": ("resid_dropout", 0.0),
}


def _spec(shape: Shape) -> DecoderSpec:
    return shape.spec(
        norm=Norm(),
        position=Learned(),
        attention=shape.attention(scale=1.0, bias=False, windows=(None, shape.window or 256)),
        mlp=Mlp(hidden=shape.hidden or 4 * shape.width),
    )


def _init(spec: DecoderSpec) -> Init:
    return Init(matrix=0.02, residual=0.02 * (2 * spec.depth) ** -0.5, embed=0.02, position=0.01)  # as GPT-2


def _spec_from_hf(config: HfConfig) -> DecoderSpec:
    shape = config.shape(_NAMES)
    spec = _spec(shape)
    meanings = {"global": None, "local": shape.window}
    windows = config.windows("attention_types", _kinds(config, shape.depth), meanings, shape.depth)
    return replace(
        spec,
        norm=replace(spec.norm, eps=config.real("layer_norm_epsilon", 1e-5)),
        attention=replace(spec.attention, windows=windows),
        mlp=replace(spec.each_mlp, activation=config.activation("activation_function", "gelu_new")),
        tied=config.flag("tie_word_embeddings", True),
    )


def _kinds(config: HfConfig, depth: int) -> list[str] | None:
    """[[["global", "local"], 12]], written out for 24 layers; None where it cannot be, or gives more than `depth`."""
    groups = config.values.get("attention_types") or [[["global", "local"], 12]]
    try:
        written = chain.from_iterable(kinds * min(times, depth + 1) for kinds, times in groups)
        return list(islice(written, depth + 1))
    except (TypeError, ValueError):
        return None


def _hf_from_spec(spec: DecoderSpec) -> dict[str, Any]:
    kinds = ["global" if spec.attention.window(layer) is None else "local" for layer in range(spec.depth)]
    return {
        **hf_shape(spec, _NAMES),
        "window_size": next((window for window in spec.attention.windows if window), 256),
        "attention_types": [[kinds, 1]],
        "activation_function": hf_activation(spec),
        "layer_norm_epsilon": spec.norm.eps,
        "tie_word_embeddings": spec.tied,
        "embed_dropout": spec.dropout,
        "attention_dropout": spec.dropout,
    }


_THEIRS, _OURS = "transformer.h.{i}", "decoder.blocks.{i}"
_PARTS = {
    "ln_1": "attention_norm",
    "attn.attention.q_proj": "attention.q",
    "attn.attention.k_proj": "attention.k",
    "attn.attention.v_proj": "attention.v",
    "attn.attention.out_proj": "attention.out",
    "ln_2": "mlp_norm",
    "mlp.c_fc": "mlp.up",
    "mlp.c_proj": "mlp.down",
}

FAMILY = Family(
    name="gpt_neo",
    title="GPT-Neo (2021)",
    model_type="gpt_neo",
    architecture="GPTNeoForCausalLM",
    sizes={
        name: _spec(Shape(vocab=50257, context=2048, width=width, depth=depth, heads=heads))
        for name, (width, depth, heads) in _SIZES.items()
    },
    spec=_spec,
    init=_init,
    spec_from_hf=_spec_from_hf,
    hf_from_spec=_hf_from_spec,
    prefix="transformer.",
    ignored=("transformer.h.{i}.attn.attention.bias", "transformer.h.{i}.attn.attention.masked_bias"),
    rules=(
        Rename("transformer.wte.weight", "decoder.embed.weight"),
        Rename("transformer.wpe.weight", "decoder.position.weight"),
        *renames({f"{_THEIRS}.{theirs}": f"{_OURS}.{ours}" for theirs, ours in _PARTS.items()}),
        *renames({"transformer.ln_f": "decoder.norm"}),
        Rename("lm_head.weight", "head.weight"),
    ),
)
