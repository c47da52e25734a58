"""The ranks of the tests, which go through all jobs, one after the other; the start of PyTorch is paid once.

python -m tests.distributed.worker FOLDER: jobs are FOLDER/jobs.json, what each rank found goes to FOLDER/NAME-RANK.json.
"""

import contextlib
import json
import os
import random
import signal
import socket
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # once here, not once in each job: it takes seconds
import torch._inductor
import torch.distributed.fsdp

from genus.core.errors import GenusError, Stopped
from genus.data.mixture import Mix
from genus.models.families import family_named
from genus.models.family import Shape
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.models.spec import DecoderSpec, Mlp
from genus.models.weights import empty_model
from genus.parallel.mesh import Ranks, by_tokens, joined, local
from genus.parallel.recipe import Parallel
from genus.parallel.shard import Objective, fill, hold_gradients, shard, whole
from genus.train import checkpoint
from genus.train import run as run_module
from genus.train.losses import Tokens, next_token
from genus.train.pretrain import pretrain
from genus.train.recipe import Every, ModelRecipe, Optim
from genus.train.run import _Run
from tests.distributed.conftest import take_back
from tests.train.tiny import tiny_recipe

CPU = torch.device("cpu")
TIME, ROWS, VOCAB = 32, 8, 323
MACHINE = {  # measuring a real one takes as long as a job
    "device": "cpu", "name": "test", "system": "Linux", "threads": 1, "torch": "", "python": "", "precision": "fp32",
    "matmul_flops": 1e9,
}  # fmt: skip


def spec_of(family: str) -> tuple[DecoderSpec, Any]:
    """A small model; "sinks" is a spec of no family: gpt_oss's attention with a dense MLP."""
    found = family_named("gpt_oss" if family == "sinks" else family)
    shared = {"kv_heads": 2} if family in ("llama", "sinks", "gpt_oss", "modern") else {}
    spec = found.spec(Shape(vocab=VOCAB, context=TIME, width=48, depth=3, heads=4, hidden=20, **shared))
    if family == "sinks":
        spec = replace(spec, mlp=Mlp(hidden=20, activation="relu"))
    return spec, found


def rows_of(picked: list[int], ranks: Ranks | None = None) -> Tokens:
    """Rows with two documents each, cut in another place in each row."""
    ids = torch.randint(VOCAB, (ROWS, TIME + 1), generator=torch.Generator().manual_seed(3))[picked]
    documents = (torch.arange(TIME)[None] >= torch.arange(ROWS)[:, None] * 4).long()[picked]
    targets = by_tokens(ids[:, 1:], ranks) if ranks else ids[:, 1:]
    return Tokens(ids[:, :-1], targets, torch.arange(TIME).expand(len(picked), TIME), documents)


