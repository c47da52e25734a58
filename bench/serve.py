"""Sixty-four open streams over HTTP beside the engine alone with the same requests, interleaved; and /health meanwhile.

    python bench/serve.py runs/demo/model
    python bench/serve.py models/smollm2 --weights int8 --json

The server is `genus serve` in processes of its own; both sides have the same model, weights, threads and greedy requests,
each of its own prompt. The server's side also turns every token into an event that a client reads, on the same cores.
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model folder")
    parser.add_argument("--weights", default="fp32", choices=("fp32", "bf16", "int8", "int4"))
    parser.add_argument("--streams", type=int, default=64, help="open at once (default 64)")
    parser.add_argument("--tokens", type=int, default=64, help="of each answer (default 64)")
    parser.add_argument("--rounds", type=int, default=5, help="turns that each side gets (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    found = measure(options)
    print(f"{options.streams} streams of {options.tokens} tokens, {options.weights}, {options.rounds} rounds")
    print(f"engine alone   {found['engine']:9,.1f} tokens/s")
    print(f"genus serve    {found['server']:9,.1f} tokens/s   {found['ratio']:.2f} of the engine (at least 0.9)")
    health = f"/health under load: median {found['health'] * 1e3:.1f} ms, slowest {found['health_most'] * 1e3:.1f} ms"
    print(f"{health} (at most 100); first token after {found['first']:.2f} s; pages at rest: {found['at_rest']}")
    if options.json:
        print(json.dumps(found))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Rounds of both sides. Each side rests while the other runs."""
    server = _Server(options)
    engine = _Engine(options)
    turns: list[tuple[float, dict[str, float]]] = []
    try:
        for number in range(options.rounds + 1):  # the first warms both up
            turns.append((engine.run(), asyncio.run(server.run())))
            print(f"round {number} of {options.rounds}", file=sys.stderr)
        at_rest = server.at_rest()
    finally:
        server.stop()
    turns = turns[1:]
    return {
        "engine": statistics.median(alone for alone, _ in turns),
        "server": statistics.median(told["speed"] for _, told in turns),
        "ratio": statistics.median(told["speed"] / alone for alone, told in turns),
        "first": statistics.median(told["first"] for _, told in turns),
        "health": statistics.median(told["health"] for _, told in turns),
        "health_most": max(told["health_most"] for _, told in turns),
        "at_rest": at_rest,
        "rounds": [[alone, told["speed"]] for alone, told in turns],
    }


def prompts(vocab: int, streams: int) -> list[list[int]]:
    """Token ids, so that neither side encodes; none begins like another."""
    return [[(7 * number + place * place) % (vocab - 1) for place in range(16)] for number in range(streams)]


class _Engine:
    """The engine in this process."""

    def __init__(self, options: argparse.Namespace) -> None:
        from genus.engine.engine import Engine
        from genus.engine.model import load

        self.model = load(options.model, options.weights)
        self.engine, self.options = Engine(self.model), options

    def run(self) -> float:
        """Tokens a second."""
        from genus.engine.request import Request
        from genus.engine.sampling import Sampling

        self.engine.forget()
        greedy, tokens = Sampling(temperature=0), 0
        began = time.perf_counter()
        for prompt in prompts(self.model.spec.vocab, self.options.streams):
            self.engine.add(Request(prompt=tuple(prompt), max_tokens=self.options.tokens, sampling=greedy))
        while not self.engine.idle:
            tokens += sum(len(event.tokens) for event in self.engine.step())
        return tokens / (time.perf_counter() - began)


class _Server:
    """`genus serve` and its clients."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        command = [
            sys.executable,
            "-m",
            "genus.cli.main",
            "serve",
            str(options.model),
            "--port",
            "0",
            "--weights",
            options.weights,
        ]
        self.process = subprocess.Popen([*command, "--no-keys"], stderr=subprocess.PIPE, text=True)
        assert self.process.stderr
        line = next(line for line in self.process.stderr if "http://" in line)
        found = re.search(r"http://[^/]+", line)
        assert found
        self.url = found[0]
        import threading

        threading.Thread(target=lambda: [None for _ in self.process.stderr or ()], daemon=True).start()
        while httpx.get(f"{self.url}/ready").status_code != 200:
            time.sleep(0.2)
        self.vocab = httpx.get(f"{self.url}/v1/models").json()["data"][0]["genus"]["vocab"]

    async def run(self) -> dict[str, float]:
        """All streams at once."""
        async with httpx.AsyncClient(base_url=self.url, timeout=600) as client:
            done = asyncio.Event()
            health = asyncio.create_task(self._health(client, done))
            began = time.perf_counter()
            told = await asyncio.gather(*(self._stream(each) for each in prompts(self.vocab, self.options.streams)))
            seconds = time.perf_counter() - began
            done.set()
            waits = await health
        tokens = sum(count for count, _ in told)
        first = statistics.median(at - began for _, at in told)
        return {"speed": tokens / seconds, "first": first, "health": statistics.median(waits), "health_most": max(waits)}

    async def _stream(self, prompt: list[int]) -> tuple[int, float]:
        """Tokens, and when the first came. Over a bare socket: a client's own work is not what is measured here."""
        body = {"prompt": prompt, "max_tokens": self.options.tokens, "temperature": 0, "stream": True}
        content = json.dumps({**body, "stream_options": {"include_usage": True}}).encode()
        host, port = self.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"POST /v1/completions HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        first, said = 0.0, b""
        while some := await reader.read(65536):
            said += some
            first = first or (time.perf_counter() if b'"text"' in said else 0.0)
        writer.close()
        assert said.startswith(b"HTTP/1.1 200") and b"data: [DONE]" in said, said[-500:]
        found = re.findall(rb'"completion_tokens": ?(\d+)', said)
        return int(found[-1]), first

    async def _health(self, client: httpx.AsyncClient, done: asyncio.Event) -> list[float]:
        waits = []
        while not done.is_set():
            began = time.perf_counter()
            assert (await client.get("/health")).status_code == 200
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(0.2)
        return waits

    def at_rest(self) -> bool:
        """Whether no page is in use and nothing waits."""
        time.sleep(0.5)
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        names = ("genus:num_requests", "genus:kv_cache_usage_perc")
        return all(float(line.split()[-1]) == 0 for line in lines if line.startswith(names))

    def stop(self) -> None:
        """As a supervisor would."""
        self.process.terminate()
        assert self.process.wait(30) == 0


if __name__ == "__main__":
    main()
