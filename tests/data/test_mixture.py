"""Mixtures: shares that never stray, by brute force over every beginning; tables against their papers' own arithmetic."""

import json
from collections.abc import Iterator
from dataclasses import astuple
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import prose

from genus.core.errors import GenusError
from genus.data.corpus import Corpus, make_corpus
from genus.data.loader import Batch, Loader, Mixture, Rows, open_rows
from genus.data.mixture import PUBLISHED, Mix, Shares, share_out
from genus.data.shards import ShardSet, ShardsRecipe, make_shards, open_shards
from genus.data.vocabulary import TokenizerRecipe, make_tokenizer

CONTEXT = 32
SIZES = {"web": 22, "books": 9, "wiki": 5}  # documents
GPT3 = {name: int(part.size * 1000) for name, part in PUBLISHED["gpt3"].parts.items()}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Three sources, their documents in turns, in many shards; the letter of a document's text says which it is of."""
    root = tmp_path_factory.mktemp("mixed")
    order = sorted((number / count, name) for name, count in SIZES.items() for number in range(count))
    lines = [
        {"text": f"{name} {prose(i, 60 + 3 * i)}", "collection": name, "date": f"{1900 + i}-01-01"}
        for i, (_, name) in enumerate(order)
    ]
    (root / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    make_corpus(Corpus(source=str(root / "records.jsonl"), out=root / "corpus", held_out=0.3))
    make_tokenizer(TokenizerRecipe(corpus=root / "corpus", out=root / "tokenizer", vocab=290))
    recipe = ShardsRecipe(
        corpus=root / "corpus", tokenizer=root / "tokenizer", out=root / "shards", shard_tokens=600, by="collection"
    )
    make_shards(recipe)
    return open_shards(recipe.out)


def same(a: Batch, b: Batch) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(astuple(a), astuple(b), strict=True))


weights = st.lists(st.integers(1, 10**6), min_size=1, max_size=12)


def shares_of(values: list[int]) -> tuple[Shares, dict[str, Fraction]]:
    named = {f"s{i}": Fraction(value, 1000) for i, value in enumerate(values)}
    return Shares(named, dict.fromkeys(named, 10), epoch=10), named


@settings(deadline=None)
@given(weights)
def test_every_beginning_has_each_source_at_its_share(values: list[int]) -> None:
    shares, named = shares_of(values)
    share = [float(named[name] / sum(named.values())) for name in shares.names]
    most = [0.5 * (1 + sum(1 / i for i in range(1, j))) + 1e-9 for j in range(1, len(values) + 1)]
    counts = [0] * len(values)
    for number in range(200):
        assert shares.counts(number) == counts
        assert all(abs(count - number * part) <= far for count, part, far in zip(counts, share, most, strict=True))
        source, before = shares.place(number)
        assert before == counts[source]
        counts[source] += 1


@settings(deadline=None)
@given(weights, st.integers(0, 10**15))
def test_a_far_row_is_found_without_those_before_it(values: list[int], number: int) -> None:
    shares, _ = shares_of(values)
    source, before = shares.place(number)
    now, then = shares.counts(number), shares.counts(number + 1)
    assert sum(now) == number
    assert [b - a for a, b in zip(now, then, strict=True)] == [i == source for i in range(len(values))]
    assert now[source] == before


@pytest.mark.parametrize("name", PUBLISHED)
def test_ten_thousand_rows_of_a_published_mixture_are_within_half_a_percent(name: str) -> None:
    available = {source: max(1, round(1000 * part.size)) for source, part in PUBLISHED[name].parts.items()}
    shares = share_out(Mix(table=name), available)  # type: ignore[arg-type]
    counts = dict.fromkeys(shares.names, 0)
    for number in range(10_000):
        counts[shares.names[shares.place(number)[0]]] += 1
    report = shares.report(10_000)
    values = PUBLISHED[name].values
    wanted = {n: v * (available[n] if PUBLISHED[name].kind == "epochs" else 1) for n, v in values.items()}
    for source, found in report["sources"].items():
        assert found["rows"] == counts[source]
        assert found["target"] == pytest.approx(wanted[source] / sum(wanted.values()))
        assert found["achieved"] == counts[source] / 10_000
        assert abs(found["achieved"] - found["target"]) < 0.00025
        assert found["epochs"] == counts[source] / available[source]
    assert report["largest_difference"] < 0.00025
    json.dumps(report, allow_nan=False)


def test_gpt3s_table_is_as_the_paper_prints_it() -> None:
    parts = PUBLISHED["gpt3"].parts
    assert sum(part.weight for part in parts.values()) == 101  # its own rounding
    epochs = {name: part.weight / 100 * 300 / part.size for name, part in parts.items()}
    disagree = {name for name, part in parts.items() if abs(epochs[name] - part.epochs) > 0.11}
    assert disagree == {"webtext2", "wikipedia"}
    # 300 billion tokens, in thousands, of the sizes that the paper states: the epochs are those of weight / 101.
    report = share_out(Mix(table="gpt3"), GPT3).report(300_000)
    for name, found in report["sources"].items():
        assert found["epochs"] == pytest.approx(epochs[name] * 100 / 101, rel=1e-3)


