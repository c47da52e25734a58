"""Any Genus model as an encoder: the mean of its last hidden states. Nobody tuned those for search, so minilm is better."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from genus.core.files import sha256

__all__ = ["Hidden"]

_TOKENS = 256  # of a text, as many as minilm reads
_CHARACTERS = 40_000


class Hidden:
    """Vectors as wide as the model; `name` is its folder."""

    def __init__(self, folder: Path) -> None:
        """Raises GenusError for a folder that is no model, or has no tokenizer."""
        from genus.engine.model import load

        model = load(folder)
        self.network, self.tokenizer = model.network, model.tokenizer
        self.name = str(folder.resolve())
        self.width = model.spec.width
        self.longest = min(_TOKENS, model.spec.context)
        home = folder if (folder / "config.json").is_file() else folder / "model"  # of a run, whose checkpoints are not it
        files = [home / "config.json", *sorted(home.glob("*.safetensors"))]
        self.sha256 = hashlib.sha256("".join([*map(sha256, files), self.tokenizer.sha256]).encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Of n texts the vectors (n, width), fp32, of length 1; of a text without tokens all zeros."""
        from genus.engine.embed import embed

        tokens = [each[: self.longest] for each in self.tokenizer.encode_batch([text[:_CHARACTERS] for text in texts])]
        there = [place for place, each in enumerate(tokens) if each]
        found = torch.zeros(len(texts), self.width)
        if there:
            found[there] = torch.nn.functional.normalize(embed(self.network, [tokens[place] for place in there]), dim=-1)
        return found.numpy()
