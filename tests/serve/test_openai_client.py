"""The openai package against a running server: what its users do, by its own classes.

The module imports nothing of Genus, so that the same file runs in the environment of openai 2.x (test_other_clients).
"""

import asyncio
import base64
import json
import os
import re
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel, ConfigDict, Field

from tests.serve.running import Running

PROMPT = "the people of these states"
TOOL = {
    "type": "function",
    "function": {
        "name": "find_law",
        "description": "Finds a law.",
        "parameters": {"type": "object", "properties": {"year": {"enum": [17, 18]}}, "required": ["year"]},
    },
}
OTHER = {
    "type": "function",
    "function": {
        "name": "count_people",
        "parameters": {
            "type": "object",
            "properties": {"all": {"type": "boolean"}},
            "required": ["all"],
            "additionalProperties": False,
        },
    },
}
WHICH = [{"role": "user", "content": "which law"}]
PEOPLE = [{"role": "user", "content": "the people"}]


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0, timeout=60) as made:
        yield made


def tokens_of(client: openai.OpenAI, text: str, model: str = "plain") -> list[int]:
    found: Any = client.post("/tokenize", body={"model": model, "prompt": text}, cast_to=object)
    return list(found["tokens"])


def joined(names: list[str]) -> str:
    """The text that tokens of /completions make: those that are no text by themselves are named by their bytes."""
    parts = []
    for name in names:
        coded = re.fullmatch(r"bytes:((\\x[0-9a-f]{2})+)", name)
        parts.append(bytes.fromhex(coded[1].replace("\\x", "")) if coded else name.encode())
    return b"".join(parts).decode("utf-8", "replace")


# Completions


def test_a_completion_and_its_usage(client: openai.OpenAI) -> None:
    said = client.completions.create(model="plain", prompt=PROMPT, max_tokens=12, temperature=0)
    (choice,) = said.choices
    assert (said.object, choice.index, choice.finish_reason, choice.logprobs) == ("text_completion", 0, "length", None)
    assert said.id.startswith("cmpl-") and abs(said.created - time.time()) < 60 and said.model == "plain"
    assert said.system_fingerprint and said.usage
    prompt = len(tokens_of(client, PROMPT))
    assert (said.usage.prompt_tokens, said.usage.completion_tokens, said.usage.total_tokens) == (prompt, 12, prompt + 12)
    assert client.completions.create(model="plain", prompt=PROMPT, max_tokens=12, temperature=0).choices == said.choices


def test_echo_and_log_probabilities(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"model": "plain", "prompt": PROMPT, "temperature": 0, "logprobs": 3}
    said = client.completions.create(**options, max_tokens=6, echo=True)
    (choice,) = said.choices
    assert choice.logprobs and said.usage and choice.text.startswith(PROMPT)
    found = choice.logprobs
    assert len(found.tokens) == len(found.token_logprobs) == len(found.top_logprobs) == len(found.text_offset)
    assert len(found.tokens) == said.usage.total_tokens
    assert joined(found.tokens) == choice.text
    assert found.token_logprobs[0] is None and found.top_logprobs[0] is None
    offsets = found.text_offset
    assert offsets[0] == 0 and offsets == sorted(offsets) and offsets[-1] < len(choice.text)
    for place, name in enumerate(found.tokens):
        if not name.startswith("bytes:"):
            assert choice.text[offsets[place] :].startswith(name)
    for name, value, top in zip(found.tokens[1:], found.token_logprobs[1:], found.top_logprobs[1:], strict=True):
        assert top[name] == value <= max(top.values())  # the very float
        assert 3 <= len(top) <= 4
    new = said.usage.completion_tokens  # greedy: the chosen is the likeliest
    assert all(
        value == max(top.values()) for value, top in zip(found.token_logprobs[-new:], found.top_logprobs[-new:], strict=True)
    )

    alone = client.completions.create(**options, max_tokens=6).choices[0]
    assert alone.logprobs and alone.logprobs.token_logprobs == found.token_logprobs[-new:]
    assert alone.logprobs.text_offset == offsets[-new:]  # counted from the prompt's start, as OpenAI does
    scored = client.completions.create(**options, max_tokens=0, echo=True)
    assert scored.choices[0].text == PROMPT and scored.usage and scored.usage.completion_tokens == 0
    assert scored.choices[0].logprobs and scored.choices[0].logprobs.token_logprobs == found.token_logprobs[:-new]
    chosen = client.completions.create(**options | {"logprobs": 0}, max_tokens=6).choices[0].logprobs
    assert chosen and [list(top) for top in chosen.top_logprobs] == [[name] for name in chosen.tokens]


