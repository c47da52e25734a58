"""Tokens a second of one pretraining step: Genus, plain PyTorch, transformers and litgpt on one shape, in turns.

A step is forward, loss, backward, clipping and AdamW on plain causal rows of random tokens, without dropout, with a tied
head. Each contender is a process of its own, so that none inherits another's memory, and waits while another's turn lasts.
All run through Genus's training loop with one AdamW (fused=True), so that only model, loss, compiler and allocator differ.
Where the architecture is the same they start from the same weights, and equal first and last losses show that the work was
equal. Not measured here: data loading, several processes for one model, generation.
"""

import argparse
import dataclasses
import itertools
import json
import multiprocessing
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any

import torch
from peers import LIBRARIES, make

from genus.core.errors import GenusError
from genus.models.families import spec_of
from genus.models.spec import DecoderSpec
from genus.train.allocator import keep_freed_memory
from genus.train.guard import Guard
from genus.train.loop import TrainState, train_steps
from genus.train.losses import Tokens
from genus.train.machine import autocast, describe
from genus.train.optim import make_optimizer
from genus.train.recipe import Optim

EXAMPLES = """contenders are a library, and what it is given: LIBRARY[+compiled][+kept]
  genus, plain (GPT-2 in plain PyTorch), transformers, litgpt
  +compiled   torch.compile: of the decoder (genus), of model and loss (others)
  +kept       freed memory is kept for the next step, as genus pretrain sets it (train/allocator.py)

examples:
  python bench/pretrain.py                              GPT-2's architecture, 13.9M parameters, fp32
  python bench/pretrain.py --shape 124M --rounds 5
  python bench/pretrain.py --family llama --contenders genus transformers litgpt --rounds 20
  python bench/pretrain.py --contenders genus+kept --profile      where the first contender's step goes
  python bench/pretrain.py --bf16 --json                the last line is one JSON object

The peers are installed beside Genus in an environment of their own; see bench/requirements.txt.
"""
SHAPES = {  # width, depth, heads, context, vocabulary, batch
    "5M": (256, 4, 4, 256, 8192, 8),
    "13.9M": (384, 6, 6, 256, 8192, 16),
    "30M": (512, 8, 8, 512, 8192, 8),
    "124M": (768, 12, 12, 512, 50257, 4),
}
CONTENDERS = (
    "genus+compiled+kept",
    "genus+kept",
    "plain",
    "plain+compiled",
    "plain+compiled+kept",
    "transformers",
    "transformers+compiled",
    "litgpt+compiled",
)


@dataclass
class Racer:
    """One contender in its process, what it said of itself, and its rounds."""

    name: str
    pipe: Connection
    facts: dict[str, Any]
    speeds: list[float] = field(default_factory=list)  # tokens/s of each round
    losses: list[float] = field(default_factory=list)


def main() -> int:
    """Measure, print the table, and give the exit code: 1 where the first could not be measured, 2 for a wrong shape."""
    options = _options()
    try:
        spec = _spec(options)
    except GenusError as error:
        print(f"pretrain.py: error: {error}", file=sys.stderr)
        return 2
    racers, problems = _start(spec, options)
    _race(racers, problems, options)
    first = racers.get(options.contenders[0])
    results = [_result(racer, first) for racer in racers.values()]
    setting = _setting(options)
    _print_table(results, problems, setting, spec.training_flop(spec.context))
    profile = _profile_of(first) if first and options.profile else {}
    if options.json:
        print(json.dumps({**setting, "results": results, "problems": problems, "profile": profile}))
    return 0 if first else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--family", choices=("gpt2", "llama"), default="gpt2", help="architecture (default gpt2)")
    parser.add_argument("--shape", choices=SHAPES, default="13.9M", help="size, in GPT-2's parameters (default 13.9M)")
    for name in ("width", "depth", "heads", "context", "vocab", "batch"):
        parser.add_argument(f"--{name}", type=_at_least_one, help="in place of the shape's")
    parser.add_argument("--contenders", nargs="+", type=_contender, default=list(CONTENDERS), metavar="LIBRARY[+...]")
    parser.add_argument("--rounds", type=_at_least_one, default=5, help="turns that each gets (default 5)")
    parser.add_argument("--steps", type=_at_least_one, default=2, help="training steps in a turn (default 2)")
    threads = torch.get_num_threads()
    parser.add_argument("--threads", type=_at_least_one, default=threads, help=f"CPU threads (default {threads})")
    parser.add_argument(
        "--bf16", action="store_true", help="bfloat16 autocast, very slow on a CPU without AVX-512 or AMX; else fp32"
    )
    parser.add_argument("--profile", action="store_true", help="at the end, one step of the first contender by operator")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    for name, size in zip(("width", "depth", "heads", "context", "vocab", "batch"), SHAPES[options.shape], strict=True):
        setattr(options, name, getattr(options, name) or size)
    return options


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _contender(text: str) -> str:
    library, *given = text.split("+")
    if library not in ("genus", *LIBRARIES) or set(given) - {"compiled", "kept"}:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a library (genus, {', '.join(LIBRARIES)}) with +compiled or +kept"
        )
    return text


