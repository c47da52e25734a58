"""Wall-clock to a validation loss: the `modern` recipe against GPT-2's own, on one text, at one size, in one code base.

GPT-2's recipe is AdamW with a cosine to a tenth over all its tokens, at the best of several learning rates; its loss at the
end is the goal. The other runs are shorter, and each is a whole run with its own schedule. Seconds are those spent in steps,
as the runs' own metrics have them; held-out losses are read apart. Nothing is compiled. Not measured here: other sizes.
"""

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genus.core.errors import GenusError
from genus.train.journal import read_journal
from genus.train.machine import describe
from genus.train.pretrain import pretrain
from genus.train.recipe import Energy, Every, ModelRecipe, Optim, Pretrain, Schedule

EXAMPLES = """examples:
  genus demo                                                   makes the shards of runs/demo
  python bench/time_to_loss.py runs/demo/shards                GPT-2's recipe and modern's, three seeds
  python bench/time_to_loss.py runs/demo/shards --tune         GPT-2's and modern's learning rates, on a fifth of the steps
  python bench/time_to_loss.py runs/demo/shards --ablate       modern with one ingredient taken out at a time
"""
STEPS = 3125  # of GPT-2's recipe: the demo's 3.2M tokens in steps of 4 rows of 256
SHAPE: dict[str, Any] = {"context": 256, "width": 128, "depth": 4, "heads": 4}
LINEAR = Schedule(warmup_tokens=130_000, decay="linear", final=0.0)
GPT2: dict[str, Any] = {
    "model": ModelRecipe(family="gpt2", **SHAPE),
    "optim": Optim(lr=8e-3),
    "schedule": Schedule(warmup_tokens=130_000, decay="cosine", final=0.1),
}
MODERN: dict[str, Any] = {
    "model": ModelRecipe(family="modern", **SHAPE),
    "optim": Optim(kind="muon", lr=1.2e-2),
    "schedule": LINEAR,
}
ABLATIONS: dict[str, dict[str, Any]] = {
    "modern": {},
    "AdamW in place of Muon": {"optim": Optim(lr=4e-3)},
    "a cosine to a tenth in place of a line to 0": {"schedule": GPT2["schedule"]},
    "a trapezoid (hold 0.6)": {"schedule": replace(LINEAR, hold=0.6)},
    "GPT-2's architecture": {"model": GPT2["model"]},
    "LLaMA's architecture (gated SiLU, no norm on q and k)": {"model": ModelRecipe(family="llama", **SHAPE)},
    "z-loss of 1e-4": {"z_loss": 1e-4},
    "steps of 8 rows": {"batch": 8, "micro_batch": 8},
}


def main() -> int:
    """Train, print the table, and give the exit code."""
    options = _options()
    try:
        with tempfile.TemporaryDirectory() as folder:
            if options.tune:
                found = _tune(options, Path(folder))
            elif options.ablate:
                found = _ablate(options, Path(folder))
            else:
                found = _compare(options, Path(folder))
    except GenusError as error:
        print(f"time_to_loss.py: error: {error}", file=sys.stderr)
        return 1
    machine = describe(torch.device("cpu"))
    print(f"{machine['name']}, {machine['threads']} threads, {machine['matmul_flops'] / 1e9:,.0f} GFLOP/s in fp32")
    if options.json:
        print(json.dumps({"machine": machine, **found}))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards", type=Path, help="a folder of shards, such as the demo's")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps of GPT-2's recipe (default {STEPS})")
    parser.add_argument("--share", type=float, default=0.28, help="of those steps, for modern (default 0.28)")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--tune", action="store_true", help="learning rates, on a fifth of the steps")
    kinds.add_argument("--ablate", action="store_true", help="ingredients, on a fifth of the steps")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args()


def _run(options: argparse.Namespace, out: Path, steps: int, seed: int = 0, **recipe: Any) -> tuple[float, float]:
    """Train, and give the last held-out loss in nats and the seconds spent in steps."""
    batch = recipe.pop("batch", 4)
    tokens = steps * 4 * SHAPE["context"]
    made = Pretrain(
        **{"shards": options.shards, "out": out, "batch": batch, "micro_batch": batch, "compile": "off", **recipe},
        tokens=tokens,
        seed=seed,
        every=Every(validate=0, sample=0, checkpoint=0),
        energy=Energy(count="off"),
        tensorboard="off",
    )
    pretrain(made)
    records = read_journal(out / "metrics.jsonl")
    losses = [record["validation_loss"] for record in records if "validation_loss" in record]
    return losses[-1], [record["seconds"] for record in records if "seconds" in record][-1]


def _compare(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Per seed, GPT-2's run and modern's, one after the other."""
    rows: list[dict[str, Any]] = []
    print(f"{'seed':>4}{'gpt2 loss':>12}{'seconds':>9}{'modern loss':>13}{'seconds':>9}{'time':>7}", flush=True)
    for seed in range(options.seeds):
        gpt2 = _run(options, folder / f"gpt2-{seed}", options.steps, seed, **GPT2)
        modern = _run(options, folder / f"modern-{seed}", round(options.share * options.steps), seed, **MODERN)
        rows.append({"seed": seed, "gpt2": gpt2, "modern": modern, "reached": modern[0] <= gpt2[0]})
        share = modern[1] / gpt2[1]
        print(f"{seed:4}{gpt2[0]:12.4f}{gpt2[1]:9.0f}{modern[0]:13.4f}{modern[1]:9.0f}{share:7.0%}", flush=True)
    reached = sum(row["reached"] for row in rows)
    share = statistics.median(row["modern"][1] / row["gpt2"][1] for row in rows)
    print(f"modern reached GPT-2's loss in {reached} of {len(rows)} seeds, in {share:.0%} of its time (median)")
    return {"rows": rows, "share": share}


def _tune(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, recipe, rates in (("gpt2", GPT2, (4e-3, 8e-3, 1.6e-2)), ("modern", MODERN, (1.2e-2, 2.4e-2))):
        for lr in rates:
            out = folder / f"{name}-{lr}"
            changed = {**recipe, "optim": replace(recipe["optim"], lr=lr)}
            found[f"{name} {lr:g}"] = loss, seconds = _run(options, out, options.steps // 5, **changed)
            print(f"{name:8} lr {lr:<8g} loss {loss:.4f} in {seconds:.0f} s", flush=True)
    return found


def _ablate(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, (name, change) in enumerate(ABLATIONS.items()):
        found[name] = loss, seconds = _run(options, folder / str(number), options.steps // 5, **{**MODERN, **change})
        print(f"{name:56} loss {loss:.4f} in {seconds:.0f} s", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
