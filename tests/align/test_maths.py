"""The formulas of alignment against numbers worked out by hand, or another way."""

import math

import pytest
import torch

from genus.align.advantage import adapted_kl, advantages_of, token_rewards, whitened
from genus.align.log_probs import log_probs
from genus.align.losses import clipped_policy_loss, clipped_value_loss, dpo_losses, ranking_loss
from genus.models.heads import Readout


def test_equal_rewards_cost_ln_2():
    assert ranking_loss(torch.zeros(2), (1, 2)).item() == pytest.approx(math.log(2))
    assert ranking_loss(torch.full((5,), 3.0), (4, 1, 2, 3, 5)).item() == pytest.approx(math.log(2))


def test_swapping_ranks_flips_the_margin():
    rewards = torch.tensor([1.5, 0.0])
    assert ranking_loss(rewards, (1, 2)).item() == pytest.approx(math.log(1 + math.exp(-1.5)))
    assert ranking_loss(rewards, (2, 1)).item() == pytest.approx(math.log(1 + math.exp(1.5)))


def test_the_loss_of_k_answers_is_the_mean_of_its_pairs():
    torch.manual_seed(0)
    rewards, ranks = torch.randn(6, dtype=torch.float64), (3, 1, 2, 2, 5, 4)
    pairs = [
        -math.log(1 / (1 + math.exp(float(rewards[j] - rewards[i]))))
        for i in range(6)
        for j in range(6)
        if ranks[i] < ranks[j]
    ]
    assert len(pairs) == 14  # 15 without the tie
    assert ranking_loss(rewards, ranks).item() == pytest.approx(sum(pairs) / 14)


def test_dpo_starts_at_ln_2():
    for smoothing in (0.0, 0.2):
        assert dpo_losses(torch.zeros(3), 0.1, smoothing).tolist() == pytest.approx([math.log(2)] * 3)
    assert dpo_losses(torch.tensor([2.0]), 0.5).item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert dpo_losses(torch.tensor([5.0]), 0.1, kind="ipo").item() == 0


def test_advantages_worked_by_hand():
    # gamma 0.5, lambda 0.5: delta = (1 + 0.5 * 2 - 1, 0 + 0.5 * 3 - 2, 4 - 3) = (1, -0.5, 1)
    # A_3 = 1; A_2 = -0.5 + 0.25 * 1 = -0.25; A_1 = 1 + 0.25 * -0.25 = 0.9375
    rewards, values = torch.tensor([[1.0, 0.0, 4.0]]), torch.tensor([[1.0, 2.0, 3.0]])
    assert advantages_of(rewards, values, 0.5, 0.5).tolist() == [[0.9375, -0.25, 1.0]]
    # with lambda 1 and gamma 1 it is what is still earned, less the value
    assert advantages_of(rewards, values, 1.0, 1.0).tolist() == [[4.0, 2.0, 1.0]]


def test_what_fills_an_episode_up_changes_nothing():
    rewards, values = torch.tensor([[1.0, 2.0, 0.0, 0.0]]), torch.tensor([[0.5, 0.25, 0.0, 0.0]])
    short = advantages_of(rewards[:, :2], values[:, :2], 0.9, 0.95)
    assert torch.equal(advantages_of(rewards, values, 0.9, 0.95)[:, :2], short)


def test_the_score_comes_last_and_each_token_pays_for_its_ratio():
    found = token_rewards(
        torch.tensor([2.0, -1.0]), torch.tensor([[0.5, 1.0, 0.0], [1.0, 1.0, 2.0]]), torch.tensor([2, 3]), 0.1
    )
    torch.testing.assert_close(found, torch.tensor([[-0.05, 1.9, 0.0], [-0.1, -0.1, -1.2]]))


def test_whitening():
    values = torch.tensor([1.0, 2.0, 3.0, 6.0])
    torch.testing.assert_close(whitened(values), (values - 3) / math.sqrt(3.5))
    assert whitened(values, shift=False).mean().item() == pytest.approx(3.0)


def test_the_penalty_follows_the_divergence():
    assert adapted_kl(0.1, 6.0, 6.0, 64) == 0.1
    assert adapted_kl(0.1, 6.6, 6.0, 1000) == pytest.approx(0.1 * 1.01)
    assert adapted_kl(0.1, 60.0, 6.0, 1000) == pytest.approx(0.1 * 1.02)  # no more than a fifth counts
    assert adapted_kl(0.1, 0.0, 6.0, 1000) == pytest.approx(0.1 * 0.98)


def test_the_clip_holds_what_gained_enough():
    old = torch.zeros(4)
    new = torch.tensor([1.5, 1.5, 0.5, 0.5]).log()
    losses, held = clipped_policy_loss(new, old, torch.tensor([1.0, -1.0, 1.0, -1.0]), 0.2)
    torch.testing.assert_close(losses, torch.tensor([-1.2, 1.5, -0.5, 0.8]))
    assert held.tolist() == [True, False, False, True]


def test_the_larger_error_of_a_value_counts():
    found = clipped_value_loss(torch.tensor([2.0, 0.1]), torch.tensor([0.0, 0.0]), torch.tensor([3.0, 3.0]), 0.5)
    torch.testing.assert_close(found, torch.tensor([0.5 * 2.5**2, 0.5 * 2.9**2]))


@pytest.mark.parametrize("bias", [False, True])
def test_log_probs_and_their_gradients_are_those_of_the_plain_formula(bias):
    torch.manual_seed(1)
    hidden, table = torch.randn(7, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)
    offset = torch.randn(11, requires_grad=True) if bias else None
    targets, by = torch.randint(0, 11, (7,)), torch.randn(7)
    inputs = [each for each in (hidden, table, offset) if each is not None]
    found = log_probs(Readout(hidden, table, offset, 0.5), targets, temperature=0.7, chunk=3)
    logits = hidden @ table.T if offset is None else hidden @ table.T + offset
    logs = torch.log_softmax(logits * 0.5 / 0.7, -1)
    expected = logs[torch.arange(7), targets]
    torch.testing.assert_close(found, expected)
    for mine, plain in zip(torch.autograd.grad(found, inputs, by), torch.autograd.grad(expected, inputs, by), strict=True):
        torch.testing.assert_close(mine, plain)
