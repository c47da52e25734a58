"""Every family by name. A family is one file of data; adding one adds its name to FAMILIES below and nothing elsewhere."""

import difflib
from importlib import import_module

from genus.core.errors import GenusError
from genus.models.family import Family, Shape
from genus.models.spec import DecoderSpec

__all__ = ["FAMILIES", "family_named", "family_of", "published", "spec_of"]

FAMILIES = (
    "gpt1",
    "gpt2",
    "gpt3",
    "gpt_neo",
    "gptj",
    "gpt_neox",
    "opt",
    "bloom",
    "palm",
    "galactica",
    "llama",
    "gpt_oss",
    "modern",
)


def family_named(name: str) -> Family:
    """The family of that name. Raises GenusError with the choices."""
    if name not in FAMILIES:
        near = difflib.get_close_matches(name, FAMILIES, 1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(FAMILIES)}"
        raise GenusError(f"{name!r} is not a family; {hint}")
    family: Family = import_module(f"{__name__}.{name}").FAMILY
    return family


def family_of(model_type: str) -> Family:
    """The family that reads a config.json with that model_type."""
    families = [family_named(name) for name in FAMILIES]
    for family in families:
        if family.model_type == model_type:
            return family
    known = ", ".join(family.model_type for family in families)
    raise GenusError(f"model_type {model_type[:80]!r} is not one that Genus reads; it reads {known}")


def published(size: str) -> tuple[Family, DecoderSpec]:
    """The family and spec of a published size. Raises GenusError with the nearest name."""
    sizes = {name: (family, spec) for family in map(family_named, FAMILIES) for name, spec in family.sizes.items()}
    if size not in sizes:
        near = difflib.get_close_matches(size, sizes, 1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "`genus models` lists them"
        raise GenusError(f"{size[:80]!r} is not a published size; {hint}")
    return sizes[size]


def spec_of(name: str, **shape: int | float) -> DecoderSpec:
    """A spec by family and shape: spec_of("gpt2", vocab=8192, context=256, width=256, depth=4, heads=4)."""
    return family_named(name).spec(Shape(**shape))  # type: ignore[arg-type]
