"""The corpus stage: documents of a source, without exact repeats, split into training and validation Parquet files.

Not for filtering by quality or language, and not for tokens: it keeps the text exactly as it was read.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import locked, new_folder, read_json, sha256, write_json, write_text
from genus.core.progress import say
from genus.data.holdout import Rule, TooLittle
from genus.data.outputs import check_output
from genus.data.pipeline.overall import Facts
from genus.data.pipeline.parts import write_table
from genus.data.pipeline.recipe import Corpus
from genus.data.pipeline.stage import Stage
from genus.data.report.card import card
from genus.data.report.facts import collect
from genus.data.report.page import page
from genus.data.sources import Document

__all__ = ["SPLITS", "Corpus", "check_corpus", "documents", "drops_digest", "make_corpus"]

SPLITS = ("train", "validation")
_FORMAT = "genus-corpus-1"
_MADE = ("data_card.md", "documents", "dropped", "inputs.sha256", "kept", "manifest.json", "report.json")


def make_corpus(recipe: Corpus) -> dict[str, Any]:
    """Write the corpus folder (documents/, kept/, dropped/, the report, data card and manifest) and return its manifest.

    What is finished is kept through a kill in a folder .NAME.work beside it, and the same recipe goes on there.
    Raises GenusError, with an earlier `out` untouched, when the sources have no usable text or too little to split.
    """
    check_output(recipe.out, _MADE)
    for each in recipe.collections:
        _check_apart(each.path, recipe.out)
    work = recipe.out.resolve().with_name(f".{recipe.out.name}.work")
    with locked(work):
        stage = Stage(recipe, work)
        try:
            facts = stage.read()
            stage.drop_repeats(facts)
            facts = stage.finish(facts)
            stage.keep_budgets(facts)
            rule = stage.hold_out(facts)
            with new_folder(recipe.out) as folder:
                manifest = _write(stage, facts, rule, folder)
                write_json(folder / "manifest.json", manifest)
        except TooLittle:
            shutil.rmtree(work)  # nothing in it would help another recipe
            raise
        shutil.rmtree(work)
    _report(recipe.out, manifest)
    return manifest


def _check_apart(path: str, out: Path) -> None:
    source, out = Path(path).resolve(), out.resolve()
    if source.exists() and (source.is_relative_to(out) or out.is_relative_to(source)):
        raise GenusError(f"out {out} and source {path} lie in each other; name an out elsewhere")


def documents(corpus: Path, split: str) -> Iterator[Document]:
    """The documents of a split, in order. Raises GenusError when the corpus is missing or a file of it cannot be read."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    for entry in _manifest(corpus)["splits"][split]["files"]:
        path = corpus / entry["name"]
        try:
            with ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    for row in file.read_row_group(group).to_pylist():
                        yield Document(**(row | {"meta": dict(row["meta"])}))
        except (ArrowException, OSError, TypeError, KeyError) as error:
            raise GenusError(f"{path} cannot be read ({error}); make the corpus again") from error


def check_corpus(corpus: Path) -> dict[str, Any]:
    """The manifest, after hashing every file. Raises GenusError naming a file that is not as it was written."""
    manifest = _manifest(corpus)
    for entry in (entry for split in SPLITS for entry in manifest["splits"][split]["files"]):
        path = corpus / entry["name"]
        if not path.is_file():
            raise GenusError(f"{path} is missing; make the corpus again")
        if sha256(path) != entry["sha256"]:
            raise GenusError(f"{path} has changed since the corpus was made; make the corpus again")
    return manifest


def _manifest(corpus: Path) -> dict[str, Any]:
    manifest = read_json(corpus / "manifest.json")
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise GenusError(f"{corpus} is not a corpus of format {_FORMAT}; make it with: genus corpus")
    return manifest


def _write(stage: Stage, facts: Facts, rule: Rule, folder: Path) -> dict[str, Any]:
    told = stage.write(facts, rule, folder)
    shutil.rmtree(folder / ".done")
    dropped = stage.dropped()
    write_table(folder / "dropped" / "dropped.parquet", dropped)
    splits, dates = dict[str, Any](), dict[str, list[str]]()
    for split in SPLITS:
        mine = [each["splits"][split] for each in told if split in each["splits"]]
        files = [each["file"] for each in mine]
        counts = {name: sum(file[name] for file in files) for name in ("documents", "bytes")}
        splits[split] = {**counts, "files": files}
        known = [date for each in mine for date in each["dates"]]
        dates[split] = [min(known), max(known)] if known else []
    if not splits["validation"]["documents"]:
        what = ", ".join(each.path for each in stage.recipe.collections)
        raise TooLittle(f"source {what} has no paragraph, line or word to cut a held-out tail at; add documents")
    reasons = {row["values"]: row["counts"] for row in dropped["reason"].value_counts().to_pylist()}
    licences: Counter[str] = Counter()
    for each in told:
        licences.update(each["licences"])
    manifest = {"format": _FORMAT, "source": stage.recipe.source, "splits": splits, "dropped": dict(sorted(reasons.items()))}
    manifest |= {"hold_out": rule.words, "dates": dates, "dropped_sha256": drops_digest(dropped)}
    report = collect(stage, facts, dropped, manifest, folder)
    write_json(folder / "report.json", report)
    write_text(folder / "report.html", page(report))
    write_text(folder / "data_card.md", card(stage.recipe, manifest, report, licences))
    write_text(folder / "inputs.sha256", "".join(f"{digest}  {source}/{name}\n" for source, name, digest in stage.inputs))
    return manifest


def drops_digest(dropped: Any) -> str:
    """SHA-256 of what was dropped, where and why: the same for the same documents in any order and any number of parts."""
    digest = hashlib.sha256()
    for batch in dropped.select(["id", "step", "reason", "detail"]).to_batches(max_chunksize=10_000):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def _report(out: Path, manifest: dict[str, Any]) -> None:
    train, validation = (manifest["splits"][split] for split in SPLITS)
    say(
        f"{out}: {train['documents']:,} documents ({train['bytes'] / 1e6:.2f} MB) to train on, "
        f"{validation['documents']:,} ({validation['bytes'] / 1e6:.2f} MB) held out: {manifest['hold_out']}"
    )
    if manifest["dropped"]:
        why = ", ".join(f"{count:,} {reason}" for reason, count in manifest["dropped"].items())
        say(f"warning: dropped {why}; each is listed in {out / 'dropped'}")
