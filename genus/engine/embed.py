"""One vector for each text, read off the hidden states of a language model, which nobody tuned for search."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from genus.core.errors import GenusError
from genus.engine.engine import check_tokens
from genus.engine.packed import PackedModel
from genus.models.attend import FastAttend
from genus.models.heads import LanguageModel

__all__ = ["Pooling", "embed"]

Pooling = Literal["mean", "last"]
"""The mean over a text's tokens, or what its last token holds, which alone has seen the whole text."""
_TOKENS = 4096  # of a batch


@torch.inference_mode()
def embed(network: LanguageModel | PackedModel, texts: Sequence[Sequence[int]], pooling: Pooling = "mean") -> Tensor:
    """Token ids of texts -> (texts, width), fp32, from the hidden states after the last norm.

    Texts of about equal lengths are read side by side. Raises GenusError for one that is empty or longer than the context.
    """
    if pooling not in get_args(Pooling):
        raise GenusError(f"pooling = {pooling!r} is unknown; choose {' or '.join(get_args(Pooling))}")
    for index, text in enumerate(texts):
        check_tokens(text, network.spec.vocab)
        if len(text) > network.spec.context:
            raise GenusError(f"text {index} has {len(text)} tokens and the context is {network.spec.context}; shorten it")
    found = torch.empty(len(texts), network.spec.width)
    for batch in _batches(texts):
        states = _states(network, [texts[index] for index in batch])
        for index, state in zip(batch, states, strict=True):
            own = state[: len(texts[index])].float()
            found[index] = own.mean(0) if pooling == "mean" else own[-1]
    return found


def _batches(texts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Indices of texts that are read together, the shortest first."""
    batches: list[list[int]] = []
    for index in sorted(range(len(texts)), key=lambda index: len(texts[index])):
        if not batches or (len(batches[-1]) + 1) * len(texts[index]) > _TOKENS:
            batches.append([])
        batches[-1].append(index)
    return batches


def _states(network: LanguageModel | PackedModel, texts: Sequence[Sequence[int]]) -> Tensor:
    """Hidden states (texts, longest, width); nothing that is filled up after a text is seen by it."""
    device, longest = network.decoder.embed.weight.device, max(map(len, texts))
    tokens = torch.tensor([[*text, *[0] * (longest - len(text))] for text in texts], device=device)
    positions = torch.arange(longest, device=device).expand_as(tokens)
    states: Tensor = network.decoder(tokens, positions, FastAttend(network.spec))
    return states.cpu()
