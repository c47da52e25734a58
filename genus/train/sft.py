"""Supervised fine-tuning: conversations, of which the answers are learned (InstructGPT, arXiv 2203.02155, section 3.5)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from genus.core.errors import GenusError
from genus.core.progress import progress, say
from genus.data.chats import Chat, read_chats
from genus.data.encoding import encode_chat
from genus.data.examples import Example, Shuffled, pack, stack
from genus.models.rows import new_rows
from genus.tokenizers.template import give_template, read_template, template_warning
from genus.tokenizers.tokenizer import Tokenizer
from genus.train.card import tuned_card
from genus.train.losses import next_token
from genus.train.machine import pick_device
from genus.train.sft_recipe import Sft
from genus.train.tune_recipe import Tuning
from genus.train.tuning import Opened, Tuned, fingerprint, open_start, to_torch, tune, write_language_model

__all__ = ["Encoded", "Sampler", "encode_all", "prepared", "read_split", "rows_of", "sft"]

_WHAT = "Fine-tuned on conversations, by the answers alone. It answers as those do, right or wrong."

_MANY = 2000  # conversations whose encoding takes seconds

Sampler = Callable[[Opened, Chat], str]  # an answer of the model to a chat's prompt


class Encoded(NamedTuple):
    """Examples that fit, and what became of the others."""

    examples: list[Example]
    chats: list[Chat]  # of each example
    cut: int
    skipped: int

    @property
    def tokens(self) -> int:
        """Of all examples."""
        return sum(len(example.tokens) for example in self.examples)

    @property
    def learned(self) -> int:
        """Tokens that are learned."""
        return sum(int(example.learned.sum()) for example in self.examples)


def sft(recipe: Sft, sampler: Sampler | None = None, restart: bool = False) -> Path:
    """Tune to the end, from wherever an earlier start stopped; give the model's folder.

    Raises GenusError before any work for what does not fit; Stopped when asked to stop.
    """
    train_chats, held_out_chats = read_split(recipe)
    opened, tables = prepared(recipe, train_chats + held_out_chats, recipe.template)
    limit = _limit(recipe, opened)
    train = encode_all(opened.tokenizer, train_chats, limit, recipe.too_long)
    held_out = encode_all(opened.tokenizer, held_out_chats, limit, "cut")
    facts = _facts(train, held_out)
    _tell(train, held_out, limit)
    device = pick_device()

    def write(folder: Path) -> None:
        notes = {**facts["data"], "chat template, SHA-256": opened.tokenizer.template_sha256 or "none"}
        write_language_model(folder, opened, tuned_card(recipe, opened, _WHAT, notes))

    tuned = Tuned(
        model=opened.network,
        source=Shuffled(train.examples, recipe.seed),
        prepare=lambda examples: to_torch(stack(rows_of(examples, recipe.packing)), device),
        loss=lambda tokens: next_token(opened.network, tokens),
        validate=lambda: _held_out_loss(opened, held_out.examples, recipe.micro_batch, device),
        write=write,
        sample=None if sampler is None else lambda: sampler(opened, (held_out.chats or train.chats)[0]),
        family=opened.family,
        facts={**facts, "model_sha256": opened.digest},
        tables=tables,
    )
    return tune(recipe, tuned, restart)


def prepared(
    recipe: Tuning, chats: Sequence[Chat], template: Path | None = None
) -> tuple[Opened, dict[torch.nn.Parameter, range]]:
    """The model to start from with the chat template that it will have, and its tables with rows that are new.

    Where all prompts are texts, and no template is named, the model stays as it is.
    """
    opened = open_start(recipe.model, recipe.dropout)
    if template is None and all(isinstance(chat.prompt, str) for chat in chats):
        return opened, {}
    if template is None and (warning := template_warning(recipe.model, opened.tokenizer)):
        say(warning)
    tokenizer = give_template(opened.tokenizer, None if template is None else read_template(template))
    fresh = range(opened.tokenizer.vocab, tokenizer.vocab)
    tables = new_rows(opened.network, fresh, recipe.seed)
    return opened._replace(tokenizer=tokenizer), dict.fromkeys(tables, fresh)


def read_split(recipe: Sft, read: list[Chat] | None = None) -> tuple[list[Chat], list[Chat]]:
    """Conversations to train on and those held out, whole prompts either way. Raises GenusError naming the file's place.

    Those to train on may have been `read` before.
    """
    train = [chat for path in recipe.train for chat in read_chats(path, recipe.wrong)] if read is None else read
    if recipe.held_out:
        return train, [chat for path in recipe.held_out for chat in read_chats(path, recipe.wrong)]
    aside = [_draw(chat, recipe.seed) < recipe.held_out_share for chat in train]
    kept = [chat for chat, out in zip(train, aside, strict=True) if not out]
    return kept, [chat for chat, out in zip(train, aside, strict=True) if out]


def _draw(chat: Chat, seed: int) -> float:
    """From 0 to below 1, the same for the same prompt."""
    return int.from_bytes(sha256(f"{seed}{chat.prompt!r}".encode()).digest()[:6], "big") / 2**48


def encode_all(
    tokenizer: Tokenizer, chats: Sequence[Chat], limit: int, too_long: Literal["refuse", "cut", "skip"]
) -> Encoded:
    """Examples of at most `limit` tokens. Raises GenusError naming the first that is longer, where they are refused."""
    found = Encoded([], [], 0, 0)
    cut = skipped = 0
    for chat, whole in _each(tokenizer, chats):
        example = Example(whole.tokens[:limit], whole.learned[:limit])
        if (length := len(whole.tokens)) > limit:
            if too_long == "refuse":
                raise GenusError(
                    f"{chat.place}: {length:,} tokens are more than the {limit:,} that fit; shorten it, "
                    "or let too_long cut or skip such examples"
                )
            if too_long == "skip" or not example.learned.any():
                skipped += 1
                continue
            cut += 1
        found.examples.append(example)
        found.chats.append(chat)
    return found._replace(cut=cut, skipped=skipped)


def _each(tokenizer: Tokenizer, chats: Sequence[Chat]) -> Iterator[tuple[Chat, Example]]:
    """Chats and their tokens, with a bar where there are many."""
    with progress("reading", len(chats)) if len(chats) > _MANY else nullcontext(lambda *_: None) as update:
        for number, chat in enumerate(chats, 1):
            update(number, "")
            yield chat, encode_chat(tokenizer, chat)


def rows_of(examples: Sequence[Example], packing: bool) -> list[list[Example]]:
    """Examples by rows: one each, or packed into fewer that are no longer than the longest example."""
    if not packing:
        return [[example] for example in examples]
    lengths = [len(example.tokens) for example in examples]
    places = pack(lengths, max(lengths))
    return [[examples[place] for place in row] for row in places]


def _limit(recipe: Sft, opened: Opened) -> int:
    if recipe.max_tokens > opened.context:
        raise GenusError(
            f"max_tokens = {recipe.max_tokens:,} is more than the model's context of {opened.context:,}; lower it"
        )
    return recipe.max_tokens or opened.context


def _facts(train: Encoded, held_out: Encoded) -> dict[str, Any]:
    """What a run is made of."""
    data = {
        "examples": len(train.examples),
        "tokens": train.tokens,
        "learned tokens": train.learned,
        "cut": train.cut,
        "left out as too long": train.skipped,
        "held-out examples": len(held_out.examples),
    }
    parts = (part for examples in (train.examples, held_out.examples) for example in examples for part in example)
    return {"data": data, "data_sha256": fingerprint(parts)}


def _tell(train: Encoded, held_out: Encoded, limit: int) -> None:
    """The numbers of the data, before any training."""
    count, tokens = len(train.examples), train.tokens
    if not count:
        return
    say(
        f"{count:,} examples, {tokens:,} tokens, {train.learned:,} of them learned ({train.learned / tokens:.0%}), "
        f"the longest {max(len(example.tokens) for example in train.examples):,} of {limit:,}; "
        f"{train.cut:,} cut ({train.cut / count:.1%}), {train.skipped:,} left out as too long; "
        f"{len(held_out.examples):,} examples held out"
    )


@torch.no_grad()
def _held_out_loss(opened: Opened, examples: Sequence[Example], size: int, device: torch.device) -> dict[str, float]:
    """Mean loss over all learned tokens, in nats."""
    total, weight = 0.0, 0
    for first in range(0, len(examples), size):
        scored = next_token(opened.network, to_torch(stack(rows_of(examples[first : first + size], True)), device))
        total, weight = total + float(scored.total), weight + scored.weight
    return {"validation_loss": total / weight} if weight else {}
