"""What a person should know of a run that pleases a reward model, in plain words; above all when it seems to cheat."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from genus.core.progress import say

__all__ = ["Monitor", "correlation"]

_FAR = 10.0  # nats from the start model, beyond which answers are seldom what people meant to reward


class Monitor:
    """Looks at the figures of each rollout and says what is odd, each oddity once."""

    def __init__(self) -> None:
        self.first: Mapping[str, float] | None = None
        self.said: set[int] = set()

    def note(self, figures: Mapping[str, float]) -> list[str]:
        """Figures of a rollout, as PPO writes them into the metrics; what is new, in words."""
        first = self.first = self.first or dict(figures)
        gained = figures["reward"] > first["reward"]
        signs = {
            f"answers are {figures['kl']:.0f} nats from the start model": figures["kl"] > _FAR,
            "longer answers are rewarded for their length": figures["length_correlation"] > 0.7
            and figures["answer_tokens"] > 1.5 * first["answer_tokens"],
            "answers repeat themselves": figures["repetition"] > 2 * first["repetition"] + 0.05,
            "answers no longer end": figures["ended"] < 0.5 * first["ended"],
            "answers are all alike": figures["entropy"] < 0.2 * first["entropy"],
        }
        rose = f"the reward rose from {first['reward']:.2f} to {figures['reward']:.2f}"
        found = []
        for number, (sign, there) in enumerate(signs.items()):
            if there and gained and number not in self.said:
                self.said.add(number)
                found.append(f"reward hacking? While {rose}, {sign}: read samples, raise kl, or stop earlier")
                say(found[-1])
        return found


def correlation(one: Tensor, other: Tensor) -> float:
    """Pearson's; 0 where one of them does not vary."""
    found = float(torch.corrcoef(torch.stack((one.double(), other.double())))[0, 1]) if len(one) > 1 else 0.0
    return 0.0 if math.isnan(found) else found
