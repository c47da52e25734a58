"""GPT-NeoX (EleutherAI, 2022; arXiv 2204.06745) and Pythia (2023; arXiv 2304.01373). Against GPT-J: a norm of its own for
each of the two parts side by side, biases everywhere but in the head, halves of the first quarter of a head turn.

The second norm was an accident (GPT-J's one was meant), which the published models keep. Pythia's files name exact GELU
although its training used the tanh curve; the files are what is computed.
"""

from dataclasses import replace
from typing import Any

from genus.models.family import Family, HfConfig, Names, Shape, hf_activation, hf_rotary, hf_shape
from genus.models.initialise import Init
from genus.models.rules import FusedByHead, Rename, renames
from genus.models.spec import DecoderSpec, Mlp, Norm, Rotary

_SIZES = {  # width, depth, heads, rows of the table
    "gpt-neox-20b": (6144, 44, 64, 50432),
    "pythia-14m": (128, 6, 4, 50304),
    "pythia-31m": (256, 6, 8, 50304),
    "pythia-70m": (512, 6, 8, 50304),
    "pythia-160m": (768, 12, 12, 50304),
    "pythia-410m": (1024, 24, 16, 50304),
    "pythia-1b": (2048, 16, 8, 50304),
    "pythia-1.4b": (2048, 24, 16, 50304),
    "pythia-2.8b": (2560, 32, 32, 50304),
    "pythia-6.9b": (4096, 32, 32, 50432),
    "pythia-12b": (5120, 36, 40, 50688),
}

_NAMES: Names = {
    "vocab": ("vocab_size", 50432),
    "context": ("max_position_embeddings", 2048),
    "width": ("hidden_size", 6144),
    "depth": ("num_hidden_layers", 44),
    "heads": ("num_attention_heads", 64),
    "hidden": ("intermediate_size", 24576),
    "dropout": ("hidden_dropout", 0.0),
}


def _spec(shape: Shape) -> DecoderSpec:
    attention = shape.attention()
    return shape.spec(
        norm=Norm(),
        position=Rotary(dim=_turning(attention.head_dim, 0.25)),
        attention=attention,
        mlp=Mlp(hidden=shape.hidden or 4 * shape.width, activation="gelu"),
        wiring="parallel",
        tied=False,
    )


def _published(name: str) -> DecoderSpec:
    width, depth, heads, vocab = _SIZES[name]
    spec = _spec(Shape(vocab=vocab, context=2048, width=width, depth=depth, heads=heads))
    return replace(spec, mlp=replace(spec.each_mlp, activation="gelu_tanh")) if name == "gpt-neox-20b" else spec


def _turning(head_dim: int, share: float) -> int:
    return max(2, int(head_dim * share) // 2 * 2)


def _init(spec: DecoderSpec) -> Init:
    # "small" for what reads the stream, "wang" for what writes to it (section 2.1)
    small = (2 / (5 * spec.width)) ** 0.5
    return Init(matrix=small, residual=2 / (spec.depth * spec.width**0.5), embed=small)


def _spec_from_hf(config: HfConfig) -> DecoderSpec:
    spec, bias = _spec(config.shape(_NAMES)), config.flag("attention_bias", True)
    rope = config.values.get("rope_parameters") or {}
    older = HfConfig({**config.values, "rope_theta": config.values.get("rotary_emb_base")}, config.where)
    share = HfConfig({"rotary_pct": config.values.get("rotary_pct"), **rope}, config.where)
    share_turning = share.real("partial_rotary_factor", share.real("rotary_pct", 0.25))
    return replace(
        spec,
        norm=replace(spec.norm, eps=config.real("layer_norm_eps", 1e-5)),
        position=older.rotary(int(spec.attention.head_dim * share_turning)),
        attention=replace(spec.attention, bias=bias, out_bias=bias),
        mlp=replace(spec.each_mlp, activation=config.activation("hidden_act", "gelu")),
        wiring="parallel" if config.flag("use_parallel_residual", True) else "pre",
        tied=config.flag("tie_word_embeddings", False),
    )


def _hf_from_spec(spec: DecoderSpec) -> dict[str, Any]:
    position = spec.position
    share = position.dim / spec.attention.head_dim if isinstance(position, Rotary) else 0.0
    rope = hf_rotary(position)
    return {
        **hf_shape(spec, _NAMES),
        "rope_parameters": {**rope.get("rope_parameters", {}), "partial_rotary_factor": share},
        "rotary_pct": share,  # read by libraries older than rope_parameters
        "rotary_emb_base": rope.get("rope_theta"),
        "hidden_act": hf_activation(spec),
        "layer_norm_eps": spec.norm.eps,
        "use_parallel_residual": spec.wiring == "parallel",
        "attention_bias": spec.attention.bias,
        "tie_word_embeddings": spec.tied,
        "attention_dropout": spec.dropout,
    }


_THEIRS, _OURS = "gpt_neox.layers.{i}", "decoder.blocks.{i}"
_ATTENTION = [f"{_OURS}.attention.{part}" for part in "qkv"]
_PARTS = {
    "input_layernorm": "attention_norm",
    "attention.dense": "attention.out",
    "post_attention_layernorm": "mlp_norm",
    "mlp.dense_h_to_4h": "mlp.up",
    "mlp.dense_4h_to_h": "mlp.down",
}

FAMILY = Family(
    name="gpt_neox",
    title="GPT-NeoX and Pythia (2022)",
    model_type="gpt_neox",
    architecture="GPTNeoXForCausalLM",
    sizes={name: _published(name) for name in _SIZES},
    spec=_spec,
    init=_init,
    spec_from_hf=_spec_from_hf,
    hf_from_spec=_hf_from_spec,
    prefix="gpt_neox.",
    ignored=tuple(f"{_THEIRS}.attention.{name}" for name in ("bias", "masked_bias", "rotary_emb.inv_freq")),
    aliases={"embed_out.weight": "lm_head.weight"},
    rules=(
        Rename("gpt_neox.embed_in.weight", "decoder.embed.weight"),
        *renames({f"{_THEIRS}.{theirs}": f"{_OURS}.{ours}" for theirs, ours in _PARTS.items()}),
        FusedByHead(f"{_THEIRS}.attention.query_key_value.weight", tuple(f"{part}.weight" for part in _ATTENTION)),
        FusedByHead(f"{_THEIRS}.attention.query_key_value.bias", tuple(f"{part}.bias" for part in _ATTENTION)),
        *renames({"gpt_neox.final_layer_norm": "decoder.norm"}),
        Rename("embed_out.weight", "head.weight"),
    ),
)
