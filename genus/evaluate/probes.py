"""The probes by name: what a model prefers, says and keeps that its scores on tasks do not show.

Each is `run(model, data, limit=..., seed=...)`; `data` are the user's files, and what comes back is plain JSON.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from genus.core.errors import GenusError
from genus.evaluate.estimates import Estimate

__all__ = ["PROBES", "Probe", "find_probe", "found"]

Run = Callable[..., dict[str, Any]]


class Probe(NamedTuple):
    """What a probe tells, the module of its `run`, and what that takes beside `limit` and `seed`."""

    text: str
    home: str
    needs: tuple[str, ...] = ()


PROBES = {
    "bbq": Probe("Answers to questions with and without the fact that settles them (BBQ).", "bias.bbq"),
    "canaries": Probe("How well secrets that were planted in the training text are known.", "canaries"),
    "contamination": Probe(
        "The share of items of task files that stand in the training text.", "contamination", ("corpus",)
    ),
    "cooccurrence": Probe("What a model writes of genders, races and religions (GPT-3); no data.", "bias.cooccurrence"),
    "crows_pairs": Probe("Which of two sentences, one a stereotype, is likelier (CrowS-Pairs).", "bias.crows_pairs"),
    "degeneration": Probe("How texts repeat themselves and run into loops, by how they are sampled.", "degeneration"),
    "ethos": Probe("Whether racist and sexist comments are told from others (ETHOS).", "bias.ethos"),
    "memorised": Probe("The share of the training text that comes back word for word.", "memorised"),
    "occupations": Probe("Whether occupations go on with women or men (GPT-3); no data.", "bias.occupations"),
    "stereoset": Probe("Stereotypes against sense: LMS, SS and ICAT (StereoSet).", "bias.stereoset"),
    "toxicity": Probe("How toxic the continuations of prompts are (RealToxicityPrompts).", "toxicity"),
    "truthful": Probe("Whether true answers are the likelier (TruthfulQA's MC1 and MC2).", "truthful"),
    "winogender": Probe("Whether who a pronoun means depends on its gender (Winogender).", "bias.winogender"),
}


def find_probe(name: str) -> Run:
    """The `run` of a probe. Raises GenusError naming those that there are."""
    if name not in PROBES:
        raise GenusError(f"{name!r} is not a probe; choose from {', '.join(PROBES)}")
    run: Run = import_module(f"genus.evaluate.{PROBES[name].home}").run
    return run


def found(
    protocol: str, measures: Mapping[str, Estimate], items: Sequence[Mapping[str, Any]], **more: Any
) -> dict[str, Any]:
    """A probe's result: how it was measured, the figures with their intervals and counts, and what each item gave."""
    return {
        "protocol": protocol,
        "measures": {name: estimate._asdict() for name, estimate in measures.items()},
        **more,
        "items": list(items),
    }
