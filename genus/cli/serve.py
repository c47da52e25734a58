"""`genus serve`"""

import os
from pathlib import Path
from typing import Literal

__all__ = ["serve"]


def serve(
    *models: Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    weights: Literal["fp32", "bf16", "int8", "int4"] = "fp32",
    runs: Path | None = None,
    keys: Path | None = None,
    new_key: str | None = None,
    no_keys: bool = False,
    memory: float | None = None,
    queue: int = 256,
    timeout: float = 600.0,
    drain: float = 30.0,
    max_tokens: int | None = None,
    origin: tuple[str, ...] = (),
    engine: Literal["genus", "vllm"] = "genus",
    vllm: str | None = None,
    vllm_flags: str = "",
    ray: Path | None = None,
) -> None:
    """Serve models by OpenAI's API, with pages to play, compare and chat.

    Models are loaded when they are asked for, the first at once. Nothing leaves the machine.

    ```sh
    genus serve runs/demo/model
    genus serve runs/ --runs runs/ --port 8080
    genus serve my-models/ --weights int8 --memory 8
    genus serve runs/demo/model --keys keys.txt --new-key anna
    genus serve runs/demo/model --keys keys.txt --host 0.0.0.0
    genus serve runs/demo/model --engine vllm --vllm ~/vllm/bin/python --memory 4
    ```

    Parameters
    ----------
    models
        Model folders, or folders of them.
    host
        Where to listen; 127.0.0.1 is this machine alone. Elsewhere needs --keys.
    port
        The port; 0 takes any that is free.
    weights
        The format in which matrices are read: fewer bytes answer faster, and round (`genus generate` measures it).
        With vLLM fp32 or bf16, its --dtype.
    runs
        A run, or a folder of runs, whose curves, samples and logbooks the pages show.
    keys
        A file of names and digests of API keys. Without it, a key is made for this start and shown.
    new_key
        Make a key of this name, show it, write its digest into the file of --keys, and end.
    no_keys
        Ask for no key; on this machine alone.
    memory
        Gigabytes that models may take together; the one not used for longest is unloaded. By default 70% of what is free.
        With vLLM an equal part for each, cache included; by default what vLLM takes by itself, one model at a time.
    queue
        Choices that are generated or wait at once; more are answered 429.
    timeout
        Seconds that a request may take.
    drain
        Seconds that running requests get to finish at SIGTERM.
    max_tokens
        Tokens that an answer may have; by default what the context leaves.
    origin
        Sites whose pages may use this server, such as http://localhost:3000; by default none.
    engine
        What answers behind the API: Genus's own engine, or `vllm serve`, which is fast on GPUs. docs/serve-vllm.md says
        what differs.
    vllm
        The Python that has vLLM, or a command like `vllm`; by default the one beside Genus.
    vllm_flags
        More flags for `vllm serve`, which win over those that Genus gives: --vllm-flags="--tensor-parallel-size 2".
    ray
        With --engine vllm: write a Ray Serve LLM file of the models here, for a cluster, and end.
    """
    from genus.core.errors import GenusError
    from genus.serve.keys import add_key
    from genus.serve.keys import new_key as make_key

    if new_key is not None:
        if keys is None:
            raise GenusError("--new-key needs a file to write to; name it by --keys FILE")
        key = make_key()
        add_key(keys, new_key, key)
        print(key)
        return
    if not models:
        raise GenusError("no model was named; try genus serve runs/demo/model")
    if ray is not None:
        _write_ray_file(ray, models, engine, weights, queue)
        return
    from genus.serve.start import Start, start

    start(
        Start(
            models=models,
            host=host,
            port=port,
            weights=weights,
            runs=() if runs is None else (runs,),
            keys=keys,
            key=os.environ.get("GENUS_API_KEY"),
            no_keys=no_keys,
            memory=memory,
            origins=origin,
            engine=engine,
            vllm=vllm,
            vllm_flags=vllm_flags,
            settings={"queue": queue, "timeout": timeout, "drain": drain, "most_tokens": max_tokens},
        )
    )


def _write_ray_file(path: Path, models: tuple[Path, ...], engine: str, weights: str, queue: int) -> None:
    from genus.core.errors import GenusError
    from genus.core.progress import say
    from genus.serve.models import find_models
    from genus.serve.vllm_flags import bytes_of, write_ray_file

    if engine != "vllm":
        raise GenusError("--ray writes a file for vLLM on a cluster; add --engine vllm")
    write_ray_file(path, find_models(models, bytes_of(weights)), weights, queue)
    say(f"wrote {path}; on the cluster: serve run {path}")
