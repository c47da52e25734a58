"""From what a person chose to a server that runs."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genus.core.errors import GenusError
from genus.core.memory import available_memory
from genus.core.progress import say
from genus.retrieve.search import open_search
from genus.retrieve.verify.opening import open_verifier
from genus.serve.app import make_app
from genus.serve.chosen import Chosen
from genus.serve.guard import Guard
from genus.serve.keys import Keys, keys_of, new_key, read_keys
from genus.serve.life import bind, serve
from genus.serve.measures import Measures
from genus.serve.models import Models, Served, find_models
from genus.serve.process import Engine, EngineProcess
from genus.serve.runs import Runs
from genus.serve.site import Site
from genus.serve.state import Settings, State
from genus.tokenizers.template import template_warning

if TYPE_CHECKING:
    from genus.align.feedback import Feedback
    from genus.serve.feedback import Desk

__all__ = ["access_of", "start", "start_desk"]

_Access = tuple[Keys | None, str | None]  # who may ask, and the key that was made for this start, if one was
_KEY = "GENUS_API_KEY"
_HERE = ("127.0.0.1", "localhost", "::1")
_Engines = tuple[list[Served], Callable[[Served], Engine], int | None]  # as Models takes them
_BYTES = {"fp32": 8.0, "bf16": 6.0, "int8": 5.1, "int4": 4.7}  # of a weight: as it is, and in the format that is read


def start(folders: Sequence[Path], chosen: Chosen) -> None:
    """Serve until told to stop. Raises GenusError before anything listens when the choice cannot work."""
    settings, access = _settings(chosen), access_of(chosen)
    served, make, room = _vllm(folders, chosen, settings) if chosen.engine == "vllm" else _own(folders, chosen)
    search = None if chosen.index is None else open_search(chosen.index)
    for each in served:
        if warning := template_warning(each.folder, each.tokenizer):  # a damaged tokenizer is better found now, too
            say(warning)
    verifier = None if search is None else open_verifier(chosen.judge)
    state = State(Models(served, make, room), settings, Measures(), search, verifier)
    asyncio.run(_run(chosen, access, state, _desk(chosen)))


def start_desk(feedback: "Feedback", chosen: Chosen, access: _Access) -> None:
    """Serve labellers alone, without a model, until told to stop."""
    models = Models([], lambda each: EngineProcess(each.folder, chosen.weights))
    asyncio.run(_run(chosen, access, State(models, _settings(chosen), Measures()), _desk(chosen, feedback)))


def _settings(chosen: Chosen) -> Settings:
    return Settings(queue=chosen.queue, timeout=chosen.timeout, drain=chosen.drain, most_tokens=chosen.max_tokens)


def _own(folders: Sequence[Path], chosen: Chosen) -> _Engines:
    """Models and what answers for each: our own engine."""
    if chosen.vllm is not None or chosen.vllm_flags:
        raise GenusError("--vllm and --vllm-flags go with --engine vllm; add it, or leave them out")
    served = find_models(folders, _BYTES[chosen.weights])
    room = int(0.7 * available_memory()) if chosen.memory is None else int(chosen.memory * 1e9)
    return served, lambda each: EngineProcess(each.folder, chosen.weights), room


def _vllm(folders: Sequence[Path], chosen: Chosen, settings: Settings) -> _Engines:
    """The same with vLLM."""
    from genus.serve import vllm_flags
    from genus.serve.vllm import VllmEngine

    served = find_models(folders, vllm_flags.bytes_of(chosen.weights))
    command = vllm_flags.command_of(chosen.vllm)
    caches = vllm_flags.cache_of(served, chosen.memory)
    if chosen.memory is None:  # vLLM then takes what there is, so that one model is loaded at a time
        served = [replace(each, bytes=1) for each in served]

    def make(each: Served) -> Engine:
        flags = vllm_flags.flags_of(chosen.weights, settings.queue, caches[each.name], chosen.vllm_flags)
        return VllmEngine(each.folder, each.tokenizer, command, flags, chosen.weights)

    return served, make, 1 if chosen.memory is None else None


def _desk(chosen: Chosen, feedback: "Feedback | None" = None) -> "Desk | None":
    """Labellers go by the names of their keys; the one person who needs none, by their own."""
    if feedback is None and chosen.feedback is None:
        return None
    from genus.align.feedback import Feedback
    from genus.serve.feedback import Desk, login_name

    named = chosen.keys is not None
    opened = feedback or Feedback.open(str(chosen.feedback), new=True)
    return Desk(opened, None if named else chosen.labeller or login_name())


async def _run(chosen: Chosen, access: _Access, state: State, desk: "Desk | None") -> None:
    keys, shown = access
    site = Site()
    app = make_app(state, site, Runs(() if chosen.runs is None else (chosen.runs,)), desk)
    hosts = {"localhost", "127.0.0.1", "::1"} if chosen.host in _HERE else None
    guarded = Guard(app, state.settings, keys, public=site.files, origins=chosen.origin, hosts=hosts)
    opened = bind(chosen.host, chosen.port)
    host = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    url = f"http://{host}:{opened.getsockname()[1]}/"
    alone = "labellers" if desk else "searches"
    # the key comes last in the address: the page takes it away
    marks = [*([] if state.models.served or desk is None else ["/rank"]), *([f"key={shown}"] if shown else [])]
    say(f"serving {', '.join(state.models.served) or alone} at {url}" + (f"#{'&'.join(marks)}" if marks else ""))
    if shown:
        say(f"the key of this start: {shown}")
    if not site.built:
        say("the pages were not built on installation; the API works (make pages builds them)")
    await serve(guarded, state, opened, next(iter(state.models.served), None))


def access_of(chosen: Chosen) -> _Access:
    """Who may ask. Raises GenusError where that leaves the server open to others, or cannot be read."""
    if chosen.keys is not None and chosen.labeller is not None:
        raise GenusError("--labeller names one person, and --keys names each by their key; leave one out")
    if chosen.host not in _HERE and chosen.keys is None and not os.environ.get(_KEY):
        raise GenusError(f"--host {chosen.host} is reached by others, so it needs --keys; make one with --new-key NAME")
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
