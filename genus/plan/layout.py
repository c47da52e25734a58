"""A run cut up over devices: which layouts there are, what each device holds, and how long a step takes by a simple model.

The layout is FSDP2 over `shard` x `replicate` with tensor parallelism inside, split by tokens between matrix products:
weights, gradients and moments in fp32, each block's weights gathered in the format of the computation. The time
serves to choose among layouts; how near a run comes to it is an assumption that the caller makes.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from genus.core.errors import GenusError
from genus.models.spec import DecoderSpec, Mlp
from genus.parallel import recipe as parallel
from genus.plan.devices import Device
from genus.plan.recipe import Checkpointing, Plan, Tables
from genus.train.recipe import Optim

if TYPE_CHECKING:
    from genus.plan.trace import Bytes

__all__ = ["Job", "Layout", "Memory", "check", "layouts", "memory_of", "owned", "seconds_of", "share"]

_KERNELS = 0.6  # of the dense peak is about what a device reaches in a block's products and all between them


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be computed: `batch` rows of `context` tokens a step, `tokens` in all."""

    spec: DecoderSpec
    tokens: int
    batch: int
    context: int
    bf16: bool = True
    optim: Optim = Optim()  # noqa: RUF009 - frozen

    @property
    def flop(self) -> float:
        """Of the whole run, without what checkpointing computes twice."""
        return self.spec.training_flop(self.context) * self.tokens

    @property
    def steps(self) -> int:
        """Updates of the whole run."""
        return max(1, round(self.tokens / (self.batch * self.context)))


@dataclass(frozen=True, kw_only=True)
class Layout(parallel.Layout):
    """A run's layout, rows that each device computes at once, and whether blocks are computed again in the backward."""

    micro_batch: int = 1
    checkpointing: Checkpointing = "none"
    tables: Tables = "whole"

    def __str__(self) -> str:
        axes = f"tensor {self.tensor} x shard {self.shard} x replicate {self.replicate}"
        split = ", tables split" if self.tables == "split" else ""
        return f"{axes}, micro-batch {self.micro_batch}, checkpointing {self.checkpointing}{split}"


@dataclass(frozen=True)
class Memory:
    """Bytes on each device at the fullest moment of a step."""

    weights: float
    gradients: float
    optimizer: float
    gathered: float  # of weights and gradients that other devices own, while a block needs them
    activations: float  # saved for the backward, temporaries, copies of weights in the format of the computation

    @property
    def total(self) -> float:
        """All of it."""
        return sum(asdict(self).values())