def test_prompts_of_every_form_and_n_choices_of_each(client: openai.OpenAI) -> None:
    texts = [PROMPT, "no law"]
    ids = [tokens_of(client, text) for text in texts]
    options: dict[str, Any] = {"model": "plain", "max_tokens": 8, "seed": 3}
    by_text = client.completions.create(prompt=texts, n=3, **options).choices
    by_ids = client.completions.create(prompt=ids, n=3, **options).choices
    assert [choice.index for choice in by_text] == list(range(6))
    assert [choice.text for choice in by_text] == [choice.text for choice in by_ids]
    for number, text in enumerate(texts):
        alone = client.completions.create(prompt=text, n=3, **options).choices
        assert [choice.text for choice in alone] == [choice.text for choice in by_text[3 * number : 3 * number + 3]]
        assert len({choice.text for choice in alone}) == 3
        one = client.completions.create(prompt=ids[number], n=3, **options).choices
        assert [choice.text for choice in one] == [choice.text for choice in alone]


def test_best_of_keeps_the_likeliest_and_counts_all(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"model": "plain", "prompt": PROMPT, "max_tokens": 8, "seed": 5, "logprobs": 0}
    every = client.completions.create(**options, n=6).choices
    ranked = sorted(every, key=lambda each: -sum(each.logprobs.token_logprobs) / len(each.logprobs.tokens))
    best = client.completions.create(**options, n=2, best_of=6)
    assert [choice.text for choice in best.choices] == [choice.text for choice in ranked[:2]]
    assert [choice.index for choice in best.choices] == [0, 1]
    assert best.usage and best.usage.completion_tokens == 48
    without = client.completions.create(**{**options, "logprobs": None}, n=2, best_of=6)
    assert [choice.text for choice in without.choices] == [choice.text for choice in best.choices]
    for wrong in ({"n": 3, "best_of": 2}, {"best_of": 2, "stream": True}):
        with pytest.raises(openai.BadRequestError, match="best_of"):
            client.completions.create(**options, **wrong)


def test_seeds(client: openai.OpenAI) -> None:
    def said(**seed: int) -> str:
        return client.completions.create(model="plain", prompt=PROMPT, max_tokens=16, **seed).choices[0].text

    assert said(seed=7) == said(seed=7) != said(seed=8)
    assert said() != said()  # a fresh one each time


def test_stop_strings_are_cut_wherever_they_begin(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"model": "plain", "prompt": PROMPT, "max_tokens": 32, "seed": 11}
    whole = client.completions.create(**options, logprobs=0).choices[0]
    assert whole.logprobs
    for stop in (whole.text[9:11], whole.text[5:12], [whole.text[20:22], whole.text[14:17]]):
        first = min(whole.text.index(each) for each in ([stop] if isinstance(stop, str) else stop))
        said = client.completions.create(**options, stop=stop, logprobs=0).choices[0]
        assert (said.text, said.finish_reason) == (whole.text[:first], "stop")
        assert said.logprobs and said.logprobs.tokens == whole.logprobs.tokens[: len(said.logprobs.tokens)]
        assert joined(said.logprobs.tokens).startswith(said.text)
        streamed = client.completions.create(**options, stop=stop, stream=True)
        assert "".join(chunk.choices[0].text for chunk in streamed) == said.text


