"""What litellm asks of the server: run in litellm's own environment by test_other_clients, which starts the server."""

import json
import os

import litellm

SERVER = {"api_base": os.environ["GENUS_URL"], "api_key": os.environ["GENUS_KEY"], "max_retries": 0}
CHAT = {"model": "openai/chatty", "messages": [{"role": "user", "content": "the people"}], "temperature": 0, **SERVER}
TEXT = {"model": "text-completion-openai/plain", "prompt": "the people of these states", "temperature": 0, **SERVER}
EXPECTED = " of the union 🙂 naïve 日本"

whole = litellm.completion(**CHAT)
assert whole.choices[0].message.content == EXPECTED
assert whole.choices[0].finish_reason == "stop"
chunks = list(litellm.completion(**CHAT, stream=True, stream_options={"include_usage": True}))
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == EXPECTED
assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens

schema = {"type": "object", "properties": {"year": {"enum": [17, 18]}}, "required": ["year"], "additionalProperties": False}
tool = {"type": "function", "function": {"name": "find_law", "parameters": schema}}
named = {"type": "function", "function": {"name": "find_law"}}
called = litellm.completion(**CHAT, tools=[tool], tool_choice=named).choices[0]
assert json.loads(called.message.tool_calls[0].function.arguments)["year"] in (17, 18)
form = {"type": "json_schema", "json_schema": {"name": "law", "strict": True, "schema": schema}}
assert json.loads(litellm.completion(**CHAT, response_format=form).choices[0].message.content)["year"] in (17, 18)

told = litellm.text_completion(**TEXT, max_tokens=5, echo=True, logprobs=2)
assert told.choices[0].text.startswith(TEXT["prompt"])
scores = told.choices[0].logprobs
assert len(scores.tokens) == len(scores.token_logprobs) == len(scores.top_logprobs) == told.usage.total_tokens
assert scores.token_logprobs[0] is None
assert scores.token_logprobs[-1] == max(scores.top_logprobs[-1].values())
pieces = litellm.text_completion(**TEXT, max_tokens=5, stream=True)
assert TEXT["prompt"] + "".join(piece.choices[0].text or "" for piece in pieces) == told.choices[0].text

vectors = litellm.embedding(model="openai/plain", input=["the people", "no law"], encoding_format="float", **SERVER).data
assert [len(each["embedding"]) for each in vectors] == [24, 24]

for kind, changed in (
    (litellm.BadRequestError, {"temperature": -1}),
    (litellm.ContextWindowExceededError, {"max_tokens": 600}),
    (litellm.NotFoundError, {"model": "openai/gpt-4"}),
    (litellm.AuthenticationError, {"api_key": "gk-wrong"}),
):
    try:
        litellm.completion(**{**CHAT, **changed})
    except kind:
        continue
    raise AssertionError(f"{kind} was not raised")
print("all as expected")
