"""The model that a recipe asks for: a published size by its name, or a family's shape."""

from dataclasses import replace
from typing import Any

from genus.core.errors import GenusError
from genus.models.families import family_named, published
from genus.models.family import Family, Shape
from genus.models.spec import DecoderSpec, Experts, Strided
from genus.train.recipe import ModelRecipe

__all__ = ["shape_model"]

_SHAPE = ("context", "width", "depth", "heads", "kv_heads", "hidden", "window", "stride", "experts", "per_token", "dropout")


def shape_model(model: ModelRecipe, vocab: int = 0) -> tuple[Family, DecoderSpec]:
    """The family and spec of a recipe, for text whose vocabulary has `vocab` tokens.

    Raises GenusError for a shape that cannot be, and where the recipe contradicts the size or the family it names.
    """
    if model.size:
        family, spec = published(model.size)
        rows, context = model.vocab or spec.vocab, model.context or spec.context
        spec = replace(spec, vocab=rows, context=context, dropout=model.dropout)
    else:
        family = family_named(model.family or "")
        chosen: dict[str, Any] = {name: getattr(model, name) for name in _SHAPE}
        spec = family.spec(Shape(vocab=model.vocab or vocab, **chosen))
    if spec.vocab < vocab:
        raise GenusError(f"a table of {spec.vocab:,} rows is too small for {vocab:,} tokens; set model.vocab = {vocab}")
    for name, value in _of(family, spec).items():
        given = getattr(model, name)
        if given is not None and value is None:
            raise GenusError(f"model.{name} = {given} is nothing that {model.size or family.name} has; leave it out")
        if given not in (None, value):
            raise GenusError(f"model.{name} = {given}, but {model.size} has {value}; leave one of the two out")
    return family, spec


def _of(family: Family, spec: DecoderSpec) -> dict[str, Any]:
    """What a recipe may say of a spec and must not contradict, under the recipe's names; None is what it has none of."""
    attention, mlp = spec.attention, spec.mlp
    return {
        "family": family.name,
        "width": spec.width,
        "depth": spec.depth,
        "heads": attention.heads,
        "kv_heads": attention.kv_heads,
        "hidden": spec.each_mlp.hidden,
        "window": next((window for window in attention.windows if isinstance(window, int)), None),
        "stride": next((window.stride for window in attention.windows if isinstance(window, Strided)), None),
        "experts": mlp.count if isinstance(mlp, Experts) else None,
        "per_token": mlp.per_token if isinstance(mlp, Experts) else None,
    }
