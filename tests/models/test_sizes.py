"""Parameter counts of published sizes, by arithmetic and of the model itself on the meta device, against their authors'."""

import pytest
import torch

from genus.models.families import FAMILIES, family_named
from genus.models.heads import LanguageModel

COUNTS = {
    "gpt1": 116_534_784,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "gpt-neo-125m": 125_198_592,
    "gpt-neo-1.3b": 1_315_575_808,
    "gpt-neo-2.7b": 2_651_307_520,
    "gptj-6b": 6_050_882_784,
    "gpt-neox-20b": 20_554_567_680,
    "pythia-14m": 14_067_712,
    "pythia-31m": 30_494_720,
    "pythia-70m": 70_426_624,
    "pythia-160m": 162_322_944,
    "pythia-410m": 405_334_016,
    "pythia-1b": 1_011_781_632,
    "pythia-1.4b": 1_414_647_808,
    "pythia-2.8b": 2_775_208_960,
    "pythia-6.9b": 6_857_302_016,
    "pythia-12b": 11_846_072_320,
    "opt-125m": 125_239_296,
    "opt-350m": 331_196_416,
    "opt-1.3b": 1_315_758_080,
    "opt-2.7b": 2_651_596_800,
    "opt-6.7b": 6_658_473_984,
    "opt-13b": 12_853_473_280,
    "opt-30b": 29_974_540_288,
    "opt-66b": 65_719_701_504,
    "opt-175b": 174_604_468_224,
    "bloom-560m": 559_214_592,
    "bloom-1b1": 1_065_314_304,
    "bloom-1b7": 1_722_408_960,
    "bloom-3b": 3_002_557_440,
    "bloom-7b1": 7_069_016_064,
    "bloom-176b": 176_247_271_424,
    "llama-7b": 6_738_415_616,
    "llama-13b": 13_015_864_320,
    "llama-33b": 32_528_943_616,
    "llama-65b": 65_285_660_672,
    "llama2-7b": 6_738_415_616,
    "llama2-13b": 13_015_864_320,
    "llama2-70b": 68_976_648_192,
    "llama3-8b": 8_030_261_248,
    "llama3.1-8b": 8_030_261_248,
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
    # ours: two tables, 12 or 24 blocks of 12 width^2, their two norms and two of a head of 64, and the last norm
    "modern-162m": 2 * 50257 * 768 + 12 * (12 * 768**2 + 2 * 768 + 2 * 64) + 768,
    "modern-405m": 2 * 50257 * 1024 + 24 * (12 * 1024**2 + 2 * 1024 + 2 * 64) + 1024,
}
# Published in words only: (billions, and how far the word may be rounded)
ROUNDED = {
    "gpt3-small": (0.125, 0.01),
    "gpt3-medium": (0.350, 0.02),
    "gpt3-large": (0.760, 0.01),
    "gpt3-xl": (1.3, 0.02),
    "gpt3-2.7b": (2.7, 0.02),
    "gpt3-6.7b": (6.7, 0.01),
    "gpt3-13b": (13.0, 0.02),
    "gpt3-175b": (175.0, 0.003),
    "palm-8b": (8.63, 0.001),
    "palm-62b": (62.50, 0.001),
    "palm-540b": (540.35, 0.0001),
    "galactica-mini": (0.125, 0.01),
    "galactica-base": (1.3, 0.02),
    "galactica-standard": (6.7, 0.01),
    "galactica-large": (30.0, 0.01),
    "galactica-huge": (120.0, 0.02),
}
ACTIVE = {"gpt-oss-20b": 3.61, "gpt-oss-120b": 5.13}  # billions, on the model card, which leaves out the table of tokens
SIZES = {size: spec for name in FAMILIES for size, spec in family_named(name).sizes.items()}


def test_every_size_has_a_count():
    assert SIZES.keys() == COUNTS.keys() | ROUNDED.keys()


@pytest.mark.parametrize("size", SIZES)
def test_parameters(size):
    spec = SIZES[size]
    with torch.device("meta"):
        model = LanguageModel(spec)
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert counted == spec.parameters
    if size in COUNTS:
        assert counted == COUNTS[size]
    else:
        billions, share = ROUNDED[size]
        assert counted / 1e9 == pytest.approx(billions, rel=share)


@pytest.mark.parametrize("size", ACTIVE)
def test_active_parameters(size):
    spec = SIZES[size]
    assert round((spec.active_parameters - spec.vocab * spec.width) / 1e9, 2) == ACTIVE[size]


@pytest.mark.parametrize("size, windows", [
    ("gpt3-175b", (None, 256)), ("gpt-neo-1.3b", (None, 256)), ("gpt-oss-20b", (128, None)), ("opt-175b", (None,)),
])  # fmt: skip
def test_the_order_of_windows(size, windows):
    assert SIZES[size].attention.windows == windows
