"""Pretraining: next-token prediction over shards, from random weights to a Hugging Face folder.

Only what is particular to this phase is here; steps are loop.py's, the folder, resuming and stopping are run.py's.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import torch

from genus.core.errors import GenusError
from genus.core.files import new_folder, write_text
from genus.core.memory import require_memory
from genus.core.progress import say
from genus.data.loader import Batch, Ids, Loader, Rows, sequential
from genus.data.shards import ShardSet, TokenStream, open_shards
from genus.models.families import family_named
from genus.models.family import Family, Shape
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.models.spec import DecoderSpec, Experts, Strided
from genus.models.weights import config_of, empty_model, save_model
from genus.parallel.mesh import Ranks, by_tokens, joined
from genus.parallel.recipe import check_layout
from genus.parallel.shard import Objective, fill, let_go, shard, whole
from genus.tokenizers.tokenizer import Tokenizer
from genus.train.card import model_card
from genus.train.checkpoint import checkpoints, stored_model
from genus.train.loop import Scored
from genus.train.losses import Tokens, next_token
from genus.train.machine import autocast, pick_device, use_bf16, use_compile
from genus.train.recipe import ModelRecipe, Pretrain
from genus.train.run import Phase, train

__all__ = ["Sampler", "describe_model", "pretrain", "write_model"]

Sampler = Callable[[LanguageModel, Family, Tokenizer], str]  # a text by the model as it stands
Prepare = Callable[[Batch, slice], Tokens]  # rows of a batch, on the device

_VALIDATION_TOKENS = 50_000  # enough to see the curve turn; `genus evaluate` reads all


def pretrain(recipe: Pretrain, sampler: Sampler | None = None, restart: bool = False) -> Path:
    """Train to the end, from wherever an earlier start stopped; give the model's folder.

    Raises GenusError before any work for a recipe, shards or folder that do not fit; Stopped when asked to stop.
    """
    device = pick_device()
    with joined(recipe.parallel, device) as ranks:
        shards = open_shards(recipe.shards)
        shards.verify()
        family, spec = describe_model(recipe, shards)
        _announce(recipe, spec, ranks)
        rows = Rows(shards.stream("train"), spec.context, recipe.seed, mask_documents=recipe.mask_documents)
        objective = _objective(recipe, spec, device, ranks)
        model = objective.model
        initialise(model, family.init(spec), recipe.seed, fill)
        torch.manual_seed(recipe.seed + 1_000_003 * ranks.rank)  # dropout draws from here on
        tokenizer = shards.tokenizer()
        prepare = partial(_to_torch, mask=recipe.mask_documents, device=device, ranks=ranks)
        phase = Phase(
            model=model,
            loader=Loader(rows, recipe.batch // ranks.layout.data, 0, ranks.data_rank, ranks.layout.data),
            prepare=partial(_micro_batches, size=recipe.micro_batch, prepare=prepare),
            loss=_loss(objective, recipe, device, ranks),
            tokens=recipe.tokens or len(rows) * spec.context,
            step_tokens=recipe.batch * spec.context,
            validate=partial(_validate, objective, partial(_first, shards.stream("validation"), recipe), prepare, ranks),
            sample=partial(_sample, sampler, model, (family, tokenizer), ranks) if sampler else None,
            facts={"shards": shards.fingerprint, "parameters": spec.parameters, "flop": spec.training_flop(spec.context)},
            ranks=ranks,
        )
        train(recipe, phase, device, restart)
        if ranks.first:  # what several hold is put together from their last checkpoint
            path = recipe.out / "checkpoints"
            write_model(recipe, stored_model(checkpoints(path)[0], spec) if ranks.many else model, shards)
        ranks.wait()
    return recipe.out / "model"


def write_model(recipe: Pretrain, model: LanguageModel, shards: ShardSet, folder: Path | None = None) -> Path:
    """Write the Hugging Face folder of a trained model, with tokenizer and card; by default the run's model/."""
    folder, family, tokenizer = folder or recipe.out / "model", family_named(recipe.model.family), shards.tokenizer()
    with new_folder(folder) as partial_folder:
        save_model(partial_folder, model, family, tokenizer.end_of_text)
        tokenizer.save(partial_folder)
        write_text(partial_folder / "README.md", model_card(recipe, model.spec, family, shards.manifest))
    return folder


def describe_model(recipe: Pretrain, shards: ShardSet) -> tuple[Family, DecoderSpec]:
    """The family and spec that the recipe asks for, checked against what files of the family can say."""
    model = recipe.model
    family = family_named(model.family)
    shape = Shape(
        vocab=shards.vocab,
        context=model.context,
        width=model.width,
        depth=model.depth,
        heads=model.heads,
        kv_heads=model.kv_heads,
        hidden=model.hidden,
        window=model.window,
        stride=model.stride,
        experts=model.experts,
        per_token=model.per_token,
        dropout=model.dropout,
    )
    spec = family.spec(shape)
    _check_used(model, spec)
    config_of(spec, family, torch.float32)
    return family, spec


