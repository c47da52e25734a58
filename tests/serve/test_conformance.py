"""What OpenAI's clients depend on, over plain HTTP; and which test has which point of the checklist.

Tests of test_openai_client are marked by o, those of test_other_clients by c; the others are here.

Errors
- one form for every status, x-should-retry: errors_have_one_form
- 401, 404, 400, 429 with Retry-After, 503: o errors_become_the_classes, o a_full_queue, a_server_that_stops
- in the middle of a stream: o a_failure_in_the_middle, a_stream_that_fails_does_not_say_done
Streams
- headers, events of one line, [DONE]: the_form_of_a_stream
- first, middle and last chunks, one id, objects, finish reasons: o a_stream_joined, o a_chat_stream
- usage: o a_stream_tells_its_usage
- n > 1 interleaved, joined = whole: o a_stream_joined, o a_chat_stream
- no half UTF-8, stop strings held back: o no_half_character, o stop_strings
Completions
- prompts of four forms, order of choices: o prompts_of_every_form
- echo with logprobs, max_tokens 0, logprobs 0: o echo_and_log_probabilities
- lm-eval's requests, the same floats: c lm_eval_scores, c lm_eval_reads
- ids of one string: of_tokens_with_one_name; up to 20: twenty_log_probabilities
- best_of: o best_of; suffix: o errors_become_the_classes
Chats
- roles, parts, images: o a_chat_and_its_roles; both names of max_tokens: both_names_of_max_tokens
- logprobs: o the_log_probabilities_of_a_chat, twenty_log_probabilities
- response_format: o an_answer_of_a_schema, o an_answer_that_is_json, o a_bad_schema
- tools: o tools_that_the_model_calls, o tools_that_must_be_called
- no chat template: o errors_become_the_classes
Other
- models: o models_are_listed; embeddings: o embeddings_are_the_same_floats
- aliases, slashes, HEAD, OPTIONS: aliases_slashes; unknown fields: unknown_fields
- tokenizer endpoints: the_tokenizer_is_told, c lm_eval_reads
- health, ready, metrics: a_server_that_stops, metrics
- seed: o seeds; system_fingerprint: the_fingerprint
Clients: openai 3.x (o), openai 2.x, lm-eval, llm, litellm (c)
"""

import json
import os
import re
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from genus.serve import worker
from tests.serve.running import Running, running

ASKED = {"model": "plain", "prompt": "the people", "max_tokens": 4, "temperature": 0}
CHAT = {"model": "chatty", "messages": [{"role": "user", "content": "the people"}], "temperature": 0}


def posted(server: Running, path: str, body: Any) -> Any:
    answer = server.ask("POST", path, body)
    assert answer.status == 200, answer.text
    return json.loads(answer.text)


@pytest.mark.parametrize(
    ("call", "body", "status", "code"),
    [
        ("GET /nowhere", None, 404, "not_found"),
        ("GET /v1/models/gpt-4", None, 404, "model_not_found"),
        ("GET /v1/completions", None, 405, "method_not_allowed"),
        ("DELETE /v1/models", None, 405, "method_not_allowed"),
        ("POST /v1/completions", b"{", 400, "invalid_json"),
        ("POST /v1/completions", [1], 400, "invalid_json"),
        ("POST /v1/completions", {"prompt": 5}, 400, "invalid_value"),
        ("POST /v1/completions", {**ASKED, "max_tokens": "4"}, 400, "invalid_value"),
        ("POST /v1/completions", {**ASKED, "model": "gpt-4"}, 404, "model_not_found"),
        ("POST /v1/completions", {**ASKED, "max_tokens": 600}, 400, "context_length_exceeded"),
        ("POST /v1/completions", {**ASKED, "user": "x" * 5_000_000}, 413, "too_large"),
        ("POST /v1/chat/completions", {"messages": []}, 400, "invalid_value"),
        ("POST /v1/chat/completions", {"model": "plain", **{"messages": CHAT["messages"]}}, 400, "no_chat_template"),
        ("POST /v1/embeddings", {"input": []}, 400, "invalid_value"),
        ("GET /genus/runs/other", None, 404, "run_not_found"),
    ],
)
def test_errors_have_one_form(server: Running, call: str, body: Any, status: int, code: str) -> None:
    answer = server.ask(*call.split(), body)
    said = json.loads(answer.text)
    assert answer.status == status
    assert set(said) == {"error"} and set(said["error"]) == {"message", "type", "param", "code"}
    assert said["error"]["code"] == code and isinstance(said["error"]["message"], str)
    assert said["error"]["type"] == ("not_found_error" if status == 404 else "invalid_request_error")
    assert answer.headers["x-should-retry"] == "false"
    assert "Traceback" not in answer.text


