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
from genus.core.progress import duration, progress, rate, say
from genus.core.recipe import as_dict, differences, read_recipe, save_recipe
from genus.data.loader import Loader
from genus.data.mixture import in_words
from genus.parallel.mesh import Ranks
from genus.parallel.recipe import Parallel
from genus.train.allocator import spare_old_objects
from genus.train.checkpoint import Saver, load_newest
from genus.train.curves import Curves
from genus.train.energy import EnergyCount, energy_text, read_energy
from genus.train.guard import Guard
from genus.train.journal import Journal
from genus.train.logbook import Logbook, circumstances, environment, quoted
from genus.train.loop import Loss, Step, TrainState, train_steps
from genus.train.machine import describe
from genus.train.optim import make_optimizer
from genus.train.recipe import Energy
from genus.train.recipe import Recovery as RecoveryRecipe
from genus.train.recovery import Recovery, remove_later, require_finite
from genus.train.schedule import Pace, learning_rate
from genus.train.stop import stop_requests

__all__ = ["Phase", "train"]

# A run may move, and what it reads, whose content may not change; how it is looked after and spread may.
_FREE = frozenset(
    {"out", "shards", "model", "train", "held_out", "template", "micro_batch", "tensorboard"}
    | {f"recovery.{field.name}" for field in fields(RecoveryRecipe)}
    | {f"energy.{field.name}" for field in fields(Energy)}
    | {f"parallel.{field.name}" for field in fields(Parallel)}
)

_SETTLED = 8  # steps after which many processes on accelerators ask each other whether to stop


@dataclass(kw_only=True)
class Phase:
    """What distinguishes one phase of training from another. `facts` must not change between starts.

    Every rank calls all of it alike; `sample` gives its text on the first.
    """

    model: nn.Module
    loader: Loader
    prepare: Callable[[Any], list[Any]]  # a batch of the loader -> micro-batches on the device
    loss: Loss
    pace: Pace
    validate: Callable[
        [], Mapping[str, float]
    ]  # "validation_loss" and what else there is; nothing where nothing is held out
    sample: Callable[[], str] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    bf16: bool = False  # whether the steps compute in it
    ranks: Ranks = field(default_factory=Ranks)
    unit: str = "tokens"  # what the pace counts
    whole: int = 1  # steps that are one piece of work: a run can be saved after a multiple of them alone
    rates: Mapping[str, float] = field(default_factory=dict)  # of parts of the model, multiples of the learning rate
    notes: Callable[[], Mapping[str, float]] = dict  # more numbers for the metrics of a step
    mixture: Callable[[int], dict[str, Any]] | None = None  # of so many rows read, what each source has (mixture.py)

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.pace.steps


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
        run = _Run(recipe, phase, device)
        with spare_old_objects():
            run.start(restart, changed)


