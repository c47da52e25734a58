"""Curves and energy beside training: read back by TensorBoard itself; counted by codecarbon, and summed by hand."""

import contextlib
import socket
import sys
import types
from pathlib import Path

import pytest
import torch

from genus.core.errors import GenusError
from genus.core.files import read_json
from genus.models.heads import LanguageModel
from genus.train import machine
from genus.train import run as run_module
from genus.train.energy import EnergyCount, energy_text, read_energy
from genus.train.journal import read_journal
from genus.train.losses import next_token
from genus.train.machine import describe
from genus.train.pretrain import pretrain
from genus.train.recipe import Energy, Every, Recovery
from tests.train.planted import plant
from tests.train.test_learning import eight_rows, make_state
from tests.train.tiny import tiny_recipe

MACHINE = {"device": "cpu", "name": "Abacus", "threads": 1, "system": "Linux", "python": "3", "torch": "2",
           "precision": "fp32", "matmul_flops": 2e9}  # fmt: skip


@pytest.fixture(autouse=True)
def _known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "describe", lambda *_: MACHINE)


def points(run: Path, tag: str) -> list[tuple[int, float]]:
    """What TensorBoard shows."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_tensorboard_shows_each_step_once_after_kills_and_detours(tiny_shards, tmp_path, monkeypatch):
    """Killed at step 18, after a checkpoint at 15; a NaN at step 37 leads back to step 25."""
    plant(monkeypatch, {36: float("nan")})
    recipe = tiny_recipe(tiny_shards, tmp_path, steps=45, every=Every(validate=15, sample=0, checkpoint=5, keep=4),
                         recovery=Recovery(spike="rollback", back=10, ahead=2), tensorboard="on")  # fmt: skip
    record = run_module._Run._record

    def die(self, step, spent):
        record(self, step, spent)
        if step.number == 18:
            self.curves.save()
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(run_module._Run, "_record", die)
        pretrain(recipe)
    pretrain(recipe)
    metrics = read_journal(tmp_path / "metrics.jsonl")
    for key, tag in (
        ("loss", "loss/training"),
        ("validation_loss", "loss/held out"),
        ("gradient_norm", "run/gradient_norm"),
    ):
        known = [(line["step"], line[key]) for line in metrics if key in line]
        assert points(tmp_path, tag) == [(step, pytest.approx(value, rel=1e-5)) for step, value in known], tag
    assert len(points(tmp_path, "loss/training")) == 45


def test_without_tensorboard_it_is_said_or_left_out(tiny_shards, tmp_path, monkeypatch):
    monkeypatch.setattr("genus.train.curves.find_spec", lambda _name: None)
    with pytest.raises(GenusError, match=r"pip install 'genus\[curves\]'"):
        pretrain(tiny_recipe(tiny_shards, tmp_path / "on", steps=2, tensorboard="on"))
    pretrain(tiny_recipe(tiny_shards, tmp_path / "auto", steps=2, tensorboard="auto"))
    assert not (tmp_path / "auto" / "tensorboard").exists()


def test_curves_that_cannot_be_written_stop_nothing(tiny_shards, tmp_path, capsys):
    (tmp_path / "tensorboard").write_text("a file stands here")
    pretrain(tiny_recipe(tiny_shards, tmp_path, steps=3, tensorboard="on"))
    assert capsys.readouterr().err.count("tensorboard could not be written") == 1
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_utilisation_is_palms(tiny_shards, tmp_path):
    """Tokens/s times FLOP a token over the peak, from the numbers in the folder."""
    pretrain(tiny_recipe(tiny_shards, tmp_path, steps=4))
    flop = read_json(tmp_path / "run.json")["flop"]
    for line in read_journal(tmp_path / "metrics.jsonl"):
        if "loss" in line:
            assert line["mfu"] == pytest.approx(line["tokens_per_second"] * flop / 2e9, abs=1e-4)


def test_the_peak_is_measured_in_the_precision_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(machine, "_matmul_flops", machine._matmul_flops.__wrapped__)  # measured once a process
    monkeypatch.setattr(torch, "randn", lambda *size, **named: asked.append(named["dtype"]) or torch.zeros(2, 2))
    for bf16 in (False, True):
        assert describe(torch.device("cpu"), bf16)["precision"] == ("bf16" if bf16 else "fp32")
    assert asked == [torch.float32] * 2 + [torch.bfloat16] * 2


def test_the_activation_norm_is_that_of_the_residual_stream():
    state, rows = make_state("gpt2"), eight_rows()
    model: LanguageModel = state.model
    caught: list[torch.Tensor] = []
    model.decoder.norm.register_forward_pre_hook(lambda _module, given: caught.append(given[0]))
    scored = next_token(model.train(), rows)
    brute = sum(float(token.detach().square().mean().sqrt()) for row in caught[0] for token in row)
    assert float(scored.stats["activation_rms"]) == pytest.approx(brute, rel=1e-5)
    assert "activation_rms" not in next_token(model.eval(), rows).stats


class FakeTracker:
    """In the place of codecarbon's: 0.25 kWh a start, of them 0.1 by a processor with a counter, 500 g for each kWh."""

    def __init__(self, **asked: object) -> None:
        self.handler, self.intensity = asked["output_handlers"][0], asked["force_carbon_intensity_g_co2e_kwh"]
        cpu, ram = type("CPU", (), {"_mode": "intel_rapl"})(), type("RAM", (), {})()
        self._hardware = [ram, cpu]
        assert asked["output_methods"] == [] and asked["emissions_endpoint"] is False

    def start(self) -> None: ...

    def flush(self) -> None:
        grams = self.intensity if self.intensity is not None else 500
        total = types.SimpleNamespace(cpu_energy=0.1, gpu_energy=0.0, ram_energy=0.15, energy_consumed=0.25,
                                      emissions=0.25 * grams / 1000, duration=60.0)  # fmt: skip
        self.handler.out(total, total)

    stop = flush


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codecarbon", types.SimpleNamespace(OfflineEmissionsTracker=FakeTracker))
    monkeypatch.setattr("genus.train.energy.find_spec", lambda _name: True)


