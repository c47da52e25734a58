"""Genus: the open GPT family in one readable PyTorch code base.

    import genus
    model = genus.load("runs/demo/model")
    model.generate("We the people", max_tokens=64, temperature=0.8, seed=1)

Importing this package is quick; torch is imported when a model is.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genus.core.errors import GenusError
    from genus.engine.model import Model, load

__all__ = ["GenusError", "Model", "load"]

_HOMES = {"GenusError": "genus.core.errors", "Model": "genus.engine.model", "load": "genus.engine.model"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'genus' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
