"""Train a byte-level BPE tokenizer, as GPT-2 did (Radford et al. 2019, section 2.2): any text is encodable, none unknown.

Not for using one: see tokenizer.py.
"""

import json
from collections.abc import Iterator

from genus.core.errors import GenusError
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["END_OF_TEXT", "LEAST_VOCAB", "train"]

END_OF_TEXT = "<|endoftext|>"
LEAST_VOCAB = 258  # 256 bytes, one merge, the end of text


def train(texts: Iterator[str], vocab: int) -> Tokenizer:
    """A tokenizer of exactly `vocab` ids: the 256 bytes, the merges in the order learned, and last `<|endoftext|>`.

    The same texts give the same tokenizer. Raises GenusError when `vocab` is below 258, or more than the texts allow:
    a merge must be seen twice.
    """
    from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
    from tokenizers import Tokenizer as Backend

    if vocab < LEAST_VOCAB:
        raise GenusError(f"vocab {vocab} is too small; byte-level BPE needs at least {LEAST_VOCAB}")
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab - 1,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    # Added after training, so that it takes the last id as in GPT-2; the trainer would give it the first.
    backend.add_special_tokens([AddedToken(END_OF_TEXT, special=True, normalized=False)])
    most = backend.get_vocab_size()
    if most < vocab:
        raise GenusError(f"vocab {vocab} is more than this text allows; give more text, or a vocab of at most {most}")
    return Tokenizer({"tokenizer.json": backend.to_str(pretty=True).encode(), "tokenizer_config.json": _CONFIG.encode()})


# What transformers reads to open the folder offline. No model_max_length: a tokenizer has no context, a model does.
_CONFIG = json.dumps(
    {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "unk_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
    },
    indent=1,
)
