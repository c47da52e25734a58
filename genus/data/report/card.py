"""The data card of a corpus: what is in it, from where, under which licences, what was done to it, and what is not in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genus.data.pipeline.recipe import Corpus
from genus.data.report.facts import STEPS
from genus.data.sources import about

__all__ = ["card"]

_DONE = {
    "extract": "Web pages, where there were any, were turned into text by resiliparse.",
    "repair": "Text that a wrong decoding had damaged was set right by ftfy.",
    "language": "Languages were found by py3langid, and documents of others than those asked for were dropped.",
    "rules": "Documents that break rules of thumb were dropped: {sets}.",
    "exact": "Exact repeats of a text are dropped.",
    "fuzzy": "Near copies were dropped: documents whose sets of runs of {words} words have a Jaccard index "
    "of {threshold} or more.",
    "paragraphs": "Paragraphs that several documents share were removed from all but the first.",
    "quality": "Documents unlike the sources marked good were dropped, by chance and score, as GPT-3's rule has it.",
    "decontaminate": "Texts of evaluation sets were cut out.",
    "personal": "Personal data and secrets were written over: {kinds}. Names and addresses of people were not.",
    "toxicity": "Documents of a high score for toxic language were dropped; the score knows words, not meaning.",
    "budgets": "Languages were cut down to their budgets.",
}
_UNDONE = {
    "language": "language", "rules": "rules of thumb", "exact": "exact repeats", "fuzzy": "near copies",
    "paragraphs": "shared paragraphs", "quality": "quality", "decontaminate": "texts of evaluation sets",
    "personal": "personal data", "toxicity": "toxic language",
}  # fmt: skip


def card(recipe: Corpus, manifest: Mapping[str, Any], report: Mapping[str, Any], licences: Mapping[str, int]) -> str:
    """The card, in Markdown."""
    titles = [Path(each.path).name or each.path for each in recipe.collections]
    splits = [
        f"| {split} | {counts['documents']:,} | {counts['bytes']:,} | {' to '.join(manifest['dates'][split]) or 'unknown'} |"
        for split, counts in manifest["splits"].items()
    ]
    languages = sorted(report["languages"].items(), key=lambda each: (-each[1][1], each[0]))
    left_out = [words for step, words in _UNDONE.items() if step not in recipe.steps]
    lines = [
        f"# Data card: {', '.join(titles)}",
        "",
        *(_cell(about(each.path)) for each in recipe.collections),
        "",
        "| split | documents | UTF-8 bytes | dates |",
        "| --- | ---: | ---: | --- |",
        *splits,
        "",
        f"{report['funnel'][-1]['kept'][2]:,} words, as white space delimits them.",
        "",
        "## Held out for validation",
        f"{manifest['hold_out']}; asked for: {recipe.held_out:.1%} of the bytes, seed {recipe.seed}.",
        "",
        *_table("Sources", "source", sorted(report["sources"].items())),
        *_table("Languages", "language", languages),
        "## Licences",
        *(f"- {_cell(name) or 'not stated'}: {count:,} documents" for name, count in sorted(licences.items())),
        "",
        "## What was done",
        *(f"- {_done(recipe, step)}" for step in STEPS if step in recipe.steps),
        "",
        f"Nothing was done about: {', '.join(left_out)}." if left_out else "",
        "",
        "## Dropped",
        *([f"- {reason}: {count:,}" for reason, count in manifest["dropped"].items()] or ["Nothing."]),
        "",
        "Each is listed in dropped/; report.html shows examples, and `genus corpus explain` tells the fate of any one.",
        "",
    ]
    return "\n".join(lines)


def _done(recipe: Corpus, step: str) -> str:
    rules, fuzzy = recipe.rules, recipe.fuzzy
    return _DONE[step].format(
        sets=", ".join(rules.sets), words=fuzzy.words, threshold=fuzzy.threshold, kinds=", ".join(recipe.personal.kinds)
    )


def _table(title: str, what: str, rows: list[tuple[str, list[int]]]) -> list[str]:
    return [
        f"## {title}",
        f"| {what} | documents | UTF-8 bytes | words |",
        "| --- | ---: | ---: | ---: |",
        *(f"| {_cell(name) or 'not stated'} | {size[0]:,} | {size[1]:,} | {size[2]:,} |" for name, size in rows),
        "",
    ]


def _cell(text: str) -> str:
    """Words of a source, which may hold anything, in a cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
