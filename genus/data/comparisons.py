"""What people, or a program, said of answers: which of several is better, and how they would answer themselves.

Reward models and DPO learn from comparisons, fine-tuning from demonstrations. Here they are read from files; people's own
are kept by align/.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genus.data.records import Noted, Record, read_all
from genus.data.turns import Prompt, Turns, answer_at, check_asking, prompt_of, transcript, turns_at, turns_of

__all__ = ["Comparison", "Demonstration", "Prompt", "read_comparisons"]


class Comparison(NamedTuple):
    """Two or more answers to one prompt, as one labeller ranked them: 1 is the best, equal ranks are ties."""

    prompt: Prompt
    answers: tuple[str, ...]
    ranks: tuple[int, ...]
    labeller: str = ""
    place: str = ""  # where it stands


class Demonstration(NamedTuple):
    """An answer that a person wrote."""

    prompt: Prompt
    answer: str
    labeller: str = ""


def read_comparisons(path: Path, wrong: Noted = "refuse") -> list[Comparison]:
    """The comparisons of a .jsonl or .json file. Raises GenusError naming file, line and field: see read_all.

    A record is {"prompt", "answers", "ranks"}; {"chosen", "rejected"} after "prompt", "messages", "conversations" or
    "instruction"; or {"chosen", "rejected"} as two transcripts, or lists of messages, that differ in the last answer alone.
    "labeller" may name who ranked.
    """
    return read_all(path, lambda record: [_comparison(record)], wrong)


def _comparison(record: Record) -> Comparison:
    if "answers" in record.fields:
        answers = _answers(record)
        prompt: Prompt = prompt_of(record)
        return Comparison(prompt, answers, _ranks(record, len(answers)), record.text("labeller", ""), record.place)
    if "chosen" not in record.fields or "rejected" not in record.fields:
        there = ", ".join(record.fields)[:200] or "none"
        known = "prompt, answers and ranks; chosen and rejected, with or without a prompt"
        raise record.wrong("the record", f"has fields {there}; known are: {known}")
    prompt, chosen, rejected = _pair(record)
    if chosen == rejected:
        raise record.wrong("rejected", "is the same as chosen, so neither is better; take the record out")
    return Comparison(prompt, (chosen, rejected), (1, 2), record.text("labeller", ""), record.place)


def _answers(record: Record) -> tuple[str, ...]:
    values = record.fields["answers"]
    if not isinstance(values, list):
        raise record.wrong("answers", f"is {type(values).__name__}, not a list; give two texts or more")
    if len(values) < 2:
        raise record.wrong("answers", f"has {len(values)}, and nothing can be ranked below two; give more, or take it out")
    answers = tuple(record.check_text(f"answers[{index}]", value) for index, value in enumerate(values))
    for index, answer in enumerate(answers):
        if (first := answers.index(answer)) < index:
            raise record.wrong(f"answers[{index}]", f"is the same as answers[{first}]; leave one out")
    return answers


def _ranks(record: Record, count: int) -> tuple[int, ...]:
    values = record.fields.get("ranks")
    if not isinstance(values, list) or not all(type(rank) is int and rank >= 1 for rank in values):
        raise record.wrong("ranks", f"= {values!r:.60} are not whole numbers from 1, the best; correct them")
    if len(values) != count:
        raise record.wrong("ranks", f"has {len(values)} for {count} answers; give one for each")
    return tuple(values)


def _pair(record: Record) -> tuple[Prompt, str, str]:
    """The prompt, the better answer and the worse."""
    turns = turns_of(record) if "prompt" not in record.fields else None
    if turns is not None or "prompt" in record.fields:
        prompt = prompt_of(record) if turns is None else check_asking(record, "the prompt", turns)
        return prompt, answer_at(record, "chosen"), answer_at(record, "rejected")
    (asked, chosen), (other, rejected) = (_cut(record, name, record.fields[name]) for name in ("chosen", "rejected"))
    if asked != other:
        raise record.wrong("rejected", "differs from chosen before the last answer, so that there is no shared prompt")
    return asked, chosen, rejected


def _cut(record: Record, field: str, value: Any) -> tuple[Turns, str]:
    """All turns but the last, and the last, which must be an answer."""
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    turns = turns_at(record, field, value) if is_list else transcript(record, field, record.check_text(field, value))
    if len(turns) < 2 or turns[-1]["role"] != "assistant":
        raise record.wrong(field, "ends with an empty answer, or none; write it, or take the record out")
    return check_asking(record, field, turns[:-1]), turns[-1]["content"]
