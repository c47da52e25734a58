"""Parameter counts of published sizes, by arithmetic, against the counts that their authors' files have."""

import pytest

from genus.models.families import FAMILIES, family_named

COUNTS = {
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "gptj-6b": 6_050_882_784,
    "bloom-560m": 559_214_592,
    "bloom-1b1": 1_065_314_304,
    "bloom-1b7": 1_722_408_960,
    "bloom-3b": 3_002_557_440,
    "bloom-7b1": 7_069_016_064,
    "bloom": 176_247_271_424,
    "llama-7b": 6_738_415_616,
    "llama-13b": 13_015_864_320,
    "llama-33b": 32_528_943_616,
    "llama-65b": 65_285_660_672,
    "llama2-70b": 68_976_648_192,
}
SIZES = {size: (name, shape) for name in FAMILIES for size, shape in family_named(name).sizes.items()}


def test_every_size_has_a_count():
    assert SIZES.keys() == COUNTS.keys()


@pytest.mark.parametrize("size", COUNTS)
def test_parameters(size):
    family, shape = SIZES[size]
    assert family_named(family).spec(shape).parameters == COUNTS[size]
