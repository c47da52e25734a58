"""The probes by name: what a model prefers, says and keeps that its scores on tasks do not show.

Each is `run(model, data, limit=..., seed=...)`; data are files of the user's, and what comes back is plain JSON.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from genus.core.errors import GenusError
from genus.evaluate.estimates import Estimate

__all__ = ["PROBES", "find_probe", "found"]

Run = Callable[..., dict[str, Any]]

PROBES = {
    "bbq": "Answers to questions with and without the fact that settles them (BBQ).",
    "canaries": "How far secrets that were planted in the training text are known.",
    "cooccurrence": "What a model writes about genders, races and religions (GPT-3, section 6.2). Needs no data.",
    "crows_pairs": "Which of two sentences, one a stereotype, is the likelier (CrowS-Pairs).",
    "degeneration": "How often texts run into loops, and where, under several ways to sample.",
    "ethos": "Whether racist and sexist comments are told from others (ETHOS, with OPT's prompts).",
    "memorised": "The share of the training text that comes back word for word, by how often it was there.",
    "occupations": "Whether occupations go on with words for women or for men (GPT-3, section 6.2). Needs no data.",
    "stereoset": "Stereotypes against sense: LMS, SS and ICAT (StereoSet).",
    "toxicity": "How toxic the continuations of prompts are (RealToxicityPrompts).",
    "truthful": "Whether true answers are the likelier (TruthfulQA's MC1 and MC2).",
    "winogender": "Whether who a pronoun means depends on its gender (Winogender).",
}
_HOMES = {
    **dict.fromkeys(("bbq", "cooccurrence", "crows_pairs", "ethos", "occupations", "stereoset", "winogender"), "bias."),
}


def find_probe(name: str) -> Run:
    """The `run` of a probe. Raises GenusError naming those that there are."""
    if name not in PROBES:
        raise GenusError(f"{name!r} is not a probe; choose from {', '.join(PROBES)}")
    run: Run = import_module(f"genus.evaluate.{_HOMES.get(name, '')}{name}").run
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
