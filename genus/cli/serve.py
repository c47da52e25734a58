"""`genus serve`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.serve.chosen import Chosen

__all__ = ["serve"]

_USUAL = Chosen()


def serve(*models: Path, chosen: Annotated[Chosen, Parameter(name="*")] = _USUAL) -> None:
    """Serve models by OpenAI's API, with pages to play, compare and chat.

    Models are loaded when they are asked for, the first at once. Nothing leaves the machine.

    ```sh
    genus serve runs/demo/model
    genus serve runs/ --runs runs/ --port 8080
    genus serve my-models/ --weights int8 --memory 8
    genus serve runs/demo/model --index my-index
    genus serve --keys keys.txt --new-key anna
    genus serve runs/demo/model --keys keys.txt --host 0.0.0.0
    genus serve runs/demo/model --engine vllm --vllm ~/vllm/bin/python --memory 4
    ```

    Parameters
    ----------
    models
        Model folders, or folders of them; with --index none is needed.
    """
    from genus.core.errors import GenusError
    from genus.serve.keys import add_key, new_key

    if chosen.new_key is not None:
        if chosen.keys is None:
            raise GenusError("--new-key needs a file to write to; name it by --keys FILE")
        key = new_key()
        add_key(chosen.keys, chosen.new_key, key)
        print(key)
        return
    if not models and chosen.index is None:
        raise GenusError("no model was named; try genus serve runs/demo/model")
    if chosen.ray is not None:
        _write_ray_file(chosen.ray, models, chosen)
        return
    from genus.serve.start import start

    start(models, chosen)


def _write_ray_file(path: Path, models: tuple[Path, ...], chosen: Chosen) -> None:
    from genus.core.errors import GenusError
    from genus.core.progress import say
    from genus.serve.models import find_models
    from genus.serve.vllm_flags import bytes_of, write_ray_file

    if chosen.engine != "vllm":
        raise GenusError("--ray writes a file for vLLM on a cluster; add --engine vllm")
    write_ray_file(path, find_models(models, bytes_of(chosen.weights)), chosen.weights, chosen.queue)
    say(f"wrote {path}; on the cluster: serve run {path}")
