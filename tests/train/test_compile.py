"""The compiled step computes what the plain one does. Slow: a compiler runs."""

import shutil

import pytest

from genus.core.errors import GenusError
from genus.train.journal import read_journal
from genus.train.machine import compiled, use_compile
from genus.train.pretrain import pretrain
from tests.train.tiny import tiny_recipe


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler's own
@pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler")
def test_compiled_losses_are_those_of_the_plain_step(tiny_shards, tmp_path):
    from genus.train.recipe import ModelRecipe

    model = ModelRecipe(family="llama", context=32, width=24, depth=1, heads=3)
    for name in ("off", "on"):
        pretrain(tiny_recipe(tiny_shards, tmp_path / name, steps=4, compile=name, model=model))
    plain, compiled = (
        [record["loss"] for record in read_journal(tmp_path / name / "metrics.jsonl") if "loss" in record]
        for name in ("off", "on")
    )
    assert compiled == pytest.approx(plain, rel=1e-5)


def test_compiling_without_a_compiler_is_said(monkeypatch):
    import torch

    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(GenusError, match=r"C\+\+ compiler"):
        use_compile("on", torch.device("cpu"))
    assert not use_compile("auto", torch.device("cpu"))


def test_a_compiler_that_fails_is_done_without_unless_it_was_asked_for(monkeypatch, capsys):
    import torch

    calls = []

    def broken(_module):
        def call(*_inputs):
            calls.append(1)
            raise torch._dynamo.exc.TorchDynamoException("no such header\nand much more")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    double = compiled(lambda x: 2 * x, "auto")
    assert [double(3), double(4)] == [6, 8]
    assert len(calls) == 1  # not asked again
    said = capsys.readouterr().err
    assert said.count("no such header") == 1 and "much more" not in said
    with pytest.raises(GenusError, match=r"no such header.*compile = off"):
        compiled(lambda x: 2 * x, "on")(3)