def test_starts_add_up_and_all_places_tell(tiny_shards, tmp_path, monkeypatch, fake):
    recipe = tiny_recipe(tiny_shards, tmp_path, steps=6, energy=Energy(country="FRA"))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(run_module._Run, "_record", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        pretrain(recipe)
    pretrain(recipe)
    used = read_energy(tmp_path)
    assert (used["kwh"], used["measured_kwh"], used["co2_kg"], used["seconds"]) == pytest.approx((0.5, 0.2, 0.25, 120))
    told = "0.5 kWh in 2m00s, 40% of it measured (memory estimated from its size, processor measured by RAPL), 0.25 kg CO2e"
    assert energy_text(used) == told
    assert f"; energy {told}" in (tmp_path / "logbook.md").read_text()
    assert f"| energy | {told} |" in (tmp_path / "model" / "README.md").read_text()
    assert [line["kwh"] for line in read_journal(tmp_path / "metrics.jsonl") if "validation_loss" in line][-1] == 0.5


@pytest.mark.parametrize("recipe, co2", [(Energy(), None), (Energy(grid=100.0), 0.025), (Energy(country="FRA"), 0.125)])
def test_co2_only_where_the_grid_is_told(tmp_path, fake, recipe, co2):
    with EnergyCount(tmp_path, recipe):
        pass
    assert read_energy(tmp_path)["co2_kg"] == (None if co2 is None else pytest.approx(co2))


def test_without_codecarbon_nothing_is_made_up(tiny_shards, tmp_path, monkeypatch):
    monkeypatch.setattr("genus.train.energy.find_spec", lambda _name: None)
    pretrain(tiny_recipe(tiny_shards, tmp_path, steps=2, energy=Energy()))
    assert "energy not measured (pip install 'genus[energy]'" in (tmp_path / "logbook.md").read_text()
    assert not (tmp_path / "energy.json").exists()
    with pytest.raises(GenusError, match="needs codecarbon"), EnergyCount(tmp_path, Energy(count="on")):
        pass


@pytest.mark.parametrize("where", ["__init__", "start", "flush", "stop"])
def test_a_count_that_fails_stops_nothing(tmp_path, monkeypatch, fake, capsys, where):
    def fail(*_arguments: object, **_named: object) -> None:
        raise OSError("no sensor")

    monkeypatch.setattr(FakeTracker, where, fail)
    with EnergyCount(tmp_path, Energy()) as count:
        count.save()
    assert "OSError: no sensor); training goes on" in capsys.readouterr().err


def test_codecarbon_itself_counts_without_a_network(tmp_path, monkeypatch):
    """The real tracker; a machine without counters has it estimated, and that is said."""
    pytest.importorskip("codecarbon")

    def refuse(*_arguments: object) -> None:
        raise AssertionError("a network call")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with EnergyCount(tmp_path, Energy(count="on", country="FRA")) as count:
        with contextlib.suppress(ZeroDivisionError):
            sum(number / number for number in range(300_000))
        count.save()
    used = read_energy(tmp_path)
    assert 0 < used["kwh"] < 0.01 and used["co2_kg"] / used["kwh"] < 0.2  # France's grid, kg for each kWh
    assert set(used["how"]) >= {"processor", "memory"}
    assert "CO2e" in energy_text(used) and ("estimated" in energy_text(used))


@pytest.mark.parametrize(
    "fields, says", [({"country": "fr"}, "three capital letters"), ({"grid": -1.0}, "no number of grams")]
)
def test_an_energy_recipe_that_cannot_be_is_named(fields, says):
    with pytest.raises(GenusError, match=says):
        Energy(**fields)
