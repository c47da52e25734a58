"""gpt-oss (OpenAI, 2025; arXiv 2508.10925). Against LLaMA: a router picks 4 of 32 or 128 experts for each token, every
second layer sees the last 128 tokens only, a learned sink in each softmax, biases in attention, a clamped gate, and turns
stretched to 131,072 tokens (YaRN)."""

from dataclasses import replace
from typing import Any

from genus.models.family import Family, HfConfig, Names, Shape, hf_rotary, hf_shape
from genus.models.initialise import Init
from genus.models.rules import Deinterleave, Rename, Transpose, renames
from genus.models.spec import DecoderSpec, Experts, Mlp, Norm, Rotary, Yarn

_SIZES = {"gpt-oss-20b": (24, 32), "gpt-oss-120b": (36, 128)}  # depth, experts

_NAMES: Names = {
    "vocab": ("vocab_size", 201088),
    "context": ("max_position_embeddings", 131072),
    "width": ("hidden_size", 2880),
    "depth": ("num_hidden_layers", 36),
    "heads": ("num_attention_heads", 64),
    "kv_heads": ("num_key_value_heads", 8),
    "head_dim": ("head_dim", 64),
    "hidden": ("intermediate_size", 2880),
    "window": ("sliding_window", 128),
    "experts": ("num_local_experts", 128),
    "per_token": ("num_experts_per_tok", 4),
    "dropout": ("attention_dropout", 0.0),
}


def _spec(shape: Shape) -> DecoderSpec:
    attention = shape.attention(windows=(shape.window or 128, None), sinks=True)
    each = Mlp(hidden=shape.hidden or shape.width, activation="quick_gelu", gated=True, clamp=7.0, shift=1.0)
    stretch = Yarn(factor=shape.context / 4096) if shape.context > 4096 else None
    return shape.spec(
        norm=Norm(kind="rms", eps=1e-5, bias=False),
        position=Rotary(dim=attention.head_dim, base=150_000.0, stretch=stretch),
        attention=attention,
        mlp=Experts(count=shape.experts or 8, per_token=shape.per_token or 2, each=each, balance=0.001),
        tied=False,
    )


def _published(depth: int, experts: int) -> DecoderSpec:
    sizes = {"width": 2880, "heads": 64, "kv_heads": 8, "head_dim": 64, "per_token": 4}
    return _spec(Shape(vocab=201088, context=131072, depth=depth, experts=experts, **sizes))


def _init(spec: DecoderSpec) -> Init:
    return Init(matrix=0.02, residual=0.02 * (2 * spec.depth) ** -0.5, embed=0.02)  # unpublished; GPT-2's


def _spec_from_hf(config: HfConfig) -> DecoderSpec:
    config.only("swiglu_alpha", 1.702)
    config.only("hidden_act", "silu")  # in name only
    shape = config.shape(_NAMES)
    spec, bias = _spec(shape), config.flag("attention_bias", True)
    meanings = {"sliding_attention": shape.window, "full_attention": None}
    usual = [kind for kind, _ in zip([*meanings] * shape.depth, range(shape.depth), strict=False)]
    windows = config.windows("layer_types", config.values.get("layer_types") or usual, meanings, shape.depth)
    experts = Experts(
        count=shape.experts or 0,
        per_token=shape.per_token or 0,
        each=replace(spec.each_mlp, clamp=config.real("swiglu_limit", 7.0)),
        balance=config.real("router_aux_loss_coef", 0.001),
    )
    return replace(
        spec,
        norm=replace(spec.norm, eps=config.real("rms_norm_eps", 1e-5)),
        position=config.rotary(spec.attention.head_dim, 150_000.0),
        attention=replace(spec.attention, bias=bias, out_bias=bias, windows=windows),
        mlp=experts,
        tied=config.flag("tie_word_embeddings", False),
    )


def _hf_from_spec(spec: DecoderSpec) -> dict[str, Any]:
    kinds = ["full_attention" if spec.attention.window(i) is None else "sliding_attention" for i in range(spec.depth)]
    return {
        **hf_shape(spec, _NAMES),
        **hf_rotary(spec.position),
        "sliding_window": next((window for window in spec.attention.windows if isinstance(window, int)), 128),
        "layer_types": kinds,
        "hidden_act": "silu",
        "swiglu_limit": spec.each_mlp.clamp,
        "rms_norm_eps": spec.norm.eps,
        "attention_bias": spec.attention.bias,
        "router_aux_loss_coef": spec.mlp.balance if isinstance(spec.mlp, Experts) else 0.0,
        "tie_word_embeddings": spec.tied,
    }


_THEIRS, _OURS = "model.layers.{i}", "decoder.blocks.{i}"
_PARTS = {
    "input_layernorm": "attention_norm",
    "self_attn.q_proj": "attention.q",
    "self_attn.k_proj": "attention.k",
    "self_attn.v_proj": "attention.v",
    "self_attn.o_proj": "attention.out",
    "post_attention_layernorm": "mlp_norm",
    "mlp.router": "mlp.router",
}

FAMILY = Family(
    name="gpt_oss",
    title="gpt-oss (2025)",
    model_type="gpt_oss",
    architecture="GptOssForCausalLM",
    sizes={name: _published(depth, experts) for name, (depth, experts) in _SIZES.items()},
    spec=_spec,
    init=_init,
    spec_from_hf=_spec_from_hf,
    hf_from_spec=_hf_from_spec,
    prefix="model.",
    rules=(
        Rename("model.embed_tokens.weight", "decoder.embed.weight"),
        *renames({f"{_THEIRS}.{theirs}": f"{_OURS}.{ours}" for theirs, ours in _PARTS.items()}),
        Rename(f"{_THEIRS}.self_attn.sinks", f"{_OURS}.attention.sinks"),
        *(
            Deinterleave(f"{_THEIRS}.mlp.experts.gate_up_proj{end}", (f"{_OURS}.mlp.gate.{kind}", f"{_OURS}.mlp.up.{kind}"))
            for kind, end in (("weight", ""), ("bias", "_bias"))
        ),
        Transpose(f"{_THEIRS}.mlp.experts.down_proj", f"{_OURS}.mlp.down.weight"),
        Rename(f"{_THEIRS}.mlp.experts.down_proj_bias", f"{_OURS}.mlp.down.bias"),
        Rename("model.norm.weight", "decoder.norm.weight"),
        Rename("lm_head.weight", "head.weight"),
    ),
)
