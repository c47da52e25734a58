"""An index made and asked 1,000 times by words and by meaning: Genus beside bm25s and numpy, put together by hand.

Both get the same passages, the same vectors (encoding is counted in neither), the same queries one at a time and the same
cores, and add the 100 best by words and the 100 nearest by scores scaled alike. Both write to disk what a later process
needs. Libraries are imported, and compiled, by a small run before, which is not counted.

What differs: by hand, the words are bm25s's own runs of letters and digits, nothing can be added, deleted or filtered, and
every vector is compared at every size, where Genus searches a quantised index above 100,000 passages. Passages are those of
bench/passages.py, whose --work may be given; more than there are repeat with changed words.

  python bench/hybrid.py --work /tmp/passages --json
  python bench/hybrid.py --work /tmp/passages --count 200000 --rounds 1
"""

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import bm25s
import numpy as np
from passages import batches, prepared

from genus.retrieve.lance import LanceCorpus
from genus.retrieve.passage import Passage
from genus.retrieve.search import Search

TOP, POOL = 10, 100
TOKEN = r"(?u)[^\W_]+"


class Known:
    """An encoder of queries whose vectors are known."""

    name, sha256 = "known", "0" * 64

    def __init__(self, vectors: dict[str, np.ndarray]) -> None:
        self.vectors = vectors
        self.width = len(next(iter(vectors.values())))

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.stack([self.vectors[text] for text in texts])


class Asked(Protocol):
    """What was made, and answers."""

    def find(self, query: str) -> list[str]: ...


class Ours:
    """genus.retrieve, in a new folder."""

    def __init__(self, folder: Path, passages: list[Passage], vectors: np.ndarray, known: Known) -> None:
        corpus = LanceCorpus(folder, {"name": known.name, "sha256": known.sha256, "width": known.width})
        corpus.add(passages, vectors)
        corpus.compact()
        self.search = Search(corpus, known)

    def find(self, query: str) -> list[str]:
        """The ids of the best."""
        return [hit.passage.id for hit in self.search.find(query, TOP)]


class ByHand:
    """bm25s for words, a matrix for vectors, a list for passages."""

    def __init__(self, folder: Path, passages: list[Passage], vectors: np.ndarray, known: Known) -> None:
        self.passages, self.vectors, self.known = passages, vectors, known
        self.words = bm25s.BM25(k1=1.2, b=0.75)
        self.words.index(self.tokens([f"{each.title}\n{each.text}" for each in passages]), show_progress=False)
        self.words.save(folder)
        np.save(folder / "vectors.npy", vectors)
        with (folder / "passages.jsonl").open("w") as file:
            file.writelines(
                json.dumps({name: getattr(each, name) for name in Passage.__slots__}) + "\n" for each in passages
            )

    @staticmethod
    def tokens(texts: list[str]) -> Any:
        """In bm25s's own form."""
        return bm25s.tokenize(texts, token_pattern=TOKEN, stopwords=None, show_progress=False)

    def find(self, query: str) -> list[str]:
        """The ids of the best."""
        pool = min(POOL, len(self.passages))
        places, scores = self.words.retrieve(self.tokens([query]), k=pool, show_progress=False)
        near = self.vectors @ self.known.encode([query])[0]
        best = np.argpartition(-near, pool - 1)[:pool]
        best = best[np.argsort(-near[best])]
        found: dict[int, float] = {}
        for at, values in ((places[0], scores[0]), (best, near[best])):
            scaled = (values - values[-1]) / max(float(values[0] - values[-1]), 1e-5)
            for place, score in zip(at.tolist(), scaled.tolist(), strict=True):
                found[place] = found.get(place, 0.0) + score
        return [self.passages[place].id for place in sorted(found, key=lambda place: -found[place])[:TOP]]


KINDS: dict[str, type[Any]] = {"genus": Ours, "by hand": ByHand}


def questions(passages: list[Passage], vectors: np.ndarray, count: int) -> Known:
    """Runs of 8 to 12 words of passages, with a vector near the passage's: cosine about 0.9."""
    draw = np.random.default_rng(10)
    found: dict[str, np.ndarray] = {}
    while len(found) < count:
        place = int(draw.integers(len(passages)))
        said = passages[place].text.split()
        long = int(draw.integers(8, 13))
        at = int(draw.integers(max(1, len(said) - long)))
        near = vectors[place] + draw.standard_normal(vectors.shape[1], np.float32) * (0.5 / vectors.shape[1] ** 0.5)
        found[" ".join(said[at : at + long])] = (near / np.linalg.norm(near)).astype(np.float32)
    return Known(found)


def run(kind: type[Any], folder: Path, passages: list[Passage], vectors: np.ndarray, known: Known) -> dict[str, Any]:
    """Index and ask: seconds, and what was found."""
    shutil.rmtree(folder, ignore_errors=True)
    began = time.perf_counter()
    asked: Asked = kind(folder, passages, vectors, known)
    indexed = time.perf_counter()
    took, found = [], []
    for query in known.vectors:
        start = time.perf_counter()
        found.append(asked.find(query))
        took.append(1000 * (time.perf_counter() - start))
    ended = time.perf_counter()
    size = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    shutil.rmtree(folder)
    return {
        "index_s": indexed - began,
        "queries_s": ended - indexed,
        "total_s": ended - began,
        "p50_ms": statistics.median(took),
        "p95_ms": statistics.quantiles(took, n=20)[-1],
        "disk_mb": size / 1e6,
        "found": found,
    }


def main() -> None:
    """Print a table of medians and ratios; with --json, one object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for vectors and indexes")
    parser.add_argument("--count", type=int, default=0, help="passages; by default all of the packaged corpus, once")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    options.folders = []
    options.work.mkdir(parents=True, exist_ok=True)
    texts, encoded = prepared(options)
    passages: list[Passage] = []
    parts = []
    for some, theirs in batches(texts, encoded, options.count or len(texts)):
        passages += some
        parts.append(theirs)
    vectors = np.concatenate(parts).astype(np.float32)
    known = questions(passages, vectors, options.queries)
    for kind in KINDS.values():
        few = questions(passages[:2000], vectors[:2000], 20)
        run(kind, options.work / "hybrid", passages[:2000], vectors[:2000], few)
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in KINDS}
    for number in range(options.rounds):
        for name in [*KINDS][:: 1 if number % 2 == 0 else -1]:  # each goes first in turn
            rounds[name].append(run(KINDS[name], options.work / "hybrid", passages, vectors, known))
            shown = ", ".join(f"{key} {value:.2f}" for key, value in rounds[name][-1].items() if key != "found")
            print(f"round {number + 1}, {name}: {shown}", flush=True)
    report: dict[str, Any] = {"passages": len(passages), "queries": options.queries}
    print(f"\n{len(passages):,} passages, {options.queries:,} queries, medians of {options.rounds}")
    print(f"{'':12}{'genus':>12}{'by hand':>12}{'by hand / genus':>18}")
    for key in [key for key in rounds["genus"][0] if key != "found"]:
        ours, theirs = (statistics.median(each[key] for each in rounds[name]) for name in KINDS)
        report[key] = {"genus": ours, "by_hand": theirs, "ratio": theirs / ours}
        print(f"{key:12}{ours:12.2f}{theirs:12.2f}{theirs / ours:18.2f}")
    both = zip(rounds["genus"][0]["found"], rounds["by hand"][0]["found"], strict=True)
    shares = [len({*mine} & {*theirs}) / TOP for mine, theirs in both]
    report["agreement"] = statistics.mean(shares)
    print(f"of the {TOP} best of Genus, by hand finds {report['agreement']:.3f}")
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