def test_logit_bias_forces_and_forbids(client: openai.OpenAI) -> None:
    (token,) = tokens_of(client, "e")
    options: dict[str, Any] = {"model": "plain", "prompt": PROMPT, "max_tokens": 5, "temperature": 0}
    assert client.completions.create(**options, logit_bias={str(token): 100}).choices[0].text == "eeeee"
    free = client.completions.create(**options, logprobs=0, extra_body={"return_token_ids": True}).choices[0]
    first = free.model_dump()["token_ids"][0]
    barred = client.completions.create(
        **options, logit_bias={str(first): -100}, extra_body={"return_token_ids": True}
    ).choices[0]
    assert first not in barred.model_dump()["token_ids"]


def test_penalties_and_cuts_are_heard(client: openai.OpenAI) -> None:
    (token,) = tokens_of(client, "e")
    options: dict[str, Any] = {"model": "plain", "prompt": PROMPT, "max_tokens": 4, "temperature": 0}
    bias = {str(token): 100}
    often = client.completions.create(**options, logit_bias=bias, frequency_penalty=2, presence_penalty=2)
    assert often.choices[0].text == "eeee"  # 100 outweighs them
    greedy = client.completions.create(**options).choices[0].text
    for cut in ({"top_p": 1e-5}, {"extra_body": {"top_k": 1}}, {"extra_body": {"min_p": 1.0}}):
        hot = client.completions.create(**options | {"temperature": 2}, **cut).choices[0].text
        assert hot == greedy


def test_a_stream_joined_is_the_whole(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {
        "model": "plain",
        "prompt": [PROMPT, "no law"],
        "n": 3,
        "max_tokens": 20,
        "seed": 2,
        "logprobs": 2,
    }
    whole = client.completions.create(**options, echo=True)
    chunks = list(client.completions.create(**options, echo=True, stream=True))
    assert {(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks} == {
        (chunks[0].id, chunks[0].created, "plain", "text_completion")
    }
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)
    assert {chunk.system_fingerprint for chunk in chunks} == {whole.system_fingerprint}
    order = [chunk.choices[0].index for chunk in chunks]
    assert set(order) == set(range(6)) and order != sorted(order)  # interleaved
    for choice in whole.choices:
        mine = [chunk.choices[0] for chunk in chunks if chunk.choices[0].index == choice.index]
        assert "".join(each.text for each in mine) == choice.text
        assert [each.finish_reason for each in mine if each.finish_reason] == [choice.finish_reason]
        assert mine[-1].finish_reason
        for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
            assert [value for each in mine for value in getattr(each.logprobs, name)] == getattr(choice.logprobs, name)


def test_a_stream_tells_its_usage_when_asked(client: openai.OpenAI) -> None:
    for create, asked in (
        (client.completions.create, {"model": "plain", "prompt": PROMPT}),
        (client.chat.completions.create, {"model": "chatty", "messages": PEOPLE}),
    ):
        whole = create(**asked, max_tokens=9, temperature=0)
        *chunks, last = create(**asked, max_tokens=9, temperature=0, stream=True, stream_options={"include_usage": True})
        assert all(chunk.usage is None and "usage" in chunk.model_fields_set and len(chunk.choices) == 1 for chunk in chunks)
        assert last.choices == [] and last.usage == whole.usage
        with pytest.raises(openai.BadRequestError, match="stream_options"):
            create(**asked, stream_options={"include_usage": True})


# Chats


def test_a_chat_and_its_roles(client: openai.OpenAI) -> None:
    said = client.chat.completions.create(model="chatty", messages=PEOPLE, temperature=0)
    (choice,) = said.choices
    assert said.object == "chat.completion" and said.id.startswith("chatcmpl-") and said.system_fingerprint
    assert (choice.message.role, choice.message.content) == ("assistant", " of the union 🙂 naïve 日本")
    assert (choice.finish_reason, choice.message.tool_calls, choice.logprobs) == ("stop", None, None)
    parts = [{"role": "user", "content": [{"type": "text", "text": "the "}, {"type": "text", "text": "people"}]}]
    assert client.chat.completions.create(model="chatty", messages=parts, temperature=0).choices == said.choices
    call = {"id": "call_1", "type": "function", "function": {"name": "find_law", "arguments": '{"year": 17}'}}
    every: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "In English."},
        *WHICH,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "no law"},
        {"role": "user", "content": "and then", "name": "anna"},
    ]
    answer = client.chat.completions.create(model="chatty", messages=every, max_completion_tokens=5, tools=[TOOL])
    assert answer.usage and answer.usage.completion_tokens <= 5
    image: list[Any] = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/"}}]}]
    with pytest.raises(openai.BadRequestError, match="reads text only"):
        client.chat.completions.create(model="chatty", messages=image)


