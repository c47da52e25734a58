"""vLLM behind the server, for what a pretend one can show: the words of both directions, and what is done when it fails."""

import asyncio
import contextlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml

from genus.core.errors import GenusError
from genus.engine.grammar import Grammar
from genus.engine.request import Request, TokenScore
from genus.engine.sampling import Sampling
from genus.serve.errors import ApiError
from genus.serve.models import Served, find_models
from genus.serve.vllm import VllmEngine
from genus.serve.vllm_flags import bytes_of, cache_of, command_of, flags_of, write_ray_file
from genus.serve.vllm_words import body_of
from genus.tokenizers.tokenizer import Tokenizer
from tests.serve import pretend_vllm
from tests.serve.tiny_models import make_folder

GREEDY = Sampling(temperature=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("models") / "tiny", "gpt2")


@pytest.fixture(scope="module")
def tokenizer(folder):
    return Tokenizer.load(folder)


@contextlib.asynccontextmanager
async def pretended(folder, *flags):
    """An engine over the pretend vLLM."""
    command = [sys.executable, pretend_vllm.__file__]
    engine = VllmEngine(folder, Tokenizer.load(folder), command, flags, "fp32")
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def told(engine, request):
    """All events of a request."""
    async with engine.submit(request) as job:
        await job.accepted
        return [event async for event in job]


def events_of(folder, *requests):
    """The events of each, asked for at once, and what was said of the exchange."""

    async def run():
        async with pretended(folder) as engine:
            found = await asyncio.gather(*(told(engine, request) for request in requests), return_exceptions=True)
            return found, (await engine._http.get("/asked")).json()

    return asyncio.run(run())


def living(session):
    """The processes of a session that run: one that is dead may stay listed where nobody asks for its end."""
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            stats.append(path.read_text().rpartition(")")[2].split())
    return [stat for stat in stats if int(stat[3]) == session and stat[0] != "Z"]


def joined(events, choice=0):
    mine = [event for event in events if event.choice == choice]
    tokens = [token for event in mine for token in event.tokens]
    return tokens, "".join(event.text for event in mine), mine[-1].finish


def test_a_request_is_said_in_its_words():
    sampling = Sampling(
        temperature=0.7, top_k=5, top_p=0.9, min_p=0.1, presence_penalty=0.5, frequency_penalty=-0.5, repetition_penalty=1.2,
        logit_bias={7: -100, 8: 2.5}, allowed=(7, 8), stop=("end",), seed=-3, grammar=Grammar("json_schema", "{}"),
    )  # fmt: skip
    request = Request(prompt=(4, 2), max_tokens=9, n=3, sampling=sampling, ends=frozenset({9, 1}), log_probs=0, salt="s")
    assert body_of(request) == {
        "model": "model", "prompt": [4, 2], "max_tokens": 9, "n": 3, "stream": True, "return_token_ids": True,
        "return_tokens_as_token_ids": True, "stop_token_ids": [1, 9], "ignore_eos": False, "seed": -3, "temperature": 0.7,
        "top_k": 5, "top_p": 0.9, "min_p": 0.1, "presence_penalty": 0.5, "frequency_penalty": -0.5,
        "repetition_penalty": 1.2, "stop": ["end"], "logit_bias": {"7": -100, "8": 2.5},
        "allowed_token_ids": [7, 8], "logprobs": 0, "structured_outputs": {"json": "{}"}, "cache_salt": "s",
    }  # fmt: skip
    assert body_of(Request(prompt=(4,), max_tokens=1))["ignore_eos"], "only `ends` end a text"


@pytest.mark.parametrize(
    ("sampling", "field"),
    [({"typical_p": 0.5}, "typical_p"), ({"no_repeat_ngram": 2}, "no_repeat_ngram"),
     ({"top_p_kind": "excluding"}, "top_p_kind"), ({"seed": 1}, "resumed"), ({"presence_penalty": 1.0}, "resumed")],
)  # fmt: skip
def test_what_it_has_no_word_for_is_refused_by_name(sampling, field):
    request = Request(prompt=(4, 2), max_tokens=9, sampling=Sampling(**sampling), resumed=int(field == "resumed"))
    with pytest.raises(ApiError, match=f"^{field}: ") as refusal:
        body_of(request)
    assert (refusal.value.status, refusal.value.param) == (400, field)


