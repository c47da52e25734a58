"""The report of a corpus: all adds up, or there is none; however the work was cut, it is the same; nothing of it runs."""

import gc
import json
import random
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genus.core.errors import GenusError
from genus.core.files import read_json, sha256
from genus.data.corpus import Corpus, documents, make_corpus
from genus.data.pipeline import runner
from genus.data.pipeline.parts import Parts
from genus.data.pipeline.reading import Flow
from genus.data.pipeline.recipe import Source
from genus.data.pipeline.runner import Runner
from genus.data.pipeline.tally import Amount
from genus.data.report.charts import histogram
from genus.data.report.funnel import check_drops, check_kept, funnel
from genus.data.report.samples import SAMPLES, Chosen
from genus.data.steps.fuzzy import shingles
from genus.data.steps.rules import Rules

STEPS = ("extract", "repair", "rules", "exact", "fuzzy", "paragraphs", "decontaminate", "personal", "budgets")
SECRET = " ".join(f"question{i}" for i in range(13))  # of an evaluation set
NOTICE = "All rights reserved by the publisher of this page, who asks that nobody copies it. " * 3
EVIL = '<script>alert(1)</script><img src=x onerror=alert(2)> & "quoted" \''


def words(seed: int, count: int) -> str:
    chosen = random.Random(seed)
    return " ".join(f"w{chosen.randrange(3000)}" for _ in range(count))


@pytest.fixture
def records() -> list[dict[str, str]]:
    plain = [{"id": f"d{i:02}", "text": f"{words(i, 300)}\n\n{words(i + 500, 100)}"} for i in range(40)]
    return [
        *plain,
        *({"id": f"same{i}", "text": plain[3]["text"]} for i in range(2)),
        {"id": "near", "text": plain[7]["text"].replace("w1", "v1", 3)},
        {"id": "d05", "text": words(77, 200)},  # an id that another has
        {"id": "mail", "text": f"{words(90, 150)} write to ann@example.com or bob@example.com {words(91, 50)}"},
        {"id": "tainted", "text": f"{words(92, 200)} {SECRET} {words(93, 200)}"},
        {"id": "gone", "text": f"{words(94, 20)} {SECRET} {words(95, 20)}"},
        *({"id": f"notice{i}", "text": f"{words(600 + i, 90)}\n\n{NOTICE}\n\n{words(700 + i, 90)}"} for i in range(3)),
        *({"id": f"short{i}{EVIL}", "text": f"{EVIL} {words(i, 5)}"} for i in range(30)),
        *({"id": f"fr{i}", "text": words(2000 + i, 100), "language": "fr"} for i in range(5)),
        {"id": "empty", "text": ""},
    ]


