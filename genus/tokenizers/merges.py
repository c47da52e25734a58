"""Read vocab.json with merges.txt: GPT-2, GPT-Neo, GPT-J, OPT (byte-level) and GPT-1 (characters, `</w>` ends a word).

Which of them it is stands in the vocabulary itself. The result is a tokenizer.json; not for reading one (tokenizer.py).
"""

import json
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import read_json
from genus.tokenizers import prepare
from genus.tokenizers.alphabet import MOST_IDS

__all__ = ["read_merges"]

_FAIRSEQ = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}  # the order of RoBERTa, which OPT took over
_SPECIAL = ("<|endoftext|>", "<s>", "<pad>", "</s>", "<unk>", "<mask>")


def read_merges(vocab: Path, merges: Path, config: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A backend and a tokenizer_config.json. `config` is the folder's own; its "genus_prepare" may ask for spaCy's words.

    Raises GenusError naming the file that is not what its name says.
    """
    from tokenizers import Tokenizer, models

    ids, pairs = _vocab(vocab), _merges(merges)
    words = any(token.endswith("</w>") for token in ids)
    options = {"unk_token": "<unk>", "end_of_word_suffix": "</w>"} if words else {}
    try:
        backend = Tokenizer(models.BPE(ids, pairs, **options))
    except Exception as error:  # the library raises plain Exception
        raise GenusError(f"{merges} does not belong to {vocab.name} ({error}); take both from one place") from error
    if words:
        prepare.split_words(backend, str(config.get("genus_prepare", "")))
        backend.add_special_tokens(["<unk>"])
        return backend, {"unk_token": "<unk>"}
    return backend, _byte_level(backend, ids, config)


def _byte_level(backend: Any, ids: dict[str, int], config: dict[str, Any]) -> dict[str, Any]:
    from tokenizers import decoders, pre_tokenizers, processors

    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=bool(config.get("add_prefix_space", False)))
    backend.decoder = decoders.ByteLevel()
    fairseq = all(ids.get(token) == number for token, number in _FAIRSEQ.items())
    if not fairseq:  # where GPT-2's own vocabulary has a <s>, it is text
        backend.add_special_tokens(["<|endoftext|>"])
        return dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    backend.add_special_tokens([token for token in _SPECIAL if token in ids])
    backend.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    return {"bos_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


def _vocab(path: Path) -> dict[str, int]:
    ids = read_json(path)
    if not isinstance(ids, dict) or not ids or not all(type(i) is int and 0 <= i < MOST_IDS for i in ids.values()):
        raise GenusError(f"{path} does not map tokens to ids; download it again")
    if len(set(ids.values())) < len(ids):
        raise GenusError(f"{path} gives two tokens one id; download it again")
    return ids


def _merges(path: Path) -> list[tuple[str, str]]:
    """The pairs, one a line. GPT-1's and GPT-2's files begin with a version line, and end with an empty one."""
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise GenusError(f"{path} cannot be read ({error}); download it again") from error
    pairs = []
    for number, line in enumerate(lines, 1):
        parts = line.removesuffix("\r").split(" ")
        if parts == [""] or (number == 1 and line.startswith("#version")):
            continue
        if len(parts) != 2 or not all(parts):
            raise GenusError(f"{path} line {number} is not a pair of tokens: {json.dumps(line[:60])}; download it again")
        pairs.append((parts[0], parts[1]))
    return pairs
