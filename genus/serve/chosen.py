"""What the one who starts a server may choose. Light: `genus serve --help` reads this alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Chosen"]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The flags of `genus serve`."""

    host: str = "127.0.0.1"
    """Where to listen; 127.0.0.1 is this machine alone. Elsewhere needs --keys."""
    port: int = 8000
    """The port; 0 takes any that is free."""
    weights: Literal["fp32", "bf16", "int8", "int4"] = "fp32"
    """The format in which matrices are read: fewer bytes answer faster, and round (`genus generate` measures it).
    With vLLM fp32 or bf16, its --dtype."""
    runs: Path | None = None
    """A run, or a folder of runs, whose curves, samples and logbooks the pages show."""
    index: str | None = None
    """An index of passages, for /v1/search and answers with sources: a folder that `genus index` made, or a Milvus's URL."""
    judge: Path | None = None
    """A judge of support that `genus tune` made, for answers with sources; by default words in common decide."""
    feedback: str | None = None
    """A feedback store (a file, or a postgresql:// URL): its tasks can be ranked, and the playground gets thumbs."""
    labeller: str | None = None
    """Whose name stands under feedback; by default your login's. With --keys it is the name of the key."""
    keys: Path | None = None
    """A file of names and digests of API keys. Without it GENUS_API_KEY is taken, or a key made for this start and shown."""
    new_key: str | None = None
    """Make a key of this name, show it, write its digest into the file of --keys, and end."""
    no_keys: bool = False
    """Ask for no key; on this machine alone."""
    memory: float | None = None
    """Gigabytes that models may take together; the one not used for longest is unloaded. By default 70% of what is free.
    With vLLM an equal part for each, cache included; by default what it takes by itself, one model at a time."""
    queue: int = 256
    """Choices that are generated or wait at once; more are answered 429."""
    timeout: float = 600.0
    """Seconds that a request may take."""
    drain: float = 30.0
    """Seconds that running requests get to finish at SIGTERM."""
    max_tokens: int | None = None
    """Tokens that an answer may have; by default what the context leaves."""
    origin: tuple[str, ...] = ()
    """Sites whose pages may use this server, such as http://localhost:3000; by default none."""
    engine: Literal["genus", "vllm"] = "genus"
    """What answers behind the API: our own engine, or `vllm serve`, fast on GPUs; docs/serve-vllm.md says what differs."""
    vllm: str | None = None
    """The Python that has vLLM, or a command like `vllm`; by default the one beside Genus."""
    vllm_flags: str = ""
    """More flags for `vllm serve`, such as "--tensor-parallel-size 2"; they win over those that Genus gives."""
    ray: Path | None = None
    """With --engine vllm: write a Ray Serve LLM file of the models here, for a cluster, and end."""
