"""From rewards to advantages (arXiv 1506.02438) and what keeps a policy near where it began. Arithmetic over padded tensors:
(episodes, time), places from an episode's end on are zero."""

import torch
from torch import Tensor

__all__ = ["adapted_kl", "advantages_of", "token_rewards", "whitened"]


def token_rewards(scores: Tensor, log_ratios: Tensor, lengths: Tensor, kl: float) -> Tensor:
    """What each token earns: minus `kl` times log pi/ref, and the last one the score besides (arXiv 1909.08593, 2.2).

    scores, lengths (episodes,), log_ratios (episodes, time).
    """
    rewards = -kl * log_ratios
    return rewards.scatter_add(1, (lengths - 1)[:, None], scores[:, None])


def advantages_of(rewards: Tensor, values: Tensor, gamma: float, lam: float) -> Tensor:
    """delta_t = r_t + gamma V_{t+1} - V_t, A_t = delta_t + gamma lam A_{t+1}; V and A after the last token are 0.

    All (episodes, time). Returns are the advantages plus the values.
    """
    found, ahead = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0])
    following = torch.zeros_like(ahead)
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * following - values[:, t]
        ahead = delta + gamma * lam * ahead
        found[:, t], following = ahead, values[:, t]
    return found


def whitened(values: Tensor, shift: bool = True) -> Tensor:
    """Of deviation 1, and unless not `shift` of mean 0: (x - mean) / sqrt(variance + 1e-8)."""
    mean, variance = values.mean(), values.var(correction=0)
    out = (values - mean) * torch.rsqrt(variance + 1e-8)
    return out if shift else out + mean


def adapted_kl(kl: float, found: float, target: float, episodes: int, horizon: int = 10_000) -> float:
    """The penalty after some episodes whose divergence was `found` nats where `target` was wanted (1909.08593, 2.2)."""
    error = max(-0.2, min(0.2, found / target - 1))
    return kl * (1 + error * episodes / horizon)
