"""The layout and the plan on paper: what cannot be is refused before any process waits for another."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from genus.core.errors import GenusError
from genus.models.families import family_named
from genus.models.family import Shape
from genus.parallel.mesh import Ranks
from genus.parallel.plan import placements
from genus.parallel.recipe import Layout, Parallel, check_layout, layout_of
from genus.parallel.shard import Objective, shard
from genus.train.losses import next_token
from genus.train.pretrain import pretrain
from tests.distributed.worker import model_of, rows_of, spec_of
from tests.train.tiny import tiny_recipe

SPEC = family_named("llama").spec(Shape(vocab=100, context=32, width=48, depth=2, heads=4, kv_heads=2, hidden=20))
EXPERTS = family_named("gpt_oss").spec(Shape(vocab=100, context=32, width=48, depth=2, heads=4, kv_heads=2))


@pytest.mark.parametrize(
    ("parallel", "world", "layout"),
    [
        (Parallel(), 1, Layout(1, 1, 1)),
        (Parallel(), 8, Layout(1, 8, 1)),
        (Parallel(replicate=2), 8, Layout(2, 4, 1)),
        (Parallel(replicate=2, tensor=2), 8, Layout(2, 2, 2)),
        (Parallel(shard=2, tensor=4), 8, Layout(1, 2, 4)),
    ],
)
def test_what_is_left_is_shards(parallel, world, layout):
    assert layout_of(parallel, world) == layout
    assert layout.world == world


@pytest.mark.parametrize(
    ("parallel", "world", "start"), [(Parallel(tensor=2), 1, 2), (Parallel(shard=3), 4, 3), (Parallel(replicate=3), 4, 3)]
)
def test_a_layout_of_other_processes_is_refused(parallel, world, start):
    with pytest.raises(GenusError, match=rf"the {world} processes there are; start {start} "):
        layout_of(parallel, world)


@pytest.mark.parametrize(
    ("layout", "spec", "rows", "named"),
    [
        (Layout(1, 3, 1), SPEC, (8, 4), "batch = 8"),
        (Layout(1, 2, 1), SPEC, (12, 4), "micro_batch = 4"),
        (Layout(1, 1, 4), SPEC, (8, 4), "model.kv_heads = 2"),
        (Layout(1, 1, 2), replace(SPEC, context=33), (8, 4), "model.context = 33"),
        (Layout(1, 1, 2), replace(SPEC, mlp=replace(SPEC.each_mlp, hidden=21)), (8, 4), "model.hidden = 21"),
        (Layout(1, 1, 2), EXPERTS, (8, 4), "experts"),
    ],
)
def test_what_does_not_divide_is_named(layout, spec, rows, named):
    with pytest.raises(GenusError, match=named):
        check_layout(layout, spec, *rows)
    check_layout(Layout(), spec, *rows)


def test_a_run_of_one_process_asks_for_two(tiny_shards, tmp_path):
    with pytest.raises(GenusError, match="tensor 2 does not make the 1 processes"):
        pretrain(tiny_recipe(tiny_shards, tmp_path / "run", parallel=Parallel(tensor=2)))
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU may have fp8")
def test_fp8_is_refused_where_there_is_none(tiny_shards, tmp_path):
    with pytest.raises(GenusError, match=r"parallel.fp8 needs a GPU"):
        pretrain(tiny_recipe(tiny_shards, tmp_path / "run", parallel=Parallel(fp8=True)))


def test_recomputed_activations_of_one_process(tiny_shards, tmp_path):
    """With dropout, whose draws must be the same the second time."""
    for name, checkpointing in (("kept", "none"), ("again", "full")):
        pretrain(tiny_recipe(tiny_shards, tmp_path / name, steps=3, parallel=Parallel(checkpointing=checkpointing)))
    kept, again = (tmp_path / name / "model/model.safetensors" for name in ("kept", "again"))
    assert kept.read_bytes() == again.read_bytes()


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # PyTorch's tracer looks there
def test_compiled_blocks_are_one_program(monkeypatch):
    """Twelve layers of two kinds: not a program each, of which PyTorch would give up after eight; and the same loss."""
    from torch._dynamo.testing import CompileCounter

    spec, family = spec_of("gpt_neo")
    spec = replace(spec, depth=12)
    model, batch, counter = model_of(spec, family), rows_of([0, 1]), CompileCounter()
    expected = next_token(model, batch).total.item()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    objective = Objective(model, next_token)
    shard(objective, Parallel(), Ranks(), bf16=False, compiled=True)
    assert objective(batch).total.item() == pytest.approx(expected, rel=1e-6)
    assert 0 < counter.frame_count <= 4


def test_every_parameter_has_its_place():
    found = placements(SPEC)
    assert found["decoder.embed.weight"] == (("tensor", 0), ("shard", 0))
    assert found["decoder.blocks.{i}.attention.q.weight"] == (("tensor", 0), ("shard", 0))
    assert found["decoder.blocks.{i}.mlp.down.weight"] == (("tensor", 1), ("shard", 0))
    assert found["decoder.blocks.{i}.mlp_norm.weight"] == (("shard", 0),)
    assert placements(EXPERTS)["decoder.blocks.{i}.mlp.up.weight"] == (("shard", 0),)


@pytest.mark.slow  # 40 s: torchrun starts six processes
def test_torchrun_starts_again_after_a_rank_dies(tiny_shards, tmp_path):
    """A rank is killed after the checkpoint of step 4; torchrun starts both again, and they end as if it had not been."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'shards = "{tiny_shards}"\nout = "{tmp_path}/run"\nbatch = 8\nmicro_batch = 4\ntokens = 2048\n'
        "[model]\nfamily = 'gpt2'\ncontext = 32\nwidth = 24\ndepth = 2\nheads = 2\ndropout = 0.1\n"
        "[every]\nvalidate = 0\nsample = 0\ncheckpoint = 4\n"
    )
    (tmp_path / "sitecustomize.py").write_text(KILLER)
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    genus = ["-m", "genus.cli.main", "pretrain", str(recipe)]
    for name, restarts, path in (("run", 1, f"{tmp_path}:{root}"), ("straight", 0, str(root))):
        out = str(tmp_path / name)
        environment = {**os.environ, "PYTHONPATH": path, "KILL_AFTER": out}
        done = subprocess.run(
            [*command, "--max-restarts", str(restarts), *genus, "--out", out],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "killed").exists()
    for name in ("model-00001-of-00002.safetensors", "optimizer-00002-of-00002.safetensors"):
        run, straight = (tmp_path / folder / "checkpoints/step-8" / name for folder in ("run", "straight"))
        assert run.read_bytes() == straight.read_bytes()
    assert " resume\n" in (tmp_path / "run/logbook.md").read_text()


KILLER = """
import os, signal, threading, time
def watch():
    marker = "killed"
    while not os.path.exists(os.environ["KILL_AFTER"] + "/checkpoints/step-4"):
        time.sleep(0.005)
    if not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
if os.environ.get("RANK") == "1":
    threading.Thread(target=watch, daemon=True).start()
"""
