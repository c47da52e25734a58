"""The chunked cross-entropy against PyTorch's over all logits: sums, and gradients of hidden states, table and bias."""

import pytest
import torch
import torch.nn.functional as F

from genus.models.heads import Readout
from genus.train import cross_entropy as module
from genus.train.cross_entropy import cross_entropy


def some_readout(scale=1.0, bias=True, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    hidden, table, shift = (torch.randn(shape, generator=generator).to(dtype) for shape in ((37, 16), (53, 16), (53,)))
    leaves = [tensor.requires_grad_() for tensor in (hidden, table, shift)]
    return Readout(leaves[0], leaves[1], leaves[2] if bias else None, scale), leaves, torch.arange(37) % 53


@pytest.mark.parametrize("rows", [5, 37, 256])
@pytest.mark.parametrize(
    ("scale", "bias", "z_loss"), [(1.0, False, 0.0), (0.3, True, 0.0), (1.0, True, 1e-2), (0.5, False, 0.1)]
)
def test_sums_and_gradients_are_those_of_all_logits(monkeypatch, rows, scale, bias, z_loss):
    monkeypatch.setattr(module, "_CPU_ROWS", rows)
    read, leaves, targets = some_readout(scale, bias)
    loss, z = cross_entropy(read, targets, z_loss)
    (3 * loss).backward()
    ours = [leaf.grad for leaf in leaves]
    read, leaves, targets = some_readout(scale, bias)
    logits = F.linear(read.hidden, read.table, read.bias) * scale
    plain, squares = F.cross_entropy(logits, targets, reduction="sum"), z_loss * logits.logsumexp(-1).square().sum()
    (3 * (plain + squares)).backward()
    torch.testing.assert_close(torch.stack((loss, z)), torch.stack((plain, squares)))
    for mine, leaf in zip(ours, leaves, strict=True):
        torch.testing.assert_close(mine, leaf.grad, rtol=1e-4, atol=1e-5)


def test_autocast_multiplies_in_its_dtype_and_sums_in_fp32():
    read, leaves, targets = some_readout()
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = cross_entropy(read, targets)
    loss.backward()
    exact, _ = cross_entropy(some_readout()[0], targets)
    assert loss.dtype == leaves[1].grad.dtype == torch.float32
    assert 0 < abs(loss - exact) < 1e-2 * exact


def test_nothing_is_kept_for_a_gradient_that_nobody_wants():
    read, _, targets = some_readout()
    with torch.no_grad():
        loss, _ = cross_entropy(read, targets)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, cross_entropy(read, targets)[0].detach())


def test_no_tensor_is_as_large_as_all_logits(monkeypatch):
    """Kept and passing: nothing of tokens x vocab numbers is made at all."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Sizes(TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, tuple | list) else (out,):
                if isinstance(tensor, torch.Tensor):
                    Sizes.largest = max(Sizes.largest, tensor.numel())
            return out

    monkeypatch.setattr(module, "_CPU_ROWS", 8)
    read, _, targets = some_readout()
    with Sizes():
        cross_entropy(read, targets)[0].backward()
    assert Sizes.largest <= 53 * 16  # the table, whose gradient has to be


@pytest.mark.parametrize("z_loss", [0.0, 0.1])
def test_weights_weigh_sums_and_gradients(monkeypatch, z_loss):
    monkeypatch.setattr(module, "_CPU_ROWS", 5)
    weights = torch.rand(37, generator=torch.Generator().manual_seed(2))
    read, leaves, targets = some_readout(0.5)
    loss, z = cross_entropy(read, targets, z_loss, weights=weights)
    loss.backward()
    ours = [leaf.grad for leaf in leaves]
    read, leaves, targets = some_readout(0.5)
    logits = F.linear(read.hidden, read.table, read.bias) * 0.5
    plain = (F.cross_entropy(logits, targets, reduction="none") * weights).sum()
    squares = z_loss * (logits.logsumexp(-1).square() * weights).sum()
    (plain + squares).backward()
    torch.testing.assert_close(torch.stack((loss, z)), torch.stack((plain, squares)))
    for mine, leaf in zip(ours, leaves, strict=True):
        torch.testing.assert_close(mine, leaf.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("still", [0, 1, 2])
def test_what_stands_still_gets_no_gradient_and_changes_no_other(still):
    read, leaves, targets = some_readout()
    cross_entropy(read, targets)[0].backward()
    whole = [leaf.grad for leaf in leaves]
    read, leaves, targets = some_readout()
    leaves[still].requires_grad_(False)
    cross_entropy(read, targets)[0].backward()
    for number, leaf in enumerate(leaves):
        assert leaf.grad is None if number == still else torch.equal(leaf.grad, whole[number])
