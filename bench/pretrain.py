"""Tokens a second of one pretraining step: Genus, transformers and litgpt on one shape, in turns, in one process.

A step is forward, loss, backward, clipping and AdamW on plain causal rows of random tokens, without dropout, with a tied
head. All run through Genus's training loop with one AdamW (fused=True), so that only model and loss differ; each peer uses
its own loss as its own training script calls it. Where the architecture is the same they start from the same weights, and
equal first and last losses show that the work was equal. Not measured here: data loading, several processes, generation.
"""

import argparse
import dataclasses
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

from genus.core.errors import GenusError
from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.models.spec import DecoderSpec
from genus.models.weights import config_of, tensors_of
from genus.train.guard import Guard
from genus.train.loop import Loss, Step, TrainState, train_steps
from genus.train.losses import Tokens, next_token
from genus.train.machine import autocast, describe
from genus.train.optim import make_optimizer
from genus.train.recipe import Optim

EXAMPLES = """examples:
  python bench/pretrain.py                              GPT-2's architecture, small, fp32
  python bench/pretrain.py --family llama --rounds 20   LLaMA's; all three are then the same architecture
  python bench/pretrain.py --width 768 --depth 12 --heads 12 --vocab 50257 --context 1024 --batch 1
  python bench/pretrain.py --compile --bf16 --json      the last line is one JSON object

The peers are installed beside Genus in an environment of their own; see bench/requirements.txt.
"""


@dataclass
class Contender:
    """One library's model and loss; later its steps and what they took."""

    model: nn.Module
    loss: Loss
    notes: str
    exact: bool  # Genus's architecture and its first weights
    steps: Iterator[Step] = field(default_factory=lambda: iter(()))
    speeds: list[float] = field(default_factory=list)  # tokens/s of each round
    first_loss: float = float("nan")
    last_loss: float = float("nan")


def main() -> int:
    """Measure, print the table, and give the exit code: 1 when Genus could not be measured, 2 for a shape that cannot be."""
    options = _options()
    try:
        spec = _spec(options)
    except GenusError as error:
        print(f"pretrain.py: error: {error}", file=sys.stderr)
        return 2
    torch.set_num_threads(options.threads)
    batch = _batch(options)
    contenders, problems = _build(spec, options)
    for contender in contenders.values():
        contender.steps = _steps(contender, batch, options)
    _race(contenders, problems, batch.tokens.numel(), options)
    results = [_result(name, contender, contenders.get("genus")) for name, contender in contenders.items()]
    setting = _setting(options)
    _print_table(results, problems, setting)
    if options.json:
        print(json.dumps({**setting, "results": results, "problems": problems}))
    return 0 if "genus" in contenders else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--family", choices=("gpt2", "llama"), default="gpt2", help="architecture (default gpt2)")
    sizes = {"vocab": 8192, "context": 256, "width": 256, "depth": 4, "heads": 4, "batch": 8}
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=_at_least_one, default=size, help=f"default {size}")
    parser.add_argument("--rounds", type=_at_least_one, default=10, help="turns that each library gets (default 10)")
    parser.add_argument("--steps", type=_at_least_one, default=3, help="training steps in a turn (default 3)")
    threads = torch.get_num_threads()
    parser.add_argument("--threads", type=_at_least_one, default=threads, help=f"CPU threads (default {threads})")
    parser.add_argument(
        "--bf16", action="store_true", help="bfloat16 autocast, very slow on a CPU without AVX-512 or AMX; else fp32"
    )
    parser.add_argument("--compile", action="store_true", help="torch.compile the forward and loss of all")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args()


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _spec(options: argparse.Namespace) -> DecoderSpec:
    shape = {name: getattr(options, name) for name in ("vocab", "context", "width", "depth", "heads")}
    return dataclasses.replace(spec_of(options.family, **shape), tied=True)


def _batch(options: argparse.Namespace) -> Tokens:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(options.vocab, (options.batch, options.context + 1), generator=generator)
    positions = torch.arange(options.context).expand(options.batch, -1)
    return Tokens(rows[:, :-1].contiguous(), rows[:, 1:].contiguous(), positions)


