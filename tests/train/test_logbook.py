"""The logbook of a run, read back as a person would: by date, kind and words, and rendered by a Markdown library."""

import html
import re
import shlex
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch
from markdown_it import MarkdownIt

from genus.cli import main as cli
from genus.core.errors import GenusError, Stopped
from genus.core.files import read_json
from genus.parallel.shard import Objective
from genus.train import run as run_module
from genus.train.journal import read_journal
from genus.train.logbook import Logbook, circumstances, note, quoted
from genus.train.loop import Scored
from genus.train.pretrain import pretrain
from genus.train.recipe import Every, Optim
from tests.train.test_trajectories import start, wait_for
from tests.train.tiny import tiny_recipe

pytestmark = pytest.mark.xdist_group("logbook")  # one worker makes the straight run that these share

MACHINE = {"device": "cpu", "name": "Abacus", "threads": 3, "system": "Linux", "python": "3.99", "torch": "9.9",
           "precision": "fp32", "matmul_flops": 2e9}  # fmt: skip
HOSTILE = "<script>x</script> `one` ``two`` \x1b[2J*bold*\n# not a heading\n- not an entry"
LOOKING = Every(validate=2, sample=3, checkpoint=2)


def describe(_device: torch.device, _bf16: bool) -> dict[str, object]:
    """In the place of the real one, which takes a second and draws random numbers as this does."""
    torch.rand(7)
    return MACHINE


@pytest.fixture(autouse=True)
def _known_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "describe", describe)


def text_of(run: Path) -> str:
    return (run / "logbook.md").read_text("utf-8")


