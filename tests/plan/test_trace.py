"""The traced bytes against arithmetic by hand, against a whole model, and against this process."""

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from genus.models.families import spec_of
from genus.models.spec import DecoderSpec
from genus.plan.layout import Job, Layout, memory_of
from genus.plan.trace import Bytes, Micro, _peaks, trace
from genus.train.recipe import Optim


def small(family: str = "gpt2", **shape: int) -> DecoderSpec:
    return spec_of(family, **{"vocab": 256, "context": 64, "width": 48, "depth": 4, "heads": 6, **shape})


def fullest(spec: DecoderSpec, micro: Micro) -> Bytes:
    return max(trace(spec, micro).values(), key=Counter.total)


@pytest.mark.parametrize("family", ["gpt2", "gpt_oss"])
def test_state_is_by_construction(family):
    """fp32 weights and gradients, two fp32 moments, and of each parameter a step count of 4 bytes."""
    spec = small(family)
    found = fullest(spec, Micro(rows=2, time=64, bf16=False, accumulated=True))
    weights = 4 * spec.parameters
    assert found["weights"] == found["gradients"] + found["outer"] == weights
    counts = found["optimizer"] - 2 * weights
    assert counts % 4 == 0
    assert 0 < counts // 4 < 40 * spec.depth + 10


def test_a_block_that_is_computed_again_keeps_its_input():
    """One more block, one more tensor (rows, time, width) in fp32 while the last is computed again."""
    rows, time, spec = 8, 64, small(depth=40)
    micro = Micro(rows=rows, time=time, bf16=True, checkpointing=True, accumulated=True)
    kept = [fullest(replace(spec, depth=depth), micro)["activations"] for depth in (40, 41)]
    assert kept[1] - kept[0] == rows * time * spec.width * 4


def test_a_block_of_gpt2_by_hand():
    """What a block keeps in fp32, in units of (rows, time, width): the norms' inputs (2) and outputs (2), q, k, v, what
    attention gives, and the MLP's middle before and after GELU (4 + 4). Besides, a number a head and token for the softmax
    and two a token for each norm."""
    rows, time, heads, spec = 8, 64, 6, small(depth=40)
    kept = [
        fullest(replace(spec, depth=depth), Micro(rows=rows, time=time, bf16=False))["activations"] for depth in (40, 41)
    ]
    assert kept[1] - kept[0] == 4 * rows * time * (16 * spec.width + heads + 4)


def test_muon_keeps_one_moment_of_a_matrix():
    """Blocks are of depth * 12 width^2 in matrices; all else, and those, in AdamW have two."""
    spec = small()
    adamw, muon = (
        fullest(spec, Micro(rows=2, time=64, bf16=False, optim=Optim(kind=kind)))["optimizer"] for kind in ("adamw", "muon")
    )
    matrices = spec.depth * 12 * spec.width**2
    assert adamw - muon == 4 * matrices + 4 * 6 * spec.depth  # and no count of steps


@pytest.mark.parametrize(("family", "checkpointing", "ways"), [
    ("gpt3", False, 1), ("llama", True, 2), ("palm", False, 2),
])  # fmt: skip
def test_two_depths_tell_of_any(family, checkpointing, ways):
    """The line through two small depths ends where the whole model stands."""
    spec = small(family, depth=9)
    micro = Micro(rows=2, time=64, bf16=True, checkpointing=checkpointing, ways=ways)
    direct = _peaks(spec, micro)
    assert "within" in direct
    assert trace(spec, micro) == {phase: held for phase, held in direct.items() if phase != "within"}


def test_devices_that_split_products_keep_less():
    spec, layouts = small(vocab=64), (Layout(shard=4, micro_batch=8), Layout(tensor=2, shard=2, micro_batch=8))
    job = Job(spec=spec, tokens=1, batch=32, context=64)
    whole, half = (memory_of(replace(job, batch=8 * layout.data), layout).activations for layout in layouts)
    assert 0.5 * whole <= half < 0.75 * whole  # the gathered stream is kept whole


def test_an_accelerator_holds_all_logits_at_once():
    spec = small(vocab=8192)
    cpu, other = (fullest(spec, Micro(rows=16, time=64, bf16=False, cpu=cpu))["activations"] for cpu in (True, False))
    assert other - cpu >= 4 * 8192 * (16 * 64 - 256)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the fullest moment of a process is Linux's to tell")
def test_beside_what_a_process_grows_by():
    """The bar of bench/plan.py, for one small shape in a process of its own, where a library's buffers weigh more."""
    bench = Path(__file__).resolve().parents[2] / "bench" / "plan.py"
    command = [sys.executable, str(bench), "--shapes", "1.9M", "--json"]
    there = {**os.environ, "PYTHONPATH": str(bench.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=there)
    (found,) = json.loads(done.stdout.splitlines()[-1])["results"]
    assert found["tight"] / found["planned"] == pytest.approx(1, abs=0.15)
