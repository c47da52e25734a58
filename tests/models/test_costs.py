"""What a model costs: numbers worked out by hand from the papers' shapes, and matrix products counted by PyTorch."""

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from genus.models.attend import DenseAttend
from genus.models.costs import cache_numbers, generating_flop
from genus.models.families import FAMILIES, family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.spec import Strided

SIZES = {size: spec for name in FAMILIES for size, spec in family_named(name).sizes.items()}


@pytest.mark.parametrize("size, tokens, numbers", [
    ("llama2-70b", 1, 2 * 80 * 8 * 128),
    ("llama2-70b", 4096, 4096 * 2 * 80 * 8 * 128),
    ("palm-540b", 1, 2 * 118 * 1 * 256),
    ("gpt-oss-20b", 128, 128 * 2 * 24 * 8 * 64),
    ("gpt-oss-20b", 131072, (12 * 131072 + 12 * 128) * 2 * 8 * 64),
    ("gpt3-175b", 2048, (48 * 2048 + 48 * 256) * 2 * 96 * 128),
])  # fmt: skip
def test_keys_and_values_to_keep(size, tokens, numbers):
    assert cache_numbers(SIZES[size], tokens) == numbers


def test_a_strided_layer_keeps_all():
    spec = SIZES["gpt2"]
    strided = replace(spec, attention=replace(spec.attention, windows=(Strided(stride=32),)))
    assert cache_numbers(strided, 1000) == cache_numbers(spec, 1000) == 1000 * 2 * 12 * 12 * 64


def test_training_gpt3():
    """6 N and attention: of 96 layers 48 see 2,048 keys and 48 see 256."""
    width, depth, vocab = 12288, 96, 50257
    multiplied = depth * (12 * width**2 + 13 * width) + 2 * width + vocab * width
    attention = 12 * 96 * 128 * (48 * 2048 + 48 * 256)
    assert SIZES["gpt3-175b"].training_flop(2048) == 6 * multiplied + attention


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_generating_is_what_a_forward_multiplies(kv_heads):
    """The last token of a row of 24 sees 24; written out densely, each token of the row costs as much."""
    spec = spec_of("palm", vocab=64, context=24, width=32, depth=3, heads=4, kv_heads=kv_heads)
    spec = replace(spec, norm=replace(spec.norm, gain=False))  # gains are parameters, but no matrix products
    with torch.device("meta"):
        model = LanguageModel(spec)
        tokens = torch.zeros((1, 24), dtype=torch.long)
        with FlopCounterMode(display=False) as counter:
            model(tokens, torch.arange(24)[None], DenseAttend(spec))
    assert generating_flop(spec, 24) * 24 == counter.get_total_flops()