def sections(run: Path) -> list[tuple[str, str]]:
    """Title and body of each start."""
    parts = re.split(r"^## \S+ (.*)\n", text_of(run), flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def entries(run: Path, kind: str) -> list[str]:
    return re.findall(rf"^- \d{{4}}-\d\d-\d\dT\d\d:\d\dZ {kind}: (.*)$", text_of(run), re.MULTILINE)


def number(text: str) -> float:
    return float(text.replace(",", ""))


@pytest.fixture(scope="module")
def straight(tiny_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps with hostile samples and a hostile command line."""
    out = tmp_path_factory.mktemp("straight")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(run_module, "describe", describe)
        monkeypatch.setattr(sys, "argv", ["genus", "pretrain", "my recipe.toml", HOSTILE, "\udcff"])
        pretrain(tiny_recipe(tiny_shards, out, steps=6, every=LOOKING), sampler=lambda *_: HOSTILE)
    return out


def test_a_straight_run_reads_back(straight):
    metrics = read_journal(straight / "metrics.jsonl")
    steps = {record["step"]: record for record in metrics if "loss" in record} | {0: {"tokens": 0, "seconds": 0.0}}
    held_out = [record for record in metrics if "validation_loss" in record]
    found = entries(straight, "held-out")
    assert [record["step"] for record in held_out] == [0, 2, 4, 6]
    assert len(found) == 4
    for line, record in zip(found, held_out, strict=True):
        assert line.startswith(f"step {record['step']}, {record['tokens']:,} tokens, loss {record['validation_loss']:.4f}")
    for line, before, after in zip(found[1:], (0, 2, 4), (2, 4, 6), strict=True):
        rate = (steps[after]["tokens"] - steps[before]["tokens"]) / (steps[after]["seconds"] - steps[before]["seconds"])
        assert number(re.search(r"([\d,]+) tokens/s since the last$", line)[1]) == pytest.approx(rate, rel=0.1)
    assert [line.split()[0] for line in entries(straight, "checkpoint")] == ["step-2", "step-4", "step-6"]
    assert [line.split()[1] for line in entries(straight, "sample")] == ["0", "3", "6"]
    ((title, body),) = sections(straight)
    assert title == "start"
    assert "before:" not in body and "last entry" not in body
    for part in ("- machine: Abacus (cpu, Linux), 3 threads, 2 GFLOP/s", "torch 9.9, python 3.99", "1,536 tokens in 6 steps",
                 f"- recipe: `{straight}/recipe.toml`\n"):  # fmt: skip
        assert part in body


def test_the_totals_are_those_of_the_metrics(straight):
    last = [record for record in read_journal(straight / "metrics.jsonl") if "loss" in record][-1]
    (line,) = entries(straight, "end")
    assert line.startswith("1,536 tokens in 6 steps (0 skipped) and ")
    speed = last["tokens"] / last["seconds"]
    flop = read_json(straight / "run.json")["flop"]
    assert number(re.search(r"([\d,]+) tokens/s", line)[1]) == pytest.approx(speed, rel=0.02)
    assert number(re.search(r"([\d.,]+) GFLOP/s", line)[1]) == pytest.approx(flop * speed / 1e9, abs=0.06)
    assert number(re.search(r"([\d,]+)% of", line)[1]) == pytest.approx(100 * flop * speed / 2e9, rel=0.02, abs=0.6)


def test_it_is_dated_in_universal_time(straight):
    for stamp in re.findall(r"^(?:##|-) (\d\S+)", text_of(straight), re.MULTILINE):
        assert timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(stamp) < timedelta(minutes=30)


def test_nothing_in_a_sample_or_a_command_is_markup(straight):
    tokens = [inner for token in MarkdownIt().parse(text_of(straight)) for inner in (token, *(token.children or []))]
    assert not [token for token in tokens if token.type.startswith(("html", "em_", "strong"))]
    assert len([token for token in tokens if token.type == "heading_open"]) == 2
    code = [token.content for token in tokens if token.type == "code_inline"]
    line = "<script>x</script> `one` ``two`` [2J*bold* # not a heading - not an entry"
    assert len([content for content in code if content == line]) == 3
    command = next(content for content in code if content.startswith("genus"))
    assert shlex.split(command) == ["genus", "pretrain", "my recipe.toml", line, "\\udcff"]
    assert "\x1b" not in text_of(straight)


@pytest.mark.parametrize("text", ["plain", "`", "a`", "`a`", "``", "a ``` b `` c", "\\`"])
def test_quoted_text_comes_back_from_markdown(text):
    (inline,) = (token for token in MarkdownIt().parse(f"- {quoted(text)}") if token.type == "inline")
    assert [(child.type, child.content) for child in inline.children] == [("code_inline", text)]


def test_killed_and_resumed(tiny_shards, tmp_path):
    """kill -9 past step 5: the next start says so and goes on below; nothing that was written changes."""
    process = start(tiny_shards, tmp_path, steps=40)
    wait_for(tmp_path / "checkpoints" / "step-5", process)
    process.kill()
    process.communicate()
    newest = max(int(path.name.removeprefix("step-")) for path in (tmp_path / "checkpoints").glob("step-*"))
    assert newest < 40, "it was over before the kill"
    with (tmp_path / "logbook.md").open("a") as file:
        file.write("- 2026-01-02T03:0")  # a line that the kill cut
    note(tmp_path, "the power went")
    killed = text_of(tmp_path)
    pretrain(tiny_recipe(tiny_shards, tmp_path, steps=40))
    assert text_of(tmp_path).startswith(killed)
    (first, _), (second, body) = sections(tmp_path)
    assert (first, second) == ("start", "resume")
    assert f"- from: step {newest}, checkpoints/step-{newest}\n" in body
    assert "the last start did not end properly" in body
    assert re.search(r"^- last entry: \S+Z, \d+m?\d*s ago$", body, re.MULTILINE)
    assert len(entries(tmp_path, "end")) == 1
    assert entries(tmp_path, "note") == ["the power went"]


def test_a_finished_run_is_left_alone_but_for_an_end_that_is_missing(tiny_shards, tmp_path):
    recipe = tiny_recipe(tiny_shards, tmp_path, steps=2)
    pretrain(recipe)
    whole = text_of(tmp_path)
    note(tmp_path, "end: not the end of the run")
    noted = text_of(tmp_path)
    pretrain(recipe)
    assert text_of(tmp_path) == noted
    for instead in ("", " failed: ValueError: in the last look at held-out text\n"):
        (tmp_path / "logbook.md").write_text(whole[: whole.index(" end: ")] + instead)
        pretrain(recipe)
        assert [title for title, _ in sections(tmp_path)] == ["start", "resume"]
        assert ("did not end properly" in text_of(tmp_path)) == (not instead)
        assert entries(tmp_path, "end")[0].startswith("512 tokens in 2 steps")
    (tmp_path / "logbook.md").unlink()  # as of a run made before there were logbooks
    pretrain(recipe)
    assert not (tmp_path / "logbook.md").exists()


def test_killed_before_the_first_checkpoint_is_bit_for_bit_too(tiny_shards, tmp_path, monkeypatch):
    """Describing the machine draws random numbers, which dropout comes after: every start must draw them, not the first."""
    pretrain(tiny_recipe(tiny_shards, tmp_path / "straight", steps=3))

    def die(_self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(run_module._Run, "go_on", die)
        pretrain(tiny_recipe(tiny_shards, tmp_path / "killed", steps=3))
    pretrain(tiny_recipe(tiny_shards, tmp_path / "killed", steps=3))
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("straight", "killed")]
    assert weights[0] == weights[1]
    assert entries(tmp_path / "killed", "failed") == ["KeyboardInterrupt:"]
    assert [title for title, _ in sections(tmp_path / "killed")] == ["start", "start"]


def test_a_stop_by_signal_and_a_restart(tiny_shards, tmp_path, monkeypatch):
    original = run_module._Run._record

    def record(self, step, spent):
        original(self, step, spent)
        if step.number == 3:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(run_module._Run, "_record", record)
        pretrain(tiny_recipe(tiny_shards, tmp_path, steps=4))
    (line,) = entries(tmp_path, "stopped")
    assert "signal" in line and "saved at step 3 of 4" in line
    pretrain(tiny_recipe(tiny_shards, tmp_path, steps=4))
    pretrain(tiny_recipe(tiny_shards, tmp_path, steps=4, optim=Optim(lr=1e-4)), restart=True)
    (_, _), (_, resumed), (title, restarted) = sections(tmp_path)
    assert "properly" not in resumed and "from: step 3" in resumed and "changed" not in resumed
    assert title == "restart"
    assert "changed: optim.lr was 0.003, now 0.0001\n" in restarted and "from:" not in restarted


@pytest.mark.parametrize("poisoned", [{3}, set(range(3, 20))], ids=["one", "ten in a row"])
def test_poisoned_batches_leave_their_entries(tiny_shards, tmp_path, monkeypatch, poisoned):
    loss, calls = Objective.forward, []

    def poison(self, batch):
        calls.append(1)
        scored = loss(self, batch)
        step = (len(calls) + 1) // 2  # two micro-batches a step
        return Scored(scored.total * float("nan"), scored.weight) if step in poisoned else scored

    monkeypatch.setattr(Objective, "forward", poison)
    if len(poisoned) == 1:
        pretrain(tiny_recipe(tiny_shards, tmp_path, steps=5))
        assert "(1 skipped)" in entries(tmp_path, "end")[0]
    else:
        with pytest.raises(GenusError, match="10 steps in a row"):
            pretrain(tiny_recipe(tiny_shards, tmp_path))
        assert entries(tmp_path, "failed")[0].startswith("GenusError: training stopped: 10 steps in a row")
        assert entries(tmp_path, "end") == []
    found = entries(tmp_path, "skipped")
    assert len(found) == min(9, len(poisoned))  # the tenth is the failure
    for place, line in enumerate(found):
        assert line.startswith(f"step {3 + place} was skipped: loss nan, gradient norm nan; ")
        assert line.endswith(f"{1 + place} skipped so far")


def test_a_logbook_cut_anywhere_goes_on(tmp_path):
    whole = (
        "# Logbook\n\n## 2026-01-02T03:04Z start\n\n- command: `g`\n\n"
        "- 2026-01-02T03:05Z sample: \N{EURO SIGN}\n- 2026-01-02T03:06Z end: x\n"
    ).encode()
    path = tmp_path / "logbook.md"
    for cut in range(1, len(whole) + 1):
        path.write_bytes(whole[:cut])
        book = Logbook(tmp_path)
        begun, ended = b"Z s" in whole[:cut], b"Z end" in whole[:cut]
        assert (bool(book.last), book.last == "end") == (begun, ended), whole[:cut]
        with book.start("resume", [], lambda: "all"):
            book.write("sample", "b")
        after = path.read_bytes()
        assert after.startswith(whole[:cut])
        ours = after[cut:].decode()
        assert re.search(r"\n## \S+Z resume\n", ours) and re.search(r"\n- \S+Z sample: b\n- \S+Z end: all\n$", ours)
        assert ("did not end properly" in ours) == (begun and not ended)
        assert Logbook(tmp_path).last == "end"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"- 2026-99-99T99:99Z end: a date that is none\n"])
def test_a_logbook_of_other_content_is_kept_and_added_to(tmp_path, content):
    (tmp_path / "logbook.md").write_bytes(content)
    with Logbook(tmp_path).start("start", ["a: b"], lambda: "all"):
        pass
    now = (tmp_path / "logbook.md").read_bytes()
    assert now.startswith(content)
    assert re.search(rb"^## \S+Z start\n\n- a: b\n", now, re.MULTILINE) and now.endswith(b" end: all\n")


def test_where_it_cannot_be_written_training_goes_on(tiny_shards, tmp_path, capsys):
    """A folder stands where it should be: a failure that being root does not lift."""
    (tmp_path / "logbook.md").mkdir()
    pretrain(tiny_recipe(tiny_shards, tmp_path, steps=4, every=LOOKING))
    assert capsys.readouterr().err.count("logbook.md could not be written (Is a directory); training goes on") == 1
    assert (tmp_path / "model" / "model.safetensors").exists()
    assert [record["step"] for record in read_journal(tmp_path / "metrics.jsonl") if "loss" in record] == [1, 2, 3, 4]


def test_the_commit_is_that_of_the_current_directory(tmp_path, monkeypatch):
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    def commit() -> str:
        return next(line for line in circumstances(MACHINE) if line.startswith("commit: "))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit().startswith("commit: none (")
    git("init")
    assert commit().startswith("commit: none (")
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "-m", "one")
    git("tag", "v1")
    assert commit() == f"commit: {git('rev-parse', 'HEAD')}"
    (tmp_path / "file").write_text("b")
    (tmp_path / "hook").write_text("#!/bin/sh\ntouch started\n")
    (tmp_path / "hook").chmod(0o755)
    git("config", "core.fsmonitor", str(tmp_path / "hook"))
    assert commit() == f"commit: {git('rev-parse', 'HEAD')}-dirty"
    assert not (tmp_path / "started").exists()
    monkeypatch.setenv("PATH", "")
    assert commit().startswith("commit: none (")


def test_a_note_by_hand(straight, tmp_path, capsys):
    (tmp_path / "logbook.md").write_bytes((straight / "logbook.md").read_bytes())
    assert cli._run(["report", "note", str(tmp_path), "-3 dB,\nlowered  the rate"]) == 0
    assert entries(tmp_path, "note") == ["-3 dB, lowered the rate"]
    assert text_of(tmp_path).startswith(text_of(straight))
    assert cli._run(["report", "note", str(tmp_path / "none"), "x"]) == 1
    assert "none has no logbook.md; name the folder of a run" in capsys.readouterr().err
    assert cli._run(["report", "note", str(tmp_path), " "]) == 1
    assert "the note is empty" in capsys.readouterr().err
    assert cli._run(["report", "note", str(tmp_path)]) == 2
    assert "TEXT" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["flags", "recipe"])
def test_the_report_stage_is_as_it_was_and_shows_the_logbook(straight, tmp_path, form):
    recipe, page = tmp_path / "recipe.toml", tmp_path / "page.html"
    recipe.write_text(f'run = "{straight}"\nout = "{page}"\n')
    arguments = [str(recipe)] if form == "recipe" else ["--run", str(straight), "--out", str(page)]
    assert cli._run(["report", *arguments]) == 0
    assert "&lt;script&gt;x" in page.read_text() and "<script" not in page.read_text()
    assert html.escape(entries(straight, "end")[0]) in page.read_text()


def test_the_clock_of_the_last_entry(tmp_path):
    then = datetime.now(UTC) - timedelta(hours=2, minutes=10)
    (tmp_path / "logbook.md").write_text(f"## {then:%Y-%m-%dT%H:%MZ} start\n- {then:%Y-%m-%dT%H:%MZ} note: x\n")
    (line,) = (line for line in Logbook(tmp_path)._before() if line.startswith("last entry"))
    assert re.search(r", 2h1[01]m ago$", line), line


def test_what_a_resume_runs_with_is_compared_with_the_start_before(tiny_shards, tmp_path, monkeypatch):
    pretrain(tiny_recipe(tiny_shards, tmp_path, steps=5))
    (tmp_path / "logbook.md").write_text(text_of(tmp_path).split(" end: ")[0])  # so that there is something to go on with
    monkeypatch.setattr(run_module, "describe", lambda *_: {**MACHINE, "torch": "10.0", "threads": 5, "matmul_flops": 3e9})
    monkeypatch.setattr("genus.train.logbook._commit", lambda: "b" * 40)
    before = read_json(tmp_path / "run.json")["environment"]["commit"]
    pretrain(tiny_recipe(tiny_shards, tmp_path, steps=5))
    (_, first), (_, second) = sections(tmp_path)
    assert "environment:" not in first
    assert f"- environment: commit was {before}, now {'b' * 40}; threads was 3, now 5; torch was 9.9, now 10.0\n" in second


def test_an_evaluation_enters_the_logbook_and_ends_nothing(tiny_shards, tmp_path):
    from genus.evaluate.perplexity import evaluate
    from genus.evaluate.recipe import Evaluate

    folder = pretrain(tiny_recipe(tiny_shards, tmp_path, steps=2))
    corpus = tiny_shards.parent / "corpus"
    found = evaluate(Evaluate(model=folder, corpus=corpus, out=tmp_path / "evaluation.json", references=False))
    (line,) = entries(tmp_path, "evaluation")
    assert line == f"{found['bits_per_byte']:.4f} bits per byte of 3 held-out documents, in evaluation.json"
    assert Logbook(tmp_path).last == "end"