def _build(spec: DecoderSpec, options: argparse.Namespace) -> tuple[dict[str, Contender], dict[str, str]]:
    """The contenders that could be made, and a line for each that could not."""
    model = LanguageModel(spec)
    initialise(model, family_named(options.family).init(spec), seed=0)
    weights = dict(tensors_of(model, family_named(options.family)))
    makers = {
        "genus": lambda: Contender(model, lambda batch: next_token(model, batch), "", exact=True),
        "transformers": lambda: _transformers(spec, options.family, weights),
        "litgpt": lambda: _litgpt(spec, options.family, weights),
    }
    contenders: dict[str, Contender] = {}
    problems: dict[str, str] = {}
    for name, make in makers.items():
        try:
            contenders[name] = make()
        except ModuleNotFoundError as error:
            problems[name] = f"{error.name} is not installed; python -m pip install -r bench/requirements.txt"
        except Exception as error:  # a peer's defect must not hide the others' figures
            problems[name] = _line(error)
    return contenders, problems


def _transformers(spec: DecoderSpec, family: str, weights: dict[str, Tensor]) -> Contender:
    """The class that opens the family's folders, with Genus's weights, and the loss that it computes itself."""
    import transformers

    transformers.logging.set_verbosity_error()
    config = transformers.AutoConfig.for_model(**config_of(spec, family_named(family), torch.float32))
    for dropout in ("resid_pdrop", "embd_pdrop", "attn_pdrop"):
        setattr(config, dropout, 0.0)
    model = getattr(transformers, family_named(family).architecture)(config)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:  # the head is tied to the embedding
        raise ValueError(f"weights do not fit: {missing[:3]} missing, {unexpected[:3]} unexpected")

    def loss(batch: Tokens) -> tuple[Tensor, int]:
        # use_cache=False as its Trainer sets: a cache would be filled for nothing
        out = model(input_ids=batch.tokens, labels=batch.tokens, shift_labels=batch.targets, use_cache=False)
        return out.loss * batch.targets.numel(), batch.targets.numel()

    return Contender(model, loss, f"attention {config._attn_implementation}", exact=True)


def _litgpt(spec: DecoderSpec, family: str, weights: dict[str, Tensor]) -> Contender:
    """litgpt's GPT: exact for LLaMA, with Genus's weights; for GPT-2, which it lacks, a GPT-NeoX with serial residuals."""
    from litgpt.config import Config
    from litgpt.model import GPT
    from litgpt.utils import chunked_cross_entropy

    model = GPT(Config(**_litgpt_config(spec, family)))
    notes = "its own default is unfused AdamW on a CPU"
    if family == "llama":
        from litgpt.scripts.convert_hf_checkpoint import copy_weights_hf_llama

        theirs: dict[str, Tensor] = {}
        copy_weights_hf_llama(model.config, {}, theirs, weights)
        model.load_state_dict(theirs)
    else:
        torch.manual_seed(0)
        model.apply(model._init_weights)
        notes = "not GPT-2: rotary on a quarter of each head in place of learned positions; " + notes
    model.transformer.wte.weight = model.lm_head.weight  # as its train.tie_embeddings does

    def loss(batch: Tokens) -> tuple[Tensor, int]:
        return chunked_cross_entropy(model(batch.tokens), batch.targets) * batch.targets.numel(), batch.targets.numel()

    return Contender(model, loss, notes, exact=family == "llama")


def _litgpt_config(spec: DecoderSpec, family: str) -> dict[str, Any]:
    llama = family == "llama"
    return {
        "name": f"bench-{family}",
        "block_size": spec.context,
        "n_layer": spec.depth,
        "n_embd": spec.width,
        "n_head": spec.attention.heads,
        "n_query_groups": spec.attention.kv_heads,
        "vocab_size": spec.vocab,
        "padded_vocab_size": spec.vocab,
        "norm_class_name": "RMSNorm" if llama else "LayerNorm",
        "norm_eps": spec.norm.eps,
        "parallel_residual": False,
        "attn_bias": spec.attention.bias,
        "bias": spec.each_mlp.bias,
        "rotary_percentage": 1.0 if llama else 0.25,
        "intermediate_size": spec.each_mlp.hidden,
        "mlp_class_name": "LLaMAMLP" if llama else "GptNeoxMLP",
        "gelu_approximate": "tanh",
    }


