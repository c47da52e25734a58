"""Documents that do not support a claim, made of those that do: a number, a name or a negation changed, or another document
that says much of the same words. What is drawn depends on the seed and the claim alone."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from genus.retrieve.verify.claims import Claim
from genus.retrieve.verify.words import common_words, count_words
from genus.retrieve.words import words

__all__ = ["Neighbours", "altered"]

_NUMBER = re.compile(r"\d+")
_NAME = re.compile(r"\b[A-Z][a-z]\w+")
_VERB = re.compile(r"\b(is|are|was|were|has|have|had|will|would|can|could|did|does|do|may|must)\b( not\b)?")


def altered(claim: str, passage: str, others: Sequence[str], draw: random.Random) -> str | None:
    """The passage with something changed that the claim says: a number, a name (for one of `others`), or a negation.

    None where nothing can be.
    """
    ways = [_numbers, _names, _negations]
    draw.shuffle(ways)
    return next((made for way in ways if (made := way(claim, passage, others, draw)) is not None), None)


def _numbers(claim: str, passage: str, _others: Sequence[str], draw: random.Random) -> str | None:
    shared = sorted(set(_NUMBER.findall(claim)) & set(_NUMBER.findall(passage)))
    if not shared:
        return None
    number = draw.choice(shared)
    first, last = 10 ** (len(number) - 1) if len(number) > 1 else 0, 10 ** len(number) - 1
    if len(number) == 4 and 1500 <= int(number) <= 2100:  # a year becomes one near it
        first, last = int(number) - 30, int(number) + 30
    other = next(str(each) for each in iter(lambda: draw.randint(first, last), None) if str(each) != number)
    return re.sub(rf"(?<!\d){number}(?!\d)", other, passage)


def _names(claim: str, passage: str, others: Sequence[str], draw: random.Random) -> str | None:
    here = _named(passage)
    shared = sorted(each for each in here & _named(claim) if not passage.startswith(each))
    strange = sorted({name for other in others for name in _named(other)} - here)
    if not shared or not strange:
        return None
    return re.sub(rf"\b{draw.choice(shared)}\b", draw.choice(strange), passage)


def _named(text: str) -> set[str]:
    """Capitalised words, but common ones, which begin sentences."""
    return {name for name in _NAME.findall(text) if name.lower() not in common_words().holding}


def _negations(claim: str, passage: str, _others: Sequence[str], _draw: random.Random) -> str | None:
    """Of the sentence that shares most words with the claim, at a verb that the claim has too."""
    said = set(words(claim))
    sentences = re.split(r"(?<=[.!?])(?=\s)", passage)
    place = max(range(len(sentences)), key=lambda number: len(said & set(words(sentences[number]))))
    sentence = sentences[place]
    verb = next((verb for verb in _VERB.finditer(sentence) if verb[1] in said), None)
    if verb is None:
        return None
    after = sentence[verb.end(1) :]
    changed = sentence[: verb.end(1)] + (after.removeprefix(" not") if verb[2] else f" not{after}")
    return "".join([*sentences[:place], changed, *sentences[place + 1 :]])


class Neighbours:
    """The documents of a set of claims, to find those that say much of a claim's words and are not its own."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self.texts: list[tuple[str, ...]] = []
        self.names: list[str] = []
        for passages, name in dict.fromkeys(
            (document.passages, document.name) for each in claims for document in each.documents
        ):
            self.texts.append(passages)
            self.names.append(name)
        self.counts = count_words(passage for passages in self.texts for passage in passages)
        self._holding: dict[str, list[int]] = defaultdict(list)
        for number, passages in enumerate(self.texts):
            for word in set(words(" ".join(passages))):
                self._holding[word].append(number)

    def find(self, claim: Claim, count: int) -> list[tuple[str, ...]]:
        """The passages of the nearest documents by the IDF of the words that they share with the claim, nearest first."""
        own = {document.name for document in claim.documents} - {""}
        mine = {document.passages for document in claim.documents}
        found = Counter[int]()
        for word in sorted(set(words(claim.text))):
            holding = self._holding.get(word, [])
            if len(holding) <= len(self.texts) / 4 + 1:  # commoner words tell little and cost most
                found.update(dict.fromkeys(holding, self.counts.idf(word)))
        order = sorted(found, key=lambda number: (-found[number], number))
        strange = (number for number in order if self.names[number] not in own and self.texts[number] not in mine)
        return [self.texts[number] for _, number in zip(range(count), strange, strict=False)]
