"""A small model folder to tune, and records of each form that a small model can learn."""

import json
from pathlib import Path
from typing import Any

from genus.models.families import family_of
from genus.models.family import Shape
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.models.weights import save_model
from genus.tokenizers.tokenizer import Tokenizer

WORDS = ("people", "states", "peace", "plenty", "law", "consent", "treasury", "surplus")
RECORDS: dict[str, list[dict[str, Any]]] = {
    "classification": [
        {"text": f"the {word} of these", "label": "odd" if n % 2 else "even"} for n, word in enumerate(WORDS)
    ],
    "entailment": [
        {"premise": f"the {word} have", "hypothesis": f"no {WORDS[n - 1]}", "label": ("yes", "no", "maybe")[n % 3]}
        for n, word in enumerate(WORDS)
    ],
    "similarity": [
        {"first": f"the {word} have", "second": f"no {WORDS[n - 1]}", "label": ("alike", "different")[n % 2]}
        for n, word in enumerate(WORDS)
    ],
    "choice": [
        {"context": f"the {word} have", "answers": ["peace", "no law", "a surplus"][: 2 + n % 2], "label": n % 2}
        for n, word in enumerate(WORDS)
    ],
}


def write_records(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def make_base(folder: Path, tokenizer: Path, family: str = "llama", rows: int = 0, seed: int = 1, **shape: Any) -> Path:
    """A model folder with random weights; `rows` more in the table than the tokenizer has."""
    kind, vocabulary = family_of(family), Tokenizer.load(tokenizer)
    sizes = {"context": 48, "width": 32, "depth": 2, "heads": 4, **shape}
    spec = kind.spec(Shape(vocab=vocabulary.vocab + rows, **sizes))
    model = LanguageModel(spec)
    initialise(model, kind.init(spec), seed)
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder, model, kind, vocabulary.end_of_text)
    vocabulary.save(folder)
    return folder
