"""A plan: the best layout that fits, its memory, and what the run takes in time, energy, CO2 and money.

It is arithmetic over a trace of the real code; nothing is measured here. What cannot fit is refused with what would.
"""

from dataclasses import dataclass, replace

from genus.core.errors import GenusError
from genus.plan.devices import Device
from genus.plan.layout import Job, Layout, Memory, check, layouts, memory_of, owned, seconds_of
from genus.plan.recipe import Plan

__all__ = ["Outlook", "Planned", "make_plan", "outlook"]

_SPARE = 0.05  # of a device's memory for the allocator, kernels and the messages' library
_CPU_SPARE = 0.3  # glibc's allocator leaves up to so much unused between tensors (records/0010-plan.md)
_MOST = 2**20  # devices, when asking how many would do
_PUE = 1.1  # of a good data centre


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A job on `count` devices in the layout that is best there, and what each then holds."""

    job: Job
    device: Device
    count: int
    layout: Layout
    memory: Memory
    step: float  # seconds, by the model of arithmetic and messages

    @property
    def modelled(self) -> float:
        """Utilisation that the model gives: the run's FLOP, without recomputation, over the devices' peak."""
        return self.job.flop / self.job.steps / self.step / self.peak

    @property
    def peak(self) -> float:
        """FLOP/s of all devices."""
        return self.count * self.device.peak("bf16" if self.job.bf16 else "fp32")


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a run takes at a utilisation. Seconds, kWh of the devices and their building, kg, the price's currency."""

    utilisation: float
    seconds: float
    tokens_per_second: float
    kwh: float | None
    kg: float | None
    cost: float | None


def make_plan(job: Job, device: Device, count: int, fixed: Plan) -> Planned:
    """The fastest layout that fits, of those that `fixed` leaves open.

    Raises GenusError when none exists or none fits, with what would.
    """
    check(job, count, fixed)
    found, least = _best(job, device, count, fixed)
    if found:
        return found
    if least is None:
        raise GenusError(
            f"no layout of {count} devices computes a batch of {job.batch} rows of {job.context} tokens as fixed; "
            f"choose another --batch (a multiple of {count} always divides), or fix less"
        )
    layout, memory = least
    raise GenusError(
        f"it does not fit: the leanest layout ({layout}) needs {memory.total / 1e9:,.1f} GB on each device, and "
        f"{device.name} has {_room(device) / 1e9:,.1f} GB to use; {_advice(job, device, count, fixed)}"
    )


def outlook(plan: Planned, utilisation: float, given: Plan) -> Outlook:
    """Time, energy, CO2 and cost of a plan at a utilisation (share of the dense peak, recomputation not counted).

    `given` has the watts, pue, grid and price; what it leaves out is the device's, or not told.
    """
    seconds = plan.job.flop / (plan.peak * utilisation)
    hours = seconds / 3600 * plan.count
    watts, price = given.watts or plan.device.watts, given.price or plan.device.price
    kwh = watts * hours / 1000 * (given.pue or _PUE) if watts else None
    return Outlook(
        utilisation=utilisation,
        seconds=seconds,
        tokens_per_second=plan.job.tokens / seconds,
        kwh=kwh,
        kg=kwh * given.grid / 1000 if kwh and given.grid is not None else None,
        cost=price * hours if price else None,
    )


def _room(device: Device) -> float:
    return device.memory * (1 - (_CPU_SPARE if device.cpu else _SPARE))


def _best(job: Job, device: Device, count: int, fixed: Plan) -> tuple[Planned | None, tuple[Layout, Memory] | None]:
    """The fastest layout that fits; else the leanest that was looked at.

    More rows at once never need less memory, but where they spare adding up, so that few layouts are traced.
    """
    timed = [(seconds_of(job, layout, device), layout) for layout in layouts(job, count, fixed)]
    timed.sort(key=lambda pair: (pair[0], pair[1].tensor, pair[1].replicate))
    full: dict[tuple[Layout, bool], int] = {}  # layouts but for their rows -> the fewest that did not fit
    least: tuple[Layout, Memory] | None = None
    for seconds, layout in timed:
        apart = replace(layout, micro_batch=1), layout.micro_batch * layout.data < job.batch
        if layout.micro_batch >= full.get(apart, layout.micro_batch + 1) or _floor(job, layout) > _room(device):
            continue
        memory = memory_of(job, layout, cpu=device.cpu)
        if least is None or memory.total < least[1].total:
            least = layout, memory
        if memory.total <= _room(device):
            return Planned(job=job, device=device, count=count, layout=layout, memory=memory, step=seconds), least
        full[apart] = layout.micro_batch
    if least is None and timed:
        leanest = min((layout for _, layout in timed), key=lambda layout: (_floor(job, layout), layout.micro_batch))
        least = leanest, memory_of(job, leanest, device.cpu)
    return None, least


def _floor(job: Job, layout: Layout) -> float:
    """Bytes that are there for certain: weights, gradients and moments, and the stream as it enters each block."""
    stream = layout.micro_batch * job.context / layout.tensor * job.spec.width * job.spec.depth
    moments = 1 if job.optim.kind == "muon" else 2
    return 4 * (2 + moments) * owned(job.spec, layout) + (2 if job.bf16 else 4) * stream


def _advice(job: Job, device: Device, count: int, fixed: Plan) -> str:
    """The next step that would make it fit: so many devices with the least rows at once, which is no search."""
    more = count * 2
    while more <= _MOST:
        rows = -(-job.batch // more) * more
        freed = replace(fixed, shard=None, replicate=None, micro_batch=1, checkpointing="full")
        found, _ = _best(replace(job, batch=rows), device, more, freed)
        if found:
            batch = "" if rows == job.batch else f" and --batch {rows}"
            return f"--count {more}{batch} would do, with {found.layout}"
        more *= 2
    return "choose a smaller model, a shorter context or devices with more memory"
