"""The contenders of pretrain.py: a model, and its loss as its own training script computes it. Not the race itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from plain import PlainGpt
from torch import Tensor, nn

from genus.models.families import family_named
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.models.spec import DecoderSpec
from genus.models.weights import config_of, tensors_of
from genus.train.loop import Loss
from genus.train.losses import Tokens, next_token

__all__ = ["LIBRARIES", "Contender", "make"]


@dataclass
class Contender:
    """One library's model and loss."""

    model: nn.Module
    loss: Loss
    notes: str
    exact: bool  # Genus's architecture and its first weights


def make(library: str, spec: DecoderSpec, family: str, compiled: bool) -> Contender:
    """Built with Genus's weights where the architecture is the same. Peers are compiled whole, as they advise."""
    model = LanguageModel(spec)
    initialise(model, family_named(family).init(spec), seed=0)
    if library == "genus":
        decoder = torch.compile(model.decoder) if compiled else None
        return Contender(model, lambda batch: next_token(model, batch, decoder=decoder), "", exact=True)
    contender = LIBRARIES[library](spec, family, dict(tensors_of(model, family_named(family))))
    if compiled:
        contender.loss = torch.compile(contender.loss)
    return contender


def _plain(spec: DecoderSpec, family: str, weights: dict[str, Tensor]) -> Contender:
    """bench/plain.py with Genus's weights; GPT-2 only."""
    if family != "gpt2":
        raise ValueError("plain.py is GPT-2 alone")
    model = PlainGpt(spec.vocab, spec.context, spec.width, spec.depth, spec.attention.heads)
    names = {"wte": "tokens", "wpe": "places", "ln_f": "norm", "h.": "blocks.", "ln_1": "attention_norm", "ln_2": "mlp_norm"}
    names |= {"attn.c_attn": "qkv", "attn.c_proj": "out", "mlp.c_fc": "up", "mlp.c_proj": "down"}
    theirs = {}
    for name, tensor in weights.items():
        turned = tensor.T if tensor.dim() == 2 and ".c_" in name else tensor  # GPT-2's files hold (in, out)
        ours = name.removeprefix("transformer.")
        for old, new in names.items():
            ours = ours.replace(old, new, 1)
        theirs[ours] = turned
    missing, unexpected = model.load_state_dict(theirs, strict=False)
    if unexpected or set(missing) - {"head.weight"}:  # the head is tied to the embedding
        raise ValueError(f"weights do not fit: {missing[:3]} missing, {unexpected[:3]} unexpected")

    def loss(batch: Tokens) -> tuple[Tensor, int]:
        return model(batch.tokens, batch.targets) * batch.targets.numel(), batch.targets.numel()

    return Contender(model, loss, "bench/plain.py: GPT-2 in plain PyTorch", exact=True)


def _transformers(spec: DecoderSpec, family: str, weights: dict[str, Tensor]) -> Contender:
    """The class that opens the family's folders, with Genus's weights, and the loss that it computes itself."""
    import transformers

    transformers.logging.set_verbosity_error()
    config = transformers.AutoConfig.for_model(**config_of(spec, family_named(family), torch.float32))
    for dropout in ("resid_pdrop", "embd_pdrop", "attn_pdrop"):
        setattr(config, dropout, 0.0)
    model = getattr(transformers, family_named(family).architecture)(config)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:  # the head is tied to the embedding
        raise ValueError(f"weights do not fit: {missing[:3]} missing, {unexpected[:3]} unexpected")

    def loss(batch: Tokens) -> tuple[Tensor, int]:
        # use_cache=False as its Trainer sets: a cache would be filled for nothing
        out = model(input_ids=batch.tokens, labels=batch.tokens, shift_labels=batch.targets, use_cache=False)
        return out.loss * batch.targets.numel(), batch.targets.numel()

    return Contender(model, loss, f"attention {config._attn_implementation}", exact=True)


def _litgpt(spec: DecoderSpec, family: str, weights: dict[str, Tensor]) -> Contender:
    """litgpt's GPT: exact for LLaMA, with Genus's weights; for GPT-2, which it lacks, a GPT-NeoX with serial residuals."""
    from litgpt.config import Config
    from litgpt.model import GPT
    from litgpt.utils import chunked_cross_entropy

    model = GPT(Config(**_litgpt_config(spec, family)))
    notes = "its own default is unfused AdamW on a CPU"
    if family == "llama":
        from litgpt.scripts.convert_hf_checkpoint import copy_weights_hf_llama

        theirs: dict[str, Tensor] = {}
        copy_weights_hf_llama(model.config, {}, theirs, weights)
        model.load_state_dict(theirs)
    else:
        torch.manual_seed(0)
        model.apply(model._init_weights)
        notes = "not GPT-2: rotary on a quarter of each head in place of learned positions; " + notes
    model.transformer.wte.weight = model.lm_head.weight  # as its train.tie_embeddings does

    def loss(batch: Tokens) -> tuple[Tensor, int]:
        return chunked_cross_entropy(model(batch.tokens), batch.targets) * batch.targets.numel(), batch.targets.numel()

    return Contender(model, loss, notes, exact=family == "llama")


def _litgpt_config(spec: DecoderSpec, family: str) -> dict[str, Any]:
    llama = family == "llama"
    return {
        "name": f"bench-{family}",
        "block_size": spec.context,
        "n_layer": spec.depth,
        "n_embd": spec.width,
        "n_head": spec.attention.heads,
        "n_query_groups": spec.attention.kv_heads,
        "vocab_size": spec.vocab,
        "padded_vocab_size": spec.vocab,
        "norm_class_name": "RMSNorm" if llama else "LayerNorm",
        "norm_eps": spec.norm.eps,
        "parallel_residual": False,
        "attn_bias": spec.attention.bias,
        "bias": spec.each_mlp.bias,
        "rotary_percentage": 1.0 if llama else 0.25,
        "intermediate_size": spec.each_mlp.hidden,
        "mlp_class_name": "LLaMAMLP" if llama else "GptNeoxMLP",
        "gelu_approximate": "tanh",
    }


LIBRARIES: dict[str, Callable[[DecoderSpec, str, dict[str, Tensor]], Contender]] = {
    "plain": _plain,
    "transformers": _transformers,
    "litgpt": _litgpt,
}
