"""Where the time of a step of decoding goes: each kind of computation run alone, and what is left for Python."""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from decode_models import SHAPES, ids_of, make_folder

from genus.core.errors import GenusError
from genus.engine.compiled import Listed
from genus.engine.engine import Engine
from genus.engine.kernels import program
from genus.engine.model import load
from genus.engine.packed import BYTES
from genus.engine.request import Request
from genus.engine.sampling import Sampling

EXAMPLES = """examples:
  python bench/step.py
  python bench/step.py --shape smollm2 --weights int8 --texts 16 --length 500 --json    the last line is one JSON object

Kinds are run without the others, so together they may take less than in turns: what one reads then pushes nothing of another
out of the processor's caches.
"""
KINDS = {"products": 0, "norms": 1, "rotations": 2, "attention": 3, "activations": 4, "look-ups": 5}
TURNS = 15


def main() -> int:
    """Measure, print the table, and give the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="124M", help="random GPT-2, or SmolLM2-135M (default 124M)")
    parser.add_argument("--weights", choices=list(BYTES), nargs="+", default=list(BYTES))
    parser.add_argument("--texts", type=int, default=1, help="that are generated at once (default 1)")
    parser.add_argument("--length", type=int, default=64, help="tokens that each has (default 64)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        try:
            ids = ids_of(folder, make_folder(options.shape, folder))
            for form in options.weights:
                found[form] = _step(load(folder, form).engine, ids, options.texts, options.length)
        except GenusError as error:
            print(f"{options.shape} was not measured: {error}", file=sys.stderr)
            return 1
    print(
        f"{options.shape}, {options.texts} texts of {options.length} tokens, {torch.get_num_threads()} threads; ms a step\n"
    )
    print(f"{'':14}" + "".join(f"{form:>9}" for form in found))
    for part in next(iter(found.values())):
        print(f"{part:14}" + "".join(f"{each[part]:9.2f}" for each in found.values()))
    if options.json:
        print(json.dumps({**vars(options), "ms": found}))
    return 0


def _step(engine: Engine, ids: list[int], texts: int, length: int) -> dict[str, float]:
    """Milliseconds of a step, and of its parts."""
    for row in range(texts):
        prompt = tuple(ids[(97 * row + place) % len(ids)] for place in range(length))
        engine.add(Request(prompt=prompt, max_tokens=TURNS + 20, sampling=Sampling(temperature=0)))
    while not all(telling.branch.generating for choices in engine.requests.values() for telling in choices):
        engine.step()
    listed, work = engine.reader.listed, engine.scheduler.plan()  # type: ignore[attr-defined]
    assert isinstance(listed, Listed)
    step = engine.reader.store.step(work)  # type: ignore[attr-defined]
    index = np.zeros(len(work), np.int64)
    step.tell(10, index, index, index)
    angles = np.zeros((len(work), listed.spec.attention.head_dim), np.float32)
    step.tell(8, angles, angles)

    def kernels(ops: Any) -> float:
        return _median(lambda: program.run(listed.model.form, ops, len(work), step.words.ctypes.data))

    parts = {name: np.ascontiguousarray(listed.ops[listed.ops[:, 0] == kind]) for name, kind in KINDS.items()}
    found = {name: kernels(ops) if len(ops) else 0.0 for name, ops in parts.items()}
    found["head"] = kernels(listed.last)
    all_of_them = kernels(listed.ops) + found["head"]
    found["together"] = all_of_them
    found["whole step"] = _median(engine.step)
    found["Python"] = found["whole step"] - all_of_them
    return found


def _median(what: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(TURNS):
        began = time.perf_counter()
        what()
        seconds.append(time.perf_counter() - began)
    return 1e3 * statistics.median(seconds)


if __name__ == "__main__":
    sys.exit(main())
