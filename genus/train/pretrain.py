"""Pretraining: next-token prediction over shards, from random weights to a Hugging Face folder.

Only what is particular to this phase is here; steps are loop.py's, the folder, resuming and stopping are run.py's.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from genus.core.files import new_folder, write_text
from genus.core.memory import require_memory
from genus.core.progress import say
from genus.data.loader import Batch, Ids, Loader, Rows, sequential
from genus.data.shards import ShardSet, TokenStream, open_shards
from genus.models.family import Family
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.models.spec import DecoderSpec
from genus.models.weights import config_of, save_model
from genus.tokenizers.tokenizer import Tokenizer
from genus.train.card import model_card
from genus.train.loop import Scored
from genus.train.losses import Tokens, next_token
from genus.train.machine import autocast, pick_device, use_bf16, use_compile
from genus.train.recipe import Pretrain
from genus.train.run import Phase, train
from genus.train.schedule import Pace
from genus.train.shape import shape_model

__all__ = ["Sampler", "pretrain"]

Sampler = Callable[[LanguageModel, Family, Tokenizer], str]  # a text by the model as it stands

_VALIDATION_TOKENS = 50_000  # enough to see the curve turn; `genus evaluate` reads all


def pretrain(recipe: Pretrain, sampler: Sampler | None = None, restart: bool = False) -> Path:
    """Train to the end, from wherever an earlier start stopped; give the model's folder.

    Raises GenusError before any work for a recipe, shards or folder that do not fit; Stopped when asked to stop.
    """
    shards = open_shards(recipe.shards)
    shards.verify()
    family, spec = _describe(recipe, shards)
    device = pick_device()
    rows = Rows(shards.stream("train"), spec.context, recipe.seed, mask_documents=recipe.mask_documents)
    model = LanguageModel(spec)
    initialise(model, family.init(spec), recipe.seed)
    model.to(device).train()
    torch.manual_seed(recipe.seed)  # dropout draws from here on
    tokenizer = shards.tokenizer()
    tokens = recipe.tokens or recipe.epochs * len(rows) * spec.context
    pace = Pace(recipe.batch, recipe.ramp, spec.context, tokens)
    phase = Phase(
        model=model,
        loader=Loader(rows, pace.rows),
        prepare=partial(_micro_batches, recipe=recipe, device=device),
        loss=_loss(model, recipe, device),
        pace=pace,
        validate=partial(_validate, model, shards.stream("validation"), recipe, device),
        sample=partial(sampler, model, family, tokenizer) if sampler else None,
        facts={"shards": shards.fingerprint, "parameters": spec.parameters, "flop": spec.training_flop(spec.context)},
        bf16=use_bf16(recipe.precision, device),
    )
    train(recipe, phase, device, restart)
    folder = recipe.out / "model"
    with new_folder(folder) as partial_folder:
        save_model(partial_folder, model, family, tokenizer.end_of_text)
        tokenizer.save(partial_folder)
        write_text(partial_folder / "README.md", model_card(recipe, spec, family, shards.manifest))
    return folder


def _describe(recipe: Pretrain, shards: ShardSet) -> tuple[Family, DecoderSpec]:
    """The family and spec that the recipe asks for, checked against what files of the family can say."""
    family, spec = shape_model(recipe.model, shards.vocab)
    config_of(spec, family, torch.float32)
    # weights, gradients and AdamW's two moments, all fp32
    require_memory(16 * spec.parameters, f"training {spec.parameters:,} parameters")
    say(f"{family.title}: {spec.parameters:,} parameters, of them {spec.embedding_parameters:,} in tables")
    if spec.vocab > 2 * shards.vocab:  # more than what sizes are padded by
        say(
            f"only {shards.vocab:,} of the table's {spec.vocab:,} rows are used; model.vocab = {shards.vocab} saves the rest"
        )
    return family, spec


def _loss(model: LanguageModel, recipe: Pretrain, device: torch.device) -> Callable[[Tokens], Scored]:
    bf16 = use_bf16(recipe.precision, device)

    def loss(batch: Tokens) -> Scored:
        with autocast(device, bf16):
            return next_token(model, batch, recipe.z_loss)

    return torch.compile(loss) if use_compile(recipe.compile, device) else loss


def _micro_batches(batch: Batch, recipe: Pretrain, device: torch.device) -> list[Tokens]:
    rows, mask = len(batch.tokens), recipe.mask_documents
    size = min(recipe.micro_batch, rows)
    return [_to_torch(batch, slice(first, first + size), mask, device) for first in range(0, rows, size)]


def _to_torch(batch: Batch, rows: slice, mask: bool, device: torch.device) -> Tokens:
    """Rows of a batch as tensors. A mask that would hide nothing is left out: the attention is faster without."""
    documents = batch.documents[rows]
    mask = mask and bool((documents[:, :1] != documents[:, -1:]).any())

    def tensor(values: Ids) -> torch.Tensor:
        return torch.from_numpy(values[rows]).to(device, non_blocking=True)

    return Tokens(
        tokens=tensor(batch.tokens),
        targets=tensor(batch.targets),
        positions=tensor(batch.positions),
        documents=tensor(batch.documents) if mask else None,
    )


@torch.no_grad()
def _validate(model: LanguageModel, stream: TokenStream, recipe: Pretrain, device: torch.device) -> float:
    """Mean loss in nats over the first _VALIDATION_TOKENS of the held-out stream, as rows, in order."""
    model.eval()
    total, weight = 0.0, 0
    for batch in _first(stream, model.spec.context, recipe.micro_batch):
        scored = next_token(model, _to_torch(batch, slice(None), recipe.mask_documents, device))
        total, weight = total + float(scored.total), weight + scored.weight
    model.train()
    return total / weight


def _first(stream: TokenStream, context: int, rows: int) -> Iterator[Batch]:
    read = 0
    for batch in sequential(stream, min(context, len(stream) - 1), rows):
        yield batch
        read += batch.targets.size
        if read >= _VALIDATION_TOKENS:
            return
