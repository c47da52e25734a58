"""What GGUF files call things, for the architectures that Genus imports from them: data only, read by from_gguf.py."""

from collections.abc import Mapping
from dataclasses import dataclass

from genus.core.errors import GenusError

__all__ = ["DIGITS_APART", "GgufNames", "architecture_named", "check_tokenizer"]


@dataclass(frozen=True, kw_only=True)
class GgufNames:
    """Of one architecture. `tensors` maps GGUF's names, `{i}` for the layer, to those of the family's files."""

    family: str
    config: Mapping[str, str]  # metadata key, less the architecture's prefix -> key of config.json
    tensors: Mapping[str, str]
    optional: tuple[str, ...] = ()  # keys of `config` that a file may lack
    known: tuple[str, ...] = ()  # metadata that says again what another key or a shape says
    turned: tuple[str, ...] = ()  # rows of each head reordered for rotating neighbours; the family rotates halves
    transposed: tuple[str, ...] = ()


def _with_parts(names: Mapping[str, str], *parts: str) -> dict[str, str]:
    return {f"{theirs}.{part}": f"{ours}.{part}" for theirs, ours in names.items() for part in parts}


_LLAMA = GgufNames(
    family="llama",
    config={
        "context_length": "max_position_embeddings",
        "embedding_length": "hidden_size",
        "block_count": "num_hidden_layers",
        "feed_forward_length": "intermediate_size",
        "attention.head_count": "num_attention_heads",
        "attention.head_count_kv": "num_key_value_heads",
        "attention.key_length": "head_dim",
        "attention.layer_norm_rms_epsilon": "rms_norm_eps",
        "rope.freq_base": "rope_theta",
    },
    optional=("attention.head_count_kv", "attention.key_length", "rope.freq_base"),
    known=("vocab_size", "attention.value_length", "rope.dimension_count", "tensor_data_layout"),
    tensors=_with_parts(
        {
            "token_embd": "model.embed_tokens",
            "output_norm": "model.norm",
            "output": "lm_head",
            "blk.{i}.attn_norm": "model.layers.{i}.input_layernorm",
            "blk.{i}.attn_q": "model.layers.{i}.self_attn.q_proj",
            "blk.{i}.attn_k": "model.layers.{i}.self_attn.k_proj",
            "blk.{i}.attn_v": "model.layers.{i}.self_attn.v_proj",
            "blk.{i}.attn_output": "model.layers.{i}.self_attn.o_proj",
            "blk.{i}.ffn_norm": "model.layers.{i}.post_attention_layernorm",
            "blk.{i}.ffn_gate": "model.layers.{i}.mlp.gate_proj",
            "blk.{i}.ffn_up": "model.layers.{i}.mlp.up_proj",
            "blk.{i}.ffn_down": "model.layers.{i}.mlp.down_proj",
        },
        "weight",
    ),
    turned=("attn_q.weight", "attn_k.weight"),
)

_GPT2 = GgufNames(
    family="gpt2",
    config={
        "context_length": "n_positions",
        "embedding_length": "n_embd",
        "block_count": "n_layer",
        "feed_forward_length": "n_inner",
        "attention.head_count": "n_head",
        "attention.layer_norm_epsilon": "layer_norm_epsilon",
    },
    known=("vocab_size",),
    tensors={
        "token_embd.weight": "transformer.wte.weight",
        "position_embd.weight": "transformer.wpe.weight",
        "output.weight": "lm_head.weight",
        **_with_parts(
            {
                "output_norm": "transformer.ln_f",
                "blk.{i}.attn_norm": "transformer.h.{i}.ln_1",
                "blk.{i}.attn_qkv": "transformer.h.{i}.attn.c_attn",
                "blk.{i}.attn_output": "transformer.h.{i}.attn.c_proj",
                "blk.{i}.ffn_norm": "transformer.h.{i}.ln_2",
                "blk.{i}.ffn_up": "transformer.h.{i}.mlp.c_fc",
                "blk.{i}.ffn_down": "transformer.h.{i}.mlp.c_proj",
            },
            "weight",
            "bias",
        ),
    },
    transposed=("attn_qkv.weight", "attn_output.weight", "ffn_up.weight", "ffn_down.weight"),
)

_ARCHITECTURES = {"llama": _LLAMA, "gpt2": _GPT2}

# How llama.cpp's tokenizer.ggml.pre cuts text before merging: by GPT-2's pattern, or each digit alone and then by it.
_WHOLE_NUMBERS = ("default", "gpt-2", "mpt", "olmo", "jais")
DIGITS_APART = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")


def architecture_named(name: object, where: str) -> GgufNames:
    """The names of a file's general.architecture. Raises GenusError for one that is not read."""
    if str(name) not in _ARCHITECTURES:
        known = " and ".join(_ARCHITECTURES)
        raise GenusError(f"{where} is of architecture {str(name)[:80]!a}; from GGUF Genus reads {known}")
    return _ARCHITECTURES[str(name)]


def check_tokenizer(model: object, pre: object, where: str) -> None:
    """Raises GenusError for a tokenizer that is not byte-level BPE with a pattern that Genus knows."""
    if model != "gpt2" or pre not in (*_WHOLE_NUMBERS, *DIGITS_APART):
        raise GenusError(
            f"{where} has a tokenizer of kind {str(model)[:80]!a}, {str(pre)[:80]!a}; from GGUF Genus reads 'gpt2' with "
            f"{', '.join((*_WHOLE_NUMBERS, *DIGITS_APART))}; import the model's Hugging Face folder instead"
        )
