"""A model that learned planted copies says them, the more so the more there were; contamination is found, and only it."""

import json
import random

import numpy as np
import pytest
import torch

from genus.core.errors import GenusError
from genus.data.corpus import Corpus, make_corpus
from genus.data.steps.task_files import TaskSet
from genus.engine.model import Model
from genus.evaluate import canaries, contamination, memorised
from genus.evaluate.canaries import Canary, exact_exposure, make_canaries, sampled_exposure
from genus.evaluate.memorised import bucket, count_pieces
from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.tokenizers.bytelevel import train

COPIES = (0, 1, 4, 16)


def test_exposure_by_hand():
    assert exact_exposure(-1.0, [-2.0, -3.0, -0.5]) == pytest.approx(np.log2(4) - np.log2(2))
    assert exact_exposure(-1.0, [-2.0] * 1023) == 10
    assert exact_exposure(-1.0, [-1.0]) == 0  # as likely stands before
    assert sampled_exposure(-1.0, [-2.0] * 7) == 3 and sampled_exposure(-1.0, [0.0] * 7) == 0


def test_canaries_are_drawn_by_the_seed_and_read_back(tmp_path):
    made = make_canaries(COPIES, seed=3)
    assert made == make_canaries(COPIES, seed=3) != make_canaries(COPIES, seed=4)
    assert [each.copies for each in made] == list(COPIES) and made[0].size == 10_000
    assert len({each.prefix for each in made}) == 4 and all(len(each.secret) == 4 for each in made)
    canaries.write_canaries(made, tmp_path)
    assert canaries.read_canaries(tmp_path) == made
    planted = (tmp_path / "planted.jsonl").read_text().splitlines()
    assert len(planted) == 21 == len(set(planted)) and sum(made[2].secret in line for line in planted) == 4
    (tmp_path / "canaries.jsonl").write_text('{"prefix": "a", "secret": "12x", "alphabet": "0123", "copies": 1}\n')
    with pytest.raises(GenusError, match=r"canaries.jsonl, line 1: alphabet must have each character"):
        canaries.read_canaries(tmp_path)


def brute_force(texts, size):
    """Every piece of a document's cut, and how often it stands at any place."""
    every = [tuple(ids[i : i + size]) for _, ids in texts for i in range(len(ids) - size + 1)]
    cut = {tuple(ids[i : i + size]) for _, ids in texts for i in range(0, len(ids) - size + 1, size)}
    return {piece: every.count(piece) for piece in cut}


