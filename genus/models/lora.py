"""LoRA (arXiv 2106.09685): matrices stay as they are, and a small product that is added to them learns.

peft's files are lora_files.py's.
"""

import math
from collections.abc import Collection, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.core.errors import GenusError

__all__ = ["LoraLinear", "add_lora", "lora_parts", "merge_lora"]


class LoraLinear(nn.Linear):
    """y = x W^T + b + scale * (dropout(x) A^T) B^T. B is zero at first, so that nothing is added.

    lora_a (rank, in), lora_b (out, rank). weight and bias are those of the linear part it stands for, under their names.
    """

    def __init__(self, linear: nn.Linear, rank: int, scale: float, dropout: float) -> None:
        nn.Module.__init__(self)  # no weights of its own
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.scale, self.dropout = scale, dropout
        device = linear.weight.device
        self.lora_a = nn.Parameter(torch.empty(rank, linear.in_features, device=device))
        self.lora_b = nn.Parameter(torch.zeros(linear.out_features, rank, device=device))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))  # as peft draws it

    def forward(self, x: Tensor) -> Tensor:
        learned = F.linear(F.linear(F.dropout(x, self.dropout, self.training), self.lora_a), self.lora_b)
        return F.linear(x, self.weight, self.bias) + self.scale * learned

    def merged(self) -> nn.Linear:
        """A plain linear part that computes the same."""
        with torch.device("meta"):
            linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None)
        linear.weight = nn.Parameter((self.weight + self.scale * self.lora_b @ self.lora_a).detach())
        linear.bias = self.bias
        return linear


def add_lora(model: nn.Module, parts: Collection[str], rank: int, alpha: float, dropout: float = 0.0) -> None:
    """Let only LoRA's matrices learn, on the linear parts of the blocks that are called so: q, k, v, out, up, gate, down.

    What is in no block, such as a score head, learns as it is if it is a score's; the rest stands still.
    Raises GenusError when a part is in no block.
    """
    found: set[str] = set()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.endswith("score.weight"))
    for path, module in list(model.named_modules()):
        name = path.rpartition(".")[2]
        if isinstance(module, nn.Linear) and ".blocks." in path and name in parts:
            found.add(name)
            _put(model, path, LoraLinear(module, rank, alpha / rank, dropout))
    if missing := sorted(set(parts) - found):
        there = {path.rpartition(".")[2] for path, part in model.named_modules() if isinstance(part, nn.Linear)}
        raise GenusError(f"lora.parts names {', '.join(missing)}, which the model's blocks lack; choose of {sorted(there)}")


def merge_lora(model: nn.Module) -> None:
    """Add what LoRA learned to the matrices, in place; the model is then as if it had never been there."""
    for path, part in list(lora_parts(model)):
        _put(model, path, part.merged())
    for parameter in model.parameters():
        parameter.requires_grad_(True)


def lora_parts(model: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    """The parts that learn, by their place in the model."""
    return ((path, part) for path, part in model.named_modules() if isinstance(part, LoraLinear))


def _put(model: nn.Module, path: str, part: nn.Module) -> None:
    home, _, name = path.rpartition(".")
    setattr(model.get_submodule(home), name, part)