def _steps(contender: Contender, batch: Tokens, options: argparse.Namespace) -> Iterator[Step]:
    """Endless training steps on the one batch, by Genus's loop."""
    optim = Optim()
    state = TrainState(contender.model.train(), make_optimizer(contender.model, optim), Guard())

    def loss(micro_batch: Tokens) -> Any:
        with autocast(torch.device("cpu"), options.bf16):
            return contender.loss(micro_batch)

    step_loss = torch.compile(loss) if options.compile else loss
    return train_steps(state, itertools.repeat([batch]), step_loss, lambda _step: optim.lr, optim.clip)


def _race(contenders: dict[str, Contender], problems: dict[str, str], tokens: int, options: argparse.Namespace) -> None:
    """One untimed round, then `rounds` timed ones, A B C A B C. Who fails is moved to `problems`."""
    for turn in range(options.rounds + 1):
        for name, contender in list(contenders.items()):
            try:
                began = time.perf_counter()
                losses = [next(contender.steps).loss for _ in range(options.steps)]
                elapsed = time.perf_counter() - began
            except Exception as error:  # as in _build
                problems[name] = _line(error)
                del contenders[name]
                continue
            contender.last_loss = losses[-1]
            if turn:
                contender.speeds.append(tokens * options.steps / elapsed)
            else:
                contender.first_loss = losses[0]
        print(f"round {turn} of {options.rounds}", file=sys.stderr, flush=True)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"


def _result(name: str, contender: Contender, genus: Contender | None) -> dict[str, Any]:
    ratio, notes = None, contender.notes
    if genus is not None:  # pairs of neighbours in time, so that other work on the machine weighs on both
        ratio = statistics.median(ours / theirs for ours, theirs in zip(genus.speeds, contender.speeds, strict=True))
        if contender.exact and abs(contender.first_loss - genus.first_loss) > 0.01:  # bf16 rounds to less
            notes = f"UNEQUAL WORK, the first loss is not Genus's; {notes}"
    return {
        "name": name,
        "version": version(name),
        "parameters": sum(parameter.numel() for parameter in contender.model.parameters()),
        "tokens_per_second": statistics.median(contender.speeds),
        "genus_ratio": ratio,
        "rounds": contender.speeds,
        "first_loss": contender.first_loss,
        "last_loss": contender.last_loss,
        "notes": notes,
    }


def _setting(options: argparse.Namespace) -> dict[str, Any]:
    chosen = {name: value for name, value in vars(options).items() if name != "json"}
    return {**chosen, "machine": describe(torch.device("cpu"))}


def _print_table(results: list[dict[str, Any]], problems: dict[str, str], setting: dict[str, Any]) -> None:
    print(", ".join(f"{name} {value}" for name, value in setting.items() if name != "machine"))
    print(
        f"{'':22}{'parameters':>12}{'tokens/s':>10}{'slowest':>9}{'fastest':>9}{'Genus/it':>10}{'first and last loss':>21}"
    )
    for result in results:
        rounds, ratio = result["rounds"], result["genus_ratio"]
        print(
            f"{result['name'] + ' ' + result['version']:22}{result['parameters']:12,}"
            f"{result['tokens_per_second']:10,.0f}{min(rounds):9,.0f}{max(rounds):9,.0f}"
            f"{'-' if ratio is None else format(ratio, '.2f'):>10}{result['first_loss']:11.4f}{result['last_loss']:10.4f}"
        )
    print("Genus/it: Genus's speed over its, the median of the rounds; above 1 Genus is faster")
    for result in results:
        if result["notes"]:
            print(f"{result['name']}: {result['notes']}")
    for name, problem in problems.items():
        print(f"{name} was not measured: {problem}")


if __name__ == "__main__":
    sys.exit(main())