@pytest.mark.parametrize("stream", [False, True])
def test_the_log_probabilities_of_a_chat_are_its_text(client: openai.OpenAI, stream: bool) -> None:
    options: dict[str, Any] = {"model": "chatty", "messages": PEOPLE, "temperature": 0, "logprobs": True, "top_logprobs": 4}
    if stream:
        chunks = [chunk.choices[0] for chunk in client.chat.completions.create(**options, stream=True)]
        text = "".join(chunk.delta.content or "" for chunk in chunks)
        scored = [each for chunk in chunks if chunk.logprobs for each in chunk.logprobs.content or ()]
    else:
        (choice,) = client.chat.completions.create(**options).choices
        assert choice.logprobs and choice.message.content
        text, scored = choice.message.content, choice.logprobs.content
    assert b"".join(bytes(each.bytes) for each in scored).decode() == text
    for each in scored:
        assert len(each.top_logprobs) == 4 and each.logprob == each.top_logprobs[0].logprob <= 0
        assert each.top_logprobs[0].token == each.token
    assert "".join(each.token for each in scored[:4]) == text[: len("".join(each.token for each in scored[:4]))]


def test_a_chat_stream(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {
        "model": "chatty",
        "messages": PEOPLE,
        "n": 3,
        "seed": 4,
        "temperature": 1.5,
        "max_tokens": 40,
    }
    whole = client.chat.completions.create(**options)
    chunks = list(client.chat.completions.create(**options, stream=True))
    assert {(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks} == {
        (chunks[0].id, chunks[0].created, "chatty", "chat.completion.chunk")
    }
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)
    for choice in whole.choices:
        first, *more, last = (chunk.choices[0] for chunk in chunks if chunk.choices[0].index == choice.index)
        assert (first.delta.role, first.delta.content) == ("assistant", "")
        assert all(each.delta.role is None and each.finish_reason is None and each.delta.content for each in more)
        assert "".join(each.delta.content or "" for each in more) == choice.message.content
        assert last.finish_reason == choice.finish_reason
        assert last.delta.model_dump(exclude_unset=True) == {}


def test_no_half_character_is_streamed(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="chatty", messages=PEOPLE, temperature=0, stream=True))
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(pieces) == " of the union 🙂 naïve 日本"
    assert len([piece for piece in pieces if piece]) > 5  # piece by piece, not all at the end
    assert not any("�" in piece for piece in pieces)


def test_the_streaming_assistant_of_the_package(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="chatty", messages=PEOPLE, temperature=0) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= set(kinds)
    assert final.choices[0].message.content == " of the union 🙂 naïve 日本"


