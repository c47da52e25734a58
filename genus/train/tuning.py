"""A run that starts from a model folder and goes over examples: what task tuning, SFT, reward, DPO and PPO have in common.

Steps are loop.py's; the folder, resuming and stopping run.py's; each phase brings its examples and its loss.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from genus.core.errors import GenusError
from genus.core.files import new_folder, read_json, sha256, write_json
from genus.data.examples import Packed
from genus.data.loader import Loader, Source
from genus.models.family import Family
from genus.models.heads import LanguageModel
from genus.models.lora import add_lora, merge_lora
from genus.models.lora_files import save_adapter
from genus.models.rows import learn_only
from genus.models.scorer import Scorer
from genus.models.weights import load_model, save_model
from genus.tokenizers.template import TEMPLATE_KEY
from genus.tokenizers.tokenizer import Tokenizer
from genus.train.allocator import keep_freed_memory
from genus.train.loop import Loss, Scored
from genus.train.losses import Tokens
from genus.train.machine import autocast, pick_device, use_bf16
from genus.train.recipe import Ramp
from genus.train.run import Phase, train
from genus.train.schedule import Pace
from genus.train.tune_recipe import Tuning

__all__ = ["Opened", "Tuned", "Work", "fingerprint", "open_start", "set_dropout", "to_torch", "tune", "write_language_model"]


class Opened(NamedTuple):
    """The model that a run starts from."""

    network: LanguageModel
    family: Family
    tokenizer: Tokenizer
    digest: str  # of its weights

    @property
    def context(self) -> int:
        """Tokens that it sees at once."""
        return self.network.spec.context


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What one phase brings. `write(folder)` saves the result; `facts` must not change between starts.

    Where the `family` is told, what LoRA learns is also saved by itself, in adapter/: of the `adapted` part alone, if named.
    """

    model: nn.Module
    source: Source
    prepare: Callable[[list[Any]], Any]  # examples of a micro-batch -> what the loss takes
    loss: Loss
    validate: Callable[[], Mapping[str, float]]
    write: Callable[[Path], None]
    sample: Callable[[], str] | None = None
    length: Callable[[Any], int] | None = None  # of an example: those about as long are computed together
    family: Family | None = None
    adapted: nn.Module | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[nn.Parameter, range] = field(default_factory=dict)  # whose rows, new tokens, learn beside LoRA
    work: "Work | None" = None


@dataclass(frozen=True, kw_only=True)
class Work:
    """How a phase goes that is not so many times over its examples: see run.Phase."""

    loader: Any
    pace: Any
    unit: str
    whole: int = 1
    rates: Mapping[str, float] = field(default_factory=dict)
    notes: Callable[[], Mapping[str, float]] = dict


def open_start(folder: Path, dropout: float = 0.0) -> Opened:
    """The model of a folder (or a run's) to train on, and its tokenizer. Raises GenusError naming what is wrong."""
    if not (folder / "config.json").is_file() and (folder / "model" / "config.json").is_file():
        folder = folder / "model"
    network, family = load_model(folder, torch.float32)
    tokenizer = Tokenizer.load(folder)
    tokenizer.check_rows(network.spec.vocab, str(folder))
    set_dropout(network, dropout)
    digests = [sha256(path) for path in sorted(folder.glob("*.safetensors"))]
    # mapped files are not to be trained in
    network.load_state_dict({name: value.clone() for name, value in network.state_dict().items()}, assign=True)
    return Opened(network, family, tokenizer, digests[0] if len(digests) == 1 else fingerprint(digests))


def set_dropout(model: LanguageModel | Scorer, dropout: float) -> None:
    """Let a model drop this share of its activations while training, whatever it was made with."""
    model.spec = model.decoder.spec = replace(model.spec, dropout=dropout)
    for block in model.decoder.blocks:
        block.dropout = dropout  # type: ignore[assignment]


