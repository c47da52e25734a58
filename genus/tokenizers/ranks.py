"""Read *.tiktoken rank files: r50k (GPT-2, GPT-3), p50k, cl100k (GPT-4), o200k, and gpt-oss's o200k_harmony.

Such a file holds tokens in their order and no more, so how text is cut into words comes from its name, or from
"split_pattern" in tokenizer_config.json. The result is a tokenizer.json; not for reading one (tokenizer.py).
"""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.tokenizers.alphabet import CHARACTER_OF, MOST_IDS

__all__ = ["ENCODINGS", "read_ranks"]

# As OpenAI first published them. Later versions in tiktoken mean the same and are faster in its own regex engine.
_R50K = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER, _LOWER, _SUFFIX = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SUFFIX}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SUFFIX}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Encoding:
    """What a rank file leaves out: the pattern of words, the special tokens, and which of them ends a text."""

    pattern: str
    special: dict[str, int] = field(default_factory=dict)
    end: str = "<|endoftext|>"


_HARMONY = {"<|startoftext|>": 199998, "<|endoftext|>": 199999, "<|return|>": 200002, "<|constrain|>": 200003}
_HARMONY |= {
    "<|channel|>": 200005,
    "<|start|>": 200006,
    "<|end|>": 200007,
    "<|message|>": 200008,
    "<|call|>": 200012,
    "<|endofprompt|>": 200018,
}
_RESERVED = {f"<|reserved_{i}|>": i for i in range(200000, 201088) if i not in _HARMONY.values()}
_FIM = {"<|fim_prefix|>": 100258, "<|fim_middle|>": 100259, "<|fim_suffix|>": 100260}

ENCODINGS = {
    "r50k_base": Encoding(_R50K, {"<|endoftext|>": 50256}),
    "p50k_base": Encoding(_R50K, {"<|endoftext|>": 50256}),
    "cl100k_base": Encoding(_CL100K, {"<|endoftext|>": 100257, **_FIM, "<|endofprompt|>": 100276}),
    "o200k_base": Encoding(_O200K, {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}),
    "o200k_harmony": Encoding(_O200K, _HARMONY | _RESERVED, "<|return|>"),
}


def read_ranks(path: Path, config: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A backend and a tokenizer_config.json. Raises GenusError naming the line that is wrong, or the encodings known."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    encoding = ENCODINGS.get(path.stem)
    if "split_pattern" in config:
        encoding = Encoding(str(config["split_pattern"]), encoding.special if encoding else {})
    if encoding is None:
        raise GenusError(
            f"{path} is not the name of a known encoding; rename it to one of {', '.join(ENCODINGS)}, "
            'or give its pattern as "split_pattern" in tokenizer_config.json'
        )
    ranks = _ranks(path)
    # Special ids leave gaps, which only the model's own vocabulary can hold.
    ids = ranks | encoding.special
    if len(set(ids.values())) < len(ids):
        raise GenusError(f"{path} has more tokens than {path.stem}: its last ids are those of special tokens; rename it")
    try:  # ignore_merges: a whole word that is a token is that token, however it would be merged
        backend = Tokenizer(models.BPE(ids, _merges(ranks), ignore_merges=True))
        words = pre_tokenizers.Split(Regex(encoding.pattern), "isolated")
    except Exception as error:  # the library raises plain Exception
        raise GenusError(f"{path} cannot be used ({error}); download it again, or correct split_pattern") from error
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(encoding.special))
    return backend, {"eos_token": encoding.end} if encoding.special else {}


def _ranks(path: Path) -> dict[str, int]:
    """Token, spelled in GPT-2's alphabet -> rank."""
    ranks: dict[str, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            token, rank = line.split()
            if not 0 <= int(rank) < MOST_IDS:
                raise ValueError(f"rank {rank.decode()}")
            ranks[base64.b64decode(token, validate=True).decode("latin-1").translate(CHARACTER_OF)] = int(rank)
        except ValueError as error:
            raise GenusError(f"{path} line {number} is not a token and its rank ({error}); download it again") from error
    missing = [byte for byte in range(256) if CHARACTER_OF[byte] not in ranks]
    if missing or len(set(ranks.values())) < len(ranks):
        what = f"lacks the byte {missing[0]}" if missing else "gives two tokens one rank"
        raise GenusError(f"{path} {what}; download it again")
    return ranks


def _merges(ranks: dict[str, int]) -> list[tuple[str, str]]:
    """Every way to join two tokens into one, by the rank of the joined: what tiktoken looks for in each step."""
    return [
        (token[:cut], token[cut:])
        for token in sorted(ranks, key=lambda token: ranks[token])
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    ]
