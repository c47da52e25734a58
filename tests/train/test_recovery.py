"""Spikes and batches that are not numbers, planted, and what each policy makes of them; runs that must coincide do."""

import math
import signal
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genus.core.errors import GenusError, Stopped
from genus.core.files import read_json
from genus.evaluate.recipe import Report
from genus.evaluate.report import report
from genus.train import loop
from genus.train import run as run_module
from genus.train.checkpoint import load_newest, saved_steps
from genus.train.guard import Guard
from genus.train.journal import Journal, read_journal
from genus.train.pretrain import pretrain
from genus.train.recipe import Every, ModelRecipe, Pretrain, Recovery
from tests.train.planted import plant
from tests.train.tiny import tiny_recipe

pytestmark = pytest.mark.xdist_group("recovery")  # one worker makes the clean run

STEPS, BAD = 60, 42  # batch 42, from 0, is met by step 43
TIMES = {"seconds", "tokens_per_second", "mfu"}  # of metrics.jsonl, that no two runs share
KINDS = {"spike": 30.0, "nan": math.nan, "inf": math.inf}


@pytest.fixture(autouse=True)
def _known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = {"device": "cpu", "name": "Abacus", "threads": 1, "system": "Linux", "python": "3", "torch": "2",
               "precision": "fp32", "matmul_flops": 2e9}  # fmt: skip
    monkeypatch.setattr(run_module, "describe", lambda *_: machine)


def recipe(shards: Path, out: Path, spike: str = "skip", **changes: object) -> Pretrain:
    """Without dropout, and a text read many times: one batch more or less is little."""
    model = ModelRecipe(family="llama", context=32, width=24, depth=1, heads=3)
    recovery = Recovery(spike=spike, back=10, ahead=4, factor=0.8)
    every = Every(validate=30, sample=0, checkpoint=10)
    return tiny_recipe(shards, out, STEPS, model=model, recovery=recovery, every=every, **changes)


def lines(run: Path, abandoned: bool = False) -> list[dict]:
    return [record for record in read_journal(run / "metrics.jsonl", abandoned) if "loss" in record]


def timeless(run: Path) -> list[dict]:
    records = read_journal(run / "metrics.jsonl", abandoned=True)
    return [{key: value for key, value in record.items() if key not in TIMES} for record in records]


def same_end(one: Path, other: Path) -> None:
    """Weights, optimizer, position, detours and metrics, but for times."""
    ends = [run / "checkpoints" / f"step-{STEPS}" for run in (one, other)]
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert (ends[0] / name).read_bytes() == (ends[1] / name).read_bytes(), name
    states = [read_json(end / "state.json") for end in ends]
    for state in states:
        state["extra"].pop("seconds")
    assert states[0] == states[1]
    assert timeless(one) == timeless(other)


