"""F28 to F38 over HTTP: clients that leave or stop reading, queues that are full, deadlines, failures, and the end."""

import contextlib
import json
import socket
import statistics
import threading
import time

import pytest

from tests.serve.here import KEY, Here, serving, soon

END = "299"  # the end of text
LONG = {"prompt": "law of the people", "max_tokens": 400, "temperature": 1, "logit_bias": {END: -100}}  # never ends early


def opened(here: Here, body: dict) -> socket.socket:
    """A request sent by hand, to be left in any state."""
    connection = socket.create_connection(("127.0.0.1", here.port), timeout=5)
    connection.sendall(written(body))
    return connection


def written(body: dict) -> bytes:
    content = json.dumps(body).encode()
    head = (
        "POST /v1/completions HTTP/1.1",
        "host: 127.0.0.1",
        f"authorization: Bearer {KEY}",
        f"content-length: {len(content)}",
    )
    return "\r\n".join([*head, "", ""]).encode() + content


def counted(here: Here, name: str) -> float:
    lines = here.client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


@pytest.fixture
def still(here: Here):
    """The server with its engine held still."""
    here.engine.go = False
    yield here
    here.engine.go = True
    assert here.settled()


@pytest.mark.parametrize("body", [LONG | {"stream": True}, LONG, LONG | {"n": 4}, LONG | {"n": 4, "stream": True},
                                  LONG | {"prompt": ["law", "people"]}])  # fmt: skip
def test_f28_f29_f30_a_client_that_leaves(here, body):
    before = counted(here, "genus:request_aborted_total")
    engine = here.engine.engine
    connection = opened(here, body)
    assert soon(lambda: any(len(branch.said) > 3 for branch in engine.scheduler.running))
    connection.close()
    assert soon(lambda: engine.idle) and here.settled()
    assert counted(here, "genus:request_aborted_total") == before + 1
    assert here.state.models.served["tiny"].busy == 0


def test_f28_within_a_step(still):
    """What a client has left is not read on: with the engine still, it is gone before the next step."""
    still.engine.go = True
    connection = opened(still, LONG | {"stream": True})
    assert soon(lambda: still.engine.engine.scheduler.running)
    still.engine.go = False
    time.sleep(0.05)
    connection.close()
    assert soon(lambda: still.engine.engine.idle)


@pytest.mark.parametrize("body", [LONG, LONG | {"stream": True}])
def test_f30_a_client_that_leaves_the_queue(still, body):
    connection = opened(still, body)
    assert soon(lambda: still.engine.engine.scheduler.waiting)
    connection.close()
    assert soon(lambda: still.engine.engine.idle)


def test_f30_in_the_middle_of_a_prompt(still):
    from genus.engine.schedule import Limits

    object.__setattr__(still.engine.engine.scheduler.limits, "budget", 64)
    try:
        connection = opened(still, {"prompt": [5] * 400, "max_tokens": 3})
        assert soon(lambda: still.engine.engine.scheduler.waiting)
        still.engine.engine.step()
        assert 0 < still.engine.engine.scheduler.running[0].computed < 400
        connection.close()
        assert soon(lambda: still.engine.engine.idle)
    finally:
        object.__setattr__(still.engine.engine.scheduler.limits, "budget", Limits().budget)


def test_f31_a_client_that_stops_reading(chat_model, chat_folder):
    """It is given up after a while, and nobody else waits for it."""
    with serving(chat_model, chat_folder, settings={"send_timeout": 0.5}) as here:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        slow.settimeout(5)
        slow.connect(("127.0.0.1", here.port))
        slow.sendall(written(LONG | {"stream": True, "logprobs": 20, "n": 16}))
        assert here.post("/v1/completions", prompt="law", max_tokens=3).status_code == 200
        assert soon(lambda: here.state.open == 0, 30), "it was not given up"
        assert here.settled()
        slow.close()


def test_f32_a_queue_that_is_full(chat_model, chat_folder):
    with serving(chat_model, chat_folder, settings={"queue": 4}) as here:
        here.engine.go = False
        waiting = [opened(here, LONG) for _ in range(4)]
        assert soon(lambda: here.state.open == 4)
        waits = []
        for _ in range(40):
            answer = here.post("/v1/completions", **LONG)
            assert answer.status_code == 429 and answer.json()["error"]["code"] == "queue_full"
            assert int(answer.headers["retry-after"]) >= 1
            one = time.perf_counter()
            assert here.client.get("/health").status_code == 200
            waits.append(time.perf_counter() - one)
        for body in (LONG | {"n": 5}, LONG | {"prompt": ["law", "people"], "best_of": 3}):  # waiting would never help
            answer = here.post("/v1/completions", **body)
            assert answer.status_code == 400 and "queue holds 4" in answer.json()["error"]["message"]
        assert statistics.median(waits) < 0.1
        assert counted(here, "genus:request_refused_total") == 40
        for connection in waiting:
            connection.close()
        here.engine.go = True
        assert here.settled()
        assert here.post("/v1/completions", prompt="law", max_tokens=1).status_code == 200


