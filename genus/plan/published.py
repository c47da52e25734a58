"""Large runs that were published, to plan them again and put the plan beside what happened. Data only."""

from dataclasses import dataclass

from genus.plan.recipe import Plan

__all__ = ["RUNS", "Published"]


@dataclass(frozen=True, kw_only=True)
class Published:
    """A run as its authors told it, or as follows from that. `utilisation` is as PaLM defines it."""

    plan: Plan  # its machine, batch and layout; grid in g CO2 a kWh
    utilisation: float
    days: float
    mwh: float | None = None
    tonnes: float | None = None
    notes: tuple[str, ...] = ()


RUNS = {
    "opt-175b": Published(
        plan=Plan(
            machine="a100-80gb",
            count=992,
            tokens=300_000_000_000,
            batch=992,  # "2M tokens": 8 rows for each of 124 groups
            tensor=8,
            checkpointing="full",
            grid=231,
            pue=1.09,
        ),
        utilisation=147e12 / 312e12 * 3 / 4,
        days=33 * 1024 / 992,
        mwh=324,
        tonnes=75,
        notes=(
            "OPT (arXiv 2205.01068): up to 147 TFLOP/s a GPU, 4.30e23 FLOP and about 33 ideal days on 1,024 GPUs, 75 t. "
            "These count what checkpointing computes twice, so 47% of the peak is 35% in PaLM's measure.",
            "MWh, grid and PUE: BLOOM's comparison (arXiv 2211.02001). Its weights were fp16 with fp32 Adam state; "
            "here they are fp32 and computed with in bf16.",
        ),
    ),
    "bloom-176b": Published(
        plan=Plan(
            machine="a100-80gb",
            count=384,
            tokens=366_000_000_000,
            batch=2304,  # for 2,048, which 384 devices share out only with a pipeline
            checkpointing="full",
            tables="split",
            grid=57,
            pue=1.2,
        ),
        utilisation=149e12 / 312e12 * 3 / 4,
        days=366e9 / (2048 * 2048) * 105 / 86400,
        mwh=433.2,
        tonnes=24.7,
        notes=(
            "BLOOM (arXiv 2211.05100, 2211.02001): 149 TFLOP/s a GPU counting recomputation, 105 s a step, 433 MWh, 24.7 t "
            "for what the GPUs drew. It had tensor 4 x pipeline 12 x data 8, with split tables; Genus has no pipeline.",
        ),
    ),
    "palm-540b": Published(
        plan=Plan(
            machine="tpu-v4",
            count=6144,
            tokens=780_000_000_000,
            batch=2048,
            context=2052,  # for 2,048, which 12 devices do not share out evenly
            tensor=12,
            shard=256,
            replicate=2,
            checkpointing="full",
            tables="split",
        ),
        utilisation=0.462,
        days=780e9 / 238.3e3 / 86400,
        tonnes=271.4,
        notes=(
            "PaLM (arXiv 2204.02311): 238.3K tokens/s, 46.2% of the peak (57.8% counting recomputation), 12-way model x "
            "256-way data in each of two pods. Days: as if all steps had that speed; the batch grew from 512 to 2,048 rows.",
            "Its table of 256,000 tokens was split by the vocabulary; Genus gathers it whole, too much for these chips.",
        ),
    ),
}
