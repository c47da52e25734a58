"""A bad batch at a known place of the data, whichever step meets it: its loss is a number that no batch should have."""

import pytest

from genus.data.loader import Loader
from genus.parallel.shard import Objective
from genus.train import pretrain as pretrain_module
from genus.train.loop import Scored

__all__ = ["plant"]


def plant(monkeypatch: pytest.MonkeyPatch, factors: dict[int, float]) -> list[int]:
    """Multiply the loss of batch number `b` (from 0) by factors[b]. Gives the batches trained on, in order."""
    draw, loss, prepare = Loader.__next__, Objective.forward, pretrain_module._micro_batches
    drawn, seen = [0], []

    def drawing(self):
        drawn[0] = self.position // (self.size * self.world)
        return draw(self)

    def preparing(*arguments, **named):
        seen.append(drawn[0])
        return prepare(*arguments, **named)

    def planted(self, batch):
        scored = loss(self, batch)
        return Scored(scored.total * factors.get(drawn[0], 1.0), scored.weight, scored.stats)

    monkeypatch.setattr(Loader, "__next__", drawing)
    monkeypatch.setattr(pretrain_module, "_micro_batches", preparing)
    monkeypatch.setattr(Objective, "forward", planted)
    return seen
