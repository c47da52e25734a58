"""A model in a user's hands: load, logits, generate, score, save."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from genus.core.errors import GenusError
from genus.core.files import new_folder
from genus.engine.generate import check_tokens, generate_tokens, token_log_probs
from genus.engine.grammar import Grammars
from genus.engine.sampling import Sampling
from genus.engine.stops import StopText
from genus.models.attend import FastAttend
from genus.models.family import Family
from genus.models.heads import LanguageModel
from genus.models.spec import DecoderSpec
from genus.models.weights import load_model, save_model
from genus.tokenizers.formats import find_tokenizer
from genus.tokenizers.tokenizer import StreamDecoder, Tokenizer

__all__ = ["Model", "load"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def load(folder: str | Path, weights: Literal["fp32", "bf16"] = "fp32") -> "Model":
    """Open a Hugging Face model folder, or a run folder that holds one. Raises GenusError naming what is wrong."""
    path = Path(folder)
    if weights not in _DTYPES:
        raise GenusError(f"weights = {weights!r} is not a format; choose one of {', '.join(_DTYPES)}")
    if not (path / "config.json").is_file() and (path / "model" / "config.json").is_file():
        path = path / "model"
    if path.is_file():
        raise GenusError(f"{path} is a file; name the model folder that holds config.json and model.safetensors")
    network, family = load_model(path, _DTYPES[weights])
    tokenizer = Tokenizer.load(path) if find_tokenizer(path) else None
    if tokenizer is not None:
        tokenizer.check_rows(network.spec.vocab, str(path))
    return Model(network, family, tokenizer)


class Model:
    """A language model with its family and, where the folder has one, its tokenizer."""

    def __init__(self, network: LanguageModel, family: Family, tokenizer: Tokenizer | None = None) -> None:
        self.network, self.family, self._tokenizer = network.eval(), family, tokenizer

    @property
    def spec(self) -> DecoderSpec:
        """What the network is."""
        return self.network.spec

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer. Raises GenusError when the folder had none."""
        if self._tokenizer is None:
            raise GenusError("this model has no tokenizer.json; put one into its folder, or use token ids")
        return self._tokenizer

    @torch.inference_mode()
    def logits(self, ids: Tensor) -> Tensor:
        """ids (batch, time) -> logits (batch, time, vocab), fp32."""
        if ids.dim() != 2 or ids.shape[1] > self.spec.context:
            raise GenusError(f"ids must be (batch, time) with time up to {self.spec.context}, not {list(ids.shape)}")
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        return self.network(ids, positions, FastAttend(self.spec)).float()

    def generate(
        self,
        prompt: str | Sequence[int],
        max_tokens: int | None = None,
        *,
        ignore_eos: bool = False,
        return_tokens: bool = False,
        **sampling: Any,
    ) -> str | list[int]:
        """What follows `prompt`, up to the end of text or `max_tokens` (default: the rest of the context).

        `sampling` are the fields of engine.sampling.Sampling. With token ids in and `return_tokens`, no tokenizer is needed.
        """
        ids = self.prompt_ids(prompt) if isinstance(prompt, str) else list(prompt)
        how = Sampling(**sampling)
        if return_tokens and how.stop:
            raise GenusError("stop ends a text and return_tokens asks for none; leave one of them out")
        tokens = self._tokens(ids, max_tokens, how, ignore_eos)
        return list(tokens) if return_tokens else "".join(self._text(tokens, how.stop))

    def stream(self, prompt: str, max_tokens: int | None = None, sampling: Sampling | None = None) -> Iterator[str]:
        """`generate` as pieces of text, as they come. Raises GenusError at once when the prompt does not fit."""
        how = sampling or Sampling()
        return self._text(self._tokens(self.prompt_ids(prompt), max_tokens, how, False), how.stop)

    def _tokens(self, ids: list[int], max_tokens: int | None, sampling: Sampling, ignore_eos: bool) -> Iterator[int]:
        room = max(1, self.spec.context - len(ids))
        grammar = None if sampling.grammar is None else self._grammars.start(sampling.grammar)
        tokens = generate_tokens(self.network, ids, room if max_tokens is None else max_tokens, sampling, grammar)
        end = None if ignore_eos or self._tokenizer is None else self._tokenizer.end_of_text
        return itertools.takewhile(lambda token: token != end, tokens)

    @cached_property
    def _grammars(self) -> Grammars:
        return Grammars(self.tokenizer, self.spec.vocab)

    def _text(self, tokens: Iterator[int], stop: Sequence[str]) -> Iterator[str]:
        decoder, shown = StreamDecoder(self.tokenizer), StopText(stop)
        for token in tokens:
            yield shown.add(decoder.add(token))
            if shown.met is not None:
                return
        yield shown.add(decoder.flush()) + shown.flush()

    def chat(self, messages: Sequence[Mapping[str, Any]], max_tokens: int | None = None, **sampling: Any) -> str:
        """The answer to a chat, whose messages have a "role" and a "content": see Tokenizer.encode_chat, and `generate`."""
        return "".join(self.stream_chat(messages, max_tokens, Sampling(**sampling)))

    def stream_chat(
        self, messages: Sequence[Mapping[str, Any]], max_tokens: int | None = None, sampling: Sampling | None = None
    ) -> Iterator[str]:
        """`chat` as pieces of text, as they come; it stops where the model ends its turn."""
        ids = self.tokenizer.encode_chat(messages)
        ends = self.tokenizer.turn_ends
        how = sampling or Sampling()
        tokens = self._tokens(ids, max_tokens, how, ignore_eos=True)
        return self._text(itertools.takewhile(lambda token: token not in ends, tokens), how.stop)

    def prompt_ids(self, prompt: str) -> list[int]:
        """Token ids of a prompt, after what its tokenizer starts texts with; the empty prompt is the start of a document."""
        ids = [*self.tokenizer.start, *self.tokenizer.encode(prompt)]
        if not ids and self.tokenizer.end_of_text is not None:
            return [self.tokenizer.end_of_text]
        check_tokens(self.network, ids)
        return ids

    def score(self, prompt: str, continuation: str) -> list[float]:
        """log p of each token of `continuation` after `prompt`, in nats.

        The two are encoded as one text; a token that spans the border counts to the continuation.
        """
        start = self.prompt_ids("") if self.tokenizer.start or self.tokenizer.end_of_text is not None else []
        whole = start + self.tokenizer.encode(prompt + continuation)
        shared = _common(whole, start + self.tokenizer.encode(prompt))
        check_tokens(self.network, whole)
        log_probs: list[float] = self.score_tokens([whole])[0].tolist()
        return log_probs[max(shared, 1) - 1 :]

    def score_tokens(self, texts: Sequence[Sequence[int]]) -> list[Tensor]:
        """See engine.generate.token_log_probs."""
        return token_log_probs(self.network, texts)

    def save(self, folder: str | Path) -> None:
        """Write a Hugging Face folder, whole or not at all."""
        with new_folder(Path(folder)) as partial:
            end = self._tokenizer.end_of_text if self._tokenizer is not None else None
            save_model(partial, self.network, self.family, end)
            if self._tokenizer is not None:
                self._tokenizer.save(partial)


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """How many ids two sequences share at the start."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))
