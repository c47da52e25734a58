"""A training run in a folder: resolved recipe, lock, resume, metrics, checkpoints, a live bar, and a clean stop.

Shared by every phase. A run that is killed at any moment and started again with the same command goes on bit for bit.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genus.core.errors import GenusError, Stopped
from genus.core.files import locked, read_json, write_json
from genus.core.progress import duration, progress, say
from genus.core.recipe import as_dict, differences, read_recipe, save_recipe
from genus.data.loader import Loader
from genus.train.checkpoint import load_newest, save_checkpoint
from genus.train.guard import Guard
from genus.train.journal import Journal
from genus.train.loop import Loss, Step, TrainState, train_steps
from genus.train.machine import describe
from genus.train.optim import learning_rate, make_optimizer
from genus.train.stop import stop_requests

__all__ = ["Phase", "train"]

_PLACES = frozenset({"out", "shards"})  # a run may move, and its shards; what is in them may not change


@dataclass(kw_only=True)
class Phase:
    """What distinguishes one phase of training from another. `facts` must not change between starts."""

    model: nn.Module
    loader: Loader
    prepare: Callable[[Any], list[Any]]  # a batch of the loader -> micro-batches on the device
    loss: Loss
    tokens: int  # of the whole run
    step_tokens: int
    validate: Callable[[], float]
    sample: Callable[[], str] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return max(1, round(self.tokens / self.step_tokens))


def train(recipe: Any, phase: Phase, device: torch.device, restart: bool = False) -> None:
    """Run `phase` in recipe.out to its end. `recipe` has the fields out, optim, schedule and every."""
    out: Path = recipe.out
    with locked(out):
        if restart:
            _clear(out)
        _check_same(out, recipe, phase)
        _Run(recipe, phase, device).go_on()


class _Run:
    """One start of a run: its state, and what is written down about it."""

    def __init__(self, recipe: Any, phase: Phase, device: torch.device) -> None:
        self.recipe, self.phase, self.out = recipe, phase, recipe.out
        self.state = TrainState(phase.model, make_optimizer(phase.model, recipe.optim), Guard())
        extra = load_newest(self.out / "checkpoints", self.state) or {"position": 0, "seconds": 0.0}
        phase.loader.position = extra["position"]
        self.seconds: float = extra["seconds"]  # spent in steps, over all starts
        if not (self.out / "run.json").exists():
            write_json(self.out / "run.json", {**phase.facts, "steps": phase.steps, "machine": describe(device)})
        if self.state.step:
            say(f"going on from step {self.state.step} of {phase.steps}")
        self.metrics = Journal(self.out / "metrics.jsonl", self.state.step)
        self.samples = Journal(self.out / "samples.jsonl", self.state.step)

    def go_on(self) -> None:
        """Train from the state's step to the last."""
        phase, every, clip = self.phase, self.recipe.every, self.recipe.optim.clip
        self._look_up()  # where a kill came between a checkpoint and this, nothing is left out
        if self.state.step == phase.steps:
            return
        steps = (phase.prepare(batch) for batch in phase.loader)
        with stop_requests() as stopping, progress("training", phase.steps, self.state.step) as update:
            began = time.monotonic()
            for step in train_steps(self.state, steps, phase.loss, self._lr, clip):
                self.seconds += time.monotonic() - began
                self._record(step)
                stop = stopping()
                last = step.number == phase.steps
                if stop or last or _due(step.number, every.checkpoint):
                    self._save()
                if stop and not last:
                    raise Stopped(f"saved at step {step.number} of {phase.steps}; the same command goes on from there")
                update(step.number, f"loss {step.loss:.3f} {self._seen() / self.seconds:,.0f} tokens/s")
                self._look_up()
                if last:
                    break
                began = time.monotonic()
        say(f"trained on {self._seen():,} tokens in {duration(self.seconds)}")

    def _lr(self, step: int) -> float:
        size = self.phase.step_tokens
        return learning_rate(self.recipe.schedule, self.recipe.optim.lr, step * size, self.phase.steps * size)

    def _seen(self) -> int:
        return self.state.step * self.phase.step_tokens

    def _save(self) -> None:
        extra = {"position": self.phase.loader.position, "seconds": self.seconds}
        save_checkpoint(self.out / "checkpoints", self.state, extra, self.recipe.every.keep)

    def _record(self, step: Step) -> None:
        self.metrics.write(
            {
                "step": step.number,
                "tokens": self._seen(),
                "loss": step.loss,
                "lr": step.lr,
                "gradient_norm": step.gradient_norm,
                "seconds": round(self.seconds, 3),
                "skipped": self.state.guard.skipped,
                **_flat(step.stats),
            }
        )
        if not step.applied:
            say(f"step {step.number} was skipped: loss {step.loss:.4g}, gradient norm {step.gradient_norm:.4g}")

    def _look_up(self) -> None:
        """Held-out loss and a sample, where this step is due for them and has none yet."""
        step, every = self.state.step, self.recipe.every
        ends = step in (0, self.phase.steps)
        if (ends or _due(step, every.validate)) and self.metrics.last("validation_loss") < step:
            self.metrics.write({"step": step, "tokens": self._seen(), "validation_loss": self.phase.validate()})
        if self.phase.sample and (ends or _due(step, every.sample)) and self.samples.last("text") < step:
            text = self.phase.sample()
            self.samples.write({"step": step, "tokens": self._seen(), "text": text})
            say(f"[{step}/{self.phase.steps}] {' '.join(text.split())}")


def _flat(stats: Mapping[str, Tensor]) -> dict[str, float]:
    """Numbers for a line of metrics: of a stat with many values, its least and its most."""
    found = {}
    for name, value in stats.items():
        ends = {name: value} if value.dim() == 0 else {f"{name}_least": value.min(), f"{name}_most": value.max()}
        found.update({end: round(float(number), 6) for end, number in ends.items()})
    return found


def _due(step: int, interval: int) -> bool:
    return bool(interval) and step % interval == 0


def _clear(out: Path) -> None:
    """Forget an earlier run in this folder; what other stages made there stays."""
    for name in ("checkpoints", "model"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("recipe.toml", "run.json", "metrics.jsonl", "samples.jsonl"):
        (out / name).unlink(missing_ok=True)


def _check_same(out: Path, recipe: Any, phase: Phase) -> None:
    """Refuse to go on with another recipe or other data than the run began with, naming what changed."""
    path = out / "recipe.toml"
    if path.exists():
        changed = differences(read_recipe(path), as_dict(recipe), ignore=_PLACES)
        if (out / "run.json").exists():
            began = read_json(out / "run.json")
            changed += [f"{name} changed" for name, value in phase.facts.items() if began.get(name) != value]
        if changed:
            raise GenusError(
                f"{out} holds a run that began otherwise ({'; '.join(changed)}); "
                "choose another --out, or add --restart to discard that run"
            )
    save_recipe(path, recipe)