class Law(BaseModel):
    """A schema with parts of several kinds, none of which can go on for ever."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["civil", "common"]
    valid: bool
    of: list[Literal["peace", "plenty"]] = Field(max_length=3)
    note: Literal["🙂", None]


@pytest.mark.parametrize("seed", range(4))
def test_an_answer_of_a_schema(client: openai.OpenAI, seed: int) -> None:
    options: dict[str, Any] = {"model": "chatty", "messages": PEOPLE, "seed": seed, "temperature": 1.0, "max_tokens": 400}
    said = client.chat.completions.parse(**options, response_format=Law)
    assert said.choices[0].finish_reason == "stop" and isinstance(said.choices[0].message.parsed, Law)
    form = {"type": "json_schema", "json_schema": {"name": "law", "strict": True, "schema": Law.model_json_schema()}}
    chunks = client.chat.completions.create(**options, response_format=form, stream=True)
    Law.model_validate_json("".join(chunk.choices[0].delta.content or "" for chunk in chunks))


def test_an_answer_that_is_json(client: openai.OpenAI) -> None:
    asked: list[Any] = [{"role": "user", "content": "as JSON"}]
    form: Any = {"type": "json_object"}
    said = client.chat.completions.create(model="chatty", messages=asked, temperature=0, response_format=form)
    assert json.loads(said.choices[0].message.content or "") == {"law": [1, 2]}
    other = client.chat.completions.create(  # even where the model would say no JSON at all
        model="chatty", messages=PEOPLE, response_format=form, max_tokens=30, seed=1
    ).choices[0]
    assert (other.message.content or "").lstrip().startswith("{")
    text = client.chat.completions.create(model="chatty", messages=asked, temperature=0, response_format={"type": "text"})
    assert text.choices[0].message.content == '{"law": [1, 2]}'


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "http://127.0.0.1:9/schema"}, {"pattern": "((("}, 3])
def test_a_bad_schema_is_named_before_anything_runs(client: openai.OpenAI, schema: Any) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "law", "schema": schema}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="chatty", messages=PEOPLE, response_format=form, stream=True)
    assert caught.value.type == "invalid_request_error"


def calls_of(chunks: Any) -> tuple[str, dict[int, dict[str, str]], list[str]]:
    """Text, calls by index and finish reasons of a stream, put together as the API's reference says."""
    text, calls, ends = "", dict[int, dict[str, str]](), []
    for chunk in chunks:
        (choice,) = chunk.choices
        text += choice.delta.content or ""
        ends += [choice.finish_reason] if choice.finish_reason else []
        for part in choice.delta.tool_calls or ():
            if part.index not in calls:
                assert part.id and part.type == "function" and part.function.name and not part.function.arguments
                calls[part.index] = {"id": part.id, "name": part.function.name, "arguments": ""}
            else:
                assert part.id is None and part.function.name is None
                calls[part.index]["arguments"] += part.function.arguments
    return text, calls, ends


def test_tools_that_the_model_calls_by_itself(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"model": "chatty", "messages": WHICH, "tools": [TOOL], "temperature": 0}
    for choice in ({}, {"tool_choice": "auto"}):
        (said,) = client.chat.completions.create(**options, **choice).choices
        assert said.finish_reason == "tool_calls" and said.message.content == "one law "
        assert [json.loads(call.function.arguments) for call in said.message.tool_calls] == [{"year": 17}, {"year": 18}]
        assert {(call.type, call.function.name) for call in said.message.tool_calls} == {("function", "find_law")}
        assert len({call.id for call in said.message.tool_calls}) == 2
    text, calls, ends = calls_of(client.chat.completions.create(**options, stream=True))
    assert (text, ends, list(calls)) == ("one law ", ["tool_calls"], [0, 1])
    assert [json.loads(call["arguments"]) for call in calls.values()] == [{"year": 17}, {"year": 18}]
    several = client.chat.completions.create(**options)
    alone = client.chat.completions.create(**options, parallel_tool_calls=False)
    (call,) = alone.choices[0].message.tool_calls
    assert (json.loads(call.function.arguments), alone.choices[0].finish_reason) == ({"year": 17}, "tool_calls")
    assert alone.usage.completion_tokens < several.usage.completion_tokens  # the second was not even written
    text, calls, ends = calls_of(client.chat.completions.create(**options, parallel_tool_calls=False, stream=True))
    assert (text, ends, list(calls)) == ("one law ", ["tool_calls"], [0])
    none = client.chat.completions.create(**options, tool_choice="none", max_tokens=20).choices[0]
    assert none.message.tool_calls is None and none.finish_reason in ("stop", "length")
    bad: list[Any] = [{"role": "user", "content": "bad call"}]
    said = client.chat.completions.create(**options | {"messages": bad}).choices[0]
    assert said.message.content == '<tool_call>{"name": "find_law", </tool_call> peace' and not said.message.tool_calls
    assert said.finish_reason == "stop"


