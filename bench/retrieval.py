"""How often search finds the right source: WiCE's claims and the pages they cite, Climate-FEVER's and their evidence.

DATA is a folder with wice/claim_dev.jsonl (github.com/ryokamoi/wice) and climate_fever/train.jsonl, or one of both.
Of WiCE all pages, cut into passages of 100 words, are the corpus; the page that a claim cites is right, and a page counts as
found where its best passage is. Of Climate-FEVER all evidence sentences are the corpus, each a passage of its article; right
are those that annotators took to support or refute the claim, and claims without any are left out. Intervals are Wilson's.

  python bench/retrieval.py DATA --work /tmp/retrieval --json
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genus.data.sources import Document
from genus.evaluate.estimates import share
from genus.retrieve.chunk import passages
from genus.retrieve.encoding import open_encoder, read_by_encoder
from genus.retrieve.metrics import success
from genus.retrieve.opening import open_corpus
from genus.retrieve.passage import Passage, hashed
from genus.retrieve.search import By, Search

COUNTS = 1, 5, 20
POOL = 100  # passages, whose documents are ranked by the best of each
WAYS: tuple[By, ...] = ("words", "meaning", "both")
TITLE = "(meta data) TITLE: "


class Query(NamedTuple):
    """A claim, with what is right: documents, and passages where they are labelled."""

    text: str
    documents: frozenset[str]
    passages: frozenset[str] = frozenset()


class Task(NamedTuple):
    """A corpus with the claims that are looked up in it, by the form of the query."""

    passages: list[Passage]
    queries: dict[str, list[Query]]


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file."""
    yield from map(json.loads, path.read_text("utf-8").splitlines())


def wice(path: Path) -> Task:
    """Pages that are the same are one document."""
    pages: dict[str, str] = {}
    found: list[Passage] = []
    queries: dict[str, list[Query]] = {"claim": [], "article title and claim": []}
    for row in read_lines(path):
        first, *rest = row["evidence"]
        title = first.removeprefix(TITLE) if first.startswith(TITLE) else ""
        text = "\n".join(rest if title else row["evidence"])
        if (page := f"{title}\n{text}") not in pages:
            pages[page] = f"page-{len(pages)}"
            found += passages(Document(pages[page], text, "wice", meta={"title": title}))
        right = frozenset({pages[page]})
        queries["claim"].append(Query(row["claim"], right))
        queries["article title and claim"].append(Query(f"{row['meta']['claim_title']} {row['claim']}", right))
    return Task(found, queries)


def climate_fever(path: Path) -> Task:
    """Articles are documents, and their sentences passages under the ids that the data give them."""
    found: dict[str, Passage] = {}
    queries = []
    for row in read_lines(path):
        labelled = [each for each in row["evidences"] if each["evidence_label"] in ("SUPPORTS", "REFUTES")]
        for each in row["evidences"]:
            name, title, text = each["evidence_id"], each["article"], each["evidence"]
            number = int(name.rpartition(":")[2])
            found[name] = Passage(name, title, number, title, text, 0, len(text), hashed(title, text))
        if labelled:
            articles = frozenset(each["article"] for each in labelled)
            queries.append(Query(row["claim"], articles, frozenset(each["evidence_id"] for each in labelled)))
    return Task(list(found.values()), {"claim": queries})


def opened(task: Task, place: Path) -> Search:
    """Search of the task's corpus, whose index is made where it is not there."""
    encoder = open_encoder()
    facts: dict[str, str | int] = {"name": encoder.name, "sha256": encoder.sha256, "width": encoder.width}
    corpus = open_corpus(str(place), facts)
    known = corpus.known([each.id for each in task.passages])
    new = [each for each in task.passages if known.get(each.id) != each.sha256]
    if new:
        corpus.add(new, encoder.encode([read_by_encoder(each) for each in new]))
        corpus.compact()
    return Search(corpus, encoder)


def measure(search: Search, queries: Sequence[Query], by: By) -> dict[str, dict[str, Any]]:
    """success@count with its interval, of documents, and of passages where they are labelled."""
    hits: dict[str, list[float]] = {}
    for query in queries:
        found = [hit.passage for hit in search.find(query.text, POOL, by)]
        documents = list(dict.fromkeys(each.document for each in found))
        for count in COUNTS:
            hits.setdefault(f"document success@{count}", []).append(success(documents, query.documents, count))
            if query.passages:
                names = [each.id for each in found]
                hits.setdefault(f"passage success@{count}", []).append(success(names, query.passages, count))
    estimates = {name: share(int(sum(values)), len(values)) for name, values in hits.items()}
    return {name: {"value": each.value, "low": each.low, "high": each.high} for name, each in estimates.items()}


def main() -> None:
    """Print a table; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="a folder for the indexes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    there = {
        name: (read, options.data / file)
        for name, read, file in (
            ("wice", wice, "wice/claim_dev.jsonl"),
            ("climate_fever", climate_fever, "climate_fever/train.jsonl"),
        )
        if (options.data / file).is_file()
    }
    if not there:
        parser.error(f"{options.data} has neither wice/claim_dev.jsonl nor climate_fever/train.jsonl")
    report: dict[str, Any] = {}
    for name, (read, path) in there.items():
        task = read(path)
        search = opened(task, options.work / name)
        documents = len({each.document for each in task.passages})
        print(f"\n{name}: {documents:,} documents, {len(task.passages):,} passages")
        report[name] = {"documents": documents, "passages": len(task.passages)}
        for form, queries in task.queries.items():
            found: dict[By, dict[str, dict[str, Any]]] = {by: measure(search, queries, by) for by in WAYS}
            report[name][form] = {"queries": len(queries), "found": found}
            print(f"\n{len(queries):,} queries: {form}\n{'':24}" + "".join(f"{by:>24}" for by in WAYS))
            for figure in found["words"]:
                cells = (found[by][figure] for by in WAYS)
                said = "".join(f"{each['value']:10.3f} ({each['low']:.3f}-{each['high']:.3f})" for each in cells)
                print(f"{figure:24}{said}")
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