def test_the_piles_weights_follow_from_its_epochs_and_sizes() -> None:
    parts = PUBLISHED["pile"].parts
    assert len(parts) == 22
    assert sum(part.size for part in parts.values()) == pytest.approx(825.18, abs=0.05)
    effective = sum(part.size * part.epochs for part in parts.values())
    assert effective == pytest.approx(1254.20, abs=0.1)
    for part in parts.values():
        assert 100 * part.size * part.epochs / effective == pytest.approx(part.weight, abs=0.01)


def test_llamas_weights_are_a_whole() -> None:
    assert sum(part.weight for part in PUBLISHED["llama"].parts.values()) == 100
    mostly_twice = {name for name, part in PUBLISHED["llama"].parts.items() if part.epochs > 2}
    assert mostly_twice == {"wikipedia", "books"}  # section 2.1 says of these two that they were read about twice


def test_epochs_are_read_that_often_in_an_epoch_of_the_mixture() -> None:
    available = {"a": 100, "b": 37, "c": 11}
    shares = share_out(Mix(epochs={"a": 1, "b": 2.5, "c": 0}), available)
    assert shares.epoch == 192  # 100 + 92.5, to even
    found = shares.report(shares.epoch)["sources"]
    assert (found["a"]["rows"], found["b"]["rows"]) == (100, 92)
    assert shares.report(5)["left_out"] == ["c"]
    assert shares.report(shares.epoch, start=92)["rows"] == 100


def test_a_table_can_be_changed_in_part() -> None:
    shares = share_out(Mix(table="gpt3", weights={"wikipedia": 0, "books1": 10}), GPT3)
    assert shares.left_out == ["wikipedia"]
    report = shares.report(1000)["sources"]
    assert {name: round(each["target"] * 100) for name, each in report.items()} == {
        "common_crawl": 60,
        "webtext2": 22,
        "books1": 10,
        "books2": 8,
    }
    small = {name: tokens for name, tokens in GPT3.items() if name != "wikipedia"}
    assert share_out(Mix(table="gpt3", weights={"wikipedia": 0}), small).left_out == []  # named as 0, and not there


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        (Mix(weights={"web": 1, "books": 1, "wiki": 1, "news": 2}), "weights.news: there is no source news; .* web, books"),
        (Mix(weights={"web": 1, "books": -0.5, "wiki": 1}), "weights.books is -0.5, not a number of at least 0"),
        (Mix(epochs={"web": 1, "books": float("nan"), "wiki": 1}), "epochs.books is nan"),
        (Mix(epochs={"web": 1, "books": float("inf"), "wiki": 1}), "epochs.books is inf"),
        (Mix(weights={"web": 0, "books": 0, "wiki": 0}), r"weights is 0 for every source \(web, books, wiki\)"),
        (Mix(weights={"web": 1, "books": 1}), "says nothing of the source wiki; give it a number, 0 to leave it out"),
        (Mix(), "says nothing of the source web"),
        (Mix(weights={"web": 1}, epochs={"web": 1}), "has weights and epochs; give one of them"),
        (Mix(table="pile", weights={"web": 1}), "has weights, but the table pile is of epochs"),
        (Mix(table="gpt3"), "there is no source common_crawl"),
    ],
)
def test_an_unfit_mixture_names_the_source(mix: Mix, message: str) -> None:
    with pytest.raises(GenusError, match=message):
        share_out(mix, {"web": 100, "books": 10, "wiki": 1})


# From here on over real shards.

MIX = Mix(weights={"web": 2, "books": 1, "wiki": 0.5})


def mixed(shards: ShardSet) -> Mixture:
    rows = open_rows(shards, CONTEXT, seed=3, mix=MIX)
    assert isinstance(rows, Mixture)
    return rows


def batches(shards: ShardSet, size: int, position: int = 0) -> Iterator[Batch]:
    return Loader(mixed(shards), size, position=position)


def test_shards_know_the_source_of_every_document(shards: ShardSet) -> None:
    tokenizer, sources = shards.tokenizer(), shards.sources("train")
    assert set(sources) == set(SIZES)
    for name, counts in sources.items():
        stream = shards.stream("train", name)
        texts = "".join(tokenizer.decode(stream.read(0, len(stream)).tolist()))
        assert texts.startswith(name)
        assert len(stream.document_starts) == counts["documents"]
        for start in stream.document_starts.tolist():
            assert tokenizer.decode(stream.read(start + 1, start + 12).tolist()).startswith(name)
        assert counts == {"tokens": len(stream), "documents": counts["documents"], "bytes": len(texts.encode())}
    whole = shards.stream("train")
    assert sum(counts["tokens"] for counts in sources.values()) == len(whole) == shards.manifest["splits"]["train"]["tokens"]
    with pytest.raises(GenusError, match=r"source news is not in train of .*; its sources are books, web, wiki"):
        shards.stream("train", "news")


