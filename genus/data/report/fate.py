"""One document's fate: which steps it passed, where and why it was dropped or where it is now, and what was changed in it.

Read from a corpus folder alone: the columns of ids of kept/, dropped/ and documents/, and the rows that are asked for.
"""

import difflib
import heapq
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import read_json
from genus.data.report.facts import read_report

__all__ = ["fates"]

Told = dict[str, str]
_NEAREST = 3  # ids that are named where one is not known,
_LIKELY = 300  # of so many that begin or end like it
_COPIES = 5  # ids of copies that are named


def fates(corpus: Path, id: str) -> list[Told]:
    """What became of the document, and of each piece it was cut into: names and words, in the order to be read.

    Raises GenusError when the corpus has no report, is damaged, or knows no such document; the nearest ids are named then.
    """
    from pyarrow import ArrowException

    report = read_report(corpus)
    try:
        dropped, kept = _rows(corpus / "dropped", id), _rows(corpus / "kept", id)
        if not dropped and not kept:
            near = _nearest(corpus, id)
            raise GenusError(f"{corpus} knows no document {id}; {_did_you_mean(near)}")
        lost = [_lost(row, report, corpus) for row in dropped]
        return lost + [_left(row, report, corpus) for row in kept]
    except (ArrowException, OSError, KeyError) as error:
        raise GenusError(f"{corpus} cannot be read ({error}); make the corpus again") from error


def _lost(row: Mapping[str, Any], report: Mapping[str, Any], corpus: Path) -> Told:
    steps = [each["step"] for each in report["funnel"]]
    told = _about(row) | {
        "passed": ", ".join(steps[: steps.index(row["step"])]) or "nothing",
        "dropped": f"in {row['step']}: {row['reason']}",
        "evidence": row["detail"],
    }
    if row["kept"]:
        told["stays"] = f"{row['kept']}: {_whereabouts(corpus, row['kept'])}"
    return told | ({"begins": row["excerpt"]} if row["excerpt"] else {})


def _left(row: Mapping[str, Any], report: Mapping[str, Any], corpus: Path) -> Told:
    changes = [f"{name} {value:,.6g}" for name, value in sorted(row["measured"]) if value]
    told = _about(row) | {
        "language": row["language"] or "not stated",
        "passed": ", ".join(each["step"] for each in report["funnel"]),
        "measured": "; ".join(changes),
        "now": _whereabouts(corpus, row["id"]),
        "copies": _copies(corpus, row["id"]),
    }
    return {name: words for name, words in told.items() if words}


def _about(row: Mapping[str, Any]) -> Told:
    size = f"{row['bytes']:,} bytes, {row['words']:,} words"
    return {"document": row["id"], "source": row["collection"], "size": size}


def _rows(folder: Path, id: str) -> list[dict[str, Any]]:
    """The rows of a document and of the pieces it was cut into."""
    import pyarrow.compute as pc

    same = re.compile(re.escape(id) + r"(#cut\d+)?")
    found = _dataset(folder).to_table(filter=(pc.field("id") == id) | pc.starts_with(pc.field("id"), f"{id}#cut"))
    return sorted((row for row in found.to_pylist() if same.fullmatch(row["id"])), key=lambda row: str(row["id"]))


def _dataset(folder: Path) -> Any:
    from pyarrow.dataset import dataset

    return dataset(sorted(map(str, folder.glob("*.parquet"))), format="parquet")


def _whereabouts(corpus: Path, id: str) -> str:
    """In which split, file and row a document is, or why it is not."""
    places = []
    for split, told in read_json(corpus / "manifest.json")["splits"].items():
        for file in told["files"]:
            for row, found in _ids(corpus / file["name"]):
                if found in (id, f"{id}#tail"):
                    tail = ", its tail" if found != id else ""
                    places.append(f"{split}{tail}, {file['name']}, row {row:,} from 0")
    if places:
        return "; ".join(places)
    later = [f"dropped in {row['step']}: {row['reason']}" for row in _rows(corpus / "dropped", id)]
    pieces = [f"cut into {row['id']}" for row in _rows(corpus / "kept", id)]
    return "; ".join(later + pieces) or "not in the corpus"


def _ids(path: Path) -> Iterator[tuple[int, str]]:
    from pyarrow.parquet import ParquetFile

    row = 0
    with ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["id"]):
            for id in batch["id"].to_pylist():
                yield row, id
                row += 1


def _copies(corpus: Path, id: str) -> str:
    import pyarrow.compute as pc

    found = _dataset(corpus / "dropped").to_table(columns=["id", "reason"], filter=pc.field("kept") == id)
    named = sorted(f"{row['id']} ({row['reason']})" for row in found.to_pylist())
    more = f" and {len(named) - _COPIES:,} more" if len(named) > _COPIES else ""
    return f"stays for {', '.join(named[:_COPIES])}{more}" if named else ""


def _nearest(corpus: Path, id: str) -> Sequence[str]:
    """Known ids that are like it: first by how much of the beginning or the end they share, those then letter by letter."""
    files = (path for folder in ("kept", "dropped") for path in (corpus / folder).glob("*.parquet"))
    every = (found for path in files for _, found in _ids(path))
    likely = heapq.nlargest(_LIKELY, ((max(_shared(id, found), _shared(id[::-1], found[::-1])), found) for found in every))
    return difflib.get_close_matches(id, dict.fromkeys(found for _, found in likely), _NEAREST, cutoff=0.5)


def _shared(one: str, other: str) -> int:
    """Letters that both begin with."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in same)


def _did_you_mean(near: Sequence[str]) -> str:
    return f"the nearest: {', '.join(near)}" if near else "ids are in the column id of its folders kept and dropped"
