"""F22 and the rest of tools: what is a call, what only looks like one, and that reading it takes no longer than the text."""

import json
import time

import pytest

from genus.serve.errors import ApiError
from genus.serve.schema import ChatBody
from genus.serve.tools import CallReader, tools_of

TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
CALL = '<tool_call>{"name": "find", "arguments": {"a": "\u00e9</b>"}}</tool_call>'


def asked(**more) -> ChatBody:
    return ChatBody.model_validate({"messages": [], "tools": [TOOL], **more})


def read(text: str, size: int, **more) -> tuple[str, list[tuple[str, str]]]:
    """The text and the calls of an answer that comes in pieces of a size."""
    reader, said, calls = CallReader(tools_of(asked(**more))), "", []
    for start in range(0, len(text), size):
        some, found = reader.add(text[start : start + size], start + size >= len(text))
        said, calls = said + some, calls + found
    return said, [(call.name, call.arguments) for call in calls]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_calls_in_a_text_however_it_comes(size):
    text = f"Let me see. {CALL} and {CALL}!"
    assert read(text, size) == ("Let me see.  and !", [("find", '{"a": "\u00e9</b>"}')] * 2)


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>",
        "<tool_call>{</tool_call>",
        "<tool_call></tool_call>",
        "<tool_cal",
        "a < b",
        "</tool_call>" * 3,
        "<tool_call>3</tool_call>",
        '<tool_call>{"name": "other", "arguments": {}}</tool_call>',
        '<tool_call>{"name": ["find"], "arguments": {}}</tool_call>',
        '<tool_call>{"name": "find", "arguments": "{}"}</tool_call>',
        '<tool_call>__import__("os")</tool_call>',
        '{"name": "find"}',
        '<tool_call>{"name": "find", "arguments": {}',
        "<tool_call>" + "[" * 5000 + "</tool_call>",
        "<tool_call>NaN</tool_call>",
    ],
)
def test_f22_what_only_looks_like_a_call_is_text(text, size):
    assert read(text, size) == (text, [])


@pytest.mark.parametrize("text", ["<tool_call>" * 20_000, "<" * 200_000, "<tool_call>{" + "<tool_call" * 20_000])
def test_f22_reading_takes_no_longer_than_the_text(text):
    def seconds(part: str) -> float:
        began = time.perf_counter()
        assert read(part, 50)[0] == part
        return time.perf_counter() - began

    seconds(text[:1000])
    half, whole = seconds(text[: len(text) // 4]), seconds(text)
    assert whole < 40 * half + 0.5  # four times the text: 16 and more would be a square


def test_a_call_that_was_forced_and_cut_off_is_text():
    forced = {"tool_choice": {"type": "function", "function": {"name": "find"}}}
    assert read('{"name": "find", "argu', 3, **forced) == ('{"name": "find", "argu', [])
    assert read('{"name": "find", "arguments": {"a": 1}}', 3, **forced) == ("", [("find", '{"a": 1}')])


@pytest.mark.parametrize("more", [
    {"tools": [{"type": "wave"}]}, {"tools": [{"type": "function", "function": {"name": "a b"}}]}, {"tool_choice": "always"},
    {"tools": [{"type": "function", "function": {"name": "a", "parameters": 3}}]}, {"tool_choice": {"type": "function"}},
    {"tools": [TOOL] * 129}, {"tools": [], "tool_choice": "required"},
    {"tool_choice": {"type": "function", "function": {"name": "other"}}},
])  # fmt: skip
def test_tools_of_no_form(more):
    with pytest.raises(ApiError) as refused:
        tools_of(asked(**more))
    assert refused.value.status == 400 and refused.value.param


def test_templates_that_know_no_tools_are_told_in_words():
    tools = tools_of(asked())
    call = {"id": "x", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "content": "found"}]  # fmt: skip
    told = tools.explain(messages)
    assert [each["role"] for each in told] == ["system", "user", "assistant", "user"]
    assert json.dumps(TOOL["function"]) in told[0]["content"] and "found" in told[3]["content"]
    assert '"name": "find"' in told[2]["content"]
