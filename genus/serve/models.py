"""The models that a server offers: found by name, started when asked for, stopped when memory is wanted for another."""

import asyncio
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from genus.core.errors import GenusError
from genus.core.progress import say
from genus.serve.errors import ApiError
from genus.serve.process import Engine
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["Models", "Served", "find_models", "parameters_of"]

_RESTARTS = 3  # of a model's engine by itself, in ten minutes


@dataclass(eq=False)
class Served:
    """One model: its folder, and while it is loaded its engine."""

    name: str
    folder: Path
    bytes: int  # of its weights in memory
    engine: Engine | None = None
    starting: "asyncio.Task[Engine] | None" = None
    busy: int = 0  # requests that use it
    used: float = 0.0  # when the last one began
    deaths: list[float] = field(default_factory=list)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Its tokenizer."""
        return Tokenizer.load(self.folder)

    @property
    def ready(self) -> bool:
        """Whether it answers now."""
        return self.engine is not None and self.engine.alive

    def prompt_ids(self, text: str) -> list[int]:
        """A text as the model wants to read it; the empty one is the start of a document, if there is a token for it."""
        ids = [*self.tokenizer.start, *self.tokenizer.encode(text)]
        return [self.tokenizer.end_of_text] if not ids and self.tokenizer.end_of_text is not None else ids


class Models:
    """All models of a server. `make` gives a model's engine, not yet started; `room` is for weights, in bytes."""

    def __init__(self, served: list[Served], make: Callable[[Served], Engine], room: int | None = None) -> None:
        self.served = {each.name: each for each in served}
        self.make, self.room = make, room
        self._turn = asyncio.Lock()

    @property
    def dead(self) -> bool:
        """Whether an engine died and is not back."""
        return any(each.engine is not None and not each.engine.alive for each in self.served.values())

    @property
    def ready(self) -> bool:
        """Whether a model answers; true of a server that has none, and is there for labellers."""
        return not self.dead and (not self.served or any(each.ready for each in self.served.values()))

    def find(self, name: str | None) -> Served:
        """The model of a name; without a name, the only one or the first. Names are compared, never taken as paths."""
        if not self.served:
            raise ApiError(404, "no model is served here; start one with genus serve", "model_not_found", "model")
        if name is None:
            return next(iter(self.served.values()))
        if (found := self.served.get(name)) is None:
            known = ", ".join(list(self.served)[:10])
            raise ApiError(404, f"the model {name[:80]!r} does not exist; there are: {known}", "model_not_found", "model")
        return found

    async def open(self, served: Served) -> Engine:
        """Its running engine, started if need be. Raises ApiError 503 when there is no room, 500 when it cannot start."""
        served.used = time.monotonic()
        if served.engine is not None and served.engine.alive:
            return served.engine
        if served.starting is None:
            served.starting = asyncio.create_task(self._start(served))
            served.starting.add_done_callback(lambda _: setattr(served, "starting", None))
        return await asyncio.shield(served.starting)

    async def stop(self) -> None:
        """Stop all engines."""
        for served in self.served.values():
            if served.starting is not None:
                served.starting.cancel()
            if served.engine is not None:
                await served.engine.stop()

    async def watch(self) -> None:
        """Start engines again that died, a few times; until cancelled."""
        while True:
            await asyncio.sleep(0.2)
            for served in self.served.values():
                now = time.monotonic()
                served.deaths = [at for at in served.deaths if now - at < 600]
                died = served.engine is not None and not served.engine.alive and served.starting is None
                if died and len(served.deaths) < _RESTARTS:
                    served.deaths.append(now)
                    say(f"the engine of {served.name} died; starting it again")
                    try:
                        await self.open(served)
                    except ApiError as error:
                        say(error.message)

    async def _start(self, served: Served) -> Engine:
        async with self._turn:  # two models that start at once would both count on the same memory
            await self._make_room(served)
            engine = self.make(served)
            try:
                await engine.start()
            except GenusError as error:
                raise ApiError(500, str(error), "model_failed") from error
            served.engine = engine
            return engine

    async def _make_room(self, served: Served) -> None:
        """Stop the models that were not used for longest, until this one fits."""
        while self.room is not None:
            loaded = [each for each in self.served.values() if each.engine is not None and each is not served]
            if not loaded or sum(each.bytes for each in loaded) + served.bytes <= self.room:
                return
            idle = sorted((each for each in loaded if not each.busy), key=lambda each: each.used)
            if not idle:
                message = f"{served.name} needs {served.bytes / 1e9:.1f} GB, and the models in use leave no room; try later"
                raise ApiError(503, message, "model_overloaded", wait=10)
            assert idle[0].engine is not None
            await idle[0].engine.stop()
            idle[0].engine = None


def find_models(paths: Sequence[Path], each_weight: float) -> list[Served]:
    """The models in folders, or in folders of folders. `each_weight` are the bytes that a weight takes while loaded.

    Raises GenusError for a path without any, and for two of one name.
    """
    found: dict[str, Served] = {}
    for path in paths:
        folders = [path] if _is_model(path) else [path / "model"] if _is_model(path / "model") else _inside(path)
        if not folders:
            raise GenusError(f"{path} holds no model; name a folder with config.json and model.safetensors, or one of such")
        for folder in folders:
            name = folder.parent.name if folder.name == "model" else folder.resolve().name
            if name in found:
                raise GenusError(f"{found[name].folder} and {folder} would both be called {name}; rename one")
            found[name] = Served(name, folder, int(parameters_of(folder) * each_weight))
    return list(found.values())


def _inside(path: Path) -> list[Path]:
    """Model folders in a folder, and those of runs."""
    if not path.is_dir():
        return []
    inside = sorted(each for each in path.iterdir() if each.is_dir())
    return [each if _is_model(each) else each / "model" for each in inside if _is_model(each) or _is_model(each / "model")]


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def parameters_of(folder: Path) -> int:
    """How many weights a folder holds, by the headers of its files."""
    count = 0
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        count += sum(math.prod(each["shape"]) for name, each in header.items() if name != "__metadata__")
    return count
