"""The fast attention against the written-out reference at every border: lengths, bands, strides, documents, ALiBi, sinks."""

import itertools
from dataclasses import replace

import pytest
import torch

from genus.models import attend
from genus.models.attend import DenseAttend, FastAttend
from genus.models.families import spec_of
from genus.models.spec import Strided

LENGTHS = (1, 2, 3, 7, 8, 9, 16, 23)


@pytest.mark.parametrize("window", [None, 1, 2, 3, 4, 5, 8, 30, Strided(stride=1), Strided(stride=3), Strided(stride=50)])
def test_fast_is_dense_with_gradients(window, monkeypatch):
    monkeypatch.setattr(attend, "_CPU_SEGMENT", 6)  # so that these lengths have several
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, requires_grad=True)

    for time, family, masked, sunk in itertools.product(LENGTHS, ("gpt2", "bloom"), (False, True), (False, True)):
        spec = spec_of(family, vocab=10, context=32, width=16, depth=1, heads=4)
        spec = replace(spec, attention=replace(spec.attention, kv_heads=2, windows=(window,)))
        documents = torch.randint(0, 3, (2, time), generator=generator).sort(1).values if masked else None
        inputs = [random(2, time, 4, 4), random(2, time, 2, 4), random(2, time, 2, 4)]
        inputs += [random(4)] if sunk else []
        found = []
        for route in (DenseAttend, FastAttend):
            out = route(spec, documents)(0, *inputs)
            found.append([out, *torch.autograd.grad(out.cos().sum(), inputs)])
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5, msg=f"{time} {family} {masked} {sunk}")
