"""What the tests of this folder share: generated prose, and the recipes of the small corpus that conftest.py makes."""

import random
from dataclasses import dataclass

from genus.data.corpus import Corpus
from genus.data.shards import ShardsRecipe
from genus.data.vocabulary import TokenizerRecipe


@dataclass(frozen=True)
class Made:
    """The recipes of the three stages; each has its `out`."""

    corpus: Corpus
    tokenizer: TokenizerRecipe
    shards: ShardsRecipe


def prose(seed: int, words: int) -> str:
    """Text with lines and paragraphs, the same for the same seed."""
    chance = random.Random(seed)
    vocabulary = ["union", "people", "state", "the", "of", "law", "peace", "naïve", "1790", "—", "🙂"]
    return "".join(chance.choice(vocabulary) + chance.choice([" "] * 8 + ["\n", "\n\n"]) for _ in range(words))
