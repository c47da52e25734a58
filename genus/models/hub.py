"""Fetch a model from the Hugging Face hub: only the files that Genus reads, all of one commit."""

import re
from fnmatch import fnmatch
from pathlib import Path

from genus.core.errors import GenusError
from genus.core.files import write_json

__all__ = ["KEPT", "PREFIX", "fetch"]

PREFIX = "hf:"
KEPT = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "*.tiktoken",
    "chat_template.jinja",
    "README.md",
    "LICENSE*",
)
"""Files of a model folder that go along with its weights."""
_SAFETENSORS = ("model*.safetensors", "model.safetensors.index.json")
_PICKLES = ("pytorch_model*.bin",)
_NAME = re.compile(r"([\w.-]+/)?[\w.-]+(@[\w./-]+)?")


def fetch(source: str, folder: Path) -> None:
    """Download `hf:owner/name[@revision]` into `folder`, with source.json: the commit that the revision was.

    Raises GenusError for a name that is not one, and when the hub cannot be reached or refuses.
    """
    name = source.removeprefix(PREFIX)
    if not _NAME.fullmatch(name):
        raise GenusError(f"{source[:80]!a} is not a model of the hub; write hf:owner/name or hf:owner/name@revision")
    from huggingface_hub import HfApi, snapshot_download

    repository, _, revision = name.partition("@")
    try:
        found = HfApi().model_info(repository, revision=revision or None)
        files = _needed([entry.rfilename for entry in found.siblings or []])
        snapshot_download(repository, revision=found.sha, allow_patterns=files, local_dir=folder)
    except Exception as error:  # of many kinds: no network, no such name, gated
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise GenusError(f"{source} could not be fetched ({reason}); check the name and the network") from error
    write_json(folder / "source.json", {"source": f"{PREFIX}{repository}", "revision": found.sha})


def _needed(names: list[str]) -> list[str]:
    def matching(*patterns: str) -> list[str]:
        return [name for name in names if "/" not in name and any(fnmatch(name, pattern) for pattern in patterns)]

    return matching(*KEPT) + (matching(*_SAFETENSORS) or matching(*_PICKLES))
