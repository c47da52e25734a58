"""Genus: the open GPT family in one readable PyTorch code base.

    import genus
    model = genus.load("runs/demo/model")
    model.generate("We the people", max_tokens=64, temperature=0.8, seed=1)

Importing this package is quick; torch is imported when a model is.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genus.core.errors import GenusError
    from genus.engine.engine import Engine
    from genus.engine.model import Model, load
    from genus.engine.request import Request
    from genus.engine.sampling import Sampling
    from genus.tasks.classifier import load_classifier

__all__ = ["Engine", "GenusError", "Model", "Request", "Sampling", "load", "load_classifier"]

_HOMES = {
    "Engine": "genus.engine.engine",
    "GenusError": "genus.core.errors",
    "Model": "genus.engine.model",
    "Request": "genus.engine.request",
    "Sampling": "genus.engine.sampling",
    "load": "genus.engine.model",
    "load_classifier": "genus.tasks.classifier",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'genus' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