def _announce(recipe: Pretrain, spec: DecoderSpec, ranks: Ranks) -> None:
    """Say what will be trained; refuse what cannot be shared out so, or cannot fit."""
    check_layout(ranks.layout, spec, recipe.batch, recipe.micro_batch)
    # weights, gradients and AdamW's two moments, all fp32, of every rank on this machine
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) / (ranks.layout.shard * ranks.layout.tensor)
    require_memory(int(16 * spec.parameters * here), f"training {spec.parameters:,} parameters")
    family = family_named(recipe.model.family)
    say(f"{family.title}: {spec.parameters:,} parameters, of them {spec.embedding_parameters:,} in tables")


def _check_used(model: ModelRecipe, spec: DecoderSpec) -> None:
    """Refuse what the recipe asks for and the family leaves out."""
    kinds, experts = {type(window) for window in spec.attention.windows}, isinstance(spec.mlp, Experts)
    there = {"window": int in kinds, "stride": Strided in kinds, "experts": experts, "per_token": experts}
    for name, used in there.items():
        if not used and getattr(model, name) is not None:
            raise GenusError(f"model.{name} = {getattr(model, name)} is nothing that {model.family} has; leave it out")


def _objective(recipe: Pretrain, spec: DecoderSpec, device: torch.device, ranks: Ranks) -> Objective:
    """The loss over a model, each rank's part of it on its device; the weights have no values yet."""
    bf16 = use_bf16(recipe.precision, device)

    def loss(model: LanguageModel, batch: Tokens) -> Scored:
        with autocast(device, bf16):
            return next_token(model, batch)

    objective = Objective(empty_model(spec), loss)
    by_block = ranks.many and use_compile(recipe.compile, device)
    shard(objective, recipe.parallel, ranks, bf16, by_block)
    return objective.to_empty(device=device).train()


def _loss(objective: Objective, recipe: Pretrain, device: torch.device, ranks: Ranks) -> Callable[[Tokens], Scored]:
    return torch.compile(objective) if use_compile(recipe.compile, device) and not ranks.many else objective


def _micro_batches(batch: Batch, size: int, prepare: Prepare) -> list[Tokens]:
    rows = len(batch.tokens)
    size = min(size, rows)
    return [prepare(batch, slice(first, first + size)) for first in range(0, rows, size)]


def _to_torch(batch: Batch, rows: slice, mask: bool, device: torch.device, ranks: Ranks) -> Tokens:
    """Rows of a batch as tensors. A mask that would hide nothing is left out: the attention is faster without.

    Where rows are split by tokens, targets are this rank's alone, and what the ranks cannot share equally is left out.
    """
    documents = batch.documents[rows]
    mask = mask and bool((documents[:, :1] != documents[:, -1:]).any())
    time = documents.shape[1] - documents.shape[1] % ranks.layout.tensor

    def tensor(values: Ids) -> torch.Tensor:
        return torch.from_numpy(values[rows, :time]).to(device, non_blocking=True)

    return Tokens(
        tokens=tensor(batch.tokens),
        targets=by_tokens(tensor(batch.targets), ranks),
        positions=tensor(batch.positions),
        documents=tensor(batch.documents) if mask else None,
    )


@torch.no_grad()
def _validate(loss: Objective, batches: Callable[[], Iterable[Batch]], prepare: Prepare, ranks: Ranks) -> float:
    """Mean loss in nats over held-out batches, which the ranks share out; each is called as often as the others."""
    loss.eval()
    score: Callable[[Tokens], Scored] = loss if ranks.many else partial(next_token, loss.model)
    total, weight, readers = 0.0, 0, ranks.layout.data
    ready = [batch for batch in batches() if batch.targets.shape[1] >= ranks.layout.tensor]
    for first in range(0, len(ready), readers):
        mine = first + ranks.data_rank
        scored = score(prepare(ready[min(mine, len(ready) - 1)], slice(None)))
        if mine < len(ready):
            total, weight = total + float(scored.total), weight + scored.weight
    let_go(loss)
    loss.train()
    summed, weight, _ = ranks.totals(torch.tensor(total, dtype=torch.float64), weight, {})
    return summed.item() / weight


def _sample(sampler: Sampler, model: LanguageModel, names: tuple[Family, Tokenizer], ranks: Ranks) -> str:
    """A text of the model, put together on the first rank; nothing on the others."""
    found = whole(model, ranks)
    return sampler(found, *names) if found else ""


def _first(stream: TokenStream, recipe: Pretrain) -> Iterator[Batch]:
    context = min(recipe.model.context, len(stream) - 1)
    read = 0
    for batch in sequential(stream, context, recipe.micro_batch):
        yield batch
        read += batch.targets.size
        if read >= _VALIDATION_TOKENS:
            return
