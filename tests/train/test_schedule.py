"""Steps and learning rates against formulas written out, step by step, and against figures computed by hand."""

import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from genus.core.errors import GenusError, Stopped
from genus.core.files import read_json
from genus.data.loader import Loader, Rows
from genus.data.shards import open_shards
from genus.train import run
from genus.train.journal import read_journal
from genus.train.pretrain import pretrain
from genus.train.recipe import ModelRecipe, Pretrain, Ramp, Schedule
from genus.train.schedule import Pace, learning_rate
from tests.train.test_logbook import describe
from tests.train.test_trajectories import assert_same_end, losses
from tests.train.tiny import tiny_recipe

SMALL = Ramp(rows=(2,), until=(1024,), by=2)  # 2, 4 and 6 rows of 32 tokens over 1,024 tokens, then 8


def flat(tokens: int) -> Pace:
    """A token a step, so that steps are tokens."""
    return Pace(1, Ramp(), context=1, tokens=tokens)


@pytest.mark.parametrize("decay, middle, end", [("cosine", 0.55, 0.1), ("linear", 0.55, 0.1), ("constant", 1.0, 1.0)])
def test_schedule(decay, middle, end):
    schedule = Schedule(warmup_tokens=100, decay=decay, final=0.1)
    at = {seen: learning_rate(schedule, 2.0, seen, flat(1100)) / 2.0 for seen in (1, 50, 100, 600, 1100)}
    assert at[1] == pytest.approx(0.01)
    assert at[50] == pytest.approx(0.5)
    assert at[100] == pytest.approx(1.0)
    assert at[600] == pytest.approx(middle)
    assert at[1100] == pytest.approx(end)


def test_a_cosine_is_not_a_line():
    cosine, line = (Schedule(warmup_tokens=0, decay=decay, final=0.0) for decay in ("cosine", "linear"))
    assert learning_rate(cosine, 1.0, 25, flat(100)) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert learning_rate(line, 1.0, 25, flat(100)) == pytest.approx(0.75)


def test_a_trapezoid_rises_stays_and_falls():
    schedule = Schedule(warmup_tokens=100, decay="linear", final=0.0, hold=0.8)
    at = [learning_rate(schedule, 1.0, seen, flat(1000)) for seen in (50, 100, 500, 800, 900, 1000)]
    assert at == pytest.approx([0.5, 1, 1, 1, 0.5, 0])
    held_into_warmup = Schedule(warmup_tokens=100, decay="linear", final=0.0, hold=0.05)
    assert learning_rate(held_into_warmup, 1.0, 550, flat(1000)) == pytest.approx(0.5)


def test_a_decay_may_end_before_the_run():
    schedule = Schedule(warmup_tokens=0, decay="cosine", final=0.1, decay_tokens=500)
    at = [learning_rate(schedule, 1.0, seen, flat(1000)) for seen in (250, 500, 750, 1000)]
    assert at == pytest.approx([0.55, 0.1, 0.1, 0.1])


def test_the_inverse_root_counts_steps():
    """Min(0.01, 1 / sqrt(k)), as Adafactor's paper has it, also where a larger batch makes steps of more tokens."""
    pace = Pace(20, Ramp(rows=(10,), until=(30_000,)), context=10, tokens=100_000)
    schedule = Schedule(warmup_tokens=10_000, decay="inverse_sqrt")
    for step in (1, 99, 100, 101, 250, 300, 400, 650):
        assert learning_rate(schedule, 0.1, step, pace) == pytest.approx(min(0.1, 1 / math.sqrt(step)))
    assert pace.steps == 650


