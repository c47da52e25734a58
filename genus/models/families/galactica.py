"""Galactica (Meta, 2022; arXiv 2211.09085). Against OPT, whose files it uses: exact GELU, no bias in any map and neither
gain nor bias in the norms, a vocabulary of 50,000 learned from papers, with tokens for citations, formulas and proteins."""

from dataclasses import replace

from genus.models.families import opt
from genus.models.family import Shape
from genus.models.spec import DecoderSpec, Norm

_SIZES = {  # width, depth, heads
    "galactica-mini": (768, 12, 12),
    "galactica-base": (2048, 24, 32),
    "galactica-standard": (4096, 32, 32),
    "galactica-large": (7168, 48, 56),
    "galactica-huge": (10240, 96, 80),
}


def _spec(shape: Shape) -> DecoderSpec:
    spec = opt.FAMILY.spec(shape)
    return replace(
        spec,
        norm=Norm(bias=False, gain=False),
        attention=replace(spec.attention, bias=False, out_bias=False),
        mlp=replace(spec.each_mlp, activation="gelu", bias=False),
    )


FAMILY = replace(
    opt.FAMILY,
    name="galactica",
    title="Galactica (2022)",
    sizes={
        name: _spec(Shape(vocab=50000, context=2048, width=width, depth=depth, heads=heads))
        for name, (width, depth, heads) in _SIZES.items()
    },
    spec=_spec,
)
