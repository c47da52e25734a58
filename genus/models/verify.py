"""Proof that a folder is what it says: Genus's logits beside those of transformers, and a save that loads as the same."""

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genus.core.errors import GenusError
from genus.models.attend import FastAttend
from genus.models.heads import LanguageModel
from genus.models.registered import ARCHITECTURE, register
from genus.models.weights import load_model, save_model

__all__ = ["TOLERANCE", "Verdict", "verify"]

TOLERANCE = 1e-4  # of logits in fp32
Verdict = dict[str, float]


def verify(folder: Path, tokens: int = 64, seed: int = 0) -> Verdict:
    """Largest differences of fp32 logits on random ids: "round_trip", through our own save, and "transformers".

    The second is left out where transformers is not installed. Raises GenusError when it does not open the folder as it is.
    """
    model, family = load_model(folder)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(model.spec.vocab, (2, min(tokens, model.spec.context)), generator=generator)
    ours = _logits(model, ids)
    with tempfile.TemporaryDirectory() as temporary:
        save_model(Path(temporary), model, family)
        verdict = {"round_trip": _difference(ours, _logits(load_model(Path(temporary))[0], ids))}
    del model  # theirs needs as much memory
    if find_spec("transformers"):
        if family.architecture == ARCHITECTURE:
            register()
        verdict["transformers"] = _difference(ours, _their_logits(folder, ids))
    return verdict


@torch.no_grad()
def _logits(model: LanguageModel, ids: Tensor) -> Tensor:
    return model(ids, torch.arange(ids.shape[1]).expand_as(ids), FastAttend(model.spec))


@torch.no_grad()
def _their_logits(folder: Path, ids: Tensor) -> Tensor:
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        opened: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, trust_remote_code=False, output_loading_info=True
        )
    except Exception as error:  # whatever it stumbled over is the finding
        raise GenusError(f"transformers does not open {folder}: {error}") from error
    model, report = opened
    wrong = [f"{kind}: {min(names)}" for kind, names in report.items() if kind.endswith("_keys") and names]
    if wrong:
        raise GenusError(f"transformers opens {folder} with {'; '.join(wrong)}; save the folder again")
    return model.eval()(ids).logits


def _difference(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        raise GenusError(f"logits have shapes {list(ours.shape)} and {list(theirs.shape)}; the folder is inconsistent")
    return float((ours - theirs).abs().max())
