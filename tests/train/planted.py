"""A bad batch at a known place of the data, whichever step meets it: its loss is a number that no batch should have."""

import pytest

from genus.data.loader import Loader
from genus.train import pretrain as pretrain_module
from genus.train.loop import Scored

__all__ = ["plant"]


def plant(monkeypatch: pytest.MonkeyPatch, factors: dict[int, float]) -> list[int]:
    """Multiply the loss of batch number `b` (from 0) by factors[b]. Gives the batches trained on, in order."""
    draw, make, prepare = Loader.__next__, pretrain_module._loss, pretrain_module._micro_batches
    drawn, seen = [0], []

    def drawing(self):
        drawn[0] = self.position // (self.batch * self.world)
        return draw(self)

    def preparing(*arguments, **named):
        seen.append(drawn[0])
        return prepare(*arguments, **named)

    def making(*arguments):
        loss = make(*arguments)

        def planted(batch):
            scored = loss(batch)
            return Scored(scored.total * factors.get(drawn[0], 1.0), scored.weight, scored.stats)

        return planted

    monkeypatch.setattr(Loader, "__next__", drawing)
    monkeypatch.setattr(pretrain_module, "_micro_batches", preparing)
    monkeypatch.setattr(pretrain_module, "_loss", making)
    return seen