def test_a_client_that_sends_too_much_in_pieces_is_told(server: Running) -> None:
    answer = server.ask("POST", "/v1/completions", (b"x" * 2**20 for _ in range(8)))
    assert (answer.status, json.loads(answer.text)["error"]["code"]) == (413, "too_large")


def test_a_key_that_is_missing(server: Running) -> None:
    for key in (None, "gk-wrong"):
        answer = server.ask("GET", "/v1/models", key=key)
        assert (answer.status, json.loads(answer.text)["error"]["code"]) == (401, "invalid_api_key")
        assert json.loads(answer.text)["error"]["type"] == "authentication_error"
    assert server.ask("GET", "/health", key=None).status == 200


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_the_form_of_a_stream(server: Running, path: str) -> None:
    asked: dict[str, Any] = ASKED if path == "/v1/completions" else CHAT
    answer = server.ask("POST", path, {**asked, "stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    *events, rest = answer.text.split("\n\n")
    assert rest == "" and all(re.fullmatch(r"data: .+", event) for event in events)  # one line each
    assert events[-1] == "data: [DONE]" and events.count("data: [DONE]") == 1
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    assert all(len(chunk["choices"]) == 1 and "usage" not in chunk for chunk in chunks)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-1] is not None
    if path != "/v1/completions":
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert chunks[-1]["choices"][0]["delta"] == {}


def test_a_stream_that_fails_does_not_say_done(tmp_path: Path, model_folders: tuple[Path, Path]) -> None:
    with running(model_folders[:1], tmp_path / "log", "--timeout", "0.3") as server:
        answer = server.ask("POST", "/v1/completions", {**ASKED, "max_tokens": 480, "n": 8, "stream": True})
        *events, _ = answer.text.split("\n\n")
        assert answer.status == 200 and len(events) > 1 and "[DONE]" not in answer.text
        error = json.loads(events[-1].removeprefix("data: "))["error"]
        assert set(error) == {"message", "type", "param", "code"} and error["code"] == "deadline"
        whole = server.ask("POST", "/v1/completions", {**ASKED, "max_tokens": 480, "n": 8})
        assert whole.status == 504 and json.loads(whole.text)["error"]["code"] == "deadline"


def test_of_tokens_with_one_name_the_likelier_is_told(server: Running) -> None:
    """Bytes that are no text by themselves have names of their own, so that no two ids collide on U+FFFD."""
    (choice,) = posted(server, "/v1/completions", {**ASKED, "prompt": "日本 🙂", "echo": True, "logprobs": 20})["choices"]
    names = {name for top in choice["logprobs"]["top_logprobs"][1:] for name in top}
    assert any(re.fullmatch(r"bytes:(\\x[0-9a-f]{2})+", name) for name in names)
    assert not any("�" in name for name in names)
    assert all(len(top) in (20, 21) for top in choice["logprobs"]["top_logprobs"][1:])


def test_twenty_log_probabilities(server: Running) -> None:
    (choice,) = posted(server, "/v1/completions", {**ASKED, "logprobs": 20})["choices"]
    assert all(20 <= len(top) <= 21 for top in choice["logprobs"]["top_logprobs"])
    chat = {**CHAT, "logprobs": True, "top_logprobs": 20, "max_tokens": 2}
    (said,) = posted(server, "/v1/chat/completions", chat)["choices"]
    assert [len(each["top_logprobs"]) for each in said["logprobs"]["content"]] == [20, 20]
    assert server.ask("POST", "/v1/completions", {**ASKED, "logprobs": 21}).status == 400
    assert server.ask("POST", "/v1/chat/completions", {**CHAT, "top_logprobs": 2}).status == 400


def test_both_names_of_max_tokens(server: Running) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        said = posted(server, "/v1/chat/completions", {**CHAT, name: 3})
        assert (said["usage"]["completion_tokens"], said["choices"][0]["finish_reason"]) == (3, "length")


def test_aliases_slashes_and_methods(server: Running) -> None:
    known = posted(server, "/v1/completions", ASKED)["choices"]
    for path in ("/completions", "/v1/completions/", "/completions/"):
        assert posted(server, path, ASKED)["choices"] == known
    listed = server.ask("GET", "/v1/models")
    for path in ("/models", "/models/", "/v1/models/"):
        assert server.ask("GET", path).text == listed.text
    head = server.ask("HEAD", "/v1/models")
    assert (head.status, head.text, head.headers["content-length"]) == (200, "", listed.headers["content-length"])
    options = server.ask("OPTIONS", "/v1/completions")
    assert options.status == 204 and "POST" in options.headers["allow"]
    assert "access-control-allow-origin" not in options.headers


def test_unknown_fields_are_named_in_a_header(server: Running) -> None:
    answer = server.ask("POST", "/v1/completions", {**ASKED, "chat_id": "7", "session": {}, "two\r\nlines": 1})
    assert answer.status == 200 and answer.headers["x-genus-ignored"] == "chat_id, session"
    assert "x-genus-ignored" not in server.ask("POST", "/v1/completions", ASKED).headers


def test_the_tokenizer_is_told(server: Running) -> None:
    info = json.loads(server.ask("GET", "/tokenizer_info").text)
    assert info["eos_token"] == "<|endoftext|>" and info["bos_token"] is None and info["chat_template"] is None
    for text in ("the people of 日本 🙂", " x <|endoftext|>", ""):
        told = posted(server, "/tokenize", {"prompt": text})
        assert told["count"] == len(told["tokens"]) and told["max_model_len"] == 512
        assert posted(server, "/detokenize", {"tokens": told["tokens"]})["prompt"] == text
        assert info["eos_token_id"] not in told["tokens"]  # a text cannot forge it
    alone = posted(server, "/tokenize", {"prompt": "<|endoftext|>", "add_special_tokens": False})
    assert alone["tokens"] == [info["eos_token_id"]]  # but a client can ask for its id
    assert posted(server, "/detokenize", alone)["prompt"] == "<|endoftext|>"
    chatted = posted(server, "/v1/tokenize", {"model": "chatty", "messages": CHAT["messages"]})
    said = posted(server, "/v1/chat/completions", {**CHAT, "max_tokens": 1})
    assert chatted["count"] == said["usage"]["prompt_tokens"]


def test_metrics(server: Running) -> None:
    names = ("prompt_tokens_total", "generation_tokens_total", "e2e_request_latency_seconds_count",
             "time_to_first_token_seconds_count", "time_per_output_token_seconds_count")  # fmt: skip
    before = {name: server.figure(f"genus:{name}", model_name="plain") for name in names}
    stopped = server.figure("genus:request_success_total", model_name="plain", finished_reason="length")
    usage = posted(server, "/v1/completions", {**ASKED, "n": 2})["usage"]
    counted = (usage["prompt_tokens"], 8, 1, 1, 1)
    assert usage["completion_tokens"] == 8
    for name, more in zip(names, counted, strict=True):
        assert server.figure(f"genus:{name}", model_name="plain") == before[name] + more
    assert server.figure("genus:request_success_total", model_name="plain", finished_reason="length") == stopped + 2
    text = server.get("/metrics")[1]
    for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "prefix_cache_queries_total",
                 "prefix_cache_hits_total", "num_preemptions_total"):  # fmt: skip
        assert f'genus:{name}{{model_name="plain"}}' in text


