"""Planned and measured memory of training steps on this machine, each shape in a fresh process.

Measured is by how much the process grows at its fullest (on a CPU the peak resident set, VmHWM; on a GPU the peak that
PyTorch allocated) over two steps of the model. Before stand the libraries, the steps of a tiny model that load the kernels,
and a matrix product, which makes the threads and the library's own buffers. Steps are Genus's own: loop, loss, optimizer,
precision as `auto` picks it, not compiled.

On a CPU each shape runs twice: as `genus pretrain` does, with an allocator that keeps freed memory for the next step and so
leaves holes, and `tight` (MALLOC_MMAP_THRESHOLD_; slower), which maps each tensor by itself and holds what the step holds.

python bench/plan.py
python bench/plan.py --shapes 13.9M 30M --rounds 3 --json
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

SHAPES = {  # vocabulary, context, width, depth, heads, batch
    "1.9M": (4096, 256, 128, 4, 4, 4),
    "13.9M": (8192, 256, 384, 6, 6, 16),
    "30M": (8192, 512, 512, 8, 8, 8),
    "124M": (50257, 512, 768, 12, 12, 4),
}


def main() -> int:
    """Print planned and measured and their ratios; with --json, one object last. Exit code 1 where `tight` is beyond 10%."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=1, help="fresh processes a shape (default 1)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", choices=SHAPES, help=argparse.SUPPRESS)
    parser.add_argument("--kept", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.kept)))
        return 0
    results = []
    print(f"{'shape':8}{'precision':>11}{'planned MB':>12}{'tight MB':>10}{'ratio':>7}{'kept MB':>10}{'ratio':>7}")
    for shape in options.shapes:
        result = _result(shape, options.rounds)
        results.append(result)
        print(
            f"{shape:8}{result['precision']:>11}{result['planned'] / 1e6:12,.1f}"
            f"{result['tight'] / 1e6:10,.1f}{result['tight'] / result['planned']:7.3f}"
            f"{result['kept'] / 1e6:10,.1f}{result['kept'] / result['planned']:7.3f}",
            flush=True,
        )
    if options.json:
        print(json.dumps({"results": results}))
    return 0 if all(abs(result["tight"] / result["planned"] - 1) <= 0.1 for result in results) else 1


def measure(shape: str, kept: bool) -> dict[str, Any]:
    """In this process, which should do nothing else: bytes before, bytes grown, bytes planned."""
    import torch

    from genus.models.families import spec_of
    from genus.plan.layout import Job, Layout, memory_of
    from genus.train.allocator import keep_freed_memory
    from genus.train.machine import pick_device, use_bf16

    device = pick_device()
    bf16 = use_bf16("auto", device)
    vocab, context, width, depth, heads, batch = SHAPES[shape]
    spec = spec_of("gpt2", vocab=vocab, context=context, width=width, depth=depth, heads=heads)
    tiny = spec_of("gpt2", vocab=64, context=16, width=16, depth=1, heads=2)
    train(tiny, (2, 16), device, bf16)
    torch.rand(2048, 2048, device=device) @ torch.rand(2048, 2048, device=device)
    if kept:
        keep_freed_memory()
    before = _begin(device)
    train(spec, (batch, context), device, bf16)
    job = Job(spec=spec, tokens=batch * context, batch=batch, context=context, bf16=bf16)
    planned = memory_of(job, Layout(micro_batch=batch), cpu=device.type == "cpu")
    grown = _peak(device) - before
    return {"before": before, "measured": grown, "planned": planned.total, "precision": "bf16" if bf16 else "fp32"}


def train(spec: Any, shape: tuple[int, int], device: Any, bf16: bool) -> None:
    """Two steps of a model of random weights on random tokens (batch, time)."""
    import torch

    from genus.models.heads import LanguageModel
    from genus.train.guard import Guard
    from genus.train.loop import TrainState, train_steps
    from genus.train.losses import Tokens, next_token
    from genus.train.machine import autocast
    from genus.train.optim import make_optimizer
    from genus.train.recipe import Optim

    model = LanguageModel(spec).to(device).train()
    tokens = torch.randint(spec.vocab, shape, device=device)
    batch = Tokens(tokens, tokens, torch.arange(shape[1], device=device).expand(shape))

    def loss(batch: Tokens) -> Any:
        with autocast(device, bf16):
            return next_token(model, batch)

    state = TrainState(model, make_optimizer(model, Optim()), Guard())
    for _ in train_steps(state, [[batch]] * 2, loss, lambda _step: 1e-3, clip=1.0):
        pass


def _begin(device: Any) -> int:
    """Forget the fullest moment so far; bytes held now."""
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak(device: Any) -> int:
    """Bytes held at the fullest moment."""
    import torch

    return torch.cuda.max_memory_allocated() if device.type == "cuda" else _status("VmHWM")


def _status(field: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) * 1024


def _result(shape: str, rounds: int) -> dict[str, Any]:
    """The medians over fresh processes."""
    kept = [_run(shape, {}, "--kept") for _ in range(rounds)]
    tight = [_run(shape, {"MALLOC_MMAP_THRESHOLD_": "65536"}) for _ in range(rounds)]
    return {
        "shape": shape,
        "precision": kept[0]["precision"],
        "planned": kept[0]["planned"],
        "kept": statistics.median(run["measured"] for run in kept),
        "tight": statistics.median(run["measured"] for run in tight),
        "before": statistics.median(run["before"] for run in kept),
    }


def _run(shape: str, settings: dict[str, str], *flags: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", shape, *flags]
    done = subprocess.run(command, capture_output=True, check=True, text=True, env={**os.environ, **settings})
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