@pytest.fixture(scope="module")
def clean(tiny_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clean")
    pretrain(recipe(tiny_shards, out))
    return out


def end_of(run: Path) -> float:
    return statistics.mean(record["loss"] for record in lines(run)[-10:])


@pytest.mark.parametrize("case", ["skip spike", "rollback spike", "lower spike", "skip nan", "rollback nan", "lower inf"])
def test_f51_each_policy_recovers(tiny_shards, clean, tmp_path, monkeypatch, case):
    policy, kind = case.split()
    seen = plant(monkeypatch, {BAD: KINDS[kind]})
    pretrain(recipe(tiny_shards, tmp_path, policy))
    kept, every = lines(tmp_path), lines(tmp_path, abandoned=True)
    assert [record["step"] for record in kept] == list(range(1, STEPS + 1))
    assert [record["step"] for record in every if record.get("spike") == policy] == [BAD + 1]
    assert end_of(tmp_path) == pytest.approx(end_of(clean), rel=0.03 if policy != "lower" else 0.06)
    assert lines(clean)[0]["loss"] - end_of(clean) > 1.0  # there was something to lose
    text = (tmp_path / "logbook.md").read_text()
    assert f"skipped: step {BAD + 1} was skipped: loss {'nan' if kind == 'nan' else 'inf' if kind == 'inf' else ''}" in text
    if policy == "skip":
        assert seen == list(range(STEPS))
        assert "recovery:" not in text
    else:
        assert f"went back from the spike at step {BAD + 1} to step 30, on with " in text
        assert [record["step"] for record in every if "abandoned" in record] == list(range(31, BAD + 2))
    if policy == "rollback":  # batches 30 to 46 are passed over, or were unmade
        assert seen == [*range(BAD + 1), *range(BAD + 5, BAD + 5 + STEPS - 30)]
    if policy == "lower":  # the same batches again, the bad one only left out, at a lower rate
        assert seen == [*range(BAD + 1), *range(30, STEPS)]
        rates = [[record["lr"] for record in lines(run)] for run in (tmp_path, clean)]
        assert rates[0] == [rate * (1 if step < 30 else 0.8) for step, rate in enumerate(rates[1])]
        assert [record["step"] for record in kept if record.get("spike") == "skip"] == [BAD + 1]


def test_none_applies_a_spike_but_nothing_that_is_not_finite(tiny_shards, tmp_path, monkeypatch):
    plant(monkeypatch, {BAD: 30.0, BAD + 5: math.nan, BAD + 6: math.inf})
    pretrain(recipe(tiny_shards, tmp_path, "none"))
    assert [record["step"] for record in lines(tmp_path) if "spike" in record] == [BAD + 6, BAD + 7]
    assert lines(tmp_path)[BAD]["loss"] > 30
    assert lines(tmp_path)[BAD + 5]["loss"] is None  # JSON has no NaN


@pytest.fixture(scope="module", params=["rollback", "lower"])
def straight(request: pytest.FixtureRequest, tiny_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that met a spike and was not killed."""
    out = tmp_path_factory.mktemp(request.param) / request.param
    with pytest.MonkeyPatch.context() as monkeypatch:
        plant(monkeypatch, {BAD: 30.0})
        pretrain(recipe(tiny_shards, out, request.param))
    return out


def dying(function, at: int):
    """`function`, but its `at`-th call ends the process."""
    calls = []

    def call(*arguments):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        return function(*arguments)

    return call


@pytest.mark.parametrize("kill", [
    (run_module._Run, "_record", BAD - 2), (run_module._Run, "_record", BAD + 4), (run_module._Run, "_save", 6),
    (Journal, "go_back", 1), (Journal, "go_back", 2), (run_module, "remove_later", 1),
], ids=["before", "after", "not saved", "not marked", "half marked", "saved"])  # fmt: skip
def test_f50_killed_around_a_detour_is_the_straight_run(tiny_shards, straight, tmp_path, monkeypatch, kill):
    plant(monkeypatch, {BAD: 30.0})
    owner, name, at = kill
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(owner, name, dying(getattr(owner, name), at))
        pretrain(recipe(tiny_shards, tmp_path, straight.name))
    pretrain(recipe(tiny_shards, tmp_path, straight.name))
    same_end(straight, tmp_path)
    assert saved_steps(tmp_path / "checkpoints") == [60, 50]


def test_the_report_marks_what_happened(straight, tmp_path):
    report(Report(run=straight, out=tmp_path / "page.html"))
    page, done = (tmp_path / "page.html").read_text(), {"rollback": "rolled back", "lower": "gone back for, and on with"}
    assert f"Red lines: spikes, at step {BAD + 1} ({done[straight.name]}" in page
    assert page.count("stroke: #b02020") + page.count("stroke: #B02020") >= 4  # a line in each chart
    assert "Grey is what the run left" in page and "stroke: #bbbbbb" in page


def test_a_stop_between_checkpoints_does_not_take_the_place_to_go_back_to(tiny_shards, straight, tmp_path, monkeypatch):
    """Saved at odd steps by signals, the run still goes back to where the straight one does."""
    plant(monkeypatch, {BAD: 30.0})
    record = run_module._Run._record

    def stopping(self, step, spent):
        record(self, step, spent)
        if step.number in (37, 39, 41) and not self.recovery.spikes:
            signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(run_module._Run, "_record", stopping)
    for _ in range(3):
        with pytest.raises(Stopped):
            pretrain(recipe(tiny_shards, tmp_path, straight.name))
    pretrain(recipe(tiny_shards, tmp_path, straight.name))
    same_end(straight, tmp_path)


def test_a_spike_before_the_first_checkpoint_goes_back_to_the_start(tiny_shards, tmp_path, monkeypatch):
    seen = plant(monkeypatch, {3: math.nan})
    pretrain(recipe(tiny_shards, tmp_path, "rollback"))
    assert seen[:6] == [0, 1, 2, 3, 8, 9]
    assert "went back from the spike at step 4 to step 0" in (tmp_path / "logbook.md").read_text()


def test_it_gives_up_and_says_what_next(tiny_shards, tmp_path, monkeypatch):
    plant(monkeypatch, dict.fromkeys(range(BAD, 200, 12), math.nan))
    few = replace(recipe(tiny_shards, tmp_path, "rollback"), recovery=Recovery(spike="rollback", back=10, ahead=0, tries=1))
    with pytest.raises(GenusError, match=r"went back 1 times, and step 54 is a spike again; raise recovery.tries"):
        pretrain(few)
    more = replace(few, recovery=replace(few.recovery, spike="skip"))  # a policy may change on the way
    pretrain(more)
    assert "changed: recovery.spike was rollback, now skip" in (tmp_path / "logbook.md").read_text()


def test_weights_that_are_not_finite_reach_no_checkpoint(tiny_shards, tmp_path, monkeypatch):
    record = run_module._Run._record

    def poison(self, step, spent):
        record(self, step, spent)
        if step.number == 15:
            next(self.state.model.parameters()).data[0, 0] = math.inf

    monkeypatch.setattr(run_module._Run, "_record", poison)
    with pytest.raises(GenusError, match=r"10 steps in a row|after step \d+ a weight is not finite"):
        pretrain(recipe(tiny_shards, tmp_path))
    assert saved_steps(tmp_path / "checkpoints") == [10]


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_read_one_step_late_it_is_the_same_run(tiny_shards, tmp_path, monkeypatch, policy):
    """What an accelerator does, on a CPU, whose fused AdamW leaves a step out by itself too."""
    plant(monkeypatch, {BAD: math.nan})
    pretrain(recipe(tiny_shards, tmp_path / "at once", policy))
    monkeypatch.setattr(loop, "_skips_on_device", lambda _state: True)
    running = []
    record = run_module._Run._record
    monkeypatch.setattr(
        run_module._Run, "_record",
        lambda self, step, spent: running.append(self.state.step - step.number) or record(self, step, spent),
    )  # fmt: skip
    seen = plant(monkeypatch, {})
    pretrain(recipe(tiny_shards, tmp_path / "late", policy))
    assert set(running) == {0, 1} and running.count(1) > 40
    assert len(seen) >= STEPS
    ends = [run / "checkpoints" / f"step-{STEPS}" / "model.safetensors" for run in (tmp_path / "at once", tmp_path / "late")]
    assert ends[0].read_bytes() == ends[1].read_bytes() or policy == "rollback"  # there the late one has drawn one more
    assert len(lines(tmp_path / "late")) == STEPS


def test_the_limit_is_six_deviations_above_the_mean():
    guard, drawn = Guard(), torch.Generator().manual_seed(0)
    values = [(4 * loss + 20, 20 * norm**4) for loss, norm in torch.rand(200, 2, generator=drawn).tolist()]
    for place, (loss, norm) in enumerate(values):
        if place < 32:
            assert guard.limits() == (math.inf, math.inf)
        guard.note(loss, norm, applied=True)
    for limit, past in zip(guard.limits(), zip(*values[-128:], strict=True), strict=True):
        assert limit == pytest.approx(statistics.mean(past) + 6 * statistics.pstdev(past))


def test_a_flat_curve_does_not_make_noise_a_spike():
    guard = Guard()
    for _ in range(200):
        guard.note(2.0, 0.5, applied=True)
    assert guard.limits() == pytest.approx((2.0 * 1.12, 0.5 * 7))


def test_an_ordinary_curve_is_never_called_a_spike():
    """A falling loss with noise, and gradient norms that are skewed as they are in practice."""
    generator, guard = torch.Generator().manual_seed(0), Guard()
    for step in range(2000):
        loss = 4.0 * 0.999**step + 2 + 0.3 * float(torch.randn((), generator=generator))
        norm = 0.5 * math.exp(0.2 * float(torch.randn((), generator=generator)))
        assert loss <= guard.limits()[0] and norm <= guard.limits()[1]
        guard.note(loss, norm, applied=True)


def test_a_level_that_stays_is_accepted_before_the_run_is_stopped():
    """The gradient norm is eight times as large at once and for good, as it may when the batch or the rate changes."""
    generator, guard, refused = torch.Generator().manual_seed(0), Guard(), 0
    for step in range(400):
        norm = (1 if step < 200 else 8) * (1 + 0.1 * float(torch.randn((), generator=generator)))
        applied = norm <= guard.limits()[1]
        guard.note(2.0, norm, applied)
        refused += not applied
    assert 0 < refused < 10


def test_a_gradient_norm_alone_is_a_spike():
    state = loop.TrainState(torch.nn.Linear(3, 2), None, Guard())
    state.optimizer = torch.optim.AdamW(state.model.parameters(), lr=1e-3)
    batches = [[torch.ones(3)] for _ in range(60)]
    batches[50] = [torch.full((3,), 1e6)]

    def loss(batch):  # about the same loss for every batch, and a gradient as large as the batch
        return (state.model(batch) - state.model(batch).detach()).sum() + 1.0, 1

    steps = list(loop.train_steps(state, batches, loss, lambda _: 1e-3, 1.0))
    assert [step.number for step in steps if not step.applied] == [51]
    assert steps[50].loss == pytest.approx(1.0)


def test_a_journal_keeps_what_was_left(tmp_path):
    journal = Journal(tmp_path / "metrics.jsonl", 0)
    for step in range(1, 6):
        journal.write({"step": step, "loss": float(step)})
    journal.go_back(2, detour=1)
    journal.write({"step": 3, "loss": 3.5})
    assert [record["loss"] for record in read_journal(journal.path)] == [1.0, 2.0, 3.5]
    assert [record["loss"] for record in read_journal(journal.path, abandoned=True)] == [1.0, 2.0, 3.0, 4.0, 5.0, 3.5]
    assert journal.last("loss") == 3
    Journal(journal.path, 2, detours=1)  # killed after the save
    assert [record.get("abandoned") for record in read_journal(journal.path, abandoned=True)] == [None, None, 1, 1, 1]
    Journal(journal.path, 4, detours=0)  # killed before it
    assert [record["loss"] for record in read_journal(journal.path)] == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("changes, says", [
    ({"sigmas": math.nan}, "sigmas must be above 0"), ({"factor": 1.0}, "factor between 0 and 1"),
    ({"back": 0}, "back and tries must be at least 1"), ({"ahead": -1}, "ahead at least 0"),
])  # fmt: skip
def test_a_recovery_that_cannot_be_is_named(changes, says):
    with pytest.raises(GenusError, match=says):
        Recovery(**changes)


def test_going_back_further_than_checkpoints_reach_is_refused_before_work(tiny_shards, tmp_path):
    with pytest.raises(GenusError, match=r"recovery.back = 11 steps is further .*1 x 10 steps.*raise every.keep"):
        replace(recipe(tiny_shards, tmp_path), recovery=Recovery(spike="lower", back=11))


def test_the_checkpoints_to_go_back_to_are_whole_states(tiny_shards, clean):
    """load_newest up to a step gives that step's."""
    state = loop.TrainState(torch.nn.Linear(1, 1), None, Guard())
    assert load_newest(clean / "checkpoints", state, latest=5) is None