def recipe_of(folder: Path, records: list[dict[str, str]], **fields: Any) -> Corpus:
    """Two sources of some files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quiz.jsonl").write_text(json.dumps({"question": SECRET}) + "\n")
    for name, mine in (("web", records[::2]), ("books", records[1::2])):
        (folder / name).mkdir()
        for number in range(3):
            lines = [json.dumps(record) for record in mine[number::3]]
            (folder / name / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    sources = tuple(Source(name=name, path=str(folder / name)) for name in ("web", "books"))
    recipe = Corpus(sources=sources, out=folder / "out", steps=STEPS, budgets={"fr": 1500}, **fields)
    cut = replace(recipe.decontaminate, tasks=(folder / "quiz.jsonl",), shortest=100, around=20)
    rules = replace(Rules(), sets=("gopher_quality",), languages=())
    rules = replace(rules, gopher_quality=replace(rules.gopher_quality, least_stop_words=0))
    return replace(recipe, decontaminate=cut, rules=rules)


@pytest.fixture
def _collected():
    """Daft leaves the pipes of its processes to the garbage collector, which would tell of them in another test."""
    yield
    gc.collect()


def lasting(out: Path) -> dict[str, Any]:
    """What a report says that may not depend on the machine or on how the work was cut up."""
    report = read_json(out / "report.json")
    return {name: report[name] for name in report.keys() - {"made", "recipe"}}


def test_every_step_and_source_adds_up_to_what_was_written(tmp_path: Path, records: list[dict[str, str]]) -> None:
    recipe = recipe_of(tmp_path / "a", records)
    make_corpus(recipe)
    report = read_json(recipe.out / "report.json")
    rows = {row["step"]: row for row in report["funnel"]}
    assert list(rows) == ["read", "extract", "repair", "rules", "ids", *STEPS[3:]]
    assert rows["read"]["in"][0] == len(records)
    assert sum(len(record["text"].encode()) for record in records) == rows["read"]["in"][1]
    assert sum(len(record["text"].split()) for record in records) == rows["read"]["in"][2]
    for before, row in zip([None, *rows.values()], rows.values(), strict=False):
        for told in (row, *row["sources"].values()):
            for n in range(3):
                assert told["in"][n] + told["changed"][n] == told["kept"][n] + told["dropped"][n], row
        assert before is None or before["kept"] == row["in"]
        assert [sum(each["in"][n] for each in row["sources"].values()) for n in range(3)] == row["in"]
    left = [each for split in ("train", "validation") for each in documents(recipe.out, split)]
    texts = [each.text for each in left]
    last = report["funnel"][-1]["kept"]
    assert last == [len(left), sum(len(text.encode()) for text in texts), sum(len(text.split()) for text in texts)]
    assert rows["decontaminate"]["changed"][0] == 1  # tainted/1 and tainted/2 of one
    dropped = pq.read_table(recipe.out / "dropped").to_pylist()
    counted = Counter(
        {(row["step"], row["reason"]): sum(size[0] for size in row["sources"].values()) for row in report["reasons"]}
    )
    assert counted == Counter((row["step"], row["reason"]) for row in dropped)
    assert len(dropped) == sum(row["dropped"][0] for row in rows.values()) == len(records) + 1 - len(left)
    assert counted["fuzzy", "near copy"] == 1 and counted["exact", "duplicate"] == 2 and counted["read", "empty"] == 1
    assert sum(size[1] for size in report["languages"].values()) == last[1]
    assert 0 < report["languages"]["fr"][1] <= 1500
    assert sum(size[0] for size in report["sources"].values()) == last[0]


def test_it_says_the_same_for_any_number_of_parts(tmp_path: Path, records: list[dict[str, str]], _collected: None) -> None:
    recipe = replace(recipe_of(tmp_path / "a", records), runner=Runner(processes=1))
    reports, cards = [], []
    for parts in (1, 2, 3):
        make_corpus(replace(recipe, partitions=parts))
        reports.append(lasting(recipe.out))
        cards.append((recipe.out / "data_card.md").read_text())
    assert reports[0] == reports[1] == reports[2]
    assert cards[0] == cards[1] == cards[2]


def test_twenty_of_each_reason_are_shown_with_evidence(tmp_path: Path, records: list[dict[str, str]]) -> None:
    recipe = recipe_of(tmp_path / "a", records)
    make_corpus(recipe)
    report = read_json(recipe.out / "report.json")
    by = Counter((row["step"], row["reason"]) for row in report["samples"])
    assert max(by.values()) == SAMPLES == by["rules", "gopher: too few words"]
    chosen = {row["id"] for row in report["samples"] if row["step"] == "rules"}
    make_corpus(replace(recipe, seed=1))
    assert chosen != {row["id"] for row in read_json(recipe.out / "report.json")["samples"] if row["step"] == "rules"}
    samples = {row["id"]: row for row in report["samples"]}
    text = {record["id"]: record["text"] for record in records}
    (near,) = (row for row in report["samples"] if row["step"] == "fuzzy")
    assert (near["id"], near["kept"]) == ("web/near", "books/d07")
    assert near["excerpt"] == text["near"][:400] and near["kept_excerpt"] == text["d07"][:400]
    sets = [set(shingles(pa.array([text[id]]), recipe.fuzzy).values.tolist()) for id in ("near", "d07")]
    assert near["jaccard"] == pytest.approx(len(sets[0] & sets[1]) / len(sets[0] | sets[1]))
    (same,) = (row for row in report["samples"] if row["step"] == "ids")  # of one id, yet not of one text
    (stays,) = (
        each.text for split in ("train", "validation") for each in documents(recipe.out, split) if each.id == same["id"]
    )
    assert same["kept"] == same["id"] == "books/d05" and same["kept_excerpt"] == stays[:400] != same["excerpt"]
    assert report["clusters"]["exact"]["sizes"] == [[3, 1]] and report["clusters"]["fuzzy"]["sizes"] == [[2, 1]]
    assert report["clusters"]["exact"]["largest"] == [["books/d03", 3]]
    assert report["clusters"]["fuzzy"]["jaccard"] == [[int(near["jaccard"] * 50) / 50, 1]]
    assert samples["web/gone"]["detail"].startswith("no piece of 100 characters; n-grams: 1 of a/quiz")
    (quiz,) = report["evaluations"]
    assert (quiz["name"], quiz["grams"], quiz["found"]) == ("a/quiz", 1, 1)
    assert report["measured"]["decontaminate"]["n-grams of a/quiz"]["documents"] == 2
    assert report["measured"]["personal"]["email"] | {"bins": 0} == {"documents": 1, "sum": 2.0, "bins": 0}


def test_a_killed_start_gives_the_same_counts_and_keeps_the_time_of_what_was_done(
    tmp_path: Path, records: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(recipe_of(tmp_path / "a", records), partitions=2, runner=Runner(processes=1))
    make_corpus(recipe)
    straight = lasting(recipe.out)
    count = 0

    def perform(work, task, done, perform=runner._perform):
        nonlocal count
        if count == 6:  # in the pass named finishing
            raise KeyboardInterrupt
        count += 1
        perform(work, task, done)

    again = replace(recipe, out=tmp_path / "again")
    monkeypatch.setattr(runner, "_perform", perform)
    with pytest.raises(KeyboardInterrupt):
        make_corpus(again)
    monkeypatch.undo()
    work = tmp_path / ".again.work"
    before = {path.name: read_json(path) for path in work.glob("spent-*.json")}
    assert {"spent-exact.json", "spent-fuzzy.json", "spent-evaluation sets.json"} <= before.keys()
    make_corpus(again)
    assert lasting(again.out) == straight
    passes = read_json(again.out / "report.json")["made"]["passes"]
    for found in before.values():
        assert all(each in passes for each in found)
    assert [each["name"] for each in passes] == [
        "reading", "ids", "exact", "near copies", "fuzzy", "shared paragraphs", "contamination", "evaluation sets",
        "finishing", "budgets", "holding out", "writing",
    ]  # fmt: skip


class _Seen(HTMLParser):
    """Tags and attributes of a page, and its words."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes |= {name for name, _ in attributes}
        if tag not in ("meta", "rect", "line", "circle", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line", "circle", "polyline"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_nothing_of_a_document_runs_in_the_page_and_nothing_is_loaded(tmp_path: Path, records: list[dict[str, str]]) -> None:
    recipe = recipe_of(tmp_path / "a", records)
    make_corpus(recipe)
    page = (recipe.out / "report.html").read_text()
    seen = _Seen()
    seen.feed(page)
    assert not seen.open
    assert seen.tags.keys().isdisjoint({"script", "img", "link", "iframe", "a"})
    assert not [name for name in seen.attributes if name.startswith("on") or name in ("src", "href")]
    assert "default-src 'none'" in page
    assert seen.words.count(EVIL) >= SAMPLES  # shown as it is written
    assert seen.tags["svg"] > 10
    assert "near copy" in seen.words and "write to ann@" not in seen.words


def test_the_data_card_says_what_was_done_and_what_was_not(tmp_path: Path, records: list[dict[str, str]]) -> None:
    recipe = recipe_of(tmp_path / "a", [*records, {"id": "odd", "text": words(1, 99), "licence": "a | <b>\n# c"}])
    make_corpus(recipe)
    card = (recipe.out / "data_card.md").read_text()
    assert "Near copies were dropped: documents whose sets of runs of 5 words have a Jaccard index of 0.8 or more." in card
    assert "Nothing was done about: language, quality, toxic language." in card
    report = read_json(recipe.out / "report.json")
    for name, size in (report["sources"] | report["languages"]).items():
        assert f"| {name or 'not stated'} | {size[0]:,} | {size[1]:,} | {size[2]:,} |" in card
    assert "- a \\| &lt;b> # c: 1 documents" in card  # one line, in no table's or page's way
    counted = Counter(line for line in card.splitlines() if line.startswith("- "))
    assert counted["- near copy: 1"] == counted["- duplicate: 2"] == 1


def test_inputs_are_told_by_their_hashes(tmp_path: Path, records: list[dict[str, str]]) -> None:
    recipe = recipe_of(tmp_path / "a", records)
    make_corpus(recipe)
    listed = dict(reversed(line.split("  ")) for line in (recipe.out / "inputs.sha256").read_text().splitlines())
    files = [path for name in ("web", "books") for path in (tmp_path / "a" / name).iterdir()]
    assert listed == {path.relative_to(tmp_path / "a").as_posix(): sha256(path) for path in files}
    before = read_json(recipe.out / "report.json")["inputs"]
    assert before["web"]["files"] == 3 and before["web"]["bytes"] == sum(p.stat().st_size for p in files if "web" in p.parts)
    path = tmp_path / "a" / "web" / "0.jsonl"
    path.write_text(path.read_text() + "\n")
    make_corpus(recipe)
    after = read_json(recipe.out / "report.json")["inputs"]
    assert after["books"] == before["books"] and after["web"]["sha256"] != before["web"]["sha256"]


def test_a_document_that_is_not_accounted_for_is_an_error(
    tmp_path: Path, records: list[dict[str, str]], monkeypatch
) -> None:
    recipe = replace(recipe_of(tmp_path / "a", records), runner=Runner(processes=1))
    keep = Flow.drop
    monkeypatch.setattr(Flow, "drop", lambda self, document, *rest: document.id == "web/gone" or keep(self, document, *rest))
    with pytest.raises(GenusError, match=r"step decontaminate, source .*; not every document is accounted for"):
        make_corpus(recipe)
    monkeypatch.undo()
    lose = Parts.drop
    monkeypatch.setattr(Parts, "drop", lambda self, row, text="": row["reason"] == "empty" or lose(self, row, text))
    with pytest.raises(GenusError, match=r"step read, source .*, empty: counted against listed"):
        make_corpus(replace(recipe, seed=1))
    assert not recipe.out.exists()


def test_documents_of_which_no_two_are_alike(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": words(n, 200)}) + "\n" for n in range(30)))
    make_corpus(Corpus(source=str(tmp_path / "a.jsonl"), out=tmp_path / "out", steps=("exact", "fuzzy")))
    report = read_json(tmp_path / "out" / "report.json")
    assert report["clusters"] == {step: {"sizes": [], "largest": [], "jaccard": []} for step in ("exact", "fuzzy")}
    assert report["funnel"][-1]["kept"][0] == 30 and report["samples"] == []
    assert "Nothing was dropped." in (tmp_path / "out" / "report.html").read_text()


def test_what_later_passes_need_is_tried_before_any_work(tmp_path: Path, records: list[dict[str, str]], monkeypatch) -> None:
    recipe = recipe_of(tmp_path / "a", records)
    monkeypatch.setattr(runner, "_perform", None)  # nothing may begin
    for wrong, message in (
        (replace(recipe, decontaminate=replace(recipe.decontaminate, tasks=())), "has nothing to look for"),
        (replace(recipe, decontaminate=replace(recipe.decontaminate, tasks=(tmp_path / "no",))), "holds no evaluation set"),
        (replace(recipe, personal=replace(recipe.personal, kinds=("names",))), 'has "names"; choose among'),
        (replace(recipe, steps=("quality",), quality=replace(recipe.quality, model=tmp_path)), "quality.json is missing"),
    ):
        with pytest.raises(GenusError, match=message):
            make_corpus(wrong)


def told(**ways: dict[str, list[int]]) -> dict[str, Any]:
    return {"in": {}, "changed": {}, "kept": {}, "dropped": {}, "measured": {}, "seconds": 0.0} | ways


def test_the_funnel_by_hand() -> None:
    came, went = {"a": [3, 30, 6], "b": [1, 5, 1]}, {"a": [2, 20, 4], "b": [1, 5, 1]}
    tally = {
        "read": told(**{"in": came}, kept=went, dropped={"a\tempty": [1, 10, 2]}),
        "ids": told(**{"in": dict(went)}, kept={"a": [2, 18, 4], "b": [1, 5, 1]}, changed={"a": [0, -2, 0]}),
    }
    rows = funnel(tally, ["read", "ids"])
    assert rows[0]["dropped"] == [1, 10, 2] and rows[0]["sources"]["a"]["kept"] == [2, 20, 4]
    assert rows[1]["in"] == [3, 25, 5] and rows[1]["changed"] == [0, -2, 0] and rows[1]["kept"] == [3, 23, 5]
    check_kept(rows, [Amount(3, 23, 5)], {"train": Amount(2, 20), "validation": Amount(1, 3)}, tails=False)
    check_kept(rows, [Amount(3, 23, 5)], {"train": Amount(3, 20), "validation": Amount(2, 3)}, tails=True)
    with pytest.raises(GenusError, match="against what was written"):
        check_kept(rows, [Amount(3, 23, 5)], {"train": Amount(2, 20), "validation": Amount(1, 2)}, tails=False)
    with pytest.raises(GenusError, match="against what is left"):
        check_kept(rows, [Amount(3, 23, 4)], {"train": Amount(2, 20), "validation": Amount(1, 3)}, tails=False)
    tally["ids"]["in"]["b"] = [1, 4, 1]
    tally["ids"]["kept"]["b"] = [1, 4, 1]
    with pytest.raises(GenusError, match="source b: kept by read against in to ids"):
        funnel(tally, ["read", "ids"])


def test_what_is_counted_as_dropped_is_what_is_listed() -> None:
    rows = [{"step": "read", "reason": "empty", "sources": {"a": [2, 7, 0]}}]
    table = pa.table(
        {"step": ["read"] * 2, "reason": ["empty"] * 2, "collection": ["a"] * 2, "bytes": [3, 4], "words": [0, 0]}
    )
    check_drops(rows, table)
    for wrong in (table.slice(1), pa.concat_tables([table, table.set_column(1, "reason", pa.array(["x", "y"]))])):
        with pytest.raises(GenusError, match="not every document is accounted for"):
            check_drops(rows, wrong)


def test_the_chosen_do_not_depend_on_the_order() -> None:
    rows = [(f"id{n}", f"detail {n}") for n in range(5000)]
    found = []
    for order in (rows, rows[::-1]):
        chosen = Chosen(3)
        for id, detail in order:
            chosen.add("why", id, detail, id)
        found.append(chosen.rows()["why"])
    assert found[0] == found[1] and len(set(found[0])) == SAMPLES


@pytest.mark.parametrize("bins", ([[0.0, 4, 1], [0.5, 2, 2]], [[0.0, 1, 1], [8.0, 10, 5], [1024.0, 20, 0]]))
def test_bars_are_as_high_as_their_counts(bins: list[list[float]]) -> None:
    heights: dict[str, list[float]] = {}
    for title, body in re.findall(r"<title>(.*?)</title>(.*?)</g>", histogram(bins, "a")):
        heights[title] = [float(high) for high in re.findall(r'height="([\d.]+)"', body)]
    most = max(count for _, count, _ in bins)
    assert [round(sum(each)) for each in heights.values()] == [round(130 * count / most) for _, count, _ in bins]
    assert histogram(bins, "a").count("<rect") == sum((kept > 0) + (count > kept) for _, count, kept in bins)
