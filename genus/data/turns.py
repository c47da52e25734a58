"""Turns of conversations as the usual files write them, in one form: mappings with "role" and "content".

Read from a record by its fields: messages, ShareGPT's conversations, Alpaca's instruction, hh-rlhf's transcripts, or a text.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from genus.data.records import Record

__all__ = ["Prompt", "Turns", "answer_at", "check_asking", "prompt_of", "transcript", "turns_at", "turns_of"]

Turns = list[dict[str, str]]
Prompt = str | Sequence[Mapping[str, str]]
"""A text that is gone on with, or the turns of a chat, each with "role" and "content", the last one the user's."""

_ROLES = {
    **{name: name for name in ("assistant", "developer", "system", "tool", "user")},
    **{"human": "user", "gpt": "assistant", "model": "assistant", "chatgpt": "assistant"},
    **{"function_call": "assistant", "observation": "tool", "function": "tool", "ipython": "tool"},
}  # ShareGPT's words, and LLaMA-Factory's
_SPEAKERS = {"Human": "user", "Assistant": "assistant"}  # hh-rlhf's
_SPEAKER = re.compile(r"\n\n(Human|Assistant):")


def turns_of(record: Record) -> Turns | None:
    """The turns of a record, whoever has the last; None where it is of another form. Raises GenusError naming the field."""
    fields = record.fields
    for name in ("messages", "conversations"):
        if name in fields:
            return turns_at(record, name, fields[name])
    if "instruction" in fields:
        return _instructed(record)
    if isinstance(fields.get("text"), str):
        return transcript(record, "text", fields["text"])
    return None


def prompt_of(record: Record) -> Prompt:
    """The field `prompt`: a text, or turns of which the last one asks."""
    value = record.fields.get("prompt")
    if isinstance(value, list):
        return check_asking(record, "prompt", turns_at(record, "prompt", value))
    return record.check_text("prompt", value)


def check_asking(record: Record, field: str, turns: Turns) -> Turns:
    """The same turns, if there is a user's among them and the last is not the assistant's."""
    if not any(turn["role"] == "user" for turn in turns):
        raise record.wrong(field, "has no user's turn before the answer; a chat begins with a user's, or a system's")
    if turns[-1]["role"] in ("assistant", "system", "developer"):
        raise record.wrong(
            field, f"ends with the {turns[-1]['role']}'s turn, so nothing is left to answer; end with a user's"
        )
    return turns


def turns_at(record: Record, field: str, value: Any) -> Turns:
    """A list of messages, {"role", "content"} or {"from", "value"}."""
    if not isinstance(value, list) or not value:
        raise record.wrong(field, "is no list of messages; give [{'role': 'user', 'content': '...'}, ...]")
    turns = [_turn(record, f"{field}[{index}]", each) for index, each in enumerate(value)]
    for index, turn in enumerate(turns[1:], 1):
        if turn["role"] in ("system", "developer") and turns[index - 1]["role"] not in ("system", "developer"):
            raise record.wrong(
                f"{field}[{index}]", f"is the {turn['role']}'s, who speaks only at the beginning; move it there"
            )
    return turns


def answer_at(record: Record, field: str) -> str:
    """An answer that is given as a text, as a message, or as a list of one message."""
    value = record.fields.get(field)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        turn = _turn(record, field, value)
        if turn["role"] != "assistant":
            raise record.wrong(field, f"is the {turn['role']}'s turn; an answer is the assistant's")
        return turn["content"]
    return record.check_text(field, value)


def transcript(record: Record, field: str, text: str) -> Turns:
    """The turns of a text that goes "\\n\\nHuman: ... \\n\\nAssistant: ...". The last may be empty: it is then left out."""
    first, *parts = _SPEAKER.split(text)
    if first.strip() or not parts:
        raise record.wrong(field, 'is no transcript, which begins with "\\n\\nHuman:"; correct it')
    pairs = list(zip(parts[::2], parts[1::2], strict=True))
    if not pairs[-1][1].strip():
        pairs.pop()
    return [_said(record, field, _SPEAKERS[speaker], said) for speaker, said in pairs]


def _said(record: Record, field: str, role: str, said: str) -> dict[str, str]:
    if not said.strip():
        raise record.wrong(field, f"has an empty turn of the {role}; write it, or take the record out")
    return {"role": role, "content": said.strip()}


def _turn(record: Record, field: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        raise record.wrong(field, "is no message; give {'role': 'user', 'content': '...'}")
    role_field, content_field = ("from", "value") if "from" in value else ("role", "content")
    role = value.get(role_field)
    if role not in _ROLES:
        raise record.wrong(f"{field}.{role_field}", f"= {role!r:.40} is none of {', '.join(sorted(_ROLES))}; correct it")
    return {"role": _ROLES[role], "content": record.check_text(f"{field}.{content_field}", value.get(content_field))}


def _instructed(record: Record) -> Turns:
    """Alpaca's fields, and those that LLaMA-Factory adds: system, and history as pairs."""
    turns: Turns = []
    if system := record.text("system", ""):
        turns.append({"role": "system", "content": system})
    for index, pair in enumerate(record.fields.get("history") or []):
        if not isinstance(pair, list) or len(pair) != 2:
            raise record.wrong(f"history[{index}]", "is no pair of a question and an answer; correct it")
        for role, said in zip(("user", "assistant"), pair, strict=True):
            turns.append({"role": role, "content": record.check_text(f"history[{index}]", said)})
    given = record.text("input", "")
    turns.append({"role": "user", "content": record.text("instruction") + (f"\n\n{given}" if given else "")})
    if "output" in record.fields:
        turns.append({"role": "assistant", "content": record.text("output")})
    return turns
