"""GPT-J (EleutherAI, 2021). Against GPT-2: rotary positions on the first dimensions of each head, attention and MLP side
by side after one norm, no biases in attention, a head of its own with a bias."""

from dataclasses import replace
from typing import Any

from genus.models.family import Family, HfConfig, Names, Shape, hf_activation, hf_shape
from genus.models.initialise import Init
from genus.models.rules import Rename, renames
from genus.models.spec import DecoderSpec, Mlp, Norm, Rotary

_NAMES: Names = {
    "vocab": ("vocab_size", 50400),
    "context": ("n_positions", 2048),
    "width": ("n_embd", 4096),
    "depth": ("n_layer", 28),
    "heads": ("n_head", 16),
    "hidden": ("n_inner", None),
    "dropout": ("resid_pdrop", 0.0),
}


def _spec(shape: Shape) -> DecoderSpec:
    attention = shape.attention(bias=False, out_bias=False)
    return shape.spec(
        norm=Norm(),
        # 64 of 256 in the released model; small heads turn whole
        position=Rotary(dim=min(64, attention.head_dim), pairs="neighbours"),
        attention=attention,
        mlp=Mlp(hidden=shape.hidden or 4 * shape.width),
        wiring="parallel_one_norm",
        tied=False,
        head_bias=True,
    )


def _init(spec: DecoderSpec) -> Init:
    return Init(matrix=None, residual=2 / spec.depth * spec.width**-0.5, embed=spec.vocab**-0.5)


def _spec_from_hf(config: HfConfig) -> DecoderSpec:
    spec = _spec(config.shape(_NAMES))
    return replace(
        spec,
        norm=replace(spec.norm, eps=config.real("layer_norm_epsilon", 1e-5)),
        position=Rotary(dim=config.whole("rotary_dim", 64), pairs="neighbours"),
        mlp=replace(spec.each_mlp, activation=config.activation("activation_function", "gelu_new")),
        tied=config.flag("tie_word_embeddings", False),
    )


def _hf_from_spec(spec: DecoderSpec) -> dict[str, Any]:
    return {
        **hf_shape(spec, _NAMES),
        "rotary_dim": spec.position.dim if isinstance(spec.position, Rotary) else None,
        "activation_function": hf_activation(spec),
        "layer_norm_epsilon": spec.norm.eps,
        "tie_word_embeddings": spec.tied,
        "embd_pdrop": spec.dropout,
        "attn_pdrop": spec.dropout,
    }


_THEIRS, _OURS = "transformer.h.{i}", "decoder.blocks.{i}"
_PARTS = {
    "ln_1": "attention_norm",
    "attn.q_proj": "attention.q",
    "attn.k_proj": "attention.k",
    "attn.v_proj": "attention.v",
    "attn.out_proj": "attention.out",
    "mlp.fc_in": "mlp.up",
    "mlp.fc_out": "mlp.down",
}

FAMILY = Family(
    name="gptj",
    title="GPT-J (2021)",
    model_type="gptj",
    architecture="GPTJForCausalLM",
    sizes={"gptj-6b": _spec(Shape(vocab=50400, context=2048, width=4096, depth=28, heads=16))},
    spec=_spec,
    init=_init,
    spec_from_hf=_spec_from_hf,
    hf_from_spec=_hf_from_spec,
    prefix="transformer.",
    ignored=(
        "transformer.h.{i}.attn.bias",
        "transformer.h.{i}.attn.masked_bias",
        "transformer.h.{i}.attn.embed_positions",
    ),
    rules=(
        Rename("transformer.wte.weight", "decoder.embed.weight"),
        *renames({f"{_THEIRS}.{theirs}": f"{_OURS}.{ours}" for theirs, ours in _PARTS.items()}),
        *renames({"transformer.ln_f": "decoder.norm", "lm_head": "head"}),
    ),
)
