"""Mixtures in pretraining itself: what the loader of a run gives, exact resume, several readers, faults, what is told."""

import json
import re
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import astuple, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genus.cli import main as cli
from genus.core.errors import GenusError, Stopped
from genus.data.loader import Batch, Loader, Rows
from genus.data.mixture import Mix
from genus.data.shards import ShardSet, open_shards
from genus.evaluate.recipe import Report
from genus.evaluate.report import report
from genus.train import pretrain as pretrain_module
from genus.train import run as run_module
from genus.train.journal import read_journal
from genus.train.pretrain import pretrain
from genus.train.recipe import Every, ModelRecipe, Pretrain
from genus.train.run import Phase
from tests.train.test_logbook import describe
from tests.train.test_trajectories import assert_same_end, losses
from tests.train.tiny import SIZES, tiny_recipe

pytestmark = pytest.mark.xdist_group("mixture")  # one worker makes the straight run that these share

CONTEXT = 32
MIX = Mix(weights={"speeches": 1, "laws": 2, "notes": 0.5})
SHARES = {"speeches": 2 / 7, "laws": 4 / 7, "notes": 1 / 7}


@pytest.fixture(autouse=True)
def _known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "describe", describe)


@pytest.fixture(scope="module")
def straight(mixed_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty steps of eight rows."""
    out = tmp_path_factory.mktemp("mixture") / "straight"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "describe", describe)
        pretrain(mixed(mixed_shards, out))
    return out


def mixed(shards: Path, out: Path, **changes: object) -> Pretrain:
    return tiny_recipe(shards, out, **{"mixture": MIX, **changes})


class _Seen(Exception):  # noqa: N818 - not an error
    pass


@pytest.fixture
def phase_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Pretrain], Phase]:
    """What `pretrain` would train with."""

    def found(recipe: Pretrain) -> Phase:
        def spy(_recipe: Any, phase: Phase, *_: object) -> None:
            raise _Seen(phase)

        with monkeypatch.context() as patch:
            patch.setattr(pretrain_module, "train", spy)
            with pytest.raises(_Seen) as seen:
                pretrain(recipe)
        phase: Phase = seen.value.args[0]
        return phase

    return found


def windows(shards: ShardSet) -> dict[bytes, str]:
    """The source of every row that there can be."""
    found = {}
    for name in SIZES:
        stream = shards.stream("train", name)
        tokens = stream.read(0, len(stream))
        for start in range(len(tokens) - CONTEXT):
            found[tokens[start : start + CONTEXT + 1].tobytes()] = name
    return found


def rows_of(batch: Batch) -> list[bytes]:
    whole = np.concatenate([batch.tokens, batch.targets[:, -1:]], axis=1)
    return [row.tobytes() for row in whole]


def same(a: Batch, b: Batch) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(astuple(a), astuple(b), strict=True))


def test_ten_thousand_rows_of_a_run_are_within_half_a_percent(mixed_shards, tmp_path, phase_of):
    loader, of = phase_of(mixed(mixed_shards, tmp_path)).loader, windows(open_shards(mixed_shards))
    counts = Counter(of[row] for batch in islice(loader, 1250) for row in rows_of(batch))
    assert counts.total() == 10_000
    for name, share in SHARES.items():
        assert abs(counts[name] / 10_000 - share) < 0.0005


def test_a_thousand_batches_after_a_resume_are_those_of_the_straight_run(mixed_shards, tmp_path, phase_of):
    recipe = mixed(mixed_shards, tmp_path)
    one, other = phase_of(recipe).loader, phase_of(recipe).loader
    for _ in range(137):
        next(one)
    other.position = one.position
    assert all(same(a, b) for a, b in islice(zip(one, other, strict=True), 1000))


def test_readers_share_out_one_order_also_after_their_number_changed(mixed_shards, tmp_path, phase_of):
    straight = phase_of(mixed(mixed_shards, tmp_path)).loader
    wanted = [row for batch in islice(straight, 60) for row in rows_of(batch)]
    found, position = [], 0
    for world, steps in ((1, 10), (4, 20), (2, 30)):
        readers = [Loader(straight.rows, 8 // world, position, rank, world) for rank in range(world)]
        for _ in range(steps):
            parts = [rows_of(next(reader)) for reader in readers]
            found += [row for place in zip(*parts, strict=True) for row in place]
        position = readers[0].position
    assert found == wanted


def test_twenty_steps_are_seven_stopped_and_thirteen_resumed(mixed_shards, straight, tmp_path, monkeypatch):
    original = run_module._Run._record

    def record(self: Any, step: Any, spent: float) -> None:
        original(self, step, spent)
        if step.number == 7:
            signal.raise_signal(signal.SIGUSR1)

    with monkeypatch.context() as patch:
        patch.setattr(run_module._Run, "_record", record)
        with pytest.raises(Stopped):
            pretrain(mixed(mixed_shards, tmp_path))
    pretrain(mixed(mixed_shards, tmp_path))
    assert_same_end(straight, tmp_path)


def test_it_is_not_the_run_of_all_text(mixed_shards, straight, tmp_path):
    """The comparisons above would hold for a run that passes over its mixture."""
    pretrain(mixed(mixed_shards, tmp_path, mixture=None))
    assert losses(tmp_path) != losses(straight)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neo", "gptj", "gpt_oss"])
def test_other_families_read_it_too(mixed_shards, tmp_path, family):
    model = ModelRecipe(family=family, context=32, width=24, depth=2, heads=3, hidden=32)
    pretrain(mixed(mixed_shards, tmp_path, steps=2, model=model))
    assert "mixture" in read_journal(tmp_path / "metrics.jsonl")[-1]


def test_epochs_are_those_of_the_sources(mixed_shards, tmp_path, phase_of):
    epochs = {"speeches": 1.0, "laws": 3.0, "notes": 0.0}
    recipe = mixed(mixed_shards, tmp_path, mixture=Mix(epochs=epochs), tokens=0, epochs=2)
    phase, shards = phase_of(recipe), open_shards(mixed_shards)
    rows = {name: len(Rows(shards.stream("train", name), CONTEXT, 0)) for name in SIZES}
    assert len(phase.loader.rows) == rows["speeches"] + 3 * rows["laws"]
    assert phase.steps == round(2 * len(phase.loader.rows) / 8)
    told = phase.mixture(2 * len(phase.loader.rows))
    assert {name: each["epochs"] for name, each in told["sources"].items()} == {"laws": 6, "speeches": 2}
    assert told["left_out"] == ["notes"]


def test_metrics_logbook_and_page_tell_target_achieved_and_epochs(mixed_shards, straight, tmp_path):
    shards, of = open_shards(mixed_shards), windows(open_shards(mixed_shards))
    told = read_journal(straight / "metrics.jsonl")[-1]["mixture"]
    loader = Loader(pretrain_module.open_rows(shards, CONTEXT, 0, False, MIX), 8)
    counts = Counter(of[row] for batch in islice(loader, 20) for row in rows_of(batch))
    assert told["rows"] == 160
    for name, share in SHARES.items():
        found, rows = told["sources"][name], len(Rows(shards.stream("train", name), CONTEXT, 0))
        assert found["target"] == pytest.approx(share)
        assert (found["rows"], found["tokens"], found["achieved"]) == (counts[name], 32 * counts[name], counts[name] / 160)
        assert found["epochs"] == pytest.approx(counts[name] / rows)
    laws = told["sources"]["laws"]
    line = f"laws {laws['achieved']:.2%} (target 57.14%), {laws['epochs']:.2f} epochs"
    (entry,) = re.findall(r"^- \S+ mixture: (.*)$", (straight / "logbook.md").read_text(), re.MULTILINE)
    assert entry.startswith("160 rows: ") and line in entry
    assert "mixture" not in read_journal(straight / "metrics.jsonl")[0]  # nothing was read yet
    report(Report(run=straight, out=tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    figures = ("57.14%", f"{laws['achieved']:.2%}", f"{laws['tokens']:,}")
    row = "<td>laws</td>" + "".join(f'<td class="n">{figure}</td>' for figure in figures)
    assert "<h2>The mixture</h2>" in page and row in page


def test_a_run_says_beforehand_how_often_it_will_read_each_source(mixed_shards, tmp_path, capsys):
    pretrain(mixed(mixed_shards, tmp_path, steps=2))
    said = capsys.readouterr().err
    assert said.index("to read: 16 rows: laws 56.25% (target 57.14%)") < said.index("mixture of 16 rows: laws 56.25%")


def test_the_card_counts_what_was_read(mixed_shards, tmp_path):
    sources = open_shards(mixed_shards).sources("train")
    pretrain(mixed(mixed_shards, tmp_path, steps=2, mixture=Mix(weights={"speeches": 0, "laws": 2, "notes": 1})))
    card = (tmp_path / "model" / "README.md").read_text()
    for what in ("documents", "bytes"):
        assert f"{sources['laws'][what] + sources['notes'][what]:,} {what}" in card


@pytest.mark.parametrize(
    "mixture", [None, MIX, Mix(weights={"speeches": 1, "laws": 0, "notes": 0})], ids=["all", "mix", "one"]
)
def test_the_held_out_loss_is_of_the_sources_that_are_read(mixed_shards, tmp_path, phase_of, monkeypatch, mixture):
    """In their shares: of shards by source, the beginning of the held-out text would be of the first source alone."""
    shards = open_shards(mixed_shards)
    streams = {name: shards.stream("validation", name) for name in shards.sources("validation")}
    assert set(streams) == set(SIZES)
    texts = {name: f",{','.join(map(str, stream.read(0, len(stream))))}," for name, stream in streams.items()}
    monkeypatch.setattr(pretrain_module, "_VALIDATION_TOKENS", 2048)
    rows = phase_of(mixed(mixed_shards, tmp_path, mixture=mixture)).loader.rows
    counts: Counter[str] = Counter()
    for batch in pretrain_module._held_out(shards, rows, CONTEXT, 4):
        assert len(batch.tokens) <= 4
        for row in batch.tokens:
            (name,) = [name for name, text in texts.items() if f",{','.join(map(str, row))}," in text]
            counts[name] += row.size
    shares = SHARES if mixture is MIX else {"speeches": 1.0} if mixture else {n: len(each) for n, each in streams.items()}
    assert set(counts) == set(shares)
    for name, share in shares.items():
        assert counts[name] == pytest.approx(2048 * share / sum(shares.values()), abs=5 * CONTEXT)


WRONG = [
    ({"weights": {**MIX.weights, "news": 1}}, "mixture.weights.news: there is no source news; the sources are "),
    ({"weights": {**MIX.weights, "laws": -1}}, "mixture.weights.laws is -1, not a number of at least 0"),
    ({"weights": dict.fromkeys(SIZES, 0)}, r"mixture.weights is 0 for every source \(.*\); give one of them more"),
    ({"weights": {"laws": 1}}, "mixture.weights says nothing of the source .*; give it a number, 0 to leave it out"),
    ({}, "mixture.weights says nothing of the source .*; give it a number"),
]


@pytest.mark.parametrize("mix, sentence", WRONG)
def test_a_mixture_that_does_not_fit_is_named_before_anything_is_made(mixed_shards, tmp_path, mix, sentence):
    with pytest.raises(GenusError, match=sentence) as raised:
        pretrain(mixed(mixed_shards, tmp_path / "out", mixture=Mix(**mix)))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_source_with_nothing_to_train_on_is_named(mixed_shards, tmp_path):
    """All of its text is held out, as that of a source newer than the others may be."""
    home = tmp_path / "shards"
    home.mkdir()
    for path in mixed_shards.iterdir():
        (home / path.name).symlink_to(path)
    manifest = json.loads((home / "manifest.json").read_text())
    train = manifest["splits"]["train"]
    del train["sources"]["notes"]
    train["shards"] = [shard for shard in train["shards"] if shard["source"] != "notes"]
    (home / "manifest.json").unlink()
    (home / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(
        GenusError, match=r"source notes has 0 tokens to train on.*mixture.weights.notes = 0, or give it more"
    ):
        pretrain(mixed(home, tmp_path / "out"))
    pretrain(mixed(home, tmp_path / "out", steps=2, mixture=Mix(weights={**MIX.weights, "notes": 0})))


def test_shards_of_one_stream_are_named_with_what_makes_them_again(tiny_shards, tmp_path):
    with pytest.raises(GenusError, match=r"does not tell sources apart.*genus shards --by KEY"):
        pretrain(mixed(tiny_shards, tmp_path / "out"))


def test_another_mixture_is_another_run(mixed_shards, straight):
    other = Mix(weights={**MIX.weights, "laws": 3})
    with pytest.raises(GenusError, match=r"mixture.weights.laws was 2, now 3.*--restart"):
        pretrain(mixed(mixed_shards, straight, mixture=other))


def test_a_recipe_and_flags_say_it(mixed_shards, tmp_path, capsys):
    path = tmp_path / "recipe.toml"
    path.write_text(
        f'shards = "{mixed_shards}"\nout = "{tmp_path / "run"}"\ntokens = 512\nbatch = 8\nenergy.count = "off"\n'
        "[model]\ncontext = 32\nwidth = 24\ndepth = 1\nheads = 2\n[mixture.weights]\nspeeches = 1\nlaws = 2\nnotes = 1\n"
    )
    assert cli._run(["pretrain", str(path), "--mixture.weights.notes", "-1"]) == 1
    assert "genus pretrain: mixture.weights.notes is -1.0, not a number of at least 0" in capsys.readouterr().err
    assert cli._run(["pretrain", str(path), "--mixture.weights.notes", "0"]) == 0
    told = read_journal(tmp_path / "run" / "metrics.jsonl")[-1]["mixture"]
    assert {name: each["target"] for name, each in told["sources"].items()} == pytest.approx(
        {"laws": 2 / 3, "speeches": 1 / 3}
    )
    assert told["left_out"] == ["notes"]


def test_a_look_in_between_has_the_shares_up_to_there(mixed_shards, straight, tmp_path):
    pretrain(mixed(mixed_shards, tmp_path, every=Every(validate=5, sample=0, checkpoint=5)))
    told = [record["mixture"]["rows"] for record in read_journal(tmp_path / "metrics.jsonl") if "mixture" in record]
    assert told == [40, 80, 120, 160]
    assert losses(tmp_path) == losses(straight)


def test_shares_of_a_plan_count_the_mixture(mixed_shards, tmp_path):
    from genus.cli.plan import _of_recipe
    from genus.plan.recipe import Plan

    recipe = replace(mixed(mixed_shards, tmp_path), tokens=0, mixture=Mix(epochs={"speeches": 0, "laws": 2, "notes": 0}))
    rows = len(Rows(open_shards(mixed_shards).stream("train", "laws"), CONTEXT, 0))
    assert _of_recipe(recipe, Plan())[1] == 2 * rows * CONTEXT
