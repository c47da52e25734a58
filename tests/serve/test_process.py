"""Engines as processes: what happens when one is killed, when the server is told to stop, and when memory is short."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.serve.running import Running, running

LONG = {"prompt": [5, 6, 7], "max_tokens": 100, "logit_bias": {}, "temperature": 1, "model": "plain"}


def children(pid: int) -> list[int]:
    """The processes that one started, of those that live."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,stat=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "Z" not in line.split()[1]]


def engines(server: Running) -> list[int]:
    return [pid for pid in children(server.pid) if b"serve.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def slow(server: Running, answers: list, **more) -> threading.Thread:
    """A request that takes a while, in a thread; its answer goes to `answers`."""
    body = {
        "prompt": [[5, 6, number % 9] for number in range(32)],
        "max_tokens": 100,
        "temperature": 1,
        "logit_bias": {},
        **more,
    }
    thread = threading.Thread(target=lambda: answers.append(server.ask("POST", "/v1/completions", body)))
    thread.start()
    end = time.monotonic() + 60
    while server.figure("genus:num_requests_running") == 0:
        assert time.monotonic() < end and thread.is_alive()
    return thread


def test_f37_an_engine_that_is_killed(model_folders, tmp_path):
    """What it was asked fails at once, /health says so, and it is started again."""
    with running(model_folders[:1], tmp_path / "log") as server:
        before = server.ask("POST", "/v1/completions", {"prompt": [1, 2], "max_tokens": 5, "temperature": 0}).text
        answers: list = []
        thread = slow(server, answers)
        (engine,) = engines(server)
        os.kill(engine, signal.SIGKILL)
        killed = time.monotonic()
        thread.join(10)
        assert not thread.is_alive() and time.monotonic() - killed < 5
        assert answers[0].status == 500 and json.loads(answers[0].text)["error"]["code"] == "engine_stopped"
        health = [server.get("/health")[0] for _ in range(5)]
        assert 503 in health or engines(server)
        end = time.monotonic() + 60
        while server.get("/health")[0] != 200:
            assert time.monotonic() < end
            time.sleep(0.05)
        again = server.ask("POST", "/v1/completions", {"prompt": [1, 2], "max_tokens": 5, "temperature": 0}).text
        assert json.loads(again)["choices"] == json.loads(before)["choices"]


@pytest.mark.parametrize("signals", [1, 2])
def test_f36_told_to_stop(model_folders, tmp_path, signals):
    """What runs is finished, after a second signal not; nothing stays behind, and the exit code is 0."""
    answers: list = []
    with running(model_folders[:1], tmp_path / "log") as server:
        left = engines(server)
        thread = slow(server, answers)
        if signals == 2:
            os.kill(server.pid, signal.SIGTERM)
            time.sleep(0.2)
            # the second comes from the end of the block
        else:
            os.kill(server.pid, signal.SIGTERM)
            assert server.get("/ready")[0] == 503
            refused = server.ask("POST", "/v1/completions", LONG)
            assert refused.status == 503 and "retry-after" in refused.headers
            thread.join(60)
            time.sleep(1)
    thread.join(10)
    if signals == 1:
        assert [answer.status for answer in answers] == [200]
    assert not any(Path(f"/proc/{pid}").exists() for pid in left)


def test_a_server_that_is_killed_leaves_no_engine(model_folders, tmp_path):
    with running(model_folders[:1], tmp_path / "log", exit_code=None) as server:
        left = engines(server)
        os.kill(server.pid, signal.SIGKILL)
        end = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in left):
            assert time.monotonic() < end
            time.sleep(0.05)


def test_models_take_turns_where_memory_is_short(model_folders, tmp_path):
    """Two are offered, one fits; who was unloaded comes back when asked for, with the same answers."""
    with running(model_folders, tmp_path / "log", "--memory", "0.0003") as server:
        said = {}
        for name in ("plain", "chatty", "plain", "chatty"):
            body = {"model": name, "prompt": [1, 2], "max_tokens": 4, "temperature": 0}
            answer = server.ask("POST", "/v1/completions", body)
            assert answer.status == 200, answer.text
            said.setdefault(name, set()).add(json.loads(answer.text)["choices"][0]["text"])
            listed = {each["id"]: each["genus"]["loaded"] for each in json.loads(server.get("/v1/models")[1])["data"]}
            assert listed == {"plain": name == "plain", "chatty": name == "chatty"}
        assert all(len(texts) == 1 for texts in said.values())


@pytest.mark.parametrize(("flags", "words"), [
    ([], "no model was named"),
    (["/nonexistent"], "holds no model"),
    (["MODEL", "--host", "0.0.0.0"], "needs --keys"),
    (["MODEL", "--host", "0.0.0.0", "--no-keys"], "needs --keys"),
    (["MODEL", "--keys", "/nonexistent"], "cannot be read as keys"),
    (["MODEL", "MODEL"], "would both be called"),
    (["--new-key", "anna"], "--keys FILE"),
    (["MODEL", "--prot", "1"], "Did you mean --port?"),
])  # fmt: skip
def test_what_cannot_work_is_said_before_anything_listens(model_folders, flags, words):
    flags = [str(model_folders[0]) if flag == "MODEL" else flag for flag in flags]
    command = [sys.executable, "-m", "genus.cli.main", "serve", *flags]
    environment = {name: value for name, value in os.environ.items() if name != "GENUS_API_KEY"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert ended.returncode in (1, 2) and words in ended.stderr and "Traceback" not in ended.stderr


def test_a_port_that_is_taken(model_folders, tmp_path):
    with running(model_folders[:1], tmp_path / "log") as server:
        command = [
            sys.executable,
            "-m",
            "genus.cli.main",
            "serve",
            str(model_folders[0]),
            "--port",
            server.url.rsplit(":", 1)[1],
        ]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 1 and re.search(r"cannot be listened on .* choose another --port", ended.stderr)


def test_keys_of_a_file(model_folders, tmp_path):
    file = tmp_path / "keys.txt"
    command = [sys.executable, "-m", "genus.cli.main", "serve", "--keys", str(file), "--new-key", "anna"]
    key = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    with running(model_folders[:1], tmp_path / "log", "--keys", str(file), key=key) as server:
        assert server.ask("GET", "/v1/models", key=key).status == 200
        assert server.ask("GET", "/v1/models", key="gk-other").status == 401
    assert key not in (tmp_path / "log").read_text() and '"key": "anna"' in (tmp_path / "log").read_text()
