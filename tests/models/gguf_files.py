"""Tiny random GGUF files, written by the gguf package out of transformers' models, with llama.cpp's own reordering."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as Kind

MERGES = ["t h", "th e", "Ġ the", "i n", "Ġ a", "1 2", "Ġ Ġ"]
PLAIN = sorted({*map(chr, range(0x21, 0x7F)), *map(chr, range(0xA1, 0xAD)), *map(chr, range(0xAE, 0x144))})  # GPT-2's bytes
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *PLAIN, *(merge.replace(" ", "") for merge in MERGES), "<think>"]
TYPES = [3, 3, 3, *[1] * (len(TOKENS) - 4), 4]

LLAMA = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output", "model.layers": "blk",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
GPT2 = {
    "transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm",
    "transformer.h": "blk", "ln_1": "attn_norm", "ln_2": "ffn_norm", "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down",
}  # fmt: skip


def random_llama(tied: bool = True) -> torch.nn.Module:
    """Heads that are not as wide as the model, fewer kv heads, another base of the rotation."""
    config = transformers.LlamaConfig(
        hidden_size=96, intermediate_size=128, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
        head_dim=32, max_position_embeddings=64, vocab_size=len(TOKENS), tie_word_embeddings=tied, rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0},
    )  # fmt: skip
    return _randomised(config)


def random_gpt2() -> torch.nn.Module:
    """Of 1,024 positions: transformers reads no other number of them from GGUF."""
    config = transformers.GPT2Config(n_embd=64, n_layer=2, n_head=4, n_positions=1024, vocab_size=len(TOKENS))
    return _randomised(config)


def _randomised(config: transformers.PretrainedConfig) -> torch.nn.Module:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0, 0.1)
    return model


def write_gguf(path: Path, model: torch.nn.Module, kinds: tuple[Kind, ...] = (Kind.F32,), **metadata: Any) -> None:
    """As llama.cpp's converter writes it; matrices take the `kinds` in turn, vectors stay fp32. `metadata` is added."""
    config = model.config
    writer = gguf.GGUFWriter(path, config.model_type)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    llama = config.model_type == "llama"
    writer.add_feed_forward_length(config.intermediate_size if llama else 4 * config.hidden_size)
    if llama:
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(config.head_dim)
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    else:
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
    _add_tokenizer(writer)
    for key, value in metadata.items():
        writer.add_key_value(key.replace("__", "."), value, gguf.GGUFValueType.get_type(value))
    matrices = 0
    for name, parameter in model.named_parameters():
        array = parameter.detach().numpy()
        for theirs, ours in (LLAMA if llama else GPT2).items():
            name = name.replace(theirs, ours)  # noqa: PLW2901
        if llama and ("attn_q" in name or "attn_k" in name):
            array = permuted(array, config.num_attention_heads if "attn_q" in name else config.num_key_value_heads)
        if not llama and name.split(".")[-2] in ("attn_qkv", "attn_output", "ffn_up", "ffn_down"):
            array = array.T
        kind = kinds[matrices % len(kinds)] if array.ndim == 2 else Kind.F32
        matrices += array.ndim == 2
        writer.add_tensor(name, gguf.quantize(np.ascontiguousarray(array), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def permuted(weights: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's convert_hf_to_gguf.py does to the rows of q and k."""
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def _add_tokenizer(writer: gguf.GGUFWriter) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(TOKENS)
    writer.add_token_types(TYPES)
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{{ messages[0]['content'] }}")
    writer.add_license("apache-2.0")