@pytest.mark.parametrize("seed", range(3))
def test_tools_that_must_be_called(client: openai.OpenAI, seed: int) -> None:
    options: dict[str, Any] = {"model": "chatty", "messages": PEOPLE, "tools": [TOOL, OTHER], "seed": seed}
    for choice in ("required", {"type": "function", "function": {"name": "count_people"}}):
        (said,) = client.chat.completions.create(**options, tool_choice=choice, temperature=1).choices
        (call,) = said.message.tool_calls
        assert said.finish_reason == "tool_calls" and said.message.content is None
        text, calls, ends = calls_of(
            client.chat.completions.create(**options, tool_choice=choice, temperature=1, stream=True)
        )
        assert (text, ends) == ("", ["tool_calls"])
        assert (calls[0]["name"], calls[0]["arguments"]) == (call.function.name, call.function.arguments)
        arguments = json.loads(call.function.arguments)
        assert arguments["year"] in (17, 18) if call.function.name == "find_law" else isinstance(arguments["all"], bool)
        assert choice == "required" or call.function.name == "count_people"
    unknown: Any = {"type": "function", "function": {"name": "other"}}
    with pytest.raises(openai.BadRequestError, match="tool_choice"):
        client.chat.completions.create(**options, tool_choice=unknown)


# Embeddings and models


def test_embeddings_are_the_same_floats_in_both_forms(client: openai.OpenAI) -> None:
    texts = [PROMPT, "no law", "日本 🙂"]
    plain = client.embeddings.create(model="plain", input=texts, encoding_format="float")
    packed = client.embeddings.create(model="plain", input=texts)  # the package asks for base64 and unpacks it
    assert [each.index for each in plain.data] == [0, 1, 2] and plain.usage.total_tokens == plain.usage.prompt_tokens
    assert [each.embedding for each in plain.data] == [list(each.embedding) for each in packed.data]
    for each in plain.data:
        assert len(each.embedding) == 24 and sum(value * value for value in each.embedding) == pytest.approx(1)
    raw = client.embeddings.create(model="plain", input=PROMPT, encoding_format="base64").data[0].embedding
    assert list(struct.unpack("<24f", base64.b64decode(str(raw)))) == plain.data[0].embedding
    ids = [tokens_of(client, text) for text in texts]
    assert client.embeddings.create(model="plain", input=ids, encoding_format="float").data == plain.data
    one = client.embeddings.create(model="plain", input=ids[0], encoding_format="float").data
    assert one[0].embedding == plain.data[0].embedding
    short = client.embeddings.create(model="plain", input=PROMPT, dimensions=5, encoding_format="float").data[0].embedding
    assert len(short) == 5 and sum(value * value for value in short) == pytest.approx(1)
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model="plain", input=PROMPT, dimensions=25)


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    listed = list(client.models.list())
    assert [model.id for model in listed] == ["plain", "chatty"]
    assert {model.object for model in listed} == {"model"}
    assert client.models.retrieve("chatty").id == "chatty"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("other/model")
    assert caught.value.code == "model_not_found"


# What goes wrong


def test_errors_become_the_classes_of_the_package(client: openai.OpenAI) -> None:
    def ask(**changed: Any) -> Any:
        return client.completions.create(**{"model": "plain", "prompt": PROMPT, "max_tokens": 4, **changed})

    cases: list[tuple[type[openai.APIStatusError], dict[str, Any], str | None, str | None]] = [
        (openai.NotFoundError, {"model": "gpt-4"}, "model_not_found", "model"),
        (openai.BadRequestError, {"max_tokens": 600}, "context_length_exceeded", "max_tokens"),
        (openai.BadRequestError, {"prompt": "law " * 600}, "context_length_exceeded", "prompt"),
        (openai.BadRequestError, {"temperature": -1}, "invalid_value", "temperature"),
        (openai.BadRequestError, {"suffix": "x"}, "unsupported_parameter", "suffix"),
        (openai.BadRequestError, {"max_tokens": 0}, "invalid_value", "max_tokens"),
        (openai.BadRequestError, {"logprobs": 21}, "invalid_value", "logprobs"),
    ]
    for kind, changed, code, param in cases:
        with pytest.raises(kind) as caught:
            ask(**changed)
        assert (caught.value.code, caught.value.param) == (code, param)
        assert isinstance(caught.value.body, dict) and set(caught.value.body) == {"message", "type", "param", "code"}
        assert caught.value.response.headers["x-should-retry"] == "false"
    with pytest.raises(openai.BadRequestError, match="/v1/completions") as chatted:
        client.chat.completions.create(model="plain", messages=PEOPLE)
    assert chatted.value.code == "no_chat_template"
    with pytest.raises(openai.AuthenticationError) as refused:
        client.with_options(api_key="gk-wrong").models.list()
    assert refused.value.code == "invalid_api_key"
    assert ask().choices  # and the next good request works


