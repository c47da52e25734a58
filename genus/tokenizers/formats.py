"""Which files of a folder hold a tokenizer: tokenizer.json, or those that came before it, turned into one in memory.

So whatever was read is saved as a tokenizer.json, which every other library opens too.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import read_json
from genus.tokenizers.merges import read_merges
from genus.tokenizers.pieces import read_pieces
from genus.tokenizers.ranks import read_ranks

__all__ = ["FILES", "find_tokenizer", "read_tokenizer"]

FILES = ("chat_template.jinja", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json")

# The files of each format, and its reader: (paths, config) -> a backend, and what tokenizer_config.json should name.
_READERS: tuple[tuple[tuple[str, ...], Callable[..., tuple[Any, dict[str, Any]]]], ...] = (
    (("vocab.json", "merges.txt"), read_merges),
    (("encoder.json", "vocab.bpe"), read_merges),  # GPT-2 as released
    (("encoder_bpe_40000.json", "vocab_40000.bpe"), read_merges),  # GPT-1 as released
    (("tokenizer.model",), read_pieces),
    (("*.tiktoken",), read_ranks),
)


def find_tokenizer(folder: Path) -> list[Path]:
    """The files that hold a folder's tokenizer; none where it has none."""
    if (folder / "tokenizer.json").is_file():
        return [folder / "tokenizer.json"]
    return next((found for names, _ in _READERS if (found := _find(folder, names))), [])


def read_tokenizer(folder: Path) -> dict[str, bytes]:
    """The files of `FILES` that a folder has, or that what it has can be turned into. Raises GenusError naming the file."""
    files = {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
    if "tokenizer.json" in files:
        read_json(folder / "tokenizer.json")  # its errors name the path
        return files
    config = read_json(folder / "tokenizer_config.json") if "tokenizer_config.json" in files else {}
    if not isinstance(config, dict):
        raise GenusError(f"{folder / 'tokenizer_config.json'} is not a JSON object; download it again")
    for names, reader in _READERS:
        if found := _find(folder, names):
            backend, named = reader(*found, config)
            plain = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
            complete = plain | named | {name: value for name, value in config.items() if value is not None}
            files["tokenizer.json"] = backend.to_str().encode()
            if complete != config:
                files["tokenizer_config.json"] = json.dumps(complete, indent=1).encode()
            return files
    known = "; ".join(" with ".join(names) for names, _ in _READERS)
    raise GenusError(f"{folder / 'tokenizer.json'} is missing; name a folder that has it, or one of: {known}")


def _find(folder: Path, names: tuple[str, ...]) -> list[Path]:
    found = [sorted(path for path in folder.glob(name) if path.is_file())[:1] for name in names]
    return [path for paths in found for path in paths] if all(found) else []
