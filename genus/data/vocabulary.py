"""The tokenizer stage: a byte-level BPE vocabulary learned from the training documents of a corpus only."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genus.core.errors import GenusError
from genus.core.files import new_folder
from genus.core.progress import progress, say
from genus.data.corpus import check_corpus, documents
from genus.data.outputs import check_output
from genus.tokenizers.bytelevel import LEAST_VOCAB, train
from genus.tokenizers.tokenizer import FILES, Tokenizer

__all__ = ["TokenizerRecipe", "make_tokenizer"]


@dataclass(frozen=True, kw_only=True)
class TokenizerRecipe:
    """Learn a tokenizer from a corpus."""

    corpus: Path
    """The corpus folder to learn from."""
    out: Path
    """The tokenizer folder to make."""
    vocab: int = 8192
    """How many token ids, at least 258: 256 bytes, the merges, and the end of text."""


def make_tokenizer(config: TokenizerRecipe) -> Tokenizer:
    """Write the tokenizer folder and return the tokenizer. Raises GenusError when the corpus does not allow `vocab` ids."""
    if config.vocab < LEAST_VOCAB:
        raise GenusError(f"vocab {config.vocab} is too small; byte-level BPE needs at least {LEAST_VOCAB}")
    check_output(config.out, FILES)
    total = check_corpus(config.corpus)["splits"]["train"]["bytes"]
    tokenizer = train(_texts(config.corpus, total), config.vocab)
    with new_folder(config.out) as folder:
        tokenizer.save(folder)
    say(f"{config.out}: {tokenizer.vocab:,} tokens learned from {total / 1e6:.2f} MB of text")
    return tokenizer


def _texts(corpus: Path, total: int) -> Iterator[str]:
    done = 0
    with progress("tokenizer", total) as update:
        for document in documents(corpus, "train"):
            yield document.text
            done += document.size
            update(done, "")