def test_a_full_queue_is_a_rate_limit_that_heals(client: openai.OpenAI, server: Running) -> None:
    options: dict[str, Any] = {"model": "plain", "prompt": "no", "n": 64, "max_tokens": 40, "stream": True}
    held = [client.completions.create(**options) for _ in range(4)]  # 64 x 4 choices are what the queue holds
    with pytest.raises(openai.RateLimitError) as caught:
        client.completions.create(model="plain", prompt=PROMPT, max_tokens=4)
    assert caught.value.code == "queue_full" and int(caught.value.response.headers["retry-after"]) >= 1
    assert "x-should-retry" not in caught.value.response.headers
    for stream in held:
        stream.close()
    server.wait_for("genus:num_requests_running", 0, model_name="plain")
    assert client.with_options(max_retries=2).completions.create(model="plain", prompt=PROMPT, max_tokens=4).choices


def test_what_nobody_waits_for_is_given_up(client: openai.OpenAI, server: Running) -> None:
    begun = server.figure("genus:request_aborted_total", model_name="plain")
    end = json.loads(server.get("/tokenizer_info?model=plain")[1])["eos_token_id"]
    options: dict[str, Any] = {
        "model": "plain",
        "prompt": PROMPT,
        "max_tokens": 480,
        "n": 4,
        "logit_bias": {str(end): -100},
    }
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.1).completions.create(**options)
    server.wait_for("genus:request_aborted_total", begun + 1, model_name="plain")
    stream = client.completions.create(**options, stream=True)
    next(iter(stream))
    stream.close()
    server.wait_for("genus:request_aborted_total", begun + 2, model_name="plain")
    for name in ("genus:num_requests_running", "genus:num_requests_waiting", "genus:kv_cache_usage_perc"):
        server.wait_for(name, 0, model_name="plain")


def test_many_at_once_say_what_each_says_alone(client: openai.OpenAI, server: Running) -> None:
    async def streamed(asynchronous: openai.AsyncOpenAI, seed: int) -> str:
        stream = await asynchronous.completions.create(model="plain", prompt=PROMPT, max_tokens=24, seed=seed, stream=True)
        return "".join([chunk.choices[0].text async for chunk in stream])

    async def together() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as asynchronous:
            return await asyncio.gather(*(streamed(asynchronous, seed) for seed in range(16)))

    alone = [
        client.completions.create(model="plain", prompt=PROMPT, max_tokens=24, seed=seed).choices[0].text
        for seed in range(16)
    ]
    assert asyncio.run(together()) == alone
    assert len(set(alone)) == 16


def test_a_failure_in_the_middle_of_a_stream_is_raised(client: openai.OpenAI, server: Running) -> None:
    stream = client.chat.completions.create(
        model="chatty", messages=PEOPLE, max_tokens=400, stream=True, extra_body={"logit_bias": {"65": 100}}
    )
    said = [next(stream), next(stream)]
    os.kill(engine_of(server, "chatty"), signal.SIGKILL)
    with pytest.raises(openai.APIError, match="engine stopped"):
        said += list(stream)
    assert not any(chunk.choices[0].finish_reason for chunk in said)
    end = time.monotonic() + 120  # it is started again
    while server.get("/health")[0] != 200:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert client.chat.completions.create(model="chatty", messages=PEOPLE, temperature=0).choices[0].finish_reason == "stop"


def engine_of(server: Running, model: str) -> int:
    """The process of a model's engine."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        command = stat.with_name("cmdline").read_bytes().split(b"\0")
        parent = int(stat.read_text().rpartition(")")[2].split()[1])
        if parent == server.pid and any(each.endswith(f"/{model}".encode()) for each in command):
            return int(stat.parent.name)
    raise AssertionError(f"no engine of {model}")
