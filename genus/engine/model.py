"""A model in a user's hands: load, logits, generate, score, save."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genus.core.errors import GenusError
from genus.core.files import new_folder
from genus.engine.embed import Pooling, embed
from genus.engine.engine import Engine, check_tokens
from genus.engine.packed import BYTES, Format, PackedModel
from genus.engine.paged import PagedReader
from genus.engine.quality import Quality, measure
from genus.engine.request import Event, Request
from genus.engine.sampling import Sampling
from genus.engine.score import token_log_probs
from genus.models.attend import FastAttend
from genus.models.family import Family
from genus.models.heads import LanguageModel
from genus.models.spec import DecoderSpec
from genus.models.weights import load_model, save_model
from genus.tokenizers.formats import find_tokenizer
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["Model", "load"]

_ROOM = 8  # contexts that the cache of a model's own engine holds; memory is taken as it is used


def load(folder: str | Path, weights: Format = "fp32") -> "Model":
    """Open a Hugging Face model folder, or a run folder that holds one. Raises GenusError naming what is wrong.

    `weights` is the format in which matrices are read: "bf16", "int8" and "int4" generate faster and round (see
    engine.packed; `genus generate --weights int8` prints what it costs). Arithmetic is fp32 all the same.
    """
    path = Path(folder)
    if weights not in BYTES:
        raise GenusError(f"weights = {weights!r} is not a format; choose one of {', '.join(BYTES)}")
    if not (path / "config.json").is_file() and (path / "model" / "config.json").is_file():
        path = path / "model"
    if path.is_file():
        raise GenusError(f"{path} is a file; name the model folder that holds config.json and model.safetensors")
    network, family = load_model(path, torch.float32)
    tokenizer = Tokenizer.load(path) if find_tokenizer(path) else None
    if tokenizer is not None:
        tokenizer.check_rows(network.spec.vocab, str(path))
    return Model(network, family, tokenizer, weights)


class Model:
    """A language model with its family and, where the folder has one, its tokenizer.

    `network` is in full precision; everything that is read goes through its matrices in the format of `weights`.
    """

    def __init__(
        self, network: LanguageModel, family: Family, tokenizer: Tokenizer | None = None, weights: Format | None = None
    ) -> None:
        self.network, self.family, self._tokenizer, self.weights = network.eval(), family, tokenizer, weights

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

    @cached_property
    def engine(self) -> Engine:
        """The engine that `generate`, `stream`, `chat` and `score` share. Many requests at once: its `add`, `step`.

        It has the weights as they are when it is first asked for.
        """
        return Engine(self)

    def open_reader(self, tokens: int | None = None) -> tuple[PagedReader, Tokenizer | None]:
        """The network over a cache of its own, for an engine; and the tokenizer, if there is one."""
        return PagedReader(self.network, tokens or _ROOM * self.spec.context, form=self.weights), self._tokenizer

    @property
    def read(self) -> LanguageModel | PackedModel:
        """The network with its matrices in the format that was asked for: what everything is read through."""
        rounded = self.weights not in (None, "fp32")
        return self.engine.reader.network if rounded else self.network  # type: ignore[attr-defined]

    def quality(self, ids: Sequence[int], window: int | None = None) -> Quality:
        """What the weights' format costs on a text: see engine.quality.measure."""
        check_tokens(ids, self.spec.vocab)
        read = self.read
        return measure(self.network, read if isinstance(read, PackedModel) else PackedModel(self.network), ids, window)

    @torch.inference_mode()
    def logits(self, ids: Tensor) -> Tensor:
        """ids (batch, time) -> logits (batch, time, vocab), fp32."""
        if ids.dim() != 2 or ids.shape[1] > self.spec.context:
            raise GenusError(f"ids must be (batch, time) with time up to {self.spec.context}, not {list(ids.shape)}")
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        return self.read(ids, positions, FastAttend(self.spec)).float()

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
        if not return_tokens:
            _ = self.tokenizer  # which there must be
        events = list(self._events(ids, max_tokens, Sampling(**sampling), () if ignore_eos else self._end))
        return [token for event in events for token in event.tokens] if return_tokens else _text(events)

    def stream(self, prompt: str, max_tokens: int | None = None, sampling: Sampling | None = None) -> Iterator[str]:
        """`generate` as pieces of text, as they come. Raises GenusError at once when the prompt does not fit."""
        events = self._events(self.prompt_ids(prompt), max_tokens, sampling or Sampling(), self._end)
        return (event.text for event in events)

    @property
    def _end(self) -> tuple[int, ...]:
        """The token that ends a text, if there is one."""
        end = None if self._tokenizer is None else self._tokenizer.end_of_text
        return () if end is None else (end,)

    def _events(self, ids: list[int], max_tokens: int | None, sampling: Sampling, ends: Iterable[int]) -> Iterator[Event]:
        check_tokens(ids, self.spec.vocab)
        room = max(1, self.spec.context - len(ids))
        most = room if max_tokens is None else max_tokens
        request = Request(prompt=tuple(ids), max_tokens=most, sampling=sampling, ends=frozenset(ends))
        self.engine.check(request)
        return _sound(self.engine.stream(request))

    def chat(self, messages: Sequence[Mapping[str, Any]], max_tokens: int | None = None, **sampling: Any) -> str:
        """The answer to a chat, whose messages have a "role" and a "content": see Tokenizer.encode_chat, and `generate`."""
        return "".join(self.stream_chat(messages, max_tokens, Sampling(**sampling)))

    def stream_chat(
        self, messages: Sequence[Mapping[str, Any]], max_tokens: int | None = None, sampling: Sampling | None = None
    ) -> Iterator[str]:
        """`chat` as pieces of text, as they come; it stops where the model ends its turn."""
        ids = self.tokenizer.encode_chat(messages)
        ends = self.tokenizer.turn_ends
        return (event.text for event in self._events(ids, max_tokens, sampling or Sampling(), ends))

    def prompt_ids(self, prompt: str) -> list[int]:
        """Token ids of a prompt, after what its tokenizer starts texts with; the empty prompt is the start of a document."""
        ids = [*self.tokenizer.start, *self.tokenizer.encode(prompt)]
        if not ids and self.tokenizer.end_of_text is not None:
            return [self.tokenizer.end_of_text]
        check_tokens(ids, self.spec.vocab)
        return ids

    def score(self, prompt: str, continuation: str) -> list[float]:
        """log p of each token of `continuation` after `prompt`, in nats.

        The two are encoded as one text; a token that spans the border counts to the continuation.
        """
        start = self.prompt_ids("") if self.tokenizer.start or self.tokenizer.end_of_text is not None else []
        whole = start + self.tokenizer.encode(prompt + continuation)
        shared = _common(whole, start + self.tokenizer.encode(prompt))
        check_tokens(whole, self.spec.vocab)
        log_probs: list[float] = self.score_tokens([whole])[0].tolist()
        return log_probs[max(shared, 1) - 1 :]

    def score_tokens(self, texts: Sequence[Sequence[int]]) -> list[Tensor]:
        """See engine.score.token_log_probs."""
        return token_log_probs(self.engine, texts)

    def embed(self, texts: Sequence[str], pooling: Pooling = "mean") -> Tensor:
        """One vector for each text, (texts, width), fp32: see engine.embed.embed."""
        return embed(self.read, [self.prompt_ids(text) for text in texts], pooling)

    def save(self, folder: str | Path) -> None:
        """Write a Hugging Face folder, whole or not at all."""
        with new_folder(Path(folder)) as partial:
            end = self._tokenizer.end_of_text if self._tokenizer is not None else None
            save_model(partial, self.network, self.family, end)
            if self._tokenizer is not None:
                self._tokenizer.save(partial)


def _sound(events: Iterator[Event]) -> Iterator[Event]:
    """Events as they come; raises GenusError for one that says that the model failed."""
    for event in events:
        if event.error:
            raise GenusError(event.error)
        yield event


def _text(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events)


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """How many ids two sequences share at the start."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))
