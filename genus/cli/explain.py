"""What each field of a spec means and where its values come from, in a sentence each; `genus compare` reads it aloud.

A field whose values are names has a sentence for each name. A test holds that no field, and no such value, lacks one.
"""

from dataclasses import fields, is_dataclass
from typing import Any

__all__ = ["MEANINGS", "fields_of"]

MEANINGS: dict[str, str | dict[str, str]] = {
    "DecoderSpec.vocab": "Rows of the token table.",
    "DecoderSpec.context": "Tokens that the model sees at once.",
    "DecoderSpec.width": "Size of the residual stream.",
    "DecoderSpec.depth": "Number of blocks.",
    "DecoderSpec.norm": "Keeps the numbers that go into a part at one size.",
    "DecoderSpec.position": {
        "Learned": "A vector for each position, learned and added to the token's (GPT-1); there is none past the context.",
        "Rotary": "Queries and keys turn with their position, so that scores depend on distance (RoPE, arXiv 2104.09864).",
        "Alibi": "Scores fall with distance, by a slope for each head; nothing is learned, and longer texts than those of "
        "training can be read (ALiBi, arXiv 2108.12409).",
    },
    "DecoderSpec.attention": "Each token gathers from those before it.",
    "DecoderSpec.mlp": {
        "Mlp": "One network for every token.",
        "Experts": "Many networks, of which a router picks a few for each token: more parameters for the same arithmetic "
        "(Switch Transformer, arXiv 2101.03961).",
    },
    "DecoderSpec.wiring": {
        "pre": "The norm stands on the branch, so that the residual stream runs unbroken from embedding to head (GPT-2).",
        "post": "The norm stands on the stream, after each addition, and none at the end (the first transformer, arXiv "
        "1706.03762; GPT-1).",
        "parallel": "Attention and MLP read the stream at the same point, each through a norm of its own (GPT-NeoX, arXiv "
        "2204.06745, where it was an accident).",
        "parallel_one_norm": "Attention and MLP read the same norm, so that their first products can be one (GPT-J); PaLM "
        "reports training about 15% faster at large sizes (arXiv 2204.02311).",
    },
    "DecoderSpec.embed_dim": "Columns of the token table where they are fewer than the width; two maps lead in and out "
    "(ALBERT, arXiv 1909.11942; OPT-350m).",
    "DecoderSpec.embed_norm": "A norm on the embedding too, for stability at 176 billion parameters (BLOOM, arXiv "
    "2211.05100).",
    "DecoderSpec.tied": "The head reads the embedding's table, which saves one of two (arXiv 1608.05859).",
    "DecoderSpec.head_bias": "One number a token is added to its logit, however the text goes (GPT-J).",
    "DecoderSpec.head_scale": "Logits are multiplied by it: a tied table that starts with variance 1 would make them too "
    "large (PaLM, arXiv 2204.02311).",
    "DecoderSpec.dropout": "Share of activations set to zero in training, against learning by heart; large texts read once "
    "need none (arXiv 1207.0580).",
    "Norm.kind": {
        "layer": "LayerNorm takes away the mean and divides by the standard deviation (arXiv 1607.06450).",
        "rms": "RMSNorm only divides by the root mean square: less work, comparable quality (arXiv 1910.07467; LLaMA).",
    },
    "Norm.eps": "Added to the variance before its root, so that nothing is divided by zero.",
    "Norm.bias": "A learned vector added after the norm; PaLM left it out, reporting stabler training (arXiv 2204.02311).",
    "Norm.gain": "A learned factor for each number after the norm; Galactica has none (arXiv 2211.09085).",
    "Learned.offset": "Rows of the table before that of position 0; a habit of fairseq's, where they were for padding (OPT, "
    "arXiv 2205.01068).",
    "Rotary.dim": "Dimensions of a head that turn; the rest carry no position (GPT-J turns 64 of 256, GPT-NeoX a quarter).",
    "Rotary.base": "The larger, the slower the slowest pairs turn: once in nearly 2 pi times as many tokens. Longer "
    "contexts take a larger one (LLaMA 3: 500,000).",
    "Rotary.pairs": {
        "neighbours": "Dimensions 2m and 2m+1 turn together (RoPE, arXiv 2104.09864; GPT-J).",
        "halves": "Dimensions m and m + dim/2 turn together (GPT-NeoX; LLaMA as Hugging Face stores it): neighbours, but "
        "for the order of the rows of q and k.",
    },
    "Rotary.stretch": {
        "None": "Turned as trained.",
        "Llama3": "Slow pairs are slowed further and fast ones kept, so that the angles of longer texts are ones known from "
        "training (Llama 3.1).",
        "Yarn": "Slow pairs are slowed further, blended by dimension, and scores grow a little (YaRN, arXiv 2309.00071).",
    },
    "Llama3.factor": "How many times slower.",
    "Llama3.low": "Pairs that go round at most so often in the original context are slowed.",
    "Llama3.high": "Pairs that go round at least so often are kept; those between are blended.",
    "Llama3.original": "The context before the stretch.",
    "Yarn.factor": "How many times slower.",
    "Yarn.slow": "Pairs that go round at most so often in the original context are slowed.",
    "Yarn.fast": "Pairs that go round at least so often are kept; those between are blended.",
    "Yarn.original": "The context before the stretch.",
    "Yarn.truncate": "Whether the blend begins and ends at whole dimensions.",
    "Strided.stride": "Every so many tokens back is seen, and none between (Sparse Transformer, arXiv 1904.10509).",
    "Attention.heads": "Each head has queries of its own.",
    "Attention.kv_heads": "Queries that share keys and values make the cache smaller: one for all (MQA, arXiv 1911.02150; "
    "PaLM) or one for each group (GQA, arXiv 2305.13245; LLaMA 2 70B).",
    "Attention.head_dim": "Size of a head.",
    "Attention.scale": "Scores are multiplied by it; head_dim ** -0.5 keeps them from growing with the head (arXiv "
    "1706.03762). GPT-Neo has 1, and weights that start smaller instead.",
    "Attention.bias": "q, k and v have biases; GPT-Neo and GPT-J left them out, then PaLM and LLaMA.",
    "Attention.out_bias": "The map that leaves attention has a bias; GPT-J, PaLM and LLaMA have none.",
    "Attention.windows": "What the layers see of the past, by turns: a band or a stride costs less time, and a band less "
    "cache (Sparse Transformer, arXiv 1904.10509; GPT-3, GPT-Neo, gpt-oss).",
    "Attention.qk_norm": "The norm also stands on each head's queries and keys, so that scores cannot grow without bound "
    "and larger learning rates are safe (arXiv 2302.05442).",
    "Attention.sinks": "A learned score a head takes its share of the softmax and gives nothing, so that a head can look at "
    "nothing (gpt-oss, arXiv 2508.10925).",
    "Mlp.hidden": "Size of the MLP's middle.",
    "Mlp.activation": {
        "gelu": "x times the normal distribution's Phi(x) (GELU, arXiv 1606.08415).",
        "gelu_tanh": "GELU by a formula with tanh, slightly off the exact curve (GPT-1 to GPT-3, GPT-J, BLOOM).",
        "quick_gelu": "GELU as x * sigmoid(1.702 x) (arXiv 1606.08415).",
        "relu": "Zero below zero: the simplest (OPT, arXiv 2205.01068).",
        "relu_squared": "The square of ReLU: found better than GELU at the same cost (Primer, arXiv 2109.08668).",
        "silu": "x * sigmoid(x), or swish (arXiv 1710.05941).",
    },
    "Mlp.gated": "The activated gate is multiplied into a third map: found better at the same number of parameters (SwiGLU, "
    "arXiv 2002.05202; PaLM, LLaMA).",
    "Mlp.bias": "The maps of the MLP have biases; PaLM, Galactica and LLaMA have none.",
    "Mlp.clamp": "The gate is cut off above it, and the other factor on both sides (gpt-oss, arXiv 2508.10925).",
    "Mlp.shift": "Added to the ungated factor: where that factor is zero, the gate passes alone (gpt-oss).",
    "Experts.count": "Experts in a block.",
    "Experts.per_token": "Experts that a token meets.",
    "Experts.each": "What each expert is.",
    "Experts.router_bias": "The router has a bias: a lasting preference for some experts.",
    "Experts.balance": "Weight of the loss that keeps experts about equally busy; training only (arXiv 2101.03961).",
}


def fields_of(part: Any, prefix: str = "") -> dict[str, tuple[str, Any]]:
    """Every field of a spec and its parts: path -> (key of MEANINGS, value). An expert's MLP stands where a sole one does.

    A part that is one of several kinds has an entry of its own, with the kind's name as value.
    """
    found: dict[str, tuple[str, Any]] = {}
    for field in fields(part):
        key, path, value = f"{type(part).__name__}.{field.name}", prefix + field.name, getattr(part, field.name)
        if not is_dataclass(value):
            found[path] = (key, value)
            continue
        if isinstance(MEANINGS[key], dict):
            found[path] = (key, type(value).__name__)
        found |= fields_of(value, prefix if field.name == "each" else f"{path}.")
    return found
