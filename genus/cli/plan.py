"""`genus plan`"""

import json
import textwrap
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from genus.cli.tables import aligned
from genus.core.errors import GenusError
from genus.core.progress import duration
from genus.plan.recipe import Plan

if TYPE_CHECKING:
    from genus.models.spec import DecoderSpec
    from genus.plan.devices import Device
    from genus.plan.layout import Job
    from genus.plan.outlook import Outlook, Planned
    from genus.plan.published import Published
    from genus.train.recipe import Pretrain

__all__ = ["plan"]

_COLUMNS = 110
_USUAL = {"tokens": 300_000_000_000, "batch": 512}


def plan(
    what: str = "",
    /,
    *,
    config: Annotated[Plan, Parameter(name="*")] = Plan(),  # noqa: B008 - frozen
    passages: float | None = None,
    sample: str = "",
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Say what a pretraining run needs before it starts: arithmetic, the best layout over devices, memory of each, time,
    energy, CO2 and cost. What cannot fit is refused, with what would. Or what an index of many passages needs.

    ```sh
    genus plan recipes/demo/4-pretrain.toml
    genus plan recipes/demo/4-pretrain.toml --machine h100 --count 8 --vocab 4096
    genus plan opt-6.7b --tokens 180000000000 --batch 1024 --machine a100-80gb --count 64 --grid 231
    genus plan opt-175b
    genus plan palm-540b --json
    genus plan --passages 906e6 --sample runs/sotu/index --price 3
    ```

    Parameters
    ----------
    what
        A pretraining recipe, or a published size (`genus models`). For opt-175b, bloom-176b and palm-540b the machine, the
        batch and the layout are the published run's, unless flags say otherwise, and its results stand beside.
    passages
        Plan an index of so many passages instead: disk, memory, hours of encoding, cost of a query.
    sample
        What they are like: an index, or a folder of documents, which is measured on this machine.
    json_
        Print the same facts as one line of JSON.
    """
    if passages is not None:
        from genus.cli.passages import plan_passages

        if what:
            raise GenusError(f"both {what} and --passages are given; plan one at a time")
        plan_passages(passages, sample, config, json_)
        return
    if not what:
        raise GenusError("nothing is to be planned; name a recipe or a published size, or give --passages")
    from genus.plan.devices import device_named, this_device
    from genus.plan.outlook import make_plan, outlook
    from genus.plan.published import RUNS

    run = None if _is_recipe(what) else RUNS.get(what.lower())
    recipe = _recipe(what) if _is_recipe(what) else None
    config = _completed(config, run, recipe)
    machine = config.machine or "this"
    device = this_device() if machine == "this" else device_named(machine, config.machines)
    job = _job(what, config, device, recipe)
    found = make_plan(job, device, config.count or 1, config)
    seen = {"assumed": outlook(found, config.utilisation, config), "modelled": outlook(found, found.modelled, config)}
    print(_json(found, seen, run) if json_ else _text(what, found, seen, run))


def _is_recipe(what: str) -> bool:
    return what.endswith(".toml")


def _recipe(path: str) -> "Pretrain":
    from genus.cli.main import bind_stage
    from genus.core.recipe import read_recipe

    recipe: Pretrain = bind_stage("pretrain", read_recipe(Path(path)), path)[1]
    return recipe


def _completed(config: Plan, run: "Published | None", recipe: "Pretrain | None") -> Plan:
    """What the flags left open, from the published run or the recipe. The layout and place of the former hold on its own
    devices alone."""
    known: dict[str, Any] = {}
    if run:
        same = config.machine is None and config.count is None
        known = {field.name: getattr(run.plan, field.name) for field in fields(Plan)}
        known = known if same else {name: known[name] for name in ("tokens", "batch", "context")}
    elif recipe:
        known = {"tokens": recipe.tokens or None, "batch": recipe.batch}
        if (config.count or 1) == 1 and config.batch is None:
            known["micro_batch"] = min(recipe.batch, recipe.micro_batch)
        if recipe.parallel != type(recipe.parallel)():  # chosen by the user, not to be searched
            given = recipe.parallel
            known |= {"tensor": given.tensor, "shard": given.shard or None, "replicate": given.replicate}
            known["checkpointing"] = given.checkpointing
    if run and run.plan.tables == "split" and config.machine is None and config.count is None:
        config = replace(config, tables="split")
    return replace(config, **{name: value for name, value in known.items() if getattr(config, name) is None})


def _job(what: str, config: Plan, device: "Device", recipe: "Pretrain | None") -> "Job":
    """What is to be computed. Raises GenusError for what nobody said."""
    from genus.cli.models import describe
    from genus.plan.layout import Job
    from genus.train.machine import pick_device, use_bf16

    tokens, bf16 = config.tokens, not device.cpu
    if recipe:
        spec, epoch = _of_recipe(recipe, config)
        tokens = tokens or epoch
        here = device.cpu or recipe.precision != "auto"
        bf16 = use_bf16(recipe.precision, pick_device()) if here else True
    else:
        spec = describe(what).spec
    for name, value in {"tokens": tokens, "batch": config.batch}.items():
        if not value:
            raise GenusError(f"nobody says how many {name}; add --{name}, such as --{name} {_USUAL[name]}")
    return Job(spec=spec, tokens=tokens or 0, batch=config.batch or 0, context=config.context or spec.context, bf16=bf16)


def _of_recipe(recipe: "Pretrain", config: Plan) -> tuple["DecoderSpec", int | None]:
    """The spec of a recipe, and the tokens of its shards where they are here."""
    from genus.data.loader import open_rows
    from genus.data.shards import open_shards
    from genus.train.shape import shape_model

    shards = open_shards(recipe.shards) if recipe.shards.is_dir() else None
    vocab = config.vocab or recipe.model.vocab or (shards.vocab if shards else 0)
    if not (vocab or recipe.model.size):
        raise GenusError(f"{recipe.shards} is not there to tell the size of the vocabulary; add --vocab, such as 4096")
    spec = shape_model(recipe.model, vocab)[1]
    if not shards:
        return spec, None
    rows = open_rows(shards, config.context or spec.context, recipe.seed, mix=recipe.mixture)
    return spec, recipe.epochs * len(rows) * rows.context


def _json(found: "Planned", seen: "dict[str, Outlook]", run: "Published | None") -> str:
    from genus.models.costs import cache_numbers

    job = found.job
    return json.dumps(
        {
            "parameters": job.spec.parameters,
            "tokens": job.tokens,
            "batch": job.batch,
            "context": job.context,
            "steps": job.steps,
            "precision": "bf16" if job.bf16 else "fp32",
            "flop": job.flop,
            "flop_token": job.flop / job.tokens,
            "device": asdict(found.device),
            "count": found.count,
            "layout": asdict(found.layout),
            "memory": {**asdict(found.memory), "total": found.memory.total},
            "generating": {
                "weights_bf16": 2 * job.spec.parameters,
                "cache_row_bf16": 2 * cache_numbers(job.spec, job.context),
            },
            **{name: asdict(outlook) for name, outlook in seen.items()},
            "published": asdict(run) if run else None,
        },
        default=str,
    )


def _text(what: str, found: "Planned", seen: "dict[str, Outlook]", run: "Published | None") -> str:
    from genus.models.costs import cache_numbers
    from genus.models.diagram import labelled

    job, device = found.job, found.device
    micro_batches = job.batch // found.layout.data // found.layout.micro_batch
    again = ", a third more with checkpointing" if found.layout.checkpointing == "full" else ""
    watts = f", at most {device.watts:,.0f} W" if device.watts else ""
    facts = {
        "model": f"{what}: {job.spec.parameters:,} parameters",
        "training": f"{job.tokens:,} tokens in {job.steps:,} steps of {job.batch:,} rows of {job.context:,}",
        "arithmetic": f"{job.flop / job.tokens:.3g} FLOP a token (6 N + 12 L H Q T), {job.flop:.3g} in all{again}",
        "machine": f"{found.count:,} x {device.name}: {device.memory / 1e9:,.1f} GB, "
        f"{found.peak / found.count / 1e12:,.3g} TFLOP/s in {'bf16' if job.bf16 else 'fp32'}{watts}",
        "source": device.source,
        "layout": f"{found.layout}, {micro_batches} micro-batch{'es' * (micro_batches > 1)} a step",
        "generating": f"{_gb(2 * job.spec.parameters)} GB of weights in bf16, and for each row of {job.context:,} tokens "
        f"{_gb(2 * cache_numbers(job.spec, job.context))} GB of keys and values",
    }
    return "\n".join([
        *labelled(facts, _COLUMNS),
        "",
        *_memory(found),
        "",
        *_outlook(seen, run),
        *(["", *(textwrap.fill(note, _COLUMNS) for note in run.notes)] if run else []),
    ])  # fmt: skip


def _memory(found: "Planned") -> list[str]:
    """The bytes of each device as a table."""
    rows = [("GB on a device, when fullest", ""), *((name, _gb(value)) for name, value in asdict(found.memory).items())]
    share = found.memory.total / found.device.memory
    return aligned([*rows, (f"in all ({share:.0%} of {_gb(found.device.memory)})", _gb(found.memory.total))])


def _outlook(seen: "dict[str, Outlook]", run: "Published | None") -> list[str]:
    """What the run takes, as assumed, as modelled, as published."""
    columns = {
        name: (_number(each.utilisation), _number(each.tokens_per_second), _time(each.seconds), *map(_number, _price(each)))
        for name, each in seen.items()
    }
    if run:
        seconds = run.days * 86400
        energy = [value and value * 1000 for value in (run.mwh, run.tonnes)]
        speed = _number((run.plan.tokens or 0) / seconds)
        columns["published"] = (_number(run.utilisation), speed, _time(seconds), *map(_number, energy), "")
    names = ("utilisation", "tokens/s", "time", "kWh", "kg CO2", "cost")
    rows = [[name, *(column[place] for column in columns.values())] for place, name in enumerate(names)]
    return aligned([["", *columns], *(row for row in rows if any(row[1:]))])


def _price(each: "Outlook") -> tuple[float | None, ...]:
    return each.kwh, each.kg, each.cost


def _time(seconds: float) -> str:
    return f"{seconds / 86400:,.1f} days" if seconds >= 2 * 86400 else duration(seconds)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _gb(size: float) -> str:
    return f"{size / 1e9:,.3f}" if size < 1e10 else f"{size / 1e9:,.1f}"