def test_f33_a_deadline(chat_model, chat_folder):
    with serving(chat_model, chat_folder, settings={"timeout": 0.3}) as here:
        real = here.engine.engine.step
        here.engine.engine.step = lambda: (time.sleep(0.1), real())[1]
        answer = here.post("/v1/completions", **LONG)
        assert answer.status_code == 504 and answer.json()["error"]["code"] == "deadline"
        streamed = here.post("/v1/completions", **LONG, stream=True).text
        assert '"code": "deadline"' in streamed.split("\n\n")[-2] and "[DONE]" not in streamed
        assert here.settled()


def test_f34_a_cache_that_is_full(chat_model, chat_folder):
    """Requests wait for pages, and say what they say alone; one that needs more than there is gets a 400."""
    with serving(chat_model, chat_folder, tokens=96) as here:
        bodies = [{"prompt": [7, number], "max_tokens": 40, "seed": number} for number in range(6)]
        alone = [here.post("/v1/completions", **body).json()["choices"] for body in bodies]
        found: dict[int, list] = {}

        def ask(number: int) -> None:
            found[number] = here.post("/v1/completions", **bodies[number]).json()["choices"]

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [found[number] for number in range(6)] == alone
        answer = here.post("/v1/completions", prompt=[7] * 100, max_tokens=100)
        assert answer.status_code == 400 and "pages" in answer.json()["error"]["message"]
        assert here.settled()


@pytest.mark.parametrize("kind", ["raises", "nan"])
def test_f35_a_failure_of_one(chat_model, chat_folder, kind, monkeypatch):
    """The request whose token breaks the model gets a 500; another beside it says what it always says."""
    import torch

    with serving(chat_model, chat_folder) as here:
        calm = {"prompt": [7, 8], "max_tokens": 60, "temperature": 0}
        alone = here.post("/v1/completions", **calm).json()["choices"]
        reader, real = here.engine.engine.reader, here.engine.engine.reader.read

        def read(work, wanted):
            broken = [each for each in work if each.branch.tokens[0] == 11]
            if broken and kind == "raises":
                raise RuntimeError("planted")
            logits = real(work, wanted).clone()
            first = 0
            for each, rows in zip(work, wanted, strict=True):
                if each in broken:
                    logits[first : first + rows] = torch.nan
                first += rows
            return logits

        monkeypatch.setattr(reader, "read", read)
        beside: list = []
        thread = threading.Thread(target=lambda: beside.append(here.post("/v1/completions", **calm).json()["choices"]))
        thread.start()
        answer = here.post("/v1/completions", prompt=[11, 3], max_tokens=5)
        assert answer.status_code == 500 and answer.json()["error"]["code"] == "generation_failed"
        assert answer.headers["x-should-retry"] == "false"
        streamed = here.post("/v1/completions", prompt=[11, 3], max_tokens=5, stream=True).text
        assert json.loads(streamed.strip().split("\n\n")[-1].removeprefix("data: "))["error"]["type"] == "server_error"
        thread.join()
        assert beside == [alone]
        assert here.settled()


def test_f36_draining(chat_model, chat_folder):
    import asyncio

    with serving(chat_model, chat_folder) as here:
        here.engine.go = False
        answers: list = []
        body = {"prompt": "law", "max_tokens": 3, "temperature": 0}
        thread = threading.Thread(target=lambda: answers.append(here.post("/v1/completions", **body).status_code))
        thread.start()
        assert soon(lambda: here.state.open == 1)
        assert here.client.get("/ready").status_code == 200
        loop = here.engine._task.get_loop()
        drained = asyncio.run_coroutine_threadsafe(here.state.drain(), loop)
        assert soon(lambda: here.client.get("/ready").status_code == 503)
        refused = here.post("/v1/completions", **body)
        assert (
            refused.status_code == 503 and refused.json()["error"]["code"] == "draining" and "retry-after" in refused.headers
        )
        assert here.client.get("/health").status_code == 200
        assert not drained.done()
        here.engine.go = True
        thread.join()
        assert answers == [200]
        drained.result(5)


def test_f38_no_half_characters(here):
    """Emoji over several tokens come whole; bytes that are no text come once, as U+FFFD, at the end."""
    tokens = here.post("/tokenize", prompt="😀😀").json()["tokens"]
    assert len(tokens) == 8  # a byte each in this vocabulary
    for allowed in (tokens[:4], tokens[:3]):
        answers = []
        real = here.engine.engine.reader.read
        said: list[int] = []

        def read(work, wanted, real=real, allowed=allowed, said=said):
            logits = real(work, wanted).clone()
            logits[-1] = -1e4
            logits[-1, allowed[len(said) % len(allowed)]] = 0
            said.append(1)
            return logits

        here.engine.engine.reader.read = read
        try:
            for stream in (False, True):
                said.clear()
                body = {"prompt": "law", "max_tokens": len(allowed), "temperature": 0}
                if stream:
                    pieces = [event["choices"][0]["text"] for event in here.events("/v1/completions", **body)]
                    answers.append("".join(pieces))
                    assert all("\ufffd" not in piece for piece in pieces[:-1])
                else:
                    answers.append(here.post("/v1/completions", **body).json()["choices"][0]["text"])
        finally:
            here.engine.engine.reader.read = real
        assert answers == (["😀"] * 2 if len(allowed) == 4 else ["\ufffd"] * 2)


def test_nothing_is_left_of_a_stream_that_never_began(here):
    """A client that is gone before the first byte of its answer."""
    for _ in range(20):
        with contextlib.suppress(OSError):
            opened(here, LONG | {"stream": True}).close()
    assert here.settled()