def test_going_on_is_taken_where_nothing_hangs_on_it():
    for sampling in (GREEDY, Sampling(temperature=0.5), Sampling(temperature=0, seed=3)):
        body_of(Request(prompt=(4, 2), max_tokens=9, sampling=sampling, resumed=1))


def test_chunks_become_tokens_text_and_scores(folder, tokenizer):
    request = Request(prompt=(40,), max_tokens=5, sampling=GREEDY, log_probs=1)
    many = replace(request, n=3)
    sampled = Request(prompt=(40,), max_tokens=5, n=2, sampling=Sampling(seed=1))
    (one, three, two), exchange = events_of(folder, request, many, sampled)
    expected = [41, 42, 43, 44, 45]
    assert joined(one) == (expected, tokenizer.decode(expected), "length")
    assert len(one) == 3, "each chunk is told when it comes"
    assert [score for event in one for score in event.scores] == [
        TokenScore(token, -0.5, ((token + 1, -0.25),)) for token in expected
    ]
    assert [joined(three, choice) for choice in range(3)] == [joined(one)] * 3, "greedy choices are one, told thrice"
    assert joined(two, 1)[0] == [42, 44, 46, 48, 50]
    assert {body["n"] for body in exchange["asked"]} == {1, 2}
    assert exchange["argv"][:2] == ["serve", str(folder)]


def test_text_ends_by_our_rules(folder, tokenizer):
    stop = tokenizer.decode([43])
    stopped = Request(prompt=(40,), max_tokens=20, sampling=Sampling(temperature=0, stop=(stop,)))
    ended = Request(prompt=(40,), max_tokens=20, sampling=GREEDY, ends=frozenset({44}), log_probs=0)
    at_once = Request(prompt=(40,), max_tokens=20, sampling=GREEDY, ends=frozenset({41}), log_probs=0)
    (first, second, third), _ = events_of(folder, stopped, ended, at_once)
    assert joined(first) == ([41, 42, 43], tokenizer.decode([41, 42]), "stop")
    assert joined(second) == ([41, 42, 43], tokenizer.decode([41, 42, 43]), "stop")
    assert sum(len(event.scores) for event in second) == 3
    assert joined(third) == ([], "", "stop")


def test_characters_are_whole(folder, tokenizer):
    ids = tokenizer.encode("\u00e9")  # two bytes, two tokens
    assert len(ids) == 2
    request = Request(prompt=(ids[0] - 1,), max_tokens=1, sampling=GREEDY)
    (events,), _ = events_of(folder, request)
    assert joined(events) == ([ids[0]], "\ufffd", "length"), "half a character shows at the end only"


def test_prompts_are_scored(folder):
    request = Request(prompt=(40, 50, 60), max_tokens=2, sampling=Sampling(seed=1), n=2, log_probs=1, echo=True)
    only = replace(request, max_tokens=0, prompt=(40, 50, 51))
    single = replace(only, prompt=(40,))
    (both, scored, first), exchange = events_of(folder, request, only, single)
    scores = [TokenScore(40, None), *(TokenScore(token, -2.0, ((0, -1.0),)) for token in (50, 60))]
    assert both[0].prompt_scores == tuple(scores)
    assert [joined(both, choice)[0] for choice in (0, 1)] == [[61, 62], [62, 64]]
    assert scored[0].prompt_scores == (*scores[:2], TokenScore(51, -0.5, ((52, -0.25),)))
    assert [(event.tokens, event.text, event.finish) for event in scored] == [((), "", "length")] * 2
    assert first[0].prompt_scores == (TokenScore(40, None),)
    bodies = {tuple(body["prompt"]): body for body in exchange["asked"]}
    assert bodies[40, 50]["allowed_token_ids"] == [51], "the last is generated, so that a full context can be scored"
    assert not any(body["stream"] for body in bodies.values())


def test_candidates_are_those_of_all_tokens(folder):
    request = Request(prompt=(40,), max_tokens=1, sampling=Sampling(top_k=2), candidates=3)
    (events,), _ = events_of(folder, request)
    found = events[0].candidates
    assert [token for token, _, _ in found.likeliest] == [42, 41, 43]
    assert found.kept == 2
    assert found.likeliest[1][2] == pytest.approx(1 / (1 + 2.718281828**0.25))
    with pytest.raises(ApiError, match="repetition_penalty: "):
        body_of(replace(request, sampling=Sampling(repetition_penalty=1.1)))


