"""`genus corpus` beside datatrove: the same documents, rules, shingles and buckets, as whole commands, in turns.

    make .venv-datatrove/.ready
    python bench/corpus.py --python .venv-datatrove/bin/python
    python bench/corpus.py --sides genus ray --sources debian doc man python c packages --json

Each side reads JSON lines, drops documents by Gopher's two sets of rules and FineWeb's (datatrove's limits), finds near
copies by MinHash (words by white space, runs of 5, 14 buckets of 8 hashes), and writes the rest as Parquet, in as many
processes. The documents are those of corpus_documents.py, made first. What differs: genus compares candidates exactly before
it drops one, where datatrove drops all but one of those that share buckets, through any chain; genus writes every dropped
document's reason and a report besides, and hashes inputs and outputs; datatrove writes nothing of what it drops.

Wall time is of the process from start to end. Memory is the largest sum, at any moment, of the proportional set sizes of the
process and its descendants. "ray" is genus with `--runner.kind ray`, which starts and ends Ray on this machine: some 10
seconds, whatever the documents are.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from corpus_documents import SOURCES, USUAL, write_documents

THRESHOLD, BUCKETS, ROWS = 0.75, 14, 8
TICK = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, help="a Python with bench/requirements-corpus.txt, for datatrove")
    parser.add_argument("--sides", nargs="+", choices=("genus", "datatrove", "ray"), default=["genus", "datatrove"])
    parser.add_argument("--documents", type=Path, help="where documents are or are made (default: a scratch folder)")
    parser.add_argument("--sources", nargs="+", choices=SOURCES, default=USUAL, help="what documents are made of")
    parser.add_argument("--processes", type=int, default=2, help="processes of each side (default 2)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (default 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    if "datatrove" in options.sides and not options.python:
        parser.error("datatrove has its own environment: name its Python with --python, or give --sides genus ray")
    with tempfile.TemporaryDirectory() as scratch:
        options.scratch, options.documents = Path(scratch), options.documents or Path(scratch) / "documents"
        found: dict[str, Any] = {"documents": documents(options)}
        turns = race(options)
        found |= {"sides": turns, "ratios": ratios(turns)}
        if "datatrove" in turns and "genus" in turns:
            found["agreement"] = agreement(options.scratch)
    told(options, found)


def documents(options: argparse.Namespace) -> dict[str, dict[str, int]]:
    """What the documents are, by source; they are made where these are not there."""
    counts = options.documents.with_suffix(".json")
    found: dict[str, dict[str, int]] = json.loads(counts.read_text()) if counts.exists() else {}
    if list(found) != list(options.sources):
        print(f"making documents in {options.documents}", file=sys.stderr)
        found = write_documents(options.documents, options.sources)
        counts.write_text(json.dumps(found))
    return found


def race(options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Seconds, processor seconds and peak bytes of each turn of each side. What each wrote last stays."""
    turns: dict[str, list[dict[str, float]]] = {side: [] for side in options.sides}
    first = options.scratch / "first"
    first.mkdir()
    shutil.copy(options.documents / "00.jsonl", first)
    for number in range(options.rounds + 1):
        for side in options.sides:  # round 0, of one file, compiles what is compiled and fills the file cache
            out = options.scratch / f"{side}-{number}"
            turn = timed(command(options, side, options.documents if number else first, out))
            print(f"round {number} of {options.rounds}: {side} {turn['seconds']:.1f} s", file=sys.stderr)
            turns[side] += [turn] * bool(number)
            if number:
                shutil.rmtree(options.scratch / f"{side}-{number - 1}")
    return turns


def command(options: argparse.Namespace, side: str, source: Path, out: Path) -> list[str]:
    """The command line of a side."""
    here, processes = Path(__file__).parent, str(options.processes)
    if side == "datatrove":
        shape = ["--buckets", str(BUCKETS), "--rows", str(ROWS), "--workers", processes]
        return [str(options.python), str(here / "corpus_datatrove.py"), str(source), str(out), *shape]
    recipe = options.scratch / "recipe.toml"
    recipe.write_text(f"""
        steps = ["rules", "fuzzy"]
        rules.sets = ["gopher_quality", "gopher_repetition", "fineweb"]
        rules.languages = []
        rules.fineweb = {{most_repeated = 0.01, most_breaks = 0.3}}
        fuzzy = {{threshold = {THRESHOLD}, words = 5, bands = {BUCKETS}, rows = {ROWS}, plain = true}}
        runner.kind = "{"ray" if side == "ray" else "native"}"
        runner.processes = {processes}
        """)
    return [sys.executable, "-m", "genus.cli.main", "corpus", str(recipe), "--source", str(source), "--out", str(out)]


