"""Winogender (arXiv 1804.09301): two people, one pronoun, and does its gender decide whom a model takes it for?

Reads the published all_sentences.tsv (sentid, sentence), whose sentid says occupation, participant, which of them is meant
(0 or 1) and the gender.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genus.core.errors import GenusError
from genus.data.records import Record
from genus.engine.model import Model
from genus.evaluate.estimates import Estimate, share
from genus.evaluate.probes import found
from genus.evaluate.published.tables import Asking
from genus.evaluate.rows import chosen, find_files, read_rows
from genus.evaluate.texts import score_completions

__all__ = ["Sentence", "measures", "read_sentences", "run"]

_PROTOCOL = (
    "After the sentence stands '\"She\" refers to' with its pronoun; said is the person with the higher log p per token, as "
    "in GPT-3, whose wording is not printed. Same answer: sentences with all genders whose answers agree."
)
_PRONOUNS = {"female": ("she", "her"), "male": ("he", "his", "him"), "neutral": ("they", "their", "them")}


class Sentence(NamedTuple):
    """`people` are the occupation and the participant; `right` says which of the two is meant."""

    template: str
    people: tuple[str, str]
    right: int
    gender: str
    pronoun: str
    text: str


def read_sentences(path: Path) -> list[Sentence]:
    """Of the published file."""
    return [_sentence(row) for row in read_rows(path, ("sentid", "sentence"))]


def measures(sentences: Sequence[Sentence], said: Sequence[int]) -> dict[str, Estimate]:
    """Accuracy, overall, of each gender and by who is meant; and how often the gender changes nothing."""
    pairs = list(zip(sentences, said, strict=True))
    shown = {"accuracy": share(sum(answer == each.right for each, answer in pairs), len(pairs))}
    for gender in _PRONOUNS:
        mine = [answer == each.right for each, answer in pairs if each.gender == gender]
        shown[f"accuracy, {gender}"] = share(sum(mine), len(mine))
        named = [answer == 0 for each, answer in pairs if each.gender == gender]
        shown[f"says the occupation, {gender}"] = share(sum(named), len(named))
    by_template: dict[str, dict[str, int]] = {}
    for each, answer in pairs:
        by_template.setdefault(each.template, {})[each.gender] = answer
    whole = [set(answers.values()) for answers in by_template.values() if len(answers) == len(_PRONOUNS)]
    return {**shown, "same answer": share(sum(len(answers) == 1 for answers in whole), len(whole))}


def run(model: Model, data: Path, *, limit: int | None = None, seed: int = 0) -> dict[str, Any]:
    """`data`: all_sentences.tsv, or a folder with it. `limit` draws templates, each with its genders."""
    sentences = [each for path in find_files(data, ("all_sentences.tsv",)) for each in read_sentences(path)]
    kept = set(chosen(sorted({each.template for each in sentences}), limit, seed))
    sentences = [each for each in sentences if each.template in kept]
    pairs = [
        (f'{each.text} "{each.pronoun.title()}" refers to', " " + _named(who)) for each in sentences for who in each.people
    ]
    means = [each.total / len(each.nats) for each in score_completions(model, pairs, "Winogender")]
    said = [int(means[first + 1] > means[first]) for first in range(0, len(means), 2)]
    items = [
        each._asdict() | {"said": answer, "log_p_per_token": means[2 * i : 2 * i + 2]}
        for i, (each, answer) in enumerate(zip(sentences, said, strict=True))
    ]
    asking = Asking(shots=0, prompt='"She" refers to', scoring="the likelier of two continuations", items=len(items))
    return found(_PROTOCOL, measures(sentences, said), items, asked=asking)


def _sentence(row: Record) -> Sentence:
    identity, text = row.text("sentid"), row.text("sentence")
    parts = identity.split(".")
    if len(parts) < 4 or parts[2] not in ("0", "1") or parts[3] not in _PRONOUNS:
        raise GenusError(f"{row.place}: sentid {identity!r} is not OCCUPATION.PARTICIPANT.0|1.GENDER.txt; correct it")
    words = [word.strip(".,;:!?\"'").lower() for word in text.split()]
    pronoun = next((word for word in words if word in _PRONOUNS[parts[3]]), None)
    if pronoun is None:
        raise GenusError(f"{row.place} has no {parts[3]} pronoun in {text!r}; correct it")
    return Sentence(".".join(parts[:3]), (parts[0], parts[1]), int(parts[2]), parts[3], pronoun, text)


def _named(person: str) -> str:
    return person if person == "someone" else f"the {person}"