def test_failures_are_told(folder):
    def asking(first, **more):
        return Request(prompt=(first, 40), max_tokens=6, sampling=GREEDY, **more)

    (failed, odd, late), _ = events_of(
        folder, asking(pretend_vllm.FAILS), asking(pretend_vllm.ODD), asking(pretend_vllm.HANGS, timeout=0.2)
    )
    assert (failed.status, failed.message) == (500, "vLLM failed (out of memory)")
    assert (odd.status, odd.message) == (500, "vLLM ended the text by itself (abort)")
    assert late[-1].finish == "deadline"


def test_its_own_refusal_is_a_wrong_request(folder, monkeypatch):
    monkeypatch.setattr("genus.serve.vllm.body_of", lambda request: body_of(request) | {"n": 2})
    ((error,), _) = events_of(folder, Request(prompt=(40,), max_tokens=6, sampling=GREEDY))
    assert (error.status, error.message) == (400, "vLLM refused the request (n must be 1 when using greedy sampling)")


def test_who_leaves_is_forgotten_there_too(folder):
    async def run():
        async with pretended(folder) as engine:
            async with engine.submit(Request(prompt=(pretend_vllm.HANGS, 40), max_tokens=6, sampling=GREEDY)) as job:
                assert (await anext(job)).tokens == (41, 42)
            for _ in range(100):
                if (await engine._http.get("/asked")).json()["left"]:
                    break
                await asyncio.sleep(0.05)
            else:
                pytest.fail("the connection was kept")
            assert not engine.jobs
            assert engine.described.context == 200 and engine.described.vocab == 288
            assert engine.figures["running"] == 3

    asyncio.run(run())


@pytest.mark.parametrize("how", ["by itself", "leash", "all"])
def test_its_death_is_told_to_all(folder, how):
    async def run():
        async with pretended(folder) as engine:
            waiting = engine.submit(Request(prompt=(pretend_vllm.HANGS, 40), max_tokens=6, sampling=GREEDY))
            await anext(waiting)
            if how == "by itself":
                dying = engine.submit(Request(prompt=(pretend_vllm.DIES, 40), max_tokens=6, sampling=GREEDY))
            elif how == "leash":
                os.kill(engine.pid, 9)
            else:
                os.killpg(engine.pid, 9)
            with pytest.raises(ApiError, match="stopped unexpectedly") as death:
                await anext(waiting)
            assert death.value.status == 500
            await asyncio.wait_for(engine._process.wait(), 10)
            await asyncio.sleep(0.1)
            assert not engine.alive
            if how == "by itself":
                with pytest.raises(ApiError, match="stopped unexpectedly"):
                    await anext(dying)
            with pytest.raises(ApiError, match="stopped unexpectedly"):
                await told(engine, Request(prompt=(5,), max_tokens=1))
            assert not living(engine.pid), "nobody stays behind"

    asyncio.run(run())


def test_it_ends_with_the_server(folder, tmp_path):
    """A server that is killed outright leaves nothing behind."""
    script = tmp_path / "server.py"
    script.write_text(
        "import asyncio, os, sys\nfrom pathlib import Path\nfrom tests.serve.test_vllm import pretended\n"
        "async def run():\n    async with pretended(Path(sys.argv[1])) as engine:\n"
        "        print(engine.pid, flush=True)\n        await asyncio.sleep(100)\nasyncio.run(run())\n"
    )

    async def run():
        server = await asyncio.create_subprocess_exec(
            sys.executable, script, folder, stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        session = int(await server.stdout.readline())
        assert living(session)
        server.kill()
        await server.wait()
        for _ in range(200):
            if not living(session):
                return
            await asyncio.sleep(0.05)
        pytest.fail("it lives on")

    asyncio.run(run())


def test_what_cannot_start_says_so(folder):
    async def run():
        async with pretended(folder, "--die"):
            pass

    with pytest.raises(GenusError, match=r"tiny cannot be served by vLLM, which ended; its log above says why"):
        asyncio.run(run())


def test_embeddings_are_refused(folder):
    async def run():
        engine = VllmEngine(folder, Tokenizer.load(folder), [], [], "fp32")
        await engine.embed([[1]], "mean")

    with pytest.raises(ApiError, match="embeddings are not offered") as refusal:
        asyncio.run(run())
    assert refusal.value.status == 501


def test_where_vllm_is(monkeypatch, tmp_path):
    with pytest.raises(GenusError, match=r"this Python has no vLLM; run: .* -m pip install vllm"):
        command_of(sys.executable)
    with pytest.raises(GenusError, match="there is no such program"):
        command_of("/nowhere/python")
    assert command_of(f"{sys.executable} other.py") == [sys.executable, "other.py"]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GenusError, match="vLLM is not installed here; run: pip install vllm"):
        command_of(None)
    (tmp_path / "vllm").write_text("#!/bin/sh\n")
    (tmp_path / "vllm").chmod(0o755)
    assert command_of(None) == [str(tmp_path / "vllm")]


