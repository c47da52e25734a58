"""The loader beside grain: five sources at GPT-3's shares, the same memory-mapped tokens, rows and batches, in turns.

    python bench/loader.py
    python bench/loader.py --context 2048 --batch 8 --rounds 9 --json

Both read rows of `context` + 1 tokens in a seeded order without replacement, mix the sources, and make batches with
positions and document numbers by the same function, in one process. grain orders, mixes and repeats with its own
MapDataset, without threads and with its default of 16. Tokens are random: what is timed does not look at them. The shares
of 10,000 rows are counted row by row, and a loader that goes on from a saved state must give the next batches again.
"""

import argparse
import contextlib
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from genus.data.loader import Loader, Mixture, Rows, open_rows
from genus.data.mixture import PUBLISHED, Mix
from genus.data.shards import ShardSet

GRAIN = {"grain": 0, "grain, 16 threads": 16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--context", type=int, default=1024, help="tokens of a row (default 1024)")
    parser.add_argument("--batch", type=int, default=16, help="rows of a batch (default 16)")
    parser.add_argument("--million", type=int, default=60, help="tokens on disk, in millions (default 60)")
    parser.add_argument("--read", type=int, default=4, help="tokens of a turn, in millions (default 4)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shards = planted(Path(folder), options.million * 1_000_000)
        mixture = open_rows(shards, options.context, seed=0, mix=Mix(table="gpt3"))
        assert isinstance(mixture, Mixture)
        plain = open_rows(shards, options.context, seed=0)
        sides: dict[str, Iterator[Any]] = {
            "genus": Loader(mixture, options.batch),
            "genus, one source": Loader(plain, options.batch),
        }
        with contextlib.suppress(ImportError):
            sides |= {name: grains(shards, options, threads) for name, threads in GRAIN.items()}
        found = race(sides, options)
        found |= {"strays": strays(mixture, 10_000), "resumes": resumes(mixture, options.batch)}
        found |= {"imports": {name: import_seconds(name) for name in ("genus.data.loader", "grain") if found.get("ratio")}}
    told(found, options)


def planted(folder: Path, tokens: int) -> ShardSet:
    """Shards of random tokens, in the sizes of GPT-3's sources; a document has about 500 tokens."""
    chance, sizes = np.random.default_rng(0), {name: part.size for name, part in PUBLISHED["gpt3"].parts.items()}
    shards, sources = [], {}
    for name, size in sizes.items():
        ids = chance.integers(0, 50_257, round(tokens * size / sum(sizes.values())), np.uint16)
        ids[chance.random(len(ids)) < 1 / 500] = 50_256
        ids.tofile(folder / f"{name}.bin")
        shards.append({"name": f"{name}.bin", "tokens": len(ids), "source": name})
        sources[name] = {"tokens": len(ids)}
    manifest = {"dtype": "uint16", "vocab": 50_257, "end_of_text": 50_256}
    none: dict[str, Any] = {"shards": [], "sources": {}}
    return ShardSet(folder, manifest | {"splits": {"train": {"shards": shards, "sources": sources}, "validation": none}})


def grains(shards: ShardSet, options: argparse.Namespace, threads: int) -> Iterator[Any]:
    """The same by grain, over rows in the order of the disk."""
    grain: Any = importlib.import_module("grain")  # it comes without types
    parts = []
    rows: Any = None
    for number, name in enumerate(PUBLISHED["gpt3"].parts):
        rows = Rows(shards.stream("train", name), options.context, 0, shuffle=False)
        parts.append(grain.MapDataset.source(rows).seed(number).shuffle().repeat(None))
    mixed = grain.MapDataset.mix(parts, weights=[part.weight for part in PUBLISHED["gpt3"].parts.values()])
    reading = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=500 if threads else 0)
    return iter(mixed.batch(options.batch, batch_fn=rows.batch).to_iter_dataset(reading))


def race(sides: dict[str, Iterator[Any]], options: argparse.Namespace) -> dict[str, Any]:
    """Million tokens a second of each turn, by processor time of all threads and by the clock."""
    steps = max(1, options.read * 1_000_000 // (options.batch * options.context))
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for number in range(options.rounds + 1):  # the first warms all up
        for name, side in sides.items():
            turn = timed(lambda side=side: [None for _ in islice(side, steps)])  # type: ignore[misc]
            turns[name] += [turn] * bool(number)
        print(f"round {number} of {options.rounds}", file=sys.stderr)
    tokens = steps * options.batch * options.context / 1e6
    found: dict[str, Any] = {
        name: {
            "cpu": statistics.median(tokens / cpu for cpu, _ in each),
            "clock": statistics.median(tokens / wall for _, wall in each),
        }
        for name, each in turns.items()
    }
    if "grain" in sides:
        pairs = zip(turns["genus"], *(turns[name] for name in GRAIN), strict=True)
        found["ratio"] = statistics.median(min(cpu for cpu, _ in theirs) / ours[0] for ours, *theirs in pairs)
    return found


def timed(work: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def strays(mixture: Mixture, rows: int) -> float:
    """The largest difference of a source's share of so many rows from GPT-3's, all counted."""
    counts = [0] * len(mixture.shares.names)
    for number in range(rows):
        counts[mixture.shares.place(number)[0]] += 1
    weights = PUBLISHED["gpt3"].values
    wanted = [weights[name] / sum(weights.values()) for name in mixture.shares.names]
    return max(abs(count / rows - share) for count, share in zip(counts, wanted, strict=True))


def resumes(mixture: Mixture, batch: int) -> bool:
    """Whether 1,000 batches after a saved state are those of the straight run."""
    straight = Loader(mixture, batch)
    for _ in range(100):
        next(straight)
    again = Loader(mixture, batch, position=straight.state()["position"])
    pairs = islice(zip(straight, again, strict=True), 1000)
    return all(np.array_equal(a.tokens, b.tokens) and np.array_equal(a.documents, b.documents) for a, b in pairs)


def import_seconds(module: str) -> float:
    """Processor seconds of an import, in a process of its own, beyond NumPy's; the best of three."""
    code = f"import numpy, time; began = time.process_time(); import {module}; print(time.process_time() - began)"
    told = [subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(3)]
    return min(map(float, told))


def told(found: dict[str, Any], options: argparse.Namespace) -> None:
    print(f"batches of {options.batch} rows of {options.context} tokens, of five sources at GPT-3's shares")
    print("million tokens a second     processor     clock")
    for name in (name for name, value in found.items() if isinstance(value, dict) and "cpu" in value):
        print(f"{name:24s} {found[name]['cpu']:12.1f} {found[name]['clock']:9.1f}")
    if "ratio" in found:
        print(f"genus is {found['ratio']:.2f} times as fast as the faster grain, by processor time")
        print("imports: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found["imports"].items()))
    print(f"no source is further than {100 * found['strays']:.3f}% of 10,000 rows from its target (at most 0.5%)")
    print(f"1,000 batches after a resume are the same: {found['resumes']}")
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
