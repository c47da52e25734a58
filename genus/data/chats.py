"""Conversations to tune on and prompts to answer, from the usual files. How they become tokens is tokenizers/turns.py's.

The form is told of each record by its fields: {"messages"}; ShareGPT's {"conversations"}; Alpaca's {"instruction", "input",
"output"}; hh-rlhf's {"chosen"} transcripts; {"prompt", "answer" or "completion"}.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from genus.data.records import Noted, Record, read_all
from genus.data.turns import Prompt, Turns, answer_at, check_asking, prompt_of, transcript, turns_of

__all__ = ["Chat", "read_chats", "read_prompts"]


class Chat(NamedTuple):
    """A prompt, its answer, and where both stand. Of turns in the prompt, the assistant's are answers to learn as well."""

    prompt: Prompt
    answer: str
    place: str = ""
    tools: tuple[Any, ...] = ()  # what the assistant may call, as the template takes it


def read_chats(path: Path, wrong: Noted = "refuse") -> list[Chat]:
    """The conversations of a .jsonl or .json file. Raises GenusError naming file, line and field: see read_all."""
    return read_all(path, _chats, wrong)


def read_prompts(path: Path, wrong: Noted = "refuse") -> list[Prompt]:
    """What is asked in a file of conversations, prompts or comparisons: all before the last answer, which may be missing."""
    return read_all(path, lambda record: [prompt for prompt, _ in _asked(record)], wrong)


def _chats(record: Record) -> list[Chat]:
    tools = _tools(record)
    found = []
    for prompt, answer in _asked(record):
        if answer is None:
            raise record.wrong(_home(record), "does not end with an answer; end it with the assistant's turn")
        found.append(Chat(prompt, answer, record.place, tools))
    return found


def _asked(record: Record) -> list[tuple[Prompt, str | None]]:
    """Prompts and their answers, None for one that has none; all records but self-instruct's have one."""
    fields = record.fields
    if isinstance(fields.get("instances"), list) and "instruction" in fields:
        parts = [each if isinstance(each, dict) else {} for each in fields["instances"]]
        each = [Record({**fields, **part, "instances": None}, record.place) for part in parts]
        return [asked for one in each for asked in _asked(one)]
    if "prompt" in fields:
        answer = next((name for name in ("answer", "completion", "chosen") if name in fields), None)
        return [(prompt_of(record), None if answer is None else answer_at(record, answer))]
    turns = turns_of(record)
    if turns is not None and "chosen" in fields:
        return [(check_asking(record, _home(record), turns), answer_at(record, "chosen"))]
    if turns is None:
        turns = _chosen(record)
    answer = turns[-1]["content"] if turns and turns[-1]["role"] == "assistant" else None
    return [(check_asking(record, _home(record), turns if answer is None else turns[:-1]), answer)]


def _chosen(record: Record) -> Turns:
    if isinstance(record.fields.get("chosen"), str):
        return transcript(record, "chosen", record.fields["chosen"])
    known = "messages; conversations; instruction and output; chosen; prompt and answer"
    raise record.wrong("the record", f"has fields {', '.join(record.fields)[:200] or 'none'}; known are: {known}")


def _home(record: Record) -> str:
    """The field that holds the turns."""
    return next(
        (name for name in ("messages", "conversations", "instruction", "text", "chosen") if name in record.fields), "it"
    )


def _tools(record: Record) -> tuple[Any, ...]:
    """A list of mappings; LLaMA-Factory writes it as text."""
    value = record.fields.get("tools") or ()
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise record.wrong("tools", f"is not JSON ({error}); correct it") from error
    if not isinstance(value, list | tuple) or not all(isinstance(each, dict) for each in value):
        raise record.wrong("tools", "is no list of objects; correct it")
    return tuple(value)
