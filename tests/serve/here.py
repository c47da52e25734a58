"""The real application over HTTP in a thread of the test, with the real engine in the same loop instead of a process.

So a test can hold the engine still, look into it, and plant failures. The process itself is tested in test_process.py.
"""

import asyncio
import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from genus.core.errors import GenusError
from genus.engine.embed import embed
from genus.engine.engine import Engine
from genus.serve.app import make_app
from genus.serve.errors import ApiError
from genus.serve.guard import Guard
from genus.serve.keys import keys_of
from genus.serve.life import _Patient, _Server, bind
from genus.serve.measures import Measures
from genus.serve.models import Models, Served
from genus.serve.process import Described, Job
from genus.serve.runs import Runs
from genus.serve.site import Site
from genus.serve.state import Settings, State
from genus.serve.wire import event_from, event_to, request_from, request_to

KEY = "gk-test"


class EngineHere:
    """The engine in the server's own loop. `go` holds it still; `steps` counts its steps."""

    def __init__(self, model: Any, **engine: Any) -> None:
        self.model, self.engine = model, Engine(model, **engine)
        self.jobs: dict[int, tuple[int, Job]] = {}  # the engine's number -> the job's and the job
        self.numbers = itertools.count(1)
        self.go, self.steps, self.alive = True, 0, True
        spec = getattr(model, "spec", None)
        context, vocab = (spec.context, spec.vocab) if spec else (model.context, model.vocab)
        self.described = Described(context, vocab, 0, "tiny", "f00")

    @property
    def figures(self) -> dict[str, float]:
        groups = self.engine.scheduler.cache.groups
        return {"pages": sum(each.count for each in groups), "pages_used": sum(each.used for each in groups),
                "running": len(self.engine.scheduler.running), "waiting": len(self.engine.scheduler.waiting)}  # fmt: skip

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        self._task.cancel()

    def submit(self, request: Any) -> Job:
        job = Job(self, next(self.numbers), request.n)
        try:
            number = self.engine.add(request_from(json.loads(json.dumps(request_to(request)))))
        except GenusError as error:
            job.tell(ApiError(400, str(error)))
        else:
            self.jobs[number] = job.number, job
            job.accepted.set_result(None)
        return job

    def drop(self, job: Job) -> None:
        for number, (_, other) in list(self.jobs.items()):
            if other is job:
                self.engine.abort(number)
                del self.jobs[number]

    async def embed(self, texts: Any, pooling: Any) -> list[list[float]]:
        return embed(self.model.network, texts, pooling).tolist()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(0.0005)
            if self.go and not self.engine.idle:
                self.steps += 1
                for event in self.engine.step():
                    if event.request in self.jobs:
                        number, job = self.jobs[event.request]
                        job.tell(event_from(json.loads(json.dumps(event_to(event, number)))))
                        if job.complete:
                            del self.jobs[event.request]


class Here:
    """A running server: `client`, `state`, `engine`."""

    def __init__(
        self,
        model: Any,
        folder: Path,
        *,
        key: str | None = KEY,
        settings: Any = None,
        runs: Any = (),
        desk: Any = None,
        **engine: Any,
    ):
        self.engine = EngineHere(model, **engine)
        self.key, self.settings, self.folder, self.runs, self.desk = key, settings or {}, folder, runs, desk
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(20)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self.client = httpx.Client(base_url=self.url, headers=headers, timeout=20)

    async def _serve(self) -> None:
        served = Served("tiny", self.folder, 0)
        models = Models([served], lambda _: self.engine)
        self.state = State(models, Settings(**self.settings), Measures())
        await models.open(served)
        app = make_app(self.state, Site(), Runs(self.runs), self.desk)
        keys = keys_of({"anna": self.key, "ben": "gk-other"}) if self.key else None
        guarded = Guard(app, self.state.settings, keys, public=Site().files)
        _Patient.seconds = self.state.settings.body_timeout
        self.server = _Server(uvicorn.Config(guarded, http=_Patient, ws="none", lifespan="off", log_config=None,
                                             timeout_graceful_shutdown=1, timeout_keep_alive=60))  # fmt: skip
        socket = bind("127.0.0.1", 0)
        self.port = socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._ready.set()
        await self.server.serve(sockets=[socket])
        await models.stop()

    def stop(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def post(self, path: str, /, **body: Any) -> httpx.Response:
        return self.client.post(path, json=body)

    def events(self, path: str, /, **body: Any) -> list[dict[str, Any]]:
        """The events of a stream; the last must be [DONE]."""
        answer = self.post(path, **body, stream=True)
        assert answer.status_code == 200, answer.text
        lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
        assert lines[-1] == "[DONE]"
        return [json.loads(line) for line in lines[:-1]]

    def settled(self, seconds: float = 5.0) -> bool:
        """Whether the engine comes to rest, with every page given back."""
        return soon(lambda: self.engine.engine.idle and self.engine.engine.at_rest and self.state.open == 0, seconds)


def soon(true: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether something becomes true in time."""
    import time

    until = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < until:
        time.sleep(0.01)
    return bool(found)


@contextlib.contextmanager
def serving(model: Any, folder: Path, **chosen: Any) -> Iterator[Here]:
    here = Here(model, folder, **chosen)
    try:
        yield here
    finally:
        here.stop()
