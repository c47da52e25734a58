"""All steps on, over real documents: the same is dropped and kept however the input is cut up, shuffled, or killed."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from real_documents import NOTICE, QUESTION, planted, write_recipe

from genus.cli.main import bind_stage
from genus.core.files import read_json
from genus.core.recipe import read_recipe
from genus.data.corpus import Corpus, documents, make_corpus
from genus.data.pipeline.runner import Runner

STEPS_THAT_DROP = {
    "budget: en is full", "c4: too few sentences", "duplicate", "duplicate id", "language: not kept", "low quality",
    "near copy", "toxic",
}  # fmt: skip
PLACES = (  # what is there when a step is about half done, in the order of the steps
    "read/done/00001.json",
    "ids/gone.npy",
    "exact/gone.npy",
    "fuzzy/done/00001.json",
    "finish/repeated-documents.npy",
    "finish/quality",
    "finish/grams/done/00001.json",
    "finish/done/00001.json",
    "budgets/gone.npy",
    "write/left-00003-000.npy",
)


def opened(recipe: Path, out: Path, partitions: int) -> Corpus:
    values = {**read_recipe(recipe), "out": str(out), "partitions": partitions}
    return replace(bind_stage("corpus", values, str(recipe))[1], runner=Runner(processes=1))


def texts(out: Path) -> dict[str, str]:
    return {each.id: each.text for split in ("train", "validation") for each in documents(out, split)}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recipe, and what came of it in one part."""
    folder = tmp_path_factory.mktemp("straight")
    recipe = write_recipe(folder / "source", planted())
    make_corpus(opened(recipe, folder / "out", 1))
    return recipe, folder / "out"


def test_every_step_has_something_to_do(straight: tuple[Path, Path]) -> None:
    left = texts(straight[1])
    assert read_json(straight[1] / "manifest.json")["dropped"].keys() >= STEPS_THAT_DROP
    assert any("<EMAIL>" in text for text in left.values())
    assert sum(NOTICE.strip() in text for text in left.values()) <= 1  # the one that kept it may have gone later
    assert not any(QUESTION in text for text in left.values()) and any("#cut" in id for id in left)


@pytest.mark.parametrize("partitions", [2, 8])
def test_any_number_of_parts(straight: tuple[Path, Path], tmp_path: Path, partitions: int) -> None:
    manifest = make_corpus(opened(straight[0], tmp_path / "out", partitions))
    assert manifest["dropped_sha256"] == read_json(straight[1] / "manifest.json")["dropped_sha256"]
    assert texts(tmp_path / "out") == texts(straight[1])


def test_any_order_in_other_files(straight: tuple[Path, Path], tmp_path: Path) -> None:
    sources = planted()
    for records in sources.values():
        random.Random(5).shuffle(records)
    manifest = make_corpus(opened(write_recipe(tmp_path / "source", sources, files=3), tmp_path / "out", 2))
    assert manifest["dropped_sha256"] == read_json(straight[1] / "manifest.json")["dropped_sha256"]
    assert texts(tmp_path / "out") == texts(straight[1])


def start(recipe: Path, out: Path, processes: int = 1) -> subprocess.Popen[bytes]:
    flags = ["--out", str(out), "--partitions", "4", "--runner.processes", str(processes), "--quiet"]
    command = [sys.executable, "-m", "genus.cli.main", "corpus", str(recipe), *flags]
    return subprocess.Popen(command, start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def kill_at(path: Path, process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started, at once, when there is something at the path."""
    while not path.exists():
        assert process.poll() is None, f"it ended ({process.returncode}) before {path}"
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def finished(work: Path) -> dict[Path, int]:
    """What has been written to the end, and when."""
    kept = [path for path in work.rglob("*") if path.is_file() and not path.name.startswith((".", "left-", "rows-", "plan"))]
    return {path: path.stat().st_mtime_ns for path in kept if path.suffix in (".json", ".npy", ".npz")}


@pytest.mark.timeout(900)
def test_killed_in_each_step(straight: tuple[Path, Path], tmp_path: Path) -> None:
    """One corpus, killed with -9 in every step in turn: what was done is not done again, and the outcome is the same."""
    out, work = tmp_path / "out", tmp_path / ".out.work"
    before: dict[Path, int] = {}
    for number, place in enumerate(PLACES):
        kill_at(work / place, start(straight[0], out, processes=1 + (number in (0, 7))))
        now = finished(work)
        assert before.items() <= now.items()
        assert not out.exists()
        before = now
    process = start(straight[0], out)
    assert process.wait(timeout=120) == 0
    assert not work.exists() and sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert read_json(out / "manifest.json")["dropped_sha256"] == read_json(straight[1] / "manifest.json")["dropped_sha256"]
    assert texts(out) == texts(straight[1])
