"""Examples as a model will read them, token by token, and what is learned of each. How they are shown is the command's."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from genus.core.errors import GenusError
from genus.data.chats import Chat, read_chats
from genus.data.comparisons import Comparison, read_comparisons
from genus.data.encoding import encode_chat
from genus.data.shards import open_shards
from genus.models.weights import read_spec
from genus.tokenizers.template import give_template, read_template
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["Shown", "Subject", "answers_of", "compared", "counts", "inspect_file", "inspect_shards", "pieces", "totals"]


class Shown(NamedTuple):
    """One example: where it stands, its tokens, and of each whether it is learned."""

    place: str
    tokens: list[int]
    learned: list[bool]


class Subject(NamedTuple):
    """What is looked at: all examples, and how many tokens the model sees at once."""

    tokenizer: Tokenizer
    shown: list[Shown]
    context: int
    wrong: Sequence[str] = ()  # about each record that cannot be used


def inspect_file(path: Path, model: Path, template: Path | None = None, limit: int = 0) -> Subject:
    """The conversations or comparisons of a file, for the model in a folder, which gets a template as `genus sft` gives it.

    Of a comparison each answer is an example. Raises GenusError naming the file's place.
    """
    folder = model if (model / "config.json").is_file() else model / "model"
    context = read_spec(folder if folder.is_dir() else model)[0].context
    wrong: list[str] = []
    chats = compared(path, wrong) or read_chats(path, wrong)
    if not chats:
        raise GenusError(wrong[0] if wrong else f"{path} is empty; name another file")
    tokenizer = Tokenizer.load(folder)
    if template is not None or any(not isinstance(chat.prompt, str) for chat in chats):
        tokenizer = give_template(tokenizer, None if template is None else read_template(template))
    shown = []
    for chat in chats:
        example = encode_chat(tokenizer, chat)
        shown.append(Shown(chat.place, example.tokens.tolist(), example.learned.tolist()))
    return Subject(tokenizer, shown, limit or context, wrong)


def compared(path: Path, wrong: list[str]) -> list[Chat]:
    """The answers of a file of comparisons, each as a chat; none where it is a file of other things. `wrong` is Noted."""
    noted: list[str] = []
    comparisons = read_comparisons(path, noted)
    if not comparisons and any("the record has fields" in each for each in noted):
        return []
    wrong += noted
    return answers_of(comparisons)


def answers_of(comparisons: Sequence[Comparison]) -> list[Chat]:
    """Each answer as a chat of its own."""
    return [
        Chat(comparison.prompt, answer, f"{comparison.place}, answer {number}, rank {rank}")
        for comparison in comparisons
        for number, (answer, rank) in enumerate(zip(comparison.answers, comparison.ranks, strict=True), 1)
    ]


def inspect_shards(folder: Path, split: str, row: int, context: int) -> Subject:
    """Row number `row`, from 1, of so many tokens in a split, of which every token but the first is learned."""
    shards = open_shards(folder)
    stream = shards.stream(split)
    start = (row - 1) * context
    if not 0 <= start < len(stream):
        raise GenusError(f"{folder} has no row {row} of {context} tokens; rows go from 1 to {-(-len(stream) // context)}")
    tokens = stream.read(start, min(start + context, len(stream))).tolist()
    shown = Shown(f"{folder}, {split}, row {row}", tokens, [place > 0 for place in range(len(tokens))])
    return Subject(shards.tokenizer(), [shown], context)


def pieces(tokenizer: Tokenizer, shown: Shown) -> list[tuple[str, bool, bool]]:
    """Each token as a text that can be printed, whether it is learned, and whether it is a special one."""
    specials = set(tokenizer.special_names)
    found = []
    for token, learned in zip(shown.tokens, shown.learned, strict=True):
        text = tokenizer.token_bytes(token).decode("utf-8", "backslashreplace")
        special = text in specials and not tokenizer.visible_bytes(token)
        text = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
        found.append((text, learned, special))
    return found


def counts(tokenizer: Tokenizer, shown: Shown) -> str:
    """The tokens of an example, those learned, those that begin a text, and those that end one or a turn."""
    begins = sum(shown.tokens.count(start) for start in set(tokenizer.start))
    ends = sum(token in tokenizer.turn_ends for token in shown.tokens)
    learned_ends = sum(
        token in tokenizer.turn_ends and learned for token, learned in zip(shown.tokens, shown.learned, strict=True)
    )
    return (
        f"{len(shown.tokens):,} tokens, {sum(shown.learned):,} learned; "
        f"{begins} start tokens, {ends} end tokens, {learned_ends} of them learned"
    )


def totals(subject: Subject) -> str:
    """The same of all examples, and how many would be cut."""
    lengths = [len(each.tokens) for each in subject.shown]
    long = sum(length > subject.context for length in lengths)
    learned = sum(sum(each.learned) for each in subject.shown)
    return (
        f"{len(lengths):,} examples, {sum(lengths):,} tokens, {learned:,} learned ({learned / sum(lengths):.0%}), "
        f"the longest {max(lengths):,}; {long:,} ({long / len(lengths):.1%}) longer than {subject.context:,}; "
        f"start tokens {_spread(subject, set(subject.tokenizer.start))}, "
        f"end tokens {_spread(subject, subject.tokenizer.turn_ends)} an example"
        + (f"; {len(subject.wrong):,} records cannot be used, the first: {subject.wrong[0]}" if subject.wrong else "")
    )


def _spread(subject: Subject, tokens: Collection[int]) -> str:
    """How many of these tokens an example has, from the fewest to the most."""
    found = [sum(token in tokens for token in each.tokens) for each in subject.shown]
    return str(min(found)) if min(found) == max(found) else f"{min(found)} to {max(found)}"
