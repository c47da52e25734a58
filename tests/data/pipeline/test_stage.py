"""The corpus's passes: the same outcome however the work is cut up, shuffled, or killed."""

import gc
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from genus.core.errors import GenusError
from genus.data.corpus import Corpus, documents, make_corpus
from genus.data.pipeline import runner, stage
from genus.data.pipeline.recipe import Source
from genus.data.pipeline.runner import Pass, Runner, run_tasks
from genus.data.pipeline.tally import Amount, Tally, merged

STEPS = ("extract", "repair", "exact", "fuzzy", "paragraphs", "decontaminate", "personal")
SECRET = " ".join(f"question{i}" for i in range(13))  # of an evaluation set
NOTICE = "All rights reserved by the publisher of this page, who asks that nobody copies it. " * 3


def words(seed: int, count: int) -> str:
    chosen = random.Random(seed)
    return " ".join(f"w{chosen.randrange(3000)}" for _ in range(count))


@pytest.fixture
def records() -> list[dict[str, str]]:
    plain = [{"id": f"d{i:02}", "text": f"{words(i, 300)}\n\n{words(i + 500, 100)}"} for i in range(40)]
    near = plain[7]["text"].replace("w1", "v1", 3)
    return [
        *plain,
        {"id": "same", "text": plain[3]["text"]},
        {"id": "near", "text": near},
        {"id": "d05", "text": words(77, 200)},  # an id that another has
        {"id": "mail", "text": f"{words(90, 150)} write to ann@example.com {words(91, 50)}"},
        {"id": "tainted", "text": f"{words(92, 200)} {SECRET} {words(93, 200)}"},
        *({"id": f"notice{i}", "text": f"{words(600 + i, 90)}\n\n{NOTICE}\n\n{words(700 + i, 90)}"} for i in range(3)),
        {"id": "gone", "text": f"{words(94, 10)} {SECRET} {words(95, 10)}"},
    ]