def test_rows_are_of_one_source_in_its_share_and_never_again_before_all_were(shards: ShardSet) -> None:
    rows = mixed(shards)
    streams = {name: shards.stream("train", name) for name in SIZES}
    texts = {name: f",{','.join(map(str, stream.read(0, len(stream))))}," for name, stream in streams.items()}
    seen: dict[str, list[bytes]] = {name: [] for name in SIZES}
    for number in range(3 * len(rows)):
        source = rows.shares.names[rows.shares.place(number)[0]]
        row = rows.row(*divmod(number, len(rows)))
        assert f",{','.join(map(str, row))}," in texts[source]
        seen[source].append(row.tobytes())
    counts = [len(seen[name]) for name in ("web", "books", "wiki")]
    assert counts == pytest.approx([len(rows) * 3 * share for share in (4 / 7, 2 / 7, 1 / 7)], abs=1)
    for name, found in seen.items():
        epoch = len(Rows(streams[name], CONTEXT, 0))
        for first in range(0, len(found) - epoch + 1, epoch):
            assert len(set(found[first : first + epoch])) == epoch  # each row once an epoch of its source
    assert counts[2] > 2 * shards.sources("train")["wiki"]["tokens"] // CONTEXT  # so the last was read more than twice


def test_documents_stay_apart_within_a_row(shards: ShardSet) -> None:
    several = 0
    for batch in islice(batches(shards, 4), 40):
        starts = batch.tokens == shards.end_of_text
        assert np.array_equal(np.diff(batch.documents, axis=1), starts[:, 1:].astype(int))
        assert np.all(batch.positions[starts] == 0)
        several += int(starts[:, 1:].sum())
    assert several > 5


def test_a_thousand_batches_after_a_resume_are_those_of_the_straight_run(shards: ShardSet) -> None:
    straight = batches(shards, 3)
    for _ in range(137):
        next(straight)
    position = straight.state()["position"]  # type: ignore[attr-defined]
    assert position == 137 * 3
    assert all(same(a, b) for a, b in islice(zip(straight, batches(shards, 3, position), strict=True), 1000))


def test_ranks_share_out_one_order_also_after_their_number_changed(shards: ShardSet) -> None:
    one = np.concatenate([batch.tokens for batch in islice(batches(shards, 1), 240)])
    found, position = [], 0
    for world, size, steps in ((2, 3, 10), (3, 4, 10), (1, 6, 10)):  # 60, 120 and 60 rows
        ranks = [Loader(mixed(shards), size, position, rank, world) for rank in range(world)]
        for _ in range(steps):
            parts = [next(loader).tokens for loader in ranks]
            found.append(np.stack(parts, axis=1).reshape(size * world, CONTEXT))
        position = ranks[0].position
    assert np.array_equal(np.concatenate(found), one)


def test_another_source_does_not_reorder_the_others(shards: ShardSet) -> None:
    def web(mix: Mix, count: int) -> list[bytes]:
        rows = open_rows(shards, CONTEXT, 3, mix=mix)
        assert isinstance(rows, Mixture)
        mine = (n for n in range(10_000) if rows.shares.names[rows.shares.place(n)[0]] == "web")
        return [rows.row(*divmod(number, len(rows))).tobytes() for number in islice(mine, count)]

    alone = Mix(weights={"web": 1, "books": 0, "wiki": 0})
    assert web(MIX, 50) == web(alone, 50)
    rows = open_rows(shards, CONTEXT, 3, mix=alone)
    assert isinstance(rows, Mixture)
    assert rows.shares.report(9)["left_out"] == ["books", "wiki"]


def test_sources_of_one_size_are_not_in_one_order(shards: ShardSet) -> None:
    assert len({rows.seed for rows in mixed(shards)._rows}) == len(SIZES)


def test_without_a_mixture_nothing_changes(shards: ShardSet) -> None:
    plain, rows = open_rows(shards, CONTEXT, 3), Rows(shards.stream("train"), CONTEXT, 3)
    assert isinstance(plain, Rows)
    assert all(np.array_equal(plain.row(1, i), rows.row(1, i)) for i in range(20))


def test_a_source_too_short_for_a_row_and_shards_of_one_stream_are_named(shards: ShardSet, tmp_path: Path) -> None:
    tokens = shards.sources("train")["wiki"]["tokens"]
    with pytest.raises(
        GenusError, match=f"wiki has {tokens:,} tokens to train on, too few for a row of {tokens:,}; leave it"
    ):
        open_rows(shards, tokens, 0, mix=MIX)
    root = shards.path.parent
    make_shards(ShardsRecipe(corpus=root / "corpus", tokenizer=root / "tokenizer", out=tmp_path / "one"))
    with pytest.raises(GenusError, match=r"one does not tell sources apart, .* again with genus shards --by KEY"):
        open_rows(open_shards(tmp_path / "one"), CONTEXT, 0, mix=MIX)
