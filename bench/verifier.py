"""A judge of support on WiCE's dev claims, beside the coverage of words on the same claims and passages.

python bench/verifier.py DATA [--model JUDGE] [--json]

DATA is the folder that holds wice/claim_dev.jsonl (github.com/ryokamoi/wice). Pages are cut into passages of 100 words; a
page scores as its best passage. The layer and its calibration are fitted within the other four of five folds, in which no
article and no page is on both sides. A judge's GPT, if one is named, must have been tuned on other claims; its layer
is fitted anew. preference: how often the cited page scores above the nearest other page of the set.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from genus.core.progress import progress, say
from genus.retrieve.metrics import auroc
from genus.retrieve.verify.claims import Claim, read_claims
from genus.retrieve.verify.coverage import keep_best
from genus.retrieve.verify.features import FEATURES, Floats
from genus.retrieve.verify.fitting import groups_of
from genus.retrieve.verify.judge import Senses, load_judge
from genus.retrieve.verify.meaning import Meaning
from genus.retrieve.verify.measuring import measure
from genus.retrieve.verify.negatives import Neighbours


def main() -> None:
    """Print a table, and with --json the figures as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, help="a judge that genus tune made")
    parser.add_argument(
        "--passages", type=int, default=12, help="passages of a page that are looked at, those that cover most"
    )
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    claims = read_claims(chosen.data / "wice" / "claim_dev.jsonl")
    neighbours = Neighbours(claims)
    labels = [int(claim.documents[0].label or 0) for claim in claims]
    groups = groups_of([(("article", claim.group), ("page", claim.documents[0].name)) for claim in claims])
    reader = load_judge(chosen.model).senses.reader if chosen.model else None
    senses = Senses(neighbours.counts, Meaning(neighbours.counts), reader)
    documents, others = _inputs(claims, neighbours, senses, chosen.passages)
    figures = {}
    for name, count in {"counted": len(FEATURES), "and meaning": len(FEATURES) + 1, "and a GPT": len(senses.names)}.items():
        if name != "and a GPT" or reader:
            few, beside = ([each[:, :count] for each in every] for every in (documents, others))
            figures[name] = measure(few, beside, labels, groups)
            _tell(name, figures[name])
    if reader:
        alone = auroc([document[:, -2].max() for document in documents], [label == 2 for label in labels])
        say(f"the GPT alone: AUROC {alone:.3f}")
    if chosen.json:
        sys.stdout.write(json.dumps(figures) + "\n")


def _inputs(claims: list[Claim], neighbours: Neighbours, senses: Senses, most: int) -> tuple[list[Floats], list[Floats]]:
    """Of each claim what is known of its page's passages that cover most, and of its neighbour's."""
    found: tuple[list[Floats], list[Floats]] = [], []
    begun, passages = time.perf_counter(), 0
    with progress("claims", len(claims)) as update:
        for done, claim in enumerate(claims, 1):
            near = neighbours.find(claim, 1)[0]
            for into, texts in zip(found, (claim.documents[0].passages, near), strict=True):
                kept = keep_best(claim.text, texts, most, neighbours.counts)
                into.append(senses.inputs(claim.text, kept))
                passages += len(kept)
            update(done, "")
    took = time.perf_counter() - begun
    say(f"{passages:,} passages in {took:,.1f} s: {1000 * took / passages:,.2f} ms each")
    return found


def _tell(name: str, found: dict[str, Any]) -> None:
    say(f"{name}, {found['documents']} claims in {found['groups']} groups, {found['supported']} supported")
    for row in ("coverage", "judge"):
        each = found[row]
        say(f"  {row}: AUROC {_shown(each['auroc'])}, preference {_shown(each['preference'])}, {_errors(each)}")
    say(f"  difference of AUROC {_shown(found['difference'])}")


def _shown(estimate: dict[str, float]) -> str:
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def _errors(found: dict[str, Any]) -> str:
    after = f"calibration error {found['calibration_error']:.3f}"
    before = found.get("calibration_error_before")
    return after if before is None else f"{after} (before {before:.3f})"


if __name__ == "__main__":
    main()