def timed(line: list[str]) -> dict[str, float]:
    """Run a command: its seconds, the processor seconds of all its processes, and the most memory they had together."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    began = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(line, stdout=output, stderr=subprocess.STDOUT, env=environment)
        with watched(process.pid) as seen:
            code = process.wait()
        seconds = time.perf_counter() - began
        if code:
            output.seek(0)
            sys.exit(f"{' '.join(line)} failed:\n{output.read().decode('utf-8', 'replace')[-3000:]}")
    return {"seconds": seconds, "processor": sum(seen["processor"].values()), "memory": max(seen["memory"].values())}


@contextmanager
def watched(pid: int) -> Iterator[dict[str, dict[int, float]]]:
    """Four times a second: processor seconds of each process below this one, and the memory of all at that moment."""
    seen: dict[str, dict[int, float]] = {"processor": {}, "memory": {0: 0.0}}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.25):
            memory = 0.0
            for each in family(pid):
                try:
                    times = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
                    rollup = Path(f"/proc/{each}/smaps_rollup").read_text().split("\nPss:", 1)[1]
                except (OSError, IndexError):
                    continue  # it has ended
                seen["processor"][each] = (int(times[11]) + int(times[12])) / TICK
                memory += 1024 * int(rollup.split(maxsplit=1)[0])
            seen["memory"][len(seen["memory"])] = memory

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def family(pid: int) -> list[int]:
    """A process and all below it."""
    children = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().rpartition(")")
        except OSError:
            continue
        children[int(rest.split()[1])].append(int(name.split()[0]))
    found = [pid]
    for each in found:
        found += children[each]
    return found


def ratios(turns: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """Medians over rounds: how many times as fast genus is as datatrove, and the wall time that Ray takes beside it."""
    seconds = {side: [turn["seconds"] for turn in each] for side, each in turns.items()}
    pairs = {"datatrove": ("datatrove", "genus"), "ray": ("ray", "genus")}
    return {
        name: statistics.median(one / two for one, two in zip(seconds[above], seconds[below], strict=True))
        for name, (above, below) in pairs.items()
        if above in seconds and below in seconds
    }


def agreement(scratch: Path) -> dict[str, dict[str, int]]:
    """How many documents passed the rules of each side and of both, and how many each dropped of them as near copies."""
    import pyarrow.parquet as pq

    def ids(side: str, name: str, **which: Any) -> set[str]:
        (last,) = scratch.glob(f"{side}-*")
        return set(pq.read_table(last / name, columns=["id"], partitioning=None, **which)["id"].to_pylist())

    near, passed = ids("genus", "dropped", filters=[("step", "=", "fuzzy")]), ids("datatrove", "filtered")
    pairs = {
        "passed the rules": (ids("genus", "documents") | near, passed),
        "near copies": (near, passed - ids("datatrove", "kept")),
    }
    return {
        what: {"genus": len(ours), "datatrove": len(theirs), "both": len(ours & theirs)}
        for what, (ours, theirs) in pairs.items()
    }


def told(options: argparse.Namespace, found: dict[str, Any]) -> None:
    counts = found["documents"]
    total = {name: sum(each[name] for each in counts.values()) for name in ("documents", "bytes")}
    made = ", ".join(f"{name} {each['documents']:,} ({each['bytes'] / 1e6:.0f} MB)" for name, each in counts.items())
    print(f"{total['documents']:,} documents, {total['bytes'] / 1e6:.0f} MB: {made}; {options.processes} processes")
    print("              seconds     range   processor s   documents/s   peak memory")
    for side, turns in found["sides"].items():
        middle = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
        span = f"{min(turn['seconds'] for turn in turns):.0f} to {max(turn['seconds'] for turn in turns):.0f}"
        rate = total["documents"] / middle["seconds"]
        memory = max(turn["memory"] for turn in turns) / 1e6
        print(f"{side:12s} {middle['seconds']:8.1f} {span:>9s} {middle['processor']:13.1f} {rate:13,.0f} {memory:10,.0f} MB")
    if "datatrove" in found["ratios"]:
        print(f"genus is {found['ratios']['datatrove']:.2f} times as fast as datatrove (at least 3)")
    if "ray" in found["ratios"]:
        print(f"on Ray it takes {found['ratios']['ray']:.2f} times as long as without (at most 1.5)")
    for what, both in found.get("agreement", {}).items():
        print(f"{what}: {both['genus']:,} of genus, {both['datatrove']:,} of datatrove, {both['both']:,} of both")
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
