"""A training run in a folder: resolved recipe, lock, resume, metrics, logbook, checkpoints, a live bar, and a clean stop.

Shared by every phase. A run that is killed at any moment and started again with the same command goes on bit for bit.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genus.core.errors import GenusError, Stopped
from genus.core.files import locked, read_json, write_json
from genus.core.progress import duration, progress, say
from genus.core.recipe import as_dict, differences, read_recipe, save_recipe
from genus.data.loader import Loader
from genus.parallel.mesh import Ranks
from genus.parallel.recipe import Parallel
from genus.train.checkpoint import Saver, load_newest
from genus.train.guard import Guard
from genus.train.journal import Journal
from genus.train.logbook import Logbook, circumstances, quoted
from genus.train.loop import Loss, Step, TrainState, train_steps
from genus.train.machine import describe
from genus.train.optim import learning_rate, make_optimizer
from genus.train.stop import stop_requests

__all__ = ["Phase", "train"]

# A run may move, its shards too (what is in them may not change), and it may be spread otherwise.
_PLACES = frozenset({"out", "shards", "micro_batch", *(f"parallel.{field.name}" for field in fields(Parallel))})


@dataclass(kw_only=True)
class Phase:
    """What distinguishes one phase of training from another. `facts` must not change between starts.

    Every rank calls all of it alike; `sample` gives its text on the first.
    """

    model: nn.Module
    loader: Loader
    prepare: Callable[[Any], list[Any]]  # a batch of the loader -> micro-batches on the device
    loss: Loss
    tokens: int  # of the whole run
    step_tokens: int
    validate: Callable[[], float]
    sample: Callable[[], str] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    ranks: Ranks = field(default_factory=Ranks)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return max(1, round(self.tokens / self.step_tokens))


def train(recipe: Any, phase: Phase, device: torch.device, restart: bool = False) -> None:
    """Run `phase` in recipe.out to its end. `recipe` has the fields out, optim, schedule and every."""
    out: Path = recipe.out
    with locked(out) if phase.ranks.first else contextlib.nullcontext():
        changed: list[str] = []
        if phase.ranks.first:
            changed = _changed(out, recipe)
            if restart:
                _clear(out)
            _check_same(out, recipe, phase)
        phase.ranks.wait()
        _Run(recipe, phase, device).start(restart, changed)


class _Run:
    """One start of a run: its state, and what is written down about it."""

    def __init__(self, recipe: Any, phase: Phase, device: torch.device) -> None:
        self.recipe, self.phase, self.out = recipe, phase, recipe.out
        self.ranks = phase.ranks
        self.state = TrainState(phase.model, make_optimizer(phase.model, recipe.optim), Guard(), ranks=self.ranks)
        self.machine = describe(device) if self.ranks.first else {}
        extra = load_newest(self.out / "checkpoints", self.state) or {"position": 0, "seconds": 0.0}
        phase.loader.position = extra["position"]
        self.seconds: float = extra["seconds"]  # spent in steps, over all starts
        if self.ranks.first and not (self.out / "run.json").exists():
            write_json(self.out / "run.json", {**phase.facts, "steps": phase.steps, "machine": self.machine})
        if self.state.step:
            say(f"going on from step {self.state.step} of {phase.steps}")
        self.metrics = Journal(self.out / "metrics.jsonl", self.state.step, self.ranks.first)
        self.samples = Journal(self.out / "samples.jsonl", self.state.step, self.ranks.first)
        self.logbook = Logbook(self.out, self.ranks.first)
        self.saver = Saver(self.out / "checkpoints", recipe.every.keep, self._note_saved)
        self.ranks.wait()  # all have read the journals before the first goes on writing, so that all know what is due
        self.timed = self._seen(), self.seconds  # tokens and seconds at the last held-out loss

    def start(self, restart: bool, changed: list[str]) -> None:
        """Train to the end, and write down when, how and with what.

        `changed` is how the recipe differs from that of the start before.
        """
        step, steps = self.state.step, self.phase.steps
        if step == steps and self.logbook.last in ("", "end"):  # nothing to tell
            self._look_up()
            return
        title = "resume" if step else "restart" if restart and self.logbook.last else "start"
        parameters = sum(parameter.numel() for parameter in self.phase.model.parameters())
        lines = [
            *(circumstances(self.machine) if self.ranks.first else ()),
            *([f"processes: {self.ranks}"] if self.ranks.many else ()),
            f"recipe: {quoted(str(self.out / 'recipe.toml'))}" + (f", changed: {'; '.join(changed)}" if changed else ""),
            f"to do: {self.phase.tokens:,} tokens in {steps:,} steps, {parameters:,} parameters",
            *([f"from: step {step:,}, checkpoints/step-{step}"] if step else []),
        ]
        with self.logbook.start(title, lines, self._totals if self.ranks.first else str):
            self._look_up()  # where a kill came between a checkpoint and this, nothing is left out
            if step < steps:
                self.go_on()

    def go_on(self) -> None:
        """Train from the state's step to the last."""
        phase, every, clip = self.phase, self.recipe.every, self.recipe.optim.clip
        steps = (phase.prepare(batch) for batch in phase.loader)
        with stop_requests() as stopping, progress("training", phase.steps, self.state.step) as update:
            began = time.monotonic()
            for step in train_steps(self.state, steps, phase.loss, self._lr, clip):
                self.seconds += time.monotonic() - began
                self._record(step)
                self.saver.check()
                stop = self.ranks.any(stopping())
                last = step.number == phase.steps
                if stop or last or _due(step.number, every.checkpoint):
                    self._save()
                if stop or last:
                    self.saver.wait()
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
        self.saver.save(self.state, extra)

    def _note_saved(self, path: Path, seconds: float) -> None:
        self.logbook.write("checkpoint", f"{path.name} in {seconds:.1f} s")

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
            what = f"step {step.number} was skipped: loss {step.loss:.4g}, gradient norm {step.gradient_norm:.4g}"
            say(what)
            self.logbook.write(
                "skipped", f"{what}; the weights stayed as they were, {self.state.guard.skipped} skipped so far"
            )

    def _look_up(self) -> None:
        """Held-out loss and a sample, where this step is due for them and has none yet."""
        step, every = self.state.step, self.recipe.every
        ends = step in (0, self.phase.steps)
        if (ends or _due(step, every.validate)) and self.metrics.last("validation_loss") < step:
            loss = self.phase.validate()
            self.metrics.write({"step": step, "tokens": self._seen(), "validation_loss": loss})
            self._note_held_out(loss)
        if self.phase.sample and (ends or _due(step, every.sample)) and self.samples.last("text") < step:
            text = self.phase.sample()
            self.samples.write({"step": step, "tokens": self._seen(), "text": text})
            line = " ".join(text.split())
            say(f"[{step}/{self.phase.steps}] {line}")
            self.logbook.write("sample", f"step {step:,} {quoted(line[:120])}")

    def _note_held_out(self, loss: float) -> None:
        tokens, seconds = self._seen() - self.timed[0], self.seconds - self.timed[1]
        self.timed = self._seen(), self.seconds
        speed = f", {tokens / seconds:,.0f} tokens/s since the last" if tokens else ""
        self.logbook.write("held-out", f"step {self.state.step:,}, {self._seen():,} tokens, loss {loss:.4f}{speed}")

    def _totals(self) -> str:
        """Of all starts of the run; the arithmetic beside the peak of this machine."""
        speed = self._seen() / self.seconds
        skipped = self.state.guard.skipped
        text = f"{self._seen():,} tokens in {self.state.step:,} steps ({skipped} skipped) and {duration(self.seconds)}"
        text += f", {speed:,.0f} tokens/s"
        if "flop" in self.phase.facts:
            used = self.phase.facts["flop"] * speed
            share = used / (self.machine["matmul_flops"] * self.ranks.world)
            text += f", {used / 1e9:,.1f} GFLOP/s, {share:.0%} of the fp32 matrix product"
        return text


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
    """Forget an earlier run in this folder; its logbook, and what other stages made there, stay."""
    for name in ("checkpoints", "model"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("recipe.toml", "run.json", "metrics.jsonl", "samples.jsonl"):
        (out / name).unlink(missing_ok=True)


def _changed(out: Path, recipe: Any) -> list[str]:
    """How the recipe differs from that of the start before; nothing where there was none, or none that can be read."""
    with contextlib.suppress(GenusError):
        return differences(read_recipe(out / "recipe.toml"), as_dict(recipe))
    return []


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