def model_of(spec: DecoderSpec, family: Any) -> LanguageModel:
    """Every parameter random, biases and gains too, so that a lost one is seen."""
    model = LanguageModel(spec)
    initialise(model, family.init(spec), seed=1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    return model.train()


def compare_gradients(job: dict[str, Any]) -> dict[str, Any]:
    """The sharded model beside the whole one: loss, norm, and the worst relative error of any gradient."""
    spec, family = spec_of(job["family"])
    alone = model_of(spec, family)
    parallel = Parallel(**job["parallel"])
    with joined(parallel, CPU) as ranks:
        objective = Objective(empty_model(spec), next_token)
        shard(objective, parallel, ranks, bf16=False, compiled=False)
        objective.to_empty(device="cpu").train()
        for (name, ours), (other, theirs) in zip(objective.model.named_parameters(), alone.named_parameters(), strict=True):
            assert name == other
            fill(ours, theirs)
        mine = list(range(ranks.data_rank, ROWS, ranks.layout.data))
        total, weight = torch.zeros(()), 0
        for row in mine:
            hold_gradients(objective, row == mine[-1])
            scored = objective(rows_of([row], ranks))
            scored.total.backward()
            total, weight = total + scored.total.detach(), weight + scored.weight
        total, weight, _ = ranks.totals(total, weight, {})
        gradients = {name: parameter.grad for name, parameter in objective.model.named_parameters()}
        norm = ranks.norm(list(gradients.values()))
        full = {name: gradient.full_tensor() for name, gradient in gradients.items()}
        again = whole(objective.model, ranks)
    if not ranks.first:
        return {}
    expected = next_token(alone, rows_of(list(range(ROWS))))
    expected.total.backward()
    most = max(parameter.grad.abs().max() for parameter in alone.parameters())
    errors = {  # some are zero by their nature: a bias of keys where positions do not turn them
        name: float((full[name] - parameter.grad).abs().max() / max(parameter.grad.abs().max(), 1e-3 * most))
        for name, parameter in alone.named_parameters()
    }
    return {
        "layout": str(ranks),
        "loss": [total.item(), expected.total.item()],
        "weight": [weight, expected.weight],
        "norm": [float(norm), float(torch.nn.utils.get_total_norm([p.grad for p in alone.parameters()]))],
        "errors": errors,
        "shapes": {name: list(local(gradient).shape) for name, gradient in gradients.items()},
        "restored": all(torch.equal(a, b) for a, b in zip(again.parameters(), alone.parameters(), strict=True)),
    }


def train(job: dict[str, Any]) -> dict[str, Any]:
    """A run, as `genus pretrain` does it, perhaps from what another left, or disturbed."""
    if "copied" in job and os.environ.get("RANK", "0") == "0":  # the others wait for this one to join them
        take_back(Path(job["copied"]), Path(job["out"]), job["step"])
        if job["step"] == 8:
            with (Path(job["out"]) / "checkpoints/step-8/optimizer-00002-of-00002.safetensors").open("r+b") as file:
                file.seek(200)
                file.write(b"\xff")
    pretrain(recipe_of(job), sampler=lambda model, *_: f"{sum(p.numel() for p in model.parameters())}")
    return {}


def recipe_of(job: dict[str, Any]) -> Any:
    changes = {**job["recipe"]}
    changes["every"] = Every(**changes.get("every", {}))
    changes["mixture"] = Mix(**changes["mixture"]) if "mixture" in changes else None
    model = {"family": "llama", "context": 32, "width": 24, "depth": 2, "heads": 4, "kv_heads": 2, **job.get("model", {})}
    changes["model"] = ModelRecipe(**model)
    changes["parallel"] = Parallel(**job["parallel"])
    changes["optim"] = Optim(**{"lr": 3e-3, "clip": 0.5, **changes.get("optim", {})})
    return tiny_recipe(Path(job["shards"]), Path(job["out"]), steps=8, **changes)  # dropout is off unless asked for


def disturb(job: dict[str, Any], rank: int) -> None:
    """What happens to one rank in this job."""
    original, write = _Run._record, checkpoint.write_parts

    def signalled(self: _Run, step: Any, spent: float) -> None:
        original(self, step, spent)
        if step.number == 3:
            signal.raise_signal(signal.SIGUSR1)

    def failing(path: Path, parts: Any) -> None:
        if "step-4" in str(path):
            raise GenusError("no room")
        write(path, parts)

    _Run._record = signalled if job.get("signal") == rank else original
    checkpoint.write_parts = failing if job.get("no_room") == rank else write


def free_port() -> int:
    """A port nobody uses, below those that the system itself gives to outgoing connections at any moment."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port


def main(folder: Path) -> None:
    for job in json.loads((folder / "jobs.json").read_text()):
        children, port = {}, free_port()
        for rank in range(job["world"]):
            child = os.fork()  # each rank of each job in a process of its own, that has PyTorch already
            if child == 0:
                os._exit(attempt(job, folder, rank, port))
            children[child] = rank
        for _ in list(children):
            child, status = os.wait()
            if status:
                for other in children.keys() - {child}:
                    os.kill(other, signal.SIGKILL)
                sys.exit(f"rank {children[child]} failed in {job['name']}")
            del children[child]


def attempt(job: dict[str, Any], folder: Path, rank: int, port: int) -> int:
    run_module.describe = lambda *_: MACHINE
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(job["world"]), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    disturb(job, rank)
    try:
        found = (compare_gradients if job["kind"] == "gradients" else train)(job)
    except (GenusError, Stopped) as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    except BaseException:
        traceback.print_exc()
        return 1
    (folder / f"{job['name']}-{rank}.json").write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    main(Path(sys.argv[1]))
