"""Pretraining: next-token prediction over shards, from random weights to a Hugging Face folder.

Only what is particular to this phase is here; steps are loop.py's, the folder, resuming and stopping are run.py's.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import torch

from genus.core.files import new_folder, write_text
from genus.core.memory import require_memory
from genus.core.progress import say
from genus.data.loader import Batch, Ids, Loader, Mixture, Rows, open_rows, sequential
from genus.data.mixture import in_words
from genus.data.shards import ShardSet, TokenStream, open_shards
from genus.models.family import Family
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.models.spec import DecoderSpec
from genus.models.weights import config_of, empty_model, save_model
from genus.parallel.mesh import Ranks, by_tokens, joined
from genus.parallel.recipe import check_layout
from genus.parallel.shard import Objective, fill, let_go, shard, whole
from genus.tokenizers.tokenizer import Tokenizer
from genus.train.allocator import keep_freed_memory
from genus.train.card import model_card
from genus.train.checkpoint import checkpoints, stored_model
from genus.train.loop import Scored
from genus.train.losses import Tokens, next_token
from genus.train.machine import autocast, compiled, pick_device, use_bf16, use_compile
from genus.train.recipe import Pretrain
from genus.train.run import Phase, train
from genus.train.schedule import Pace
from genus.train.shape import shape_model

__all__ = ["Sampler", "describe_model", "pretrain", "write_model"]

Sampler = Callable[[LanguageModel, Family, Tokenizer], str]  # a text by the model as it stands
Prepare = Callable[[Batch, slice], Tokens]  # rows of a batch, on the device

_VALIDATION_TOKENS = 50_000  # enough to see the curve turn; `genus evaluate` reads all


def pretrain(recipe: Pretrain, sampler: Sampler | None = None, restart: bool = False) -> Path:
    """Train to the end, from wherever an earlier start stopped; give the model's folder.

    Raises GenusError before any work for a recipe, shards or folder that do not fit; Stopped when asked to stop.
    """
    device = pick_device()
    if device.type == "cpu":
        keep_freed_memory()
    with joined(recipe.parallel, device) as ranks:
        shards = open_shards(recipe.shards)
        shards.verify()
        family, spec = describe_model(recipe, shards)
        _announce(recipe, spec, shards, ranks)
        rows = open_rows(shards, spec.context, recipe.seed, recipe.mask_documents, recipe.mixture)
        tokens = recipe.tokens or recipe.epochs * len(rows) * spec.context
        flop = spec.training_flop(spec.context)  # a token's
        objective = _objective(recipe, spec, ranks, use_compile(recipe.compile, device))
        model = objective.model
        initialise(model, family.init(spec), recipe.seed, fill)
        torch.manual_seed(recipe.seed + 1_000_003 * ranks.rank)  # dropout draws from here on
        tokenizer = shards.tokenizer()
        pace, readers = Pace(recipe.batch, recipe.ramp, spec.context, tokens), ranks.layout.data
        prepare = partial(_to_torch, mask=recipe.mask_documents, device=device, ranks=ranks)
        held_out = partial(_held_out, shards, rows, spec.context, recipe.micro_batch)
        phase = Phase(
            model=model,
            loader=Loader(rows, lambda position: pace.rows(position) // readers, 0, ranks.data_rank, readers),
            prepare=partial(_micro_batches, size=recipe.micro_batch, prepare=prepare),
            loss=objective,
            pace=pace,
            validate=partial(_validate, objective, held_out, prepare, ranks),
            sample=partial(_sample, sampler, model, (family, tokenizer), ranks) if sampler else None,
            facts={"shards": shards.fingerprint, "parameters": spec.parameters, "flop": flop},
            bf16=use_bf16(recipe.precision, device),
            ranks=ranks,
            mixture=rows.report if isinstance(rows, Mixture) else None,
        )
        if phase.mixture:
            say(f"to read: {in_words(phase.mixture(pace.tokens(pace.steps) // spec.context))}")
        train(recipe, phase, device, restart)
        if ranks.first:  # what several hold is put together from their last checkpoint
            path = recipe.out / "checkpoints"
            write_model(recipe, stored_model(checkpoints(path)[0], spec) if ranks.many else model, shards)
        ranks.wait()
    return recipe.out / "model"


def write_model(recipe: Pretrain, model: LanguageModel, shards: ShardSet, folder: Path | None = None) -> Path:
    """Write the Hugging Face folder of a trained model, with tokenizer and card; by default the run's model/."""
    folder, family, tokenizer = (
        folder or recipe.out / "model",
        shape_model(recipe.model, shards.vocab)[0],
        shards.tokenizer(),
    )
    with new_folder(folder) as partial_folder:
        save_model(partial_folder, model, family, tokenizer.end_of_text)
        tokenizer.save(partial_folder)
        write_text(partial_folder / "README.md", model_card(recipe, model.spec, family, shards.manifest))
    return folder


