"""From what a person chose to a server that runs."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.memory import available_memory
from genus.core.progress import say
from genus.serve.app import make_app
from genus.serve.chosen import Chosen
from genus.serve.guard import Guard
from genus.serve.keys import Keys, keys_of, new_key, read_keys
from genus.serve.life import bind, serve
from genus.serve.measures import Measures
from genus.serve.models import Models, find_models
from genus.serve.process import EngineProcess
from genus.serve.runs import Runs
from genus.serve.site import Site
from genus.serve.state import Settings, State

__all__ = ["start"]

_KEY = "GENUS_API_KEY"
_HERE = ("127.0.0.1", "localhost", "::1")
_BYTES = {"fp32": 8.0, "bf16": 6.0, "int8": 5.1, "int4": 4.7}  # of a weight: as it is, and in the format that is read


def start(folders: Sequence[Path], chosen: Chosen) -> None:
    """Serve until told to stop. Raises GenusError before anything listens when the choice cannot work."""
    settings = Settings(queue=chosen.queue, timeout=chosen.timeout, drain=chosen.drain, most_tokens=chosen.max_tokens)
    if chosen.host not in _HERE and chosen.keys is None and not os.environ.get(_KEY):
        raise GenusError(f"--host {chosen.host} is reached by others, so it needs --keys; make one with --new-key NAME")
    keys, shown = _keys(chosen)
    served = find_models(folders, _BYTES[chosen.weights])
    for each in served:
        _ = each.tokenizer  # a damaged one is better found now
    asyncio.run(_run(chosen, settings, keys, shown, served))


async def _run(chosen: Chosen, settings: Settings, keys: Keys | None, shown: str | None, served: list[Any]) -> None:
    room = int(0.7 * available_memory()) if chosen.memory is None else int(chosen.memory * 1e9)
    models = Models(served, lambda each: EngineProcess(each.folder, chosen.weights), room)
    state = State(models, settings, Measures())
    site = Site()
    app = make_app(state, site, Runs(() if chosen.runs is None else (chosen.runs,)))
    hosts = {"localhost", "127.0.0.1", "::1"} if chosen.host in _HERE else None
    guarded = Guard(app, settings, keys, public=site.files, origins=chosen.origin, hosts=hosts)
    opened = bind(chosen.host, chosen.port)
    host = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    url = f"http://{host}:{opened.getsockname()[1]}/"
    say(f"serving {', '.join(each.name for each in served)} at {url}" + (f"#key={shown}" if shown else ""))
    if shown:
        say(f"the key of this start: {shown}")
    if not site.built:
        say("the pages were not built on installation; the API works (make pages builds them)")
    await serve(guarded, state, opened, served[0].name)


def _keys(chosen: Chosen) -> tuple[Keys | None, str | None]:
    """Who may ask, and the key that was made for this start, if one was."""
    if chosen.no_keys:
        if chosen.host not in _HERE:
            raise GenusError("--no-keys is for this machine alone; leave it out, or listen on 127.0.0.1")
        return None, None
    if chosen.keys is not None:
        return read_keys(chosen.keys), None
    if given := os.environ.get(_KEY):
        return keys_of({"environment": given}), None
    made = new_key()
    return keys_of({"start": made}), made
