"""Train a byte-level BPE tokenizer, as GPT-2 did (Radford et al. 2019, section 2.2): any text is encodable, none unknown.

The kind that is trained when no other is asked for; the others are in kinds.py.
"""

from collections.abc import Iterator

from genus.tokenizers.kinds import END_OF_TEXT, least_vocab, train_kind
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["END_OF_TEXT", "LEAST_VOCAB", "train"]

LEAST_VOCAB = least_vocab("gpt2")  # 256 bytes, one merge, the end of text


def train(texts: Iterator[str], vocab: int) -> Tokenizer:
    """A tokenizer of exactly `vocab` ids: the 256 bytes, the merges in the order learned, and last `<|endoftext|>`.

    The same texts give the same tokenizer. Raises GenusError when `vocab` is below 258, or more than the texts allow:
    a merge must be seen twice.
    """
    return train_kind(texts, vocab)