def describe_model(recipe: Pretrain, shards: ShardSet) -> tuple[Family, DecoderSpec]:
    """The family and spec that the recipe asks for, checked against what files of the family can say."""
    family, spec = shape_model(recipe.model, shards.vocab)
    config_of(spec, family, torch.float32)
    return family, spec


def _announce(recipe: Pretrain, spec: DecoderSpec, shards: ShardSet, ranks: Ranks) -> None:
    """Say what will be trained; refuse what cannot be shared out so, or cannot fit."""
    for rows in recipe.ramp.sizes(recipe.batch):
        check_layout(ranks.layout, spec, rows, recipe.micro_batch)
    # weights, gradients and AdamW's two moments, all fp32, of every rank on this machine
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) / (ranks.layout.shard * ranks.layout.tensor)
    require_memory(int(16 * spec.parameters * here), f"training {spec.parameters:,} parameters")
    title = shape_model(recipe.model, shards.vocab)[0].title
    say(f"{title}: {spec.parameters:,} parameters, of them {spec.embedding_parameters:,} in tables")
    if spec.vocab > 2 * shards.vocab:  # more than what sizes are padded by
        say(
            f"only {shards.vocab:,} of the table's {spec.vocab:,} rows are used; model.vocab = {shards.vocab} saves the rest"
        )


def _objective(recipe: Pretrain, spec: DecoderSpec, ranks: Ranks, fuse: bool) -> Objective:
    """The loss over a model, each rank's part of it on its device; the weights have no values yet. `fuse` compiles it."""
    model, device = empty_model(spec), pick_device()
    decoder = compiled(model.decoder, recipe.compile) if fuse and not ranks.many else None
    bf16 = use_bf16(recipe.precision, device)

    def loss(model: LanguageModel, batch: Tokens) -> Scored:
        with autocast(device, bf16):
            return next_token(model, batch, recipe.z_loss, decoder if model.training else None)

    objective = Objective(model, loss)
    shard(objective, recipe.parallel, ranks, bf16, fuse and ranks.many)
    return objective.to_empty(device=device).train()


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
def _validate(loss: Objective, batches: Callable[[], Iterable[Batch]], prepare: Prepare, ranks: Ranks) -> dict[str, float]:
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
    return {"validation_loss": summed.item() / weight}


def _sample(sampler: Sampler, model: LanguageModel, names: tuple[Family, Tokenizer], ranks: Ranks) -> str:
    """A text of the model, put together on the first rank; nothing on the others."""
    found = whole(model, ranks)
    return sampler(found, *names) if found else ""


def _held_out(shards: ShardSet, rows: Rows | Mixture, context: int, size: int) -> Iterator[Batch]:
    """The beginning of the held-out text; where sources are told apart, that of each, in the shares that training reads."""
    sources = shards.sources("validation")
    if not sources:
        yield from _first(shards.stream("validation"), context, size, _VALIDATION_TOKENS)
        return
    shares = {name: counts["tokens"] for name, counts in sources.items()}
    if isinstance(rows, Mixture):
        read = rows.report(1)["sources"]
        shares = {name: read[name]["target"] for name in sources if name in read} or shares
    for name, share in shares.items():
        limit = round(_VALIDATION_TOKENS * share / sum(shares.values()))
        count = max(1, -(-limit // context))
        batches = -(-count // size)
        yield from _first(shards.stream("validation", name), context, -(-count // batches), limit)


def _first(stream: TokenStream, context: int, rows: int, limit: int) -> Iterator[Batch]:
    read = 0
    for batch in sequential(stream, min(context, len(stream) - 1), rows):
        yield batch
        read += batch.targets.size
        if read >= limit:
            return
