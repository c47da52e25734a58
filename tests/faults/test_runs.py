"""F49-F53: crashes while saving, poisoned steps, signals, changed or damaged inputs. Nothing that was saved is lost."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import genus.train.run as run_module
from genus.core.errors import GenusError
from genus.core.files import locked, new_folder, write_text
from genus.core.recipe import save_recipe
from genus.train.checkpoint import load_newest, save_checkpoint
from genus.train.guard import Guard
from genus.train.journal import Journal, read_journal
from genus.train.loop import TrainState, train_steps
from genus.train.pretrain import pretrain
from tests.train.tiny import make_tiny_shards, tiny_recipe


def small_state(value: float = 0.0) -> TrainState:
    model = torch.nn.Linear(3, 2)
    torch.nn.init.constant_(model.weight, value)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    return TrainState(model, optimizer, Guard(), step=int(value))


class Fault:
    """Raises at the n-th call of any of the functions that a save goes through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, error: int) -> None:
        self.calls, self.at, self.error = 0, at, error
        for owner, name in ((os, "fsync"), (os, "open"), (Path, "rename"), (Path, "open"), (Path, "mkdir")):
            monkeypatch.setattr(owner, name, self.wrap(getattr(owner, name)))

    def wrap(self, function):
        def call(*arguments, **named):
            self.calls += 1
            if self.calls == self.at:
                raise OSError(self.error, os.strerror(self.error))
            return function(*arguments, **named)

        return call


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_f49_a_save_that_fails_at_any_call_leaves_the_one_before(tmp_path, error):
    save_checkpoint(tmp_path, small_state(1.0), {"position": 1}, keep=3)
    failed, at = 0, 0
    while True:
        at += 1
        with pytest.MonkeyPatch.context() as monkeypatch:
            fault = Fault(monkeypatch, at, error)
            try:
                save_checkpoint(tmp_path, small_state(2.0), {"position": 2}, keep=3)
            except GenusError:
                failed += 1
        state = small_state()
        extra = load_newest(tmp_path, state)
        assert extra in ({"position": 1}, {"position": 2})
        assert state.step == extra["position"]
        if fault.calls < at:  # the whole save went by without reaching the fault
            assert extra == {"position": 2}
            break
    assert failed > 10


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "sha256.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_f49_a_damaged_checkpoint_falls_back_loudly(tmp_path, capsys, name, damage):
    for value in (1.0, 2.0):
        save_checkpoint(tmp_path, small_state(value), {"position": value}, keep=3)
    path = tmp_path / "step-2" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes({"cut": bytes(content[: len(content) // 2]), "flip": bytes(content)}.get(damage, b""))
    if damage == "remove":
        path.unlink()
    state = small_state()
    assert load_newest(tmp_path, state) == {"position": 1.0}
    assert f"passing over {tmp_path / 'step-2'}" in capsys.readouterr().err


def test_f49_no_whole_checkpoint_is_an_error_not_a_new_start(tmp_path):
    save_checkpoint(tmp_path, small_state(1.0), {}, keep=3)
    (tmp_path / "step-1" / "model.safetensors").write_bytes(b"")
    with pytest.raises(GenusError, match=r"no checkpoint.*is whole.*--restart"):
        load_newest(tmp_path, small_state())


def test_old_checkpoints_go_only_after_the_new_one_is_whole(tmp_path):
    for value in (1.0, 2.0, 3.0):
        save_checkpoint(tmp_path, small_state(value), {}, keep=2)
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-2", "step-3"]


def test_f49_what_a_kill_left_half_way_is_put_back_or_removed(tmp_path):
    for value in (1.0, 2.0):
        save_checkpoint(tmp_path, small_state(value), {"position": value}, keep=3)
    (tmp_path / "step-2").rename(tmp_path / ".step-2.old")  # about to be replaced
    shutil.copytree(tmp_path / "step-1", tmp_path / ".step-1.old")  # was replaced
    (tmp_path / ".step-1.lock").touch()
    (tmp_path / ".step-0.removed").mkdir()
    (tmp_path / ".step-3.partial").mkdir()
    assert load_newest(tmp_path, small_state()) == {"position": 2.0}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-1", "step-2"]


def test_f49_a_disk_that_fills_at_any_byte_of_a_save(tmp_path):
    """Short writes by the system itself, in Python's and the safetensors library's writing alike."""
    save_checkpoint(tmp_path, small_state(1.0), {"position": 1}, keep=3)
    largest = max(path.stat().st_size for path in (tmp_path / "step-1").iterdir())
    before, failed = resource.getrlimit(resource.RLIMIT_FSIZE), 0
    for limit in range(0, largest + 50, 50):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            save_checkpoint(tmp_path, small_state(2.0), {"position": 2}, keep=3)
        except GenusError as error:
            assert "free space" in str(error)
            failed += 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        state = small_state()
        extra = load_newest(tmp_path, state)
        assert extra == ({"position": 2} if limit >= largest else {"position": 1}), limit
        assert state.step == extra["position"]
    assert failed > 10


CHILD = """
import resource, signal, sys
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from genus.train.pretrain import pretrain
from tests.train.tiny import tiny_recipe
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
pretrain(tiny_recipe(Path(sys.argv[1]), Path(sys.argv[2]), steps=6))
"""


@pytest.mark.parametrize("limit", [100, 5_000, 70_000])
def test_full_disk_while_training(tiny_shards, tmp_path, limit):
    """Real writes that the system cuts short: one sentence, and with room again the same call finishes."""
    assert resource.RLIM_INFINITY  # the limit is set in the child alone
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", CHILD, str(tiny_shards), str(tmp_path), str(limit)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert "GenusError" in done.stderr.splitlines()[-1]
    assert "free space" in done.stderr.splitlines()[-1]
    pretrain(tiny_recipe(tiny_shards, tmp_path, steps=6))
    assert (tmp_path / "model" / "model.safetensors").exists()


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e4])
def test_f51_a_poisoned_step_changes_nothing(poison):
    state = small_state(1.0)
    batches = [[torch.ones(3)] for _ in range(40)]
    batches[35] = [torch.full((3,), poison)]

    def loss(batch):
        return (state.model(batch).square().sum() + 1.0), 1

    weights = []
    for step in train_steps(state, batches, loss, lambda _: 1e-4, clip=1.0):
        weights.append(state.model.weight.detach().clone())
        assert step.applied == (step.number != 1 + 36)
    assert torch.equal(weights[34], weights[35])
    assert not torch.equal(weights[33], weights[34])
    assert torch.isfinite(state.model.weight).all()
    assert state.guard.skipped == 1


def test_f51_ten_in_a_row_stop_the_run():
    guard = Guard()
    for _ in range(9):
        guard.note(float("nan"), 1.0, applied=False)
    with pytest.raises(GenusError, match=r"10 steps in a row.*--recovery.spike lower"):
        guard.note(float("nan"), 1.0, applied=False)


def test_f52_a_second_run_in_the_folder_is_refused(tiny_shards, tmp_path):
    with locked(tmp_path), pytest.raises(GenusError, match=f"in use by another run .process {os.getpid()}"):
        pretrain(tiny_recipe(tiny_shards, tmp_path))


def test_f53_changed_shards_are_named(tiny_shards, tmp_path):
    pretrain(tiny_recipe(tiny_shards, tmp_path / "run", steps=2))
    other = make_tiny_shards(tmp_path / "other")
    manifest = other / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    with pytest.raises(GenusError, match=r"shards changed.*--restart"):
        pretrain(tiny_recipe(other, tmp_path / "run", steps=2))


def test_f53_a_corrupt_shard_is_named_before_work(tmp_path):
    shards = make_tiny_shards(tmp_path)
    path = shards / "train-00000.bin"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(GenusError, match=r"train-00000\.bin is corrupt"):
        pretrain(tiny_recipe(shards, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_context_longer_than_the_text_is_refused(tiny_shards, tmp_path):
    from genus.train.recipe import ModelRecipe

    with pytest.raises(GenusError, match="choose a context of 1 to"):
        pretrain(tiny_recipe(tiny_shards, tmp_path, model=ModelRecipe(context=10**6, width=12, heads=2, depth=1)))


def test_a_journal_cut_short_keeps_its_whole_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.5}\n{"step": 3, "lo')
    journal = Journal(path, step=1)
    journal.write({"step": 2, "loss": 1.25})
    assert read_journal(path) == [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.25}]


def test_a_folder_that_a_kill_left_between_two_renames_comes_back(tmp_path):
    target = tmp_path / "model"
    with new_folder(target) as folder:
        write_text(folder / "content", "old")
    target.rename(tmp_path / ".model.old")
    with pytest.raises(RuntimeError), new_folder(target):
        raise RuntimeError("killed before the new one was whole")
    assert (target / "content").read_text() == "old"


def test_validation_is_after_the_save(tiny_shards, tmp_path, monkeypatch):
    """Save before evaluating: an evaluation that crashes costs no training."""

    def crash(self):
        if self.state.step == 5:
            raise RuntimeError("crash")

    monkeypatch.setattr(run_module._Run, "_look_up", crash)
    with pytest.raises(RuntimeError, match="crash"):
        pretrain(tiny_recipe(tiny_shards, tmp_path))
    assert (tmp_path / "checkpoints" / "step-5").is_dir()


def test_f52_two_processes_never_make_one_folder(tmp_path):
    with new_folder(tmp_path / "corpus") as folder:
        write_text(folder / "content", "first")
        with pytest.raises(GenusError, match="in use by another run"), new_folder(tmp_path / "corpus"):
            pass
    assert (tmp_path / "corpus" / "content").read_text() == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus"]


SIGNALLED = """
import os, sys
import genus.cli.main as cli
from genus.train import run
record, number = run._Run._record, int(sys.argv.pop())
def signalled(self, step, spent):
    record(self, step, spent)
    if step.number == 7:
        os.kill(os.getpid(), number)
run._Run._record = signalled
sys.exit(cli._run(sys.argv[1:]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_f52_a_signal_saves_and_the_exit_code_asks_for_requeue(tiny_shards, tmp_path, number):
    """The command itself: 130, a checkpoint of the step that was under way, and the same command goes on from there."""
    recipe = tmp_path / "recipe.toml"
    save_recipe(recipe, tiny_recipe(tiny_shards, tmp_path / "run", steps=12))
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", SIGNALLED, "pretrain", str(recipe), str(int(number))]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert "saved at step 7 of 12; the same command goes on from there" in done.stderr.splitlines()[-1]
    assert (tmp_path / "run" / "checkpoints" / "step-7").is_dir()
    pretrain(tiny_recipe(tiny_shards, tmp_path / "run", steps=12))
    steps = [record["step"] for record in read_journal(tmp_path / "run" / "metrics.jsonl") if "loss" in record]
    assert steps == list(range(1, 13))


def test_f53_a_changed_tokenizer_is_named(tmp_path):
    shards = make_tiny_shards(tmp_path)
    pretrain(tiny_recipe(shards, tmp_path / "run", steps=2))
    path = shards / "tokenizer" / "tokenizer.json"
    content = json.loads(path.read_text())
    words = content["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    path.write_text(json.dumps(content))
    with pytest.raises(GenusError, match=r"is not the tokenizer that made these shards"):
        pretrain(tiny_recipe(shards, tmp_path / "run", steps=2))