def megatron_rows(consumed: int, start: int, by: int, over: int, batch: int) -> int:
    """Megatron-LM's RampupBatchsizeNumMicroBatches.update, in samples."""
    if consumed > over:
        return batch
    return min(batch, start + by * int(consumed / (over / ((batch - start) // by))))


def test_growth_is_megatrons_step_by_step():
    """BLOOM-176B: from 192 by 16 over 9,765,625 samples to 2,048."""
    pace = Pace(2048, Ramp(rows=(192,), until=(20_000_000_000,), by=16), context=2048, tokens=25_000_000_000)
    consumed = 0
    for step in range(pace.steps):
        assert pace.tokens(step) == consumed * 2048
        assert pace.rows(consumed) == megatron_rows(consumed, 192, 16, 9_765_625, 2048)
        consumed += pace.rows(consumed)
    assert abs(consumed * 2048 - 25_000_000_000) <= 2048 * 2048 / 2


def test_stages_begin_with_the_first_step_after_their_tokens():
    """Sizes whose time passes within one step are never taken."""
    ramp = Ramp(rows=(10, 11, 12), until=(25, 28, 40))
    pace = Pace(13, ramp, context=1, tokens=100)
    sizes = [(pace.tokens(step + 1) - pace.tokens(step)) for step in range(pace.steps)]
    assert sizes == [10, 10, 10, 12, 13, 13, 13, 13]  # 94 tokens; 107 would be as near and later
    assert [pace.rows(sum(sizes[:step])) for step in range(pace.steps)] == sizes


def test_without_a_ramp_every_step_is_alike():
    pace = Pace(8, Ramp(), context=32, tokens=1000)
    assert (pace.steps, pace.rows(0), pace.rows(10**9), pace.tokens(3)) == (4, 8, 8, 768)


@pytest.mark.parametrize(
    "make, complaint",
    [
        (lambda: Schedule(hold=0.5, decay="constant"), "for cosine and linear"),
        (lambda: Schedule(decay_tokens=10, decay="inverse_sqrt"), "for cosine and linear"),
        (lambda: Schedule(warmup_tokens=100, decay_tokens=100), "beyond warmup_tokens"),
        (lambda: Schedule(hold=1.5), "from 0 to 1"),
        (lambda: Ramp(rows=(1, 2), until=(5,)), "2 rows and 1 until"),
        (lambda: Ramp(rows=(1, 2), until=(5, 5)), "until rise"),
        (lambda: Ramp(rows=(1,), until=(0,)), "until rise"),
        (lambda: replace(RECIPE, ramp=Ramp(rows=(8,), until=(5,))), "8 to 8 rows is no way up at once"),
        (lambda: replace(RECIPE, ramp=Ramp(rows=(1,), until=(5,), by=3)), "ramp.by = 3"),
        (lambda: replace(RECIPE, ramp=Ramp(rows=(6,), until=(5,))), "a step of the ramp = 6"),
        (lambda: replace(RECIPE, tokens=5, epochs=2), "both say how long"),
        (lambda: replace(RECIPE, z_loss=float("nan")), "z_loss"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make, complaint):
    with pytest.raises(GenusError, match=complaint):
        make()


@pytest.fixture(autouse=True)
def _known_machine(monkeypatch):
    """Measuring the real one takes a second a run."""
    monkeypatch.setattr(run, "describe", describe)


RECIPE = Pretrain(shards="shards", out="out", batch=8, micro_batch=4)


def test_ranks_together_read_what_one_does(tiny_shards):
    stream = open_shards(tiny_shards).stream("train")
    pace = Pace(8, SMALL, context=32, tokens=4000)
    one = list(islice(Loader(Rows(stream, 32, seed=1), pace.rows), 12))
    ranks = [Loader(Rows(stream, 32, seed=1), lambda at: pace.rows(at) // 2, rank=rank, world=2) for rank in range(2)]
    two = [list(islice(loader, 12)) for loader in ranks]
    assert {len(batch.tokens) for batch in one} == {2, 4, 6, 8}
    for batch, *parts in zip(one, *two, strict=True):
        assert np.array_equal(batch.tokens[0::2], parts[0].tokens)
        assert np.array_equal(batch.tokens[1::2], parts[1].tokens)


def test_text_that_is_passed_over_does_not_make_steps_grow(tiny_shards):
    """As PaLM skipped batches after a spike: the sizes go on, with the rows from further on."""
    rows = Rows(open_shards(tiny_shards).stream("train"), 32, seed=1)
    pace = Pace(8, SMALL, context=32, tokens=4000)
    sizes = [len(batch.tokens) for batch in islice(Loader(rows, pace.rows), 12)]
    loader = Loader(rows, pace.rows)
    before = [len(batch.tokens) for batch in islice(loader, 4)]
    loader.position, loader.passed = loader.position + 20, 20
    after = list(islice(loader, 8))
    assert before + [len(batch.tokens) for batch in after] == sizes
    assert np.array_equal(after[0].tokens[0], rows.row(0, sum(before) + 20)[:-1])


def test_a_ramp_resumes_bit_for_bit_and_counts_its_tokens(tiny_shards, tmp_path):
    """Stopped while steps grow, at a step of four rows."""
    straight = tiny_recipe(tiny_shards, tmp_path / "straight", steps=12, ramp=SMALL, micro_batch=2)
    pretrain(straight)
    records = [record for record in read_journal(straight.out / "metrics.jsonl") if "loss" in record]
    sizes, tokens = [2] * 6 + [4] * 3 + [6] * 2, 0  # a size holds until 342, 683 and 1,024 tokens are read
    for number, record in enumerate(records):
        tokens += 32 * (sizes[number] if number < len(sizes) else 8)
        assert record["tokens"] == tokens
    assert abs(tokens - straight.tokens) <= 4 * 32
    stopped = replace(straight, out=tmp_path / "stopped")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(run, "stop_requests", lambda: stopping_at(stopped.out, 7))
        with pytest.raises(Stopped, match="step 7"):
            pretrain(stopped)
    assert read_json(stopped.out / "checkpoints" / "step-7" / "state.json")["extra"]["position"] == 6 * 2 + 4
    pretrain(stopped)
    assert_same_end(straight.out, stopped.out, step=len(records))


def stopping_at(out, step):
    from contextlib import nullcontext

    return nullcontext(lambda: read_journal(out / "metrics.jsonl")[-1]["step"] == step)


def test_one_by_eight_is_eight_by_one_in_a_ramp(tiny_shards, tmp_path):
    model = ModelRecipe(family="gpt2", context=32, width=24, depth=2, heads=3)
    one = tiny_recipe(tiny_shards, tmp_path / "one", steps=8, model=model, micro_batch=1, ramp=SMALL)
    two = replace(one, out=tmp_path / "two", micro_batch=2)
    for recipe in (one, two):
        pretrain(recipe)
    assert losses(two.out) == pytest.approx(losses(one.out), rel=2e-5)


def test_epochs_are_passes_over_the_shards(tiny_shards, tmp_path):
    recipe = tiny_recipe(tiny_shards, tmp_path, tokens=0, epochs=2, batch=16, micro_batch=16)
    pretrain(recipe)
    rows = len(Rows(open_shards(tiny_shards).stream("train"), 32, 0))
    assert read_json(tmp_path / "run.json")["steps"] == round(2 * rows / 16)