def test_the_fingerprint_is_of_weights_and_engine(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = posted(server, "/v1/completions", ASKED)["system_fingerprint"]
    assert posted(server, "/v1/completions", {**ASKED, "prompt": "x"})["system_fingerprint"] == plain
    assert posted(server, "/v1/chat/completions", CHAT)["system_fingerprint"] != plain
    folder = Path(server.folder) / "plain"
    assert plain == f"fp_{worker.fingerprint(folder, 'fp32')}" != f"fp_{worker.fingerprint(folder, 'bf16')}"
    monkeypatch.setattr(worker, "version", lambda _: "99")
    assert plain != f"fp_{worker.fingerprint(folder, 'fp32')}"


def test_a_server_that_stops_finishes_what_runs(tmp_path: Path, model_folders: tuple[Path, Path]) -> None:
    with running(model_folders[:1], tmp_path / "log") as server:
        assert server.ask("GET", "/ready").status == 200
        told: list[Any] = []
        asked = {**ASKED, "max_tokens": 400, "n": 8, "logit_bias": {"65": 100}}
        thread = threading.Thread(target=lambda: told.append(server.ask("POST", "/v1/completions", asked)))
        thread.start()
        server.wait_for("genus:num_requests_running", 8)
        signalled(server)
        assert server.ask("GET", "/ready").status == 503
        refused = server.ask("POST", "/v1/completions", ASKED)
        assert (refused.status, json.loads(refused.text)["error"]["code"]) == (503, "draining")
        assert "retry-after" in refused.headers and "x-should-retry" not in refused.headers
        thread.join(60)
        assert told[0].status == 200 and json.loads(told[0].text)["usage"]["completion_tokens"] == 3200


def signalled(server: Running) -> None:
    """Tell a server to stop, and wait until it has heard."""
    os.kill(server.pid, signal.SIGTERM)
    end = time.monotonic() + 10
    while "stopping" not in Path(server.log).read_text():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_prompt_is_not_in_the_log(server: Running) -> None:
    posted(server, "/v1/completions", {**ASKED, "prompt": "a secret of the people"})
    log = Path(server.log)
    end = time.monotonic() + 10  # the line is written after the answer
    while not (said := [json.loads(line) for line in log.read_text().splitlines() if '"/v1/completions"' in line]):
        assert time.monotonic() < end
    assert said[-1]["status"] == 200 and said[-1]["completion_tokens"] == 4
    assert "secret" not in log.read_text()