def write(folder: Path, records: list[dict[str, str]], files: int) -> Path:
    folder.mkdir()
    for number in range(files):
        lines = [json.dumps(record) for record in records[number::files]]
        (folder / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def recipe(tmp_path: Path, records: list[dict[str, str]]) -> Corpus:
    tasks = tmp_path / "quiz.jsonl"
    tasks.write_text(json.dumps({"question": SECRET}) + "\n")
    source = write(tmp_path / "source", records, 6)
    recipe = Corpus(source=str(source), out=tmp_path / "one", steps=STEPS, partitions=1)
    return replace(recipe, decontaminate=replace(recipe.decontaminate, tasks=(tasks,), words=13, shortest=100, around=20))


@pytest.fixture
def _collected():
    """Daft leaves the pipes of its processes to the garbage collector, which would tell of them in another test."""
    yield
    gc.collect()


def texts(out: Path) -> dict[str, str]:
    return {each.id: each.text for split in ("train", "validation") for each in documents(out, split)}


def test_each_step_drops_what_was_planted(recipe: Corpus) -> None:
    manifest = make_corpus(recipe)
    left = texts(recipe.out)
    assert manifest["dropped"] == {
        "contaminated: nothing left": 1,
        "duplicate": 1,
        "duplicate id": 1,
        "near copy": 1,
    }
    assert {"same", "near", "gone"}.isdisjoint(left) and {"d03", "d07", "d05"} <= left.keys()
    assert "write to <EMAIL>" in left["mail"]
    assert "question5" not in left["tainted#cut1"] + left["tainted#cut2"]
    assert sum(NOTICE.strip() in left[f"notice{i}"] for i in range(3)) == 1
    assert not list(recipe.out.parent.glob(".*.work"))


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning", "ignore:subprocess:ResourceWarning")
@pytest.mark.usefixtures("_collected")
def test_parts_processes_and_order_change_nothing(recipe: Corpus, tmp_path: Path, records: list[dict[str, str]]) -> None:
    one = make_corpus(recipe)
    many = make_corpus(replace(recipe, out=tmp_path / "many", partitions=3, runner=Runner(processes=2)))
    random.Random(1).shuffle(records)
    source = write(tmp_path / "shuffled", records, 2)
    other = make_corpus(
        replace(recipe, source=str(source), out=tmp_path / "other", partitions=2, runner=Runner(processes=1))
    )
    assert one["dropped_sha256"] == many["dropped_sha256"] == other["dropped_sha256"]
    assert texts(recipe.out) == texts(tmp_path / "many") == texts(tmp_path / "other")


@pytest.mark.parametrize("kill", (1, 4, 7, 10, 13))
def test_a_killed_start_goes_on_where_it_was(recipe: Corpus, tmp_path: Path, kill: int, monkeypatch) -> None:
    straight = make_corpus(recipe)
    again = replace(recipe, out=tmp_path / "again", partitions=3, runner=Runner(processes=1))
    finished = []

    def perform(work, task, done, perform=runner._perform):
        if len(finished) == kill:
            raise KeyboardInterrupt
        finished.append(done)
        perform(work, task, done)

    monkeypatch.setattr(runner, "_perform", perform)
    with pytest.raises(KeyboardInterrupt):
        make_corpus(again)
    monkeypatch.undo()
    before = set(finished)
    monkeypatch.setattr(
        runner, "_perform", lambda work, task, done, do=runner._perform: (finished.append(done), do(work, task, done))
    )
    assert make_corpus(again)["dropped_sha256"] == straight["dropped_sha256"]
    assert texts(again.out) == texts(recipe.out)
    assert before.isdisjoint(done for done in finished[kill:] if "write" not in str(done) and ".done" not in str(done))


def test_a_changed_source_is_read_anew(recipe: Corpus, monkeypatch, capsys) -> None:
    monkeypatch.setattr(stage, "write_task", None)
    with pytest.raises(TypeError):
        make_corpus(recipe)
    monkeypatch.undo()
    path = Path(recipe.source) / "0.jsonl"
    path.write_text(path.read_text() + json.dumps({"id": "new", "text": words(999, 300)}) + "\n")
    make_corpus(recipe)
    assert "everything is done anew" in capsys.readouterr().err
    assert "new" in texts(recipe.out)


def test_copies_stay_in_the_source_of_the_smaller_number(recipe: Corpus, tmp_path: Path) -> None:
    many = [{"id": f"z{i}", "text": words(i, 200)} for i in range(30)]
    web, books = (write(tmp_path / name, many[:n], 1) for name, n in (("web", 30), ("books", 1)))
    (books / "0.jsonl").write_text(json.dumps({"id": "zz", "text": many[0]["text"]}) + "\n")
    sources = (Source(name="web", path=str(web), priority=1), Source(name="books", path=str(books), licence="CC0"))
    make_corpus(replace(recipe, sources=sources, steps=("exact",), out=tmp_path / "both"))
    left = {each.id: each for split in ("train", "validation") for each in documents(tmp_path / "both", split)}
    assert "books/zz" in left and "web/z0" not in left
    assert left["books/zz"].licence == "CC0" and left["books/zz"].meta["collection"] == "books"


def test_two_sources_may_name_documents_alike(recipe: Corpus, tmp_path: Path) -> None:
    paths = [write(tmp_path / name, [{"id": f"a{i}", "text": words(first + i, 90)} for i in range(20)], 1)
             for name, first in (("web", 0), ("books", 100))]  # fmt: skip
    sources = tuple(Source(name=path.name, path=str(path)) for path in paths)
    manifest = make_corpus(replace(recipe, sources=sources, steps=("exact",), out=tmp_path / "both"))
    assert manifest["dropped"] == {}
    assert texts(tmp_path / "both").keys() == {f"{name}/a{i}" for name in ("web", "books") for i in range(20)}


def test_quality_is_learned_from_the_sources_marked_good(recipe: Corpus, tmp_path: Path) -> None:
    good = [
        {"id": f"g{i}", "text": f"{words(i, 100)} treatise upon natural philosophy {words(i + 90, 50)}"} for i in range(40)
    ]
    raw = [{"id": f"r{i}", "text": f"{words(i + 400, 100)} click here to subscribe {words(i + 490, 50)}"} for i in range(40)]
    raw.append({"id": "fine", "text": f"{words(900, 100)} treatise upon natural philosophy {words(901, 50)}"})
    paths = [write(tmp_path / name, records, 2) for name, records in (("good", good), ("raw", raw))]
    sources = tuple(Source(name=path.name, path=str(path), good=path.name == "good") for path in paths)
    again = replace(
        recipe, sources=sources, steps=("quality",), out=tmp_path / "kept", partitions=2, runner=Runner(processes=1)
    )
    manifest = make_corpus(again)
    left = texts(again.out)
    assert {f"good/{each['id']}" for each in good} <= left.keys()
    assert manifest["dropped"]["low quality"] > 30
    with pytest.raises(GenusError, match="marked good"):
        replace(recipe, steps=("quality",))


def test_budgets_are_kept(recipe: Corpus, tmp_path: Path) -> None:
    many = [{"id": f"{tag}{i}", "text": words(i, 100), "language": tag} for tag in ("en", "fr") for i in range(30)]
    source = write(tmp_path / "many", many, 3)
    limited = replace(
        recipe, source=str(source), steps=("budgets",), budgets={"fr": 3000}, out=tmp_path / "out", partitions=2
    )
    manifest = make_corpus(replace(limited, runner=Runner(processes=1)))
    left = [each for split in ("train", "validation") for each in documents(tmp_path / "out", split)]
    french = sum(each.size for each in left if each.language == "fr")
    assert 2000 < french <= 3000 and sum(each.language == "en" for each in left) == 30
    assert manifest["dropped"] == {"budget: fr is full": 60 - len(left)}


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning", "ignore:subprocess:ResourceWarning")
@pytest.mark.usefixtures("_collected")
def test_an_error_in_a_process_is_told_and_what_was_done_stays(tmp_path: Path) -> None:
    def work(task: dict) -> dict:
        if task["number"] == 2:
            raise GenusError("no such thing; do another")
        return {"number": task["number"]}

    step = Pass("trying", work, [{"number": number} for number in range(4)])
    with pytest.raises(GenusError, match="no such thing"):
        run_tasks(step, tmp_path / "done", Runner(processes=2))
    assert (tmp_path / "done" / "00000.json").exists()
    better = Pass("trying", lambda task: {"number": -task["number"]}, step.tasks)
    found = [each["number"] for each in run_tasks(better, tmp_path / "done", Runner(processes=1))]
    assert found[0] == 0 and found[2] == -2


def test_tallies_add_up_in_any_order() -> None:
    tallies = []
    for source, size in (("a", 10), ("b", 20), ("a", 30)):
        tally = Tally()
        tally.entered("rules", source, Amount(1, size, 2))
        tally.measured("rules", {"words": size}, size == 20)
        tally.dropped("rules", source, "too short", Amount(1, size, 2))
        tallies.append(tally.told())
    assert merged(tallies) == merged(tallies[::-1])
    rules = merged(tallies)["rules"]
    assert rules["in"] == {"a": [2, 40, 4], "b": [1, 20, 2]}
    assert rules["dropped"] == {"a\ttoo short": [2, 40, 4], "b\ttoo short": [1, 20, 2]}
    assert sorted(rules["measured"]["words"]["bins"].values()) == [[1, 0], [1, 0], [1, 1]]
    assert rules["measured"]["words"]["sum"] == 60