def test_pieces_are_counted_at_any_offset():
    draw = np.random.default_rng(0)
    once = draw.integers(0, 5, 37).astype(np.int32)
    texts = [("a", once), ("b", np.concatenate([once[3:9], once[:30]])), ("c", draw.integers(0, 2, 200).astype(np.int32)),
             ("d", once[:4]), ("e", np.zeros(0, np.int32))]  # fmt: skip
    found = count_pieces(texts, 6)
    assert {piece.tokens: piece.copies for piece in found} == brute_force(texts, 6)
    for piece in found:
        ids = dict(texts)[piece.document]
        assert tuple(ids[piece.start : piece.start + 6].tolist()) == piece.tokens
    assert [bucket(n) for n in (1, 2, 3, 4, 16, 31)] == ["1", "2-3", "2-3", "4-7", "16-31", "16-31"]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A corpus with canaries and texts of several copies, and a model that was trained on it for some seconds."""
    folder = tmp_path_factory.mktemp("planted")
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghij", k=3)) for _ in range(60)]

    def sentence():
        return " ".join(draw.choices(words, k=60))

    secrets = make_canaries([*COPIES] * 2, digits=2, seed=1)
    passages = [(copies, sentence()) for copies in (1, 4, 16) for _ in range(3)]
    source = folder / "texts"
    source.mkdir()
    canaries.write_canaries(secrets, source)
    (source / "canaries.jsonl").rename(folder / "canaries.jsonl")
    for number, (copies, text) in enumerate(passages):
        for copy in range(copies):
            (source / f"{number}-{copy}.txt").write_text(f"{text}\n{draw.choice(words)} {copy}")
    for number in range(10):
        (source / f"other-{number}.txt").write_text(sentence())
    make_corpus(Corpus(source=str(source), out=folder / "corpus", held_out=0.02))
    return folder, _trained(folder / "corpus")


def _trained(corpus):
    from genus.data.corpus import documents
    from genus.models.attend import FastAttend

    texts = [document.text for document in documents(corpus, "train")]
    tokenizer = train(iter(texts), vocab=300)
    spec = spec_of("llama", vocab=tokenizer.vocab, context=160, width=64, depth=2, heads=4)
    network = LanguageModel(spec)
    initialise(network, family_named("llama").init(spec), seed=0)
    end = tokenizer.end_of_text
    rows = [([end, *ids, end] + [end] * 160)[:160] for ids in tokenizer.encode_batch(texts)]
    table, draw = torch.tensor(rows), torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3)
    positions = torch.arange(159)
    for _ in range(220):
        batch = table[torch.randint(0, len(table), (8,), generator=draw)]
        logits = network(batch[:, :-1], positions.expand(8, -1), FastAttend(spec))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return Model(network, family_named("llama"), tokenizer)


def test_exposure_rises_with_the_copies(planted):
    folder, model = planted
    found = canaries.run(model, folder / "canaries.jsonl")
    exposure = [found["measures"][f"exposure, {copies} copies"]["value"] for copies in COPIES]
    assert exposure == sorted(exposure) and exposure[0] < 3 < exposure[2], exposure
    assert exposure[3] == pytest.approx(np.log2(100), abs=0.5)
    assert {item["ranking"] for item in found["items"]} == {"exact"}
    sampled = canaries.run(model, folder / "canaries.jsonl", most=99)
    assert {(item["ranking"], item["ranked"]) for item in sampled["items"]} == {("sampled", 100)}


def test_what_was_there_more_often_comes_back_more_often(planted):
    folder, model = planted
    found = memorised.run(model, folder / "corpus")
    shares = {name: estimate["value"] for name, estimate in found["measures"].items()}
    few, some, many = (shares[f"extracted, {copies} copies"] for copies in ("1", "4-7", "16-31"))
    assert few < 0.2 and many > 0.8 and few <= some <= many, shares
    for item in found["items"]:
        assert item["extracted"] == (item["said"] == item["text"])


def test_planted_overlaps_are_found_and_no_others(tmp_path):
    draw = random.Random(5)
    words = ["".join(draw.choices("abcdefghijklm", k=5)) for _ in range(4000)]

    def text(size):
        return " ".join(draw.choices(words, k=size))

    dirty = [text(30) for _ in range(50)]
    documents = [text(80) for _ in range(200)]
    for number, item in enumerate(dirty):  # 13 words of each, at another place each time, in other letters
        start = number % 18
        part = " ".join(item.split()[start : start + 13]).upper().replace(" ", ",  ")
        documents[number * 4] += f" {part}. {text(5)}"
    clean = [text(30) for _ in range(70)]
    near = [text(30) for _ in range(30)]
    for number, item in enumerate(near):  # one word short of it
        documents[number * 4 + 1] += " " + " ".join(item.split()[:12]) + f" {text(5)}"
    sets = [
        TaskSet("dirty", [["a question", item] for item in dirty]),
        TaskSet("clean", [[item] for item in (*clean, *near)]),
    ]
    found = contamination.find_dirt(sets, iter([documents[:90], documents[90:]]))
    assert [(each.words, sum(each.dirty), len(each.dirty)) for each in found] == [(13, 50, 50), (13, 0, 100)]


def test_a_dirty_item_is_the_one_that_is_said_to_be():
    words = [f"w{i}" for i in range(100)]
    items = [[" ".join(words[i : i + 20])] for i in (0, 40, 70)] + [["too short to tell"], [" ".join(words[0:20]), "b"]]
    (found,) = contamination.find_dirt([TaskSet("set", items)], iter([["x y z " + " ".join(words[44:58])]]))
    assert found.words == 8 and found.dirty == (False, True, False, False, False) and found.too_short == 1


def test_a_text_that_is_too_short_for_its_set_is_clean_whatever_another_set_looks_for():
    draw = random.Random(1)
    nine = " ".join(draw.choices("abcdefghijklm", k=9))
    long = TaskSet("long", [[" ".join(draw.choices("nopqrstuvwxyz", k=40))] for _ in range(40)] + [[nine]])
    short = TaskSet("short", [[nine]] * 3)
    found = contamination.find_dirt([long, short], iter([[f"x {nine} y"]]))
    assert [(each.words, sum(each.dirty), each.too_short) for each in found] == [(13, 0, 1), (9, 3, 0)]


def test_scores_of_the_clean_part():
    found = contamination.by_dirt([1.0, 0.0, 1.0, 1.0], [True, False, False, True])
    assert {name: (each.value, each.count) for name, each in found.items()} == {
        "all": (0.75, 4),
        "clean": (0.5, 2),
        "dirty": (1, 2),
    }
    with pytest.raises(GenusError, match="3 scores for 1 items"):
        contamination.by_dirt([1.0, 1.0, 1.0], [True])


def test_the_probe_reads_task_files_and_a_corpus(planted, tmp_path):
    folder, _ = planted
    from genus.data.corpus import documents

    words = [
        document.text.split()[:40] for document in documents(folder / "corpus", "train") if len(document.text.split()) > 50
    ]
    lines = [" ".join(words[0]), " ".join(reversed(words[1]))]
    (tmp_path / "task.jsonl").write_text("".join(f'{{"query": "{line}"}}\n' for line in lines))
    found = contamination.run(None, tmp_path / "task.jsonl", corpus=folder / "corpus")
    assert [item["dirty"] for item in found["items"]] == [True, False]
    (name,) = found["sets"]
    assert found["measures"][f"{name}: dirty"]["value"] == 0.5 and found["sets"][name]["words"] == 13


def test_scores_of_an_evaluation_without_its_dirty_items(planted, tmp_path):
    from genus.data.corpus import documents

    folder, _ = planted
    seen = next(document.text for document in documents(folder / "corpus", "train") if len(document.text.split()) > 50)
    queries = [
        " ".join(seen.split()[:20]),
        "a question that nobody has asked before in any of these many texts at all",
        "short",
    ]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps({"query": query, "choices": ["a", "b"], "gold": 0}) + "\n" for query in queries))
    rows = [{"place": f"{file}, line {number}", "right": number != 2} for number in (1, 2, 3)]
    (tmp_path / "mine-rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    results = {"tasks": {"mine-rows": {"settings": {"task": {"form": "json"}}}}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    measures = contamination.run(None, tmp_path, corpus=folder / "corpus")["measures"]
    parts = {part: measures[f"mine-rows: score, {part}"] for part in ("all", "clean", "dirty")}
    assert {part: (each["value"], each["count"]) for part, each in parts.items()} == {
        "all": (pytest.approx(2 / 3), 3),
        "clean": (0.5, 2),
        "dirty": (1.0, 1),
    }
    (tmp_path / "results.json").write_text('{"tasks": {}}')
    with pytest.raises(GenusError, match="no task with a score for each item"):
        contamination.run(None, tmp_path, corpus=folder / "corpus")


def test_a_context_that_is_too_short_is_said(planted):
    folder, _ = planted
    spec = spec_of("llama", vocab=300, context=32, width=24, depth=1, heads=3)
    small = Model(LanguageModel(spec), family_named("llama"))
    with pytest.raises(GenusError, match="context of 32 has no room for the probe's 100 tokens"):
        memorised.run(small, folder / "corpus")


def test_a_canary_whose_space_is_large_is_sampled():
    assert Canary("p", "12345", "0123456789", 1).size == 100_000
