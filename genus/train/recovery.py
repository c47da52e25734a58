"""What a run does about a spike, beside leaving its update out: go back to a checkpoint, and on otherwise, or nothing more.

PaLM went back about 100 steps and left out the 200 to 500 batches from there on (arXiv 2204.02311, section 5.1); OPT went
back and on with a lower learning rate (arXiv 2205.01068, section 2.5). Finding spikes is guard.py's.
"""

import math
from pathlib import Path
from typing import Any

import torch

from genus.core.errors import GenusError
from genus.data.loader import Loader
from genus.train.checkpoint import load_newest, remove_checkpoints, saved_steps
from genus.train.loop import Step, TrainState
from genus.train.recipe import Every
from genus.train.recipe import Recovery as Recipe

__all__ = ["Recovery", "remove_later", "require_finite"]


class Recovery:
    """The detours of a run. `state()` travels with the checkpoint, so that a run killed after one goes on as it would have.

    All that a detour changes is told by the state at its spike, so that one cut short and made again is the same.
    """

    def __init__(self, recipe: Recipe, every: Every) -> None:
        self.recipe, self.every = recipe, every
        self.spikes: list[int] = []  # the step of each spike that the run went back for
        self.rate = 1.0  # of the learning rate

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"spikes": self.spikes, "rate": self.rate}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.spikes, self.rate = list(state["spikes"]), state["rate"]

    def leaves(self, step: Step) -> bool:
        """Whether the run goes back for this step.

        Not before it is past the last spike that it went back for: a batch that spikes again is only left out.
        """
        return self.recipe.goes_back and not step.applied and step.number > max(self.spikes, default=0)

    def action(self, step: Step) -> str:
        """What is done about a step that was refused, in a word."""
        return self.recipe.spike if self.leaves(step) else "skip"

    def keep(self, folder: Path, step: int) -> int:
        """Checkpoints to keep with that of `step`: those of a stop between two do not push out those to go back to."""
        odd = [saved for saved in {step, *saved_steps(folder)} if self.every.checkpoint and saved % self.every.checkpoint]
        return self.every.keep + len(odd)

    def go_back(self, step: Step, state: TrainState, loader: Loader, folder: Path) -> None:
        """Put an earlier checkpoint into `state`, and `loader` where the run goes on from.

        Raises GenusError when there is none, or when the run went back too often.
        """
        if len(self.spikes) >= self.recipe.tries:
            raise GenusError(
                f"training stopped: the run went back {len(self.spikes)} times, and step {step.number} is a spike again; "
                "raise recovery.tries, or lower optim.lr and add --restart"
            )
        at_spike, rows = loader.position, loader.size * loader.world
        target = max(0, step.number - self.recipe.back) // self.every.checkpoint * self.every.checkpoint
        extra = load_newest(folder, state, target)
        if extra is None:
            raise GenusError(
                f"training stopped: there is no checkpoint {self.recipe.back} steps before the spike at step {step.number}; "
                "the same command with --recovery.spike skip goes on from the newest"
            )
        loader.position, loader.passed = extra["position"], extra.get("passed", 0)
        if self.recipe.spike == "rollback":
            left_out = at_spike - loader.position + self.recipe.ahead * rows
            loader.position, loader.passed = loader.position + left_out, loader.passed + left_out
        else:
            self.rate *= self.recipe.factor
        self.spikes.append(step.number)

    def told(self, step: Step, state: TrainState) -> str:
        """The detour just taken, for people."""
        what = f"went back from the spike at step {step.number:,} to step {state.step:,}, "
        if self.recipe.spike == "rollback":
            return what + f"on with the batches from {self.recipe.ahead:,} after it on"
        return what + f"on with {self.rate:.3g} of the learning rate"


def require_finite(state: TrainState) -> None:
    """Raise GenusError where a weight or a moment of the optimizer is not finite: such a state is worth no checkpoint."""
    kept = [value for values in state.optimizer.state.values() for value in values.values()]
    tensors = [getattr(tensor, "_local_tensor", tensor).detach() for tensor in (*state.model.parameters(), *kept)]
    tensors = [tensor for tensor in tensors if tensor.is_floating_point()]
    largest = torch.stack([norm.float() for norm in torch._foreach_norm(tensors, math.inf)])
    if not torch.isfinite(largest).all():
        raise GenusError(
            f"training stopped: after step {state.step} a weight is not finite, so that it was not saved; the checkpoint "
            "before is whole: go on from it with --recovery.spike lower, or lower optim.lr and add --restart"
        )


def remove_later(folder: Path, step: int) -> None:
    """Remove the checkpoints after `step`, which the run has left."""
    remove_checkpoints([folder / f"step-{later}" for later in saved_steps(folder) if later > step])