def layouts(job: Job, count: int, fixed: Plan) -> Iterator[Layout]:
    """Every layout of `count` devices that computes the job and has what is `fixed`."""
    for tensor in _divisors(count):
        if fixed.tensor not in (None, tensor) or parallel.uneven(job.spec, job.context, tensor):
            continue
        for shard in _divisors(count // tensor):
            data = count // tensor
            if job.batch % data:
                continue
            rows = job.batch // data
            for micro_batch in _divisors(rows):
                for checkpointing in ("none", "full"):
                    layout = Layout(
                        tensor=tensor,
                        shard=shard,
                        replicate=data // shard,
                        micro_batch=micro_batch,
                        checkpointing=checkpointing,
                        tables=fixed.tables,
                    )
                    if all(getattr(fixed, name) in (None, value) for name, value in asdict(layout).items()):
                        yield layout


def check(job: Job, count: int, fixed: Plan) -> None:
    """Raise GenusError, naming the field, where what is fixed does not go together."""
    if fixed.tensor and (reason := parallel.uneven(job.spec, job.context, fixed.tensor)):
        raise GenusError(reason)
    ways = (fixed.tensor or 1) * (fixed.shard or 1) * (fixed.replicate or 1)
    if count % ways:
        raise GenusError(
            f"tensor x shard x replicate = {ways} does not divide {count} devices; choose other sizes or --count"
        )
    data = count // (fixed.tensor or 1)
    if fixed.tensor and job.batch % data:
        raise GenusError(
            f"a batch of {job.batch} rows cannot be shared out among {count} devices / tensor {fixed.tensor} = {data} "
            f"readers; choose --batch {_multiple(job.batch, data)}"
        )


def owned(spec: DecoderSpec, layout: Layout) -> float:
    """Parameters of which a device keeps the weights, gradients and moments; those in no block are cut up over all axes
    but `replicate`."""
    here, around = share(spec, layout), _around(spec)
    return (here.parameters - _around(here)) / layout.shard + around / (layout.shard * layout.tensor)


def share(spec: DecoderSpec, layout: Layout) -> DecoderSpec:
    """What one of the devices that split products has of each block: a share of the heads and of the MLP, and of the
    vocabulary where tables are split. A single kv head stays whole."""
    attention, ways = spec.attention, layout.tensor
    vocab = -(-spec.vocab // ways) if layout.tables == "split" else spec.vocab
    shared = attention.kv_heads // ways if attention.kv_heads > 1 else 1
    mlp = replace(spec.mlp, hidden=spec.mlp.hidden // ways) if isinstance(spec.mlp, Mlp) else spec.mlp
    attention = replace(attention, heads=attention.heads // ways, kv_heads=shared)
    return replace(spec, vocab=vocab, attention=attention, mlp=mlp)


def memory_of(job: Job, layout: Layout, cpu: bool = False) -> Memory:
    """What each device holds under a layout, on a CPU or on an accelerator."""
    from genus.plan.trace import Micro, trace

    steps = job.batch // layout.data // layout.micro_batch
    micro = Micro(
        rows=layout.micro_batch,
        time=job.context,
        bf16=job.bf16,
        checkpointing=layout.checkpointing == "full",
        accumulated=steps > 1,
        ways=layout.tensor,
        split_tables=layout.tables == "split",
        many=layout.world > 1,
        cpu=cpu,
        optim=job.optim,
    )
    moments = trace(share(job.spec, layout), micro)
    hold = _hold_alone if layout.world == 1 else partial(_hold_share, job, layout, steps > 1)
    return max((hold(phase, found) for phase, found in moments.items()), key=lambda memory: memory.total)


def _hold_alone(_phase: str, found: "Bytes") -> Memory:
    """A device without others holds what was traced."""
    gradients, activations = found["gradients"] + found["outer"], found["activations"] + found["casts"]
    return Memory(found["weights"], gradients, found["optimizer"], 0, activations)


def _hold_share(job: Job, layout: Layout, accumulated: bool, phase: str, found: "Bytes") -> Memory:
    """Of many, one holds its part of weights, moments and gradients, and for a while what it gathers.

    What is in no block is gathered for all of forward and backward, in fp32; of blocks, the weights of the one that computes
    and of the one to come, and in the backward the gradients of the one before, in fp32, on their way to the owners.
    """
    here, mine, narrow = share(job.spec, layout), owned(job.spec, layout), 2 if job.bf16 else 4
    around = _around(here)
    block = (here.parameters - around) / here.depth
    kept = {"forward": narrow, "last": 2 * narrow, "next": 2 * narrow + 4, "within": 2 * narrow + 4, "first": narrow + 4}
    gathered = found["outer"] + (block * kept[phase] + 4 * around if phase in kept else 0.0)
    gradients = 4 * mine if phase in ("first", "update") else 0.0
    if accumulated:  # they are summed over devices in the last backward alone: until then each keeps all of its own
        gradients = 4.0 * here.parameters
    moments = found["optimizer"] / found["weights"]
    return Memory(4 * mine, gradients, 4 * mine * moments, gathered, found["activations"])


def seconds_of(job: Job, layout: Layout, device: Device) -> float:
    """One step by a model of arithmetic and messages: gathering hides behind arithmetic, splitting products does not."""
    steps = job.batch // layout.data // layout.micro_batch
    again = 4 / 3 if layout.checkpointing == "full" else 1.0
    flop = job.spec.training_flop(job.context) * job.batch * job.context / layout.world * again
    arithmetic = flop / (_KERNELS * device.peak("bf16" if job.bf16 else "fp32"))
    here = job.spec.parameters / layout.tensor
    narrow = 2 if job.bf16 else 4
    ring = (layout.shard - 1) / layout.shard
    gather = here * ring * (2 * narrow * steps + 4) / _speed(device, layout.tensor * layout.shard)
    copies = 2 * (layout.replicate - 1) / layout.replicate * 4 * here / layout.shard / _speed(device, layout.world)
    stream = 4 * layout.micro_batch * job.context * job.spec.width * (layout.tensor - 1) / layout.tensor
    messages = 12 if layout.checkpointing == "full" else 8  # a gather and a sum, for attention and MLP, each way
    split = steps * job.spec.depth * messages * stream / _speed(device, layout.tensor)
    return max(arithmetic, gather) + copies + split


def _around(spec: DecoderSpec) -> int:
    """Parameters that are in no block."""
    projections = 2 * spec.width * spec.embed_dim if spec.embed_dim else 0
    final_norm = 0 if spec.wiring == "post" else spec.norm.vectors * spec.width
    return spec.embedding_parameters + projections + final_norm


def _speed(device: Device, together: int) -> float:
    """Bytes/s of one device among so many that exchange with each other."""
    return device.link if together <= device.node else device.network


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _multiple(number: int, of: int) -> int:
    return max(1, round(number / of)) * of
