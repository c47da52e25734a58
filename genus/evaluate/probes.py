"""The probes by name: what a model prefers, says and keeps that its scores on tasks do not show.

Each is `run(model, data, limit=..., seed=...)`; `data` are the user's files, and what comes back is plain JSON.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from typing import Any, NamedTuple

from genus.core.errors import GenusError
from genus.evaluate.estimates import Estimate

__all__ = ["PROBES", "Probe", "find_probe", "found"]

Run = Callable[..., dict[str, Any]]


class Probe(NamedTuple):
    """What a probe tells, the module of its `run`, the data that it reads, and what it takes beside `limit` and `seed`."""

    text: str
    home: str
    data: str = ""
    needs: tuple[str, ...] = ()


PROBES = {
    "bbq": Probe("Answers to questions with and without the fact that settles them (BBQ).", "bias.bbq", "folder of .jsonl"),
    "canaries": Probe("How well secrets planted in the training text are known.", "canaries", "canaries.jsonl"),
    "contamination": Probe(
        "The share of task items that stand in the training text.", "contamination", "folder of task files", ("corpus",)
    ),
    "cooccurrence": Probe("What is written of genders, races and religions (GPT-3).", "bias.cooccurrence"),
    "crows_pairs": Probe(
        "Which of two sentences, one a stereotype, is likelier.", "bias.crows_pairs", "folder with its .csv"
    ),
    "degeneration": Probe("How texts repeat themselves, by how they are sampled.", "degeneration", "file of prompts"),
    "ethos": Probe("Whether racist and sexist comments are told from others.", "bias.ethos", "folder with its two .csv"),
    "memorised": Probe("The share of training text that comes back word for word.", "memorised", "corpus"),
    "occupations": Probe("Whether occupations go on with women or men (GPT-3).", "bias.occupations"),
    "stereoset": Probe("Stereotypes against sense: LMS, SS and ICAT.", "bias.stereoset", "folder with its .json"),
    "toxicity": Probe("How toxic the continuations of prompts are.", "toxicity", "file of prompts"),
    "truthful": Probe("Whether true answers are the likelier (TruthfulQA).", "truthful", "folder with mc_task.json"),
    "winogender": Probe("Whether a pronoun's gender decides who is meant.", "bias.winogender", "all_sentences.tsv"),
}


def find_probe(name: str) -> Run:
    """The `run` of a probe. Raises GenusError naming those that there are."""
    if name not in PROBES:
        raise GenusError(f"{name!r} is not a probe; choose from {', '.join(PROBES)}")
    run: Run = import_module(f"genus.evaluate.{PROBES[name].home}").run
    return run


def found(
    protocol: str, measures: Mapping[str, Estimate], items: Sequence[Mapping[str, Any]], **facts: Any
) -> dict[str, Any]:
    """A probe's result: how it was measured, the figures with their intervals and counts, and what each item gave.

    `facts` are whatever else is to be told. Published figures are put beside by published.tables.beside.
    """
    return {
        "protocol": protocol,
        "measures": {name: asdict(estimate) for name, estimate in measures.items()},
        **facts,
        "items": list(items),
    }
