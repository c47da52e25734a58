"""An engine that is `vllm serve`, in a process of its own: the same jobs and events as of ours, over vLLM's HTTP."""

import asyncio
import contextlib
import itertools
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genus.core.errors import GenusError
from genus.engine.request import Request
from genus.serve.errors import ApiError
from genus.serve.models import parameters_of
from genus.serve.process import DEATH, Described, Job
from genus.serve.vllm_words import NAME, Hearing, body_of, message_of
from genus.serve.worker import fingerprint
from genus.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    import httpx

__all__ = ["VllmEngine"]

_EVERY = 1.0  # seconds between two looks at its figures
_FIGURES = {  # its names of ours
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:kv_cache_usage_perc": "pages_used",
    "vllm:num_preemptions_total": "preempted",
    "vllm:prefix_cache_queries_total": "asked",
    "vllm:prefix_cache_hits_total": "found",
}
_QUIET = {  # nothing leaves the machine, and no prompt is written to the log
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}


class VllmEngine:
    """vLLM over one model folder. `command` is what "serve" and the flags are appended to; `weights` names the format."""

    described: Described

    def __init__(
        self, folder: Path, tokenizer: Tokenizer, command: Sequence[str], flags: Sequence[str], weights: str
    ) -> None:
        self.folder, self.tokenizer, self.weights = folder, tokenizer, weights
        self.command = [*command, "serve", str(folder), *flags]
        self.figures: dict[str, float] = {}
        self.jobs: dict[int, asyncio.Task[None]] = {}
        self._numbers = itertools.count(1)
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._http: httpx.AsyncClient | None = None

    async def start(self) -> None:
        """Start it; done when it answers. Raises GenusError when it does not get there."""
        import httpx

        port, key = _free_port(), secrets.token_urlsafe(32)
        place = ("--host", "127.0.0.1", "--port", str(port), "--served-model-name", NAME)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "genus.serve.leash", *self.command, *place),
            stdin=asyncio.subprocess.PIPE,
            stdout=2,  # what it writes belongs to the server's log
            env=os.environ | _QUIET | {"VLLM_API_KEY": key},  # a flag could be read by every user of the machine
            start_new_session=True,
        )
        headers = {"authorization": f"Bearer {key}"}
        limits, timeout = httpx.Limits(max_connections=None), httpx.Timeout(None, connect=10)
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers, limits=limits, timeout=timeout, trust_env=False
        )
        self._tasks = [asyncio.create_task(self._until_it_ends())]
        try:
            self.described = await self._ready()
        except BaseException:
            await self.stop()
            raise
        self._tasks.append(asyncio.create_task(self._measure()))

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return bool(self._tasks) and not self._tasks[0].done()

    @property
    def pid(self) -> int:
        """Of the session that it runs in."""
        assert self._process
        return self._process.pid

    def submit(self, request: Request) -> Job:
        """Send a request; its job."""
        job = Job(self, next(self._numbers), request.n)
        self.jobs[job.number] = asyncio.create_task(self._run(job, request))
        return job

    def drop(self, job: Job) -> None:
        """Nobody listens to the job any more: its connection is closed, at which vLLM gives it up."""
        if (task := self.jobs.pop(job.number, None)) is not None:
            task.cancel()

    async def embed(self, texts: Sequence[Sequence[int]], pooling: str) -> list[list[float]]:
        """Raises ApiError: a vLLM that generates does not embed."""
        message = "embeddings are not offered by a vLLM that generates texts; serve this model with --engine genus for them"
        raise ApiError(501, message, "not_offered")

    async def stop(self) -> None:
        """End it, whatever it does."""
        if self._process is not None:
            assert self._process.stdin
            self._process.stdin.close()  # the leash lets go
            await asyncio.gather(*self._tasks[:1])
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self.jobs.values(), return_exceptions=True)  # jobs hear of its end by themselves
        if self._http is not None:
            await self._http.aclose()

    async def _until_it_ends(self) -> None:
        assert self._process
        await self._process.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # should the leash itself have been killed

    async def _ready(self) -> Described:
        """What it is, once it answers."""
        described = asyncio.create_task(asyncio.to_thread(_described, self.folder, self.weights))
        while not await self._healthy():
            if not self.alive:
                described.cancel()
                raise GenusError(f"{self.folder.name} cannot be served by vLLM, which ended; its log above says why")
            await asyncio.sleep(0.1)
        assert self._http
        said = (await self._http.get("/v1/models")).json()
        return (await described)._replace(context=said["data"][0]["max_model_len"])

    async def _healthy(self) -> bool:
        import httpx

        assert self._http
        try:
            return (await self._http.get("/health", timeout=5)).status_code == 200 and self.alive
        except httpx.HTTPError:
            return False

    async def _measure(self) -> None:
        """Keep `figures` fresh."""
        import httpx

        assert self._http
        while self.alive:
            with contextlib.suppress(httpx.HTTPError, ValueError):
                self.figures = _figures((await self._http.get("/metrics", timeout=5)).text)
            await asyncio.sleep(_EVERY)

    async def _run(self, job: Job, request: Request) -> None:
        """A request, from its being sent to its last event."""
        import httpx

        hearing = Hearing(request, job.number, self.tokenizer, self.described.vocab)
        try:
            async with asyncio.timeout(request.timeout), contextlib.aclosing(self._said(job, body_of(request))) as chunks:
                async for said in chunks:
                    for event in hearing.events(said):
                        job.tell(event)
                    if hearing.over:
                        break
            if not hearing.over:
                raise ApiError(500, DEATH, "engine_stopped")
        except TimeoutError:
            _accept(job)
            for event in hearing.deadline():
                job.tell(event)
        except httpx.HTTPError:
            job.tell(ApiError(500, DEATH, "engine_stopped"))
        except ApiError as error:
            job.tell(error)
        finally:
            self.jobs.pop(job.number, None)

    async def _said(self, job: Job, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Its chunks, or its whole answer as one. Raises ApiError for what it refuses."""
        assert self._http
        if not body["stream"]:
            _accept(job)  # it says nothing before it is done
        async with self._http.stream("POST", "/v1/completions", json=body) as response:
            if response.status_code != 200:
                raise _refusal(response.status_code, await response.aread())
            _accept(job)
            if not body["stream"]:
                yield json.loads(await response.aread())
                return
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    yield json.loads(line.removeprefix("data: "))


def _accept(job: Job) -> None:
    if not job.accepted.done():
        job.accepted.set_result(None)


def _refusal(status: int, content: bytes) -> ApiError:
    try:
        why = message_of(json.loads(content))
    except (ValueError, KeyError, TypeError):
        why = f"status {status}"
    if status < 500:
        return ApiError(400, f"vLLM refused the request ({why})", "invalid_value")
    return ApiError(500, f"vLLM failed ({why})", "generation_failed")


def _described(folder: Path, weights: str) -> Described:
    from genus.models.weights import read_spec

    spec, family = read_spec(folder)
    return Described(
        spec.context, spec.vocab, parameters_of(folder), family.name, fingerprint(folder, f"vllm {weights}"), weights
    )


def _figures(text: str) -> dict[str, float]:
    """Ours, of its metrics in Prometheus's form."""
    from prometheus_client.parser import text_string_to_metric_families

    found = {"pages": 1.0}  # its share of the cache is told, not its pages
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if (name := _FIGURES.get(sample.name)) is not None:
                found[name] = found.get(name, 0.0) + sample.value
    return found


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
        return port