def tune(recipe: Tuning, tuned: Tuned, restart: bool = False) -> Path:
    """Train to the end, from wherever an earlier start stopped; give the model's folder.

    Raises GenusError before any work for what does not fit; Stopped when asked to stop.
    """
    if not len(tuned.source):
        raise GenusError("there is no example to learn from; name files that hold some")
    device = pick_device()
    if device.type == "cpu":
        keep_freed_memory()
    torch.manual_seed(recipe.seed)
    if recipe.lora.rank:
        add_lora(tuned.model, recipe.lora.parts, recipe.lora.rank, recipe.lora.alpha, recipe.lora.dropout)
        for table, tokens in tuned.tables.items():
            learn_only(table, tokens)
    bf16 = use_bf16(recipe.precision, device)
    work = tuned.work or _over_examples(recipe, tuned.source)

    def loss(examples: Any) -> Scored:
        with autocast(device, bf16):
            return Scored(*tuned.loss(examples))

    phase = Phase(
        model=tuned.model.to(device).train(),
        loader=work.loader,
        prepare=partial(_micro_batches, size=recipe.micro_batch, tuned=tuned),
        loss=loss,
        pace=work.pace,
        validate=partial(_aside, tuned.model, tuned.validate),
        sample=tuned.sample,
        facts=dict(tuned.facts),
        bf16=bf16,
        unit=work.unit,
        whole=work.whole,
        rates=work.rates,
        notes=work.notes,
    )
    train(recipe, phase, device, restart)
    if recipe.lora.rank:
        if tuned.family:
            with new_folder(recipe.out / "adapter") as folder:
                save_adapter(folder, tuned.adapted or tuned.model, tuned.family, str(recipe.model), bool(tuned.tables))
        merge_lora(tuned.model)
    with new_folder(recipe.out / "model") as folder:
        tuned.write(folder)
    return recipe.out / "model"


def _over_examples(recipe: Tuning, source: Source) -> Work:
    """So many epochs, in a new order each."""
    batch = min(recipe.batch, recipe.epochs * len(source))
    return Work(loader=Loader(source, batch), pace=Pace(batch, Ramp(), 1, recipe.epochs * len(source)), unit="examples")


def write_language_model(folder: Path, opened: Opened, card: str) -> None:
    """A tuned language model as a Hugging Face folder, with its tokenizer and card."""
    save_model(folder, opened.network.eval(), opened.family, opened.tokenizer.end_of_text)
    opened.tokenizer.save(folder)
    if opened.tokenizer.chat_template:
        _note_template(folder, opened.tokenizer)
    (folder / "README.md").write_text(card, "utf-8")


def _note_template(folder: Path, tokenizer: Tokenizer) -> None:
    """Tell a folder which template its model was tuned with, and other libraries which tokens end its turns."""
    config, path = read_json(folder / "config.json"), folder / "generation_config.json"
    write_json(folder / "config.json", {**config, TEMPLATE_KEY: tokenizer.template_sha256})
    ends = sorted(tokenizer.turn_ends)
    write_json(path, {**read_json(path), "eos_token_id": ends if len(ends) > 1 else ends[0]})


def to_torch(packed: Packed, device: torch.device) -> Tokens:
    """Rows as tensors. Where each row is one document, no mask of documents is made: attention is faster without.

    What fills rows up comes last and is no target, so nobody who counts sees it.
    """
    several = bool((packed.documents[packed.scored] > 0).any())

    def tensor(values: np.ndarray[Any, Any]) -> torch.Tensor:
        return torch.from_numpy(values).to(device, non_blocking=True)

    return Tokens(
        tokens=tensor(packed.tokens),
        targets=tensor(packed.targets),
        positions=tensor(packed.positions),
        documents=tensor(packed.documents) if several else None,
        scored=tensor(packed.scored),
    )


def fingerprint(parts: Iterable[Any]) -> str:
    """A digest of anything that prints itself, in order."""
    import hashlib

    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return digest.hexdigest()


def _micro_batches(batch: Sequence[Any], size: int, tuned: Tuned) -> list[Any]:
    """The examples of a step, cut up; their order there is free, as the step adds all of them up."""
    ordered = sorted(batch, key=tuned.length) if tuned.length else list(batch)
    return [tuned.prepare(ordered[first : first + size]) for first in range(0, len(ordered), size)]


@torch.no_grad()
def _aside(model: nn.Module, validate: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
    """Validation, with the model in evaluation mode."""
    model.eval()
    found = validate()
    model.train()
    return found