def _spec(options: argparse.Namespace) -> DecoderSpec:
    shape = {name: getattr(options, name) for name in ("vocab", "context", "width", "depth", "heads")}
    return dataclasses.replace(spec_of(options.family, **shape), tied=True)


def _batch(options: argparse.Namespace) -> Tokens:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(options.vocab, (options.batch, options.context + 1), generator=generator)
    positions = torch.arange(options.context).expand(options.batch, -1)
    return Tokens(rows[:, :-1].contiguous(), rows[:, 1:].contiguous(), positions)


def _start(spec: DecoderSpec, options: argparse.Namespace) -> tuple[dict[str, Racer], dict[str, str]]:
    """The contenders that could be made, one after the other, and a line for each that could not."""
    racers: dict[str, Racer] = {}
    problems: dict[str, str] = {}
    for name in options.contenders:
        ours, theirs = multiprocessing.Pipe()
        multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, name, spec, options), daemon=True).start()
        theirs.close()
        facts = _answer(ours)
        if "problem" in facts:
            problems[name] = facts["problem"]
        else:
            racers[name] = Racer(name, ours, facts)
    return racers, problems


def _answer(pipe: Connection) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = pipe.recv()
    except EOFError:
        return {"problem": "its process ended without a word"}
    return answer


def _serve(pipe: Connection, name: str, spec: DecoderSpec, options: argparse.Namespace) -> None:
    """In a contender's process: build, say so, and then train for as many steps as is asked, until nobody asks."""
    library, *given = name.split("+")
    try:
        if "kept" in given and not keep_freed_memory():
            raise OSError("this C library cannot be told to keep freed memory")
        torch.set_num_threads(options.threads)
        contender, optim = make(library, spec, options.family, "compiled" in given), Optim()
        state = TrainState(contender.model.train(), make_optimizer(contender.model, optim), Guard())

        def loss(batch: Tokens) -> Any:
            with autocast(torch.device("cpu"), options.bf16):
                return contender.loss(batch)

        steps = train_steps(state, itertools.repeat([_batch(options)]), loss, lambda _step: optim.lr, optim.clip)
        parameters = sum(parameter.numel() for parameter in contender.model.parameters())
        shown = version("torch") if library == "plain" else version(library)
        pipe.send({"version": shown, "parameters": parameters, "notes": contender.notes, "exact": contender.exact})
        while True:
            if not (count := pipe.recv()):
                pipe.send(_profile(steps))
                continue
            began = time.perf_counter()
            losses = [next(steps).loss for _ in range(count)]
            seconds = time.perf_counter() - began
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB
            pipe.send({"seconds": seconds, "losses": losses, "peak_bytes": peak})
    except EOFError:  # nobody asks any more
        return
    except ModuleNotFoundError as error:
        pipe.send({"problem": f"{error.name} is not installed; python -m pip install -r bench/requirements.txt"})
    except Exception as error:  # a peer's defect must not hide the others' figures
        pipe.send({"problem": f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"})


def _profile(steps: Iterator[Any]) -> dict[str, float]:
    """Operator -> its share of one step's CPU time, without what it calls."""
    times: Counter[str] = Counter()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        next(steps)
    for event in profiler.key_averages():
        times[event.key] += event.self_cpu_time_total
    return {name: taken / times.total() for name, taken in times.most_common(10)}


def _profile_of(racer: Racer) -> dict[str, Any]:
    racer.pipe.send(0)
    found = _answer(racer.pipe)
    print(f"one more step of {racer.name}, by operator:")
    for name, share in found.items():
        print(f"  {name:50}{share:6.1%}")
    return found


def _race(racers: dict[str, Racer], problems: dict[str, str], options: argparse.Namespace) -> None:
    """One untimed round, which compiles too, then `rounds` timed ones, A B C A B C. Who fails is moved to `problems`."""
    tokens = options.batch * options.context
    for turn in range(options.rounds + 1):
        for name, racer in list(racers.items()):
            racer.pipe.send(options.steps)
            answer = _answer(racer.pipe)
            if "problem" in answer:
                problems[name] = answer["problem"]
                del racers[name]
                continue
            racer.losses += answer["losses"]
            racer.facts["peak_bytes"] = answer["peak_bytes"]
            if turn:
                racer.speeds.append(tokens * options.steps / answer["seconds"])
        print(f"round {turn} of {options.rounds}", file=sys.stderr, flush=True)


def _result(racer: Racer, first: Racer | None) -> dict[str, Any]:
    ratio, notes = None, racer.facts["notes"]
    if first is not None:  # pairs of neighbours in time, so that other work on the machine weighs on both
        ratio = statistics.median(ours / theirs for ours, theirs in zip(first.speeds, racer.speeds, strict=True))
        if racer.facts["exact"] and abs(racer.losses[0] - first.losses[0]) > 0.01:  # bf16 rounds to less
            notes = f"UNEQUAL WORK, the first loss is not that of {first.name}; {notes}"
    return {
        "name": racer.name,
        **racer.facts,
        "tokens_per_second": statistics.median(racer.speeds),
        "ratio": ratio,
        "rounds": racer.speeds,
        "first_loss": racer.losses[0],
        "last_loss": racer.losses[-1],
        "notes": notes,
    }


def _setting(options: argparse.Namespace) -> dict[str, Any]:
    chosen = {name: value for name, value in vars(options).items() if name not in ("json", "contenders", "profile")}
    return {**chosen, "machine": describe(torch.device("cpu"))}


def _print_table(results: list[dict[str, Any]], problems: dict[str, str], setting: dict[str, Any], flop: float) -> None:
    print(", ".join(f"{name} {value}" for name, value in setting.items() if name != "machine"))
    heads = f"{'tokens/s':>9}{'slowest':>9}{'fastest':>9}{'ratio':>7}{'of peak':>9}{'GB':>6}{'first and last loss':>21}"
    print(f"{'':34}{heads}")
    for result in results:
        rounds, ratio = result["rounds"], result["ratio"]
        share = result["tokens_per_second"] * flop / setting["machine"]["matmul_flops"]
        print(
            f"{result['name'] + ' ' + result['version']:34}{result['tokens_per_second']:9,.0f}{min(rounds):9,.0f}"
            f"{max(rounds):9,.0f}{'-' if ratio is None else format(ratio, '.2f'):>7}{share:9.0%}"
            f"{result['peak_bytes'] / 1e9:6.1f}{result['first_loss']:11.4f}{result['last_loss']:10.4f}"
        )
    print("ratio: the first's speed over its, the median of the rounds; above 1 the first is faster")
    print(f"of peak: of {setting['machine']['matmul_flops'] / 1e9:,.0f} GFLOP/s, an fp32 matrix product of 2,048 here")
    for result in results:
        if result["notes"]:
            print(f"{result['name']}: {result['notes']}")
    for name, problem in problems.items():
        print(f"{name} was not measured: {problem}")


if __name__ == "__main__":
    sys.exit(main())