def test_flags_are_mapped():
    flags = flags_of("bf16", 16, 1000, "--tensor-parallel-size 2")
    said = dict(zip(flags[::2], flags[1::2], strict=True))
    assert said["--dtype"] == "bfloat16" and said["--max-num-seqs"] == "16" and said["--kv-cache-memory-bytes"] == "1000"
    assert flags[-2:] == ["--tensor-parallel-size", "2"]
    assert "--max-num-seqs" not in flags_of("fp32", 256)
    with pytest.raises(GenusError, match="--weights int8 is a format of Genus's own engine; with vLLM choose fp32 or bf16"):
        flags_of("int8", 16)


def test_memory_is_divided():
    served = [Served("a", Path("a"), 10**9), Served("b", Path("b"), 2 * 10**9)]
    assert cache_of(served, 6) == {"a": 2 * 10**9, "b": 10**9}
    assert cache_of(served, None) == {"a": None, "b": None}
    with pytest.raises(GenusError, match=r"leaves 2\.0 GB for b, whose weights alone take 2\.0 GB"):
        cache_of(served, 4)


def test_the_file_for_a_cluster(folder, tmp_path):
    """By the documented fields of Ray Serve LLM: docs.ray.io/en/latest/serve/llm/user-guides/configuration.html."""
    path = tmp_path / "ray.yaml"
    write_ray_file(path, find_models([folder], bytes_of("bf16")), "bf16", 64)
    (app,) = yaml.safe_load(path.read_text())["applications"]
    assert app["import_path"] == "ray.serve.llm:build_openai_app"
    (model,) = app["args"]["llm_configs"]
    assert model["model_loading_config"] == {"model_id": "tiny", "model_source": str(folder)}
    assert model["engine_kwargs"]["dtype"] == "bfloat16"
    assert set(model) == {"model_loading_config", "deployment_config", "engine_kwargs"}
    assert set(model["deployment_config"]) == {"autoscaling_config", "max_ongoing_requests"}


@pytest.mark.parametrize("route", ["whole", "stream"])
def test_the_api_over_it(folder, route):
    """`genus serve` itself: its flags, its endpoints, its end."""

    async def run():
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "genus.cli.main", "serve", folder, "--engine", "vllm", "--port", "0", "--no-keys"),
            *("--vllm", f"{sys.executable} {pretend_vllm.__file__}"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        while b"http://" not in (line := await server.stdout.readline()):
            assert line
        url = line.decode().split(" at ")[1].strip()
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            body = {"prompt": [40], "max_tokens": 4, "temperature": 1, "n": 1, "best_of": 2, "return_token_ids": True}
            if route == "whole":
                (best,) = (await http.post("/v1/completions", json=body)).json()["choices"]
                assert best["token_ids"] == [41, 42, 43, 44]
                assert (await http.post("/v1/embeddings", json={"input": "x"})).status_code == 501
                typical = await http.post("/v1/completions", json={"prompt": [40], "typical_p": 0.5})
                assert typical.json()["error"]["param"] == "typical_p"
            else:
                streamed = await http.post("/v1/completions", json=body | {"best_of": 1, "stream": True})
                lines = [line.removeprefix("data: ") for line in streamed.text.splitlines() if line.startswith("data: ")]
                assert lines[-1] == "[DONE]"
                ids = [choice["token_ids"] for line in lines[:-1] for choice in json.loads(line)["choices"]]
                assert [token for each in ids for token in each] == [41, 42, 43, 44]
        server.terminate()
        await asyncio.wait_for(server.communicate(), 20)
        assert server.returncode == 0

    asyncio.run(run())