class _Run:
    """One start of a run: its state, and what is written down about it."""

    def __init__(self, recipe: Any, phase: Phase, device: torch.device) -> None:
        self.recipe, self.phase, self.out = recipe, phase, recipe.out
        self.ranks, guard = phase.ranks, Guard(recipe.recovery.limit)
        self.state = TrainState(phase.model, make_optimizer(phase.model, recipe.optim, phase.rates), guard, ranks=self.ranks)
        self.recovery = Recovery(recipe.recovery, recipe.every)
        self.machine = describe(device, phase.bf16) if self.ranks.first else {}
        extra = load_newest(self.out / "checkpoints", self.state) or {"position": 0, "seconds": 0.0}
        phase.loader.position, phase.loader.passed = extra["position"], extra.get("passed", 0)
        phase.loader.more = extra.get("more", {})
        self.recovery.restore(extra.get("recovery", self.recovery.state()))
        self.seconds: float = extra["seconds"]  # spent in steps, over all starts
        self.changed = self._describe() if self.ranks.first else []
        if self.state.step:
            say(f"going on from step {self.state.step} of {phase.steps}")
        detours, first = len(self.recovery.spikes), self.ranks.first
        self.metrics = Journal(self.out / "metrics.jsonl", self.state.step, detours, first)
        self.samples = Journal(self.out / "samples.jsonl", self.state.step, detours, first)
        self.curves = Curves(self.out, recipe.tensorboard if first else "off", self.state.step)
        self.energy = EnergyCount(self.out, recipe.energy if first else Energy(count="off"))
        self.logbook = Logbook(self.out, first)
        self.saver = Saver(self.out / "checkpoints", self._note_saved)
        self.ranks.wait()  # all have read the journals before the first goes on writing, so that all know what is due
        self.timed = self._seen(), self.seconds  # tokens and seconds at the last held-out loss

    def _describe(self) -> list[str]:
        """Write down what the run is and what this start runs with; give how that differs from the start before."""
        path = self.out / "run.json"
        first = {**self.phase.facts, "steps": self.phase.steps, "machine": self.machine}
        known, now = read_json(path) if path.exists() else first, environment(self.machine)
        write_json(path, {**known, "environment": now})
        return differences(known.get("environment", now), now)

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
            *([f"environment: {'; '.join(self.changed)}"] if self.changed else []),
            *([f"processes: {self.ranks}"] if self.ranks.many else []),
            f"recipe: {quoted(str(self.out / 'recipe.toml'))}" + (f", changed: {'; '.join(changed)}" if changed else ""),
            f"to do: {self.phase.pace.tokens(steps):,} {self.phase.unit} in {steps:,} steps, {parameters:,} parameters",
            *([f"from: step {step:,}, checkpoints/step-{step}"] if step else []),
        ]
        totals = self._totals if self.ranks.first else str
        with self.logbook.start(title, lines, totals), contextlib.closing(self.curves), self.energy:
            self._look_up()  # where a kill came between a checkpoint and this, nothing is left out
            if step < steps:
                self.go_on()
            for report in self._mixture().values():
                say(f"mixture of {in_words(report)}")
                self.logbook.write("mixture", in_words(report))

    def go_on(self) -> None:
        """Train from the state's step to the last."""
        if self.recipe.recovery.goes_back and not self.state.step:
            self._save()  # a place to go back to from the first steps
        with stop_requests() as stopping, progress("training", self.phase.steps, self.state.step) as update:
            while self._train(stopping, update):
                pass
        say(f"trained on {self._seen():,} {self.phase.unit} in {duration(self.seconds)}")

    def _train(self, stopping: Callable[[], bool], update: Callable[[float, str], None]) -> bool:
        """Train to the last step, or until a spike makes the run go back: then give True."""
        phase = self.phase
        steps = (phase.prepare(batch) for batch in phase.loader)
        began = time.monotonic()

        def settle(number: int) -> bool:
            """Many must settle the same steps, so that they do not go by who heard the signal first."""
            asked = number % _SETTLED == 0 if self.ranks.many else stopping()
            return asked or number == phase.steps or self._due(number)

        for step in train_steps(self.state, steps, phase.loss, self._lr, self.recipe.optim.clip, settle=settle):
            spent = time.monotonic() - began
            self.seconds += spent
            self._record(step, spent)
            update(step.number, self._note(step, spent))
            self.saver.check()
            if self.recovery.leaves(step):
                self._go_back(step)
                return True
            if step.number == self.state.step and step.number % phase.whole == 0:  # else there is nothing whole to save
                stop, last = self.ranks.any(stopping()), step.number == phase.steps
                if stop or last or self._is_due(step.number, self.recipe.every.checkpoint):
                    self._save()
                if stop or last:
                    self.saver.wait()
                if stop and not last:
                    raise Stopped(f"saved at step {step.number} of {phase.steps}; the same command goes on from there")
                self._look_up()
                if last:
                    break
            began = time.monotonic()
        return False

    def _go_back(self, step: Step) -> None:
        """Go on from an earlier checkpoint. Journals first: their next opening mends them where a kill comes now."""
        self.saver.wait()
        self.recovery.go_back(step, self.state, self.phase.loader, self.saver.folder)
        for journal in (self.metrics, self.samples):
            journal.go_back(self.state.step, len(self.recovery.spikes))
        self.curves.go_back(self.state.step)
        self._save()
        self.saver.wait()
        if self.ranks.first:
            remove_later(self.saver.folder, self.state.step)
        told = self.recovery.told(step, self.state)
        say(told)
        self.logbook.write("recovery", told)
        self.timed = self._seen(), self.seconds

    def _lr(self, step: int) -> float:
        return self.recovery.rate * learning_rate(self.recipe.schedule, self.recipe.optim.lr, step, self.phase.pace)

    def _seen(self, step: int | None = None) -> int:
        return self.phase.pace.tokens(self.state.step if step is None else step)

    def _due(self, step: int) -> bool:
        every = self.recipe.every
        return any(self._is_due(step, interval) for interval in (every.checkpoint, every.validate, every.sample))

    def _is_due(self, step: int, interval: int) -> bool:
        """Intervals count whole pieces of work."""
        return bool(interval) and step % (interval * self.phase.whole) == 0

    def _save(self) -> None:
        require_finite(self.state)
        self.curves.save()
        self.energy.save()
        loader = self.phase.loader
        place = {"position": loader.position, "passed": loader.passed, "more": loader.more}
        extra = {**place, "seconds": self.seconds, "recovery": self.recovery.state()}
        self.saver.save(self.state, extra, self.recovery.keep(self.saver.folder, self.state.step))

    def _note_saved(self, path: Path, seconds: float) -> None:
        self.logbook.write("checkpoint", f"{path.name} in {seconds:.1f} s")

    def _record(self, step: Step, spent: float) -> None:
        """One line of the metrics for a step that took `spent` seconds."""
        record: dict[str, Any] = {
            "step": step.number,
            self.phase.unit: self._seen(step.number),
            "loss": step.loss,
            "lr": step.lr,
            "gradient_norm": step.gradient_norm,
            "seconds": round(self.seconds, 3),
            f"{self.phase.unit}_per_second": round(self._speed(step, spent), 1),
            "mfu": self._mfu(self._speed(step, spent)),
            "skipped": self.state.guard.skipped,
            **_flat(step.stats),
            **self.phase.notes(),
        }
        if not step.applied:
            record["spike"] = self.recovery.action(step)
            self._tell_spike(step)
        self._write({key: value for key, value in record.items() if value is not None})

    def _write(self, record: dict[str, Any]) -> None:
        self.metrics.write(record)
        self.curves.write(record)

    def _mfu(self, speed: float) -> float | None:
        """Model FLOP utilisation at `speed` tokens/s, of what a matrix product reaches (PaLM, arXiv 2204.02311, B)."""
        flop, peak = self.phase.facts.get("flop"), self.machine.get("matmul_flops")  # the first rank alone measures
        return round(flop * speed / (peak * self.ranks.world), 4) if flop and peak else None

    def _speed(self, step: Step, spent: float) -> float:
        return (self._seen(step.number) - self._seen(step.number - 1)) / spent

    def _note(self, step: Step, spent: float) -> str:
        """For the live bar."""
        speed = self._speed(step, spent)
        mfu = self._mfu(speed)
        return f"loss {step.loss:.3f} {rate(speed, self.phase.unit)}" + (f" MFU {mfu:.0%}" if mfu else "")

    def _tell_spike(self, step: Step) -> None:
        what = f"step {step.number} was skipped: loss {step.loss:.4g}, gradient norm {step.gradient_norm:.4g}"
        say(what)
        self.logbook.write("skipped", f"{what}; the weights stayed as they were, {self.state.guard.skipped} skipped so far")

    def _look_up(self) -> None:
        """Held-out loss and a sample, where this step is due for them and has none yet."""
        step, every = self.state.step, self.recipe.every
        ends = step in (0, self.phase.steps)
        if (ends or self._is_due(step, every.validate)) and self.metrics.last("validation_loss") < step:
            found = self.phase.validate()
            self.energy.save()
            if found:
                self._write({"step": step, self.phase.unit: self._seen(), **found, **self.energy.kwh, **self._mixture()})
                self._note_held_out(found)
        if self.phase.sample and (ends or self._is_due(step, every.sample)) and self.samples.last("text") < step:
            text = self.phase.sample()
            self.samples.write({"step": step, self.phase.unit: self._seen(), "text": text})
            line = " ".join(text.split())
            say(f"[{step}/{self.phase.steps}] {line}")
            self.logbook.write("sample", f"step {step:,} {quoted(line[:120])}")

    def _note_held_out(self, found: Mapping[str, float]) -> None:
        seen, seconds, unit = self._seen() - self.timed[0], self.seconds - self.timed[1], self.phase.unit
        self.timed = self._seen(), self.seconds
        speed = f", {rate(seen / seconds, unit)} since the last" if seen else ""
        told = ", ".join(f"{name.removeprefix('validation_')} {value:.4f}" for name, value in found.items())
        self.logbook.write("held-out", f"step {self.state.step:,}, {self._seen():,} {unit}, {told}{speed}")

    def _mixture(self) -> dict[str, Any]:
        """What was read of each source up to now, rows that a rollback passed over included; nothing without a mixture."""
        rows = self.phase.loader.position
        return {"mixture": self.phase.mixture(rows)} if self.phase.mixture and rows else {}

    def _totals(self) -> str:
        """Of all starts of the run; the arithmetic beside the peak of this machine."""
        speed = self._seen() / self.seconds
        skipped = self.state.guard.skipped
        unit = self.phase.unit
        text = f"{self._seen():,} {unit} in {self.state.step:,} steps ({skipped} skipped) and {duration(self.seconds)}"
        text += f", {rate(speed, unit)}"
        if "flop" in self.phase.facts:
            used, precision = self.phase.facts["flop"] * speed, self.machine["precision"]
            text += f", {used / 1e9:,.1f} GFLOP/s, MFU {self._mfu(speed):.0%} of the matrix product in {precision}"
        return f"{text}; energy {energy_text(read_energy(self.out))}"


def _flat(stats: Mapping[str, Tensor]) -> dict[str, float]:
    """Numbers for a line of metrics: of a stat with many values, its least and its most."""
    found = {}
    for name, value in stats.items():
        ends = {name: value} if value.dim() == 0 else {f"{name}_least": value.min(), f"{name}_most": value.max()}
        found.update({end: round(float(number), 6) for end, number in ends.items()})
    return found


def _clear(out: Path) -> None:
    """Forget an earlier run in this folder; its logbook, and what other stages made there, stay."""
    for name in ("checkpoints", "model", "tensorboard"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("recipe.toml", "run.json", "metrics.jsonl", "samples.jsonl", "energy.json"):
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
        changed = differences(read_recipe(path), as_dict(recipe), ignore=_FREE)
        if (out / "run.json").exists():
            began = read_json(out / "run.json")
            changed += [f"{name} changed" for name, value in phase.facts.items() if began.get(name) != value]
        if changed:
            raise GenusError(
                f"{out} holds a run that began otherwise ({'; '.join(changed)}); "
                "choose another --out, or add --restart to discard that run"
            )
    save_recipe(path, recipe)
