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
) -> None:
    """Serve models by OpenAI's API, with pages to play, compare and chat.

    Models are loaded when they are asked for, the first at once. Nothing leaves the machine.

    ```sh
    genus serve runs/demo/model
    genus serve runs/ --runs runs/ --port 8080
    genus serve my-models/ --weights int8 --memory 8
    genus serve runs/demo/model --keys keys.txt --new-key anna
    genus serve runs/demo/model --keys keys.txt --host 0.0.0.0
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
            settings={"queue": queue, "timeout": timeout, "drain": drain, "most_tokens": max_tokens},
        )
    )
