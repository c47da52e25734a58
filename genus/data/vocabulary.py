"""The tokenizer stage: a vocabulary, of any kind of the lineage, learned from the training documents of a corpus only."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genus.core.errors import GenusError
from genus.core.files import new_folder
from genus.core.progress import progress, say
from genus.data.corpus import check_corpus, documents
from genus.data.outputs import check_output
from genus.tokenizers.kinds import KindName, least_vocab, train_kind
from genus.tokenizers.prepare import gpt1
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
    """How many token ids, at least 258 for gpt2: 256 bytes, the merges, and the end of text."""
    kind: KindName = "gpt2"
    """Whose handling of text; docs/tokenizers.md tells them apart."""
    pretokenizer: Literal["bert", "spacy"] = "bert"
    """Who cuts GPT-1's words: BERT's rules as in transformers, or ftfy and spaCy as then (pip install ftfy spacy)."""


def make_tokenizer(config: TokenizerRecipe) -> Tokenizer:
    """Write the tokenizer folder and return the tokenizer. Raises GenusError when the corpus does not allow `vocab` ids."""
    if config.vocab < (least := least_vocab(config.kind)):
        raise GenusError(f"vocab {config.vocab} is too small; the kind {config.kind} needs at least {least}")
    if config.pretokenizer == "spacy" and config.kind == "gpt1":
        gpt1("")  # what it needs may not be installed
    check_output(config.out, FILES)
    total = check_corpus(config.corpus)["splits"]["train"]["bytes"]
    tokenizer = train_kind(_texts(config.corpus, total), config.vocab, config.kind, config.pretokenizer)
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
