"""What every store of passages must do: one suite, run on a LanceDB folder and on a file of milvus-lite."""

import contextlib
import importlib.util
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genus.cli import main as cli
from genus.core.errors import GenusError
from genus.retrieve.corpus import Corpus
from genus.retrieve.filters import All, AnyOf, Is, Not, Range, admits
from genus.retrieve.opening import open_corpus
from genus.retrieve.passage import Passage
from genus.retrieve.rows import from_rows, moved
from tests.retrieve.memory_corpus import HashedWords, MemoryCorpus, passage

ENCODER = HashedWords()
FACTS = {"name": ENCODER.name, "sha256": ENCODER.sha256, "width": ENCODER.width}
OTHER = {"name": "other", "sha256": "0" * 64, "width": ENCODER.width}
ENDINGS = {"lance": "index", "milvus": "index.db"}
PACKAGES = {"lance": ["lancedb"], "milvus": ["pymilvus", "milvus_lite"]}
SENTINEL = "xylophonic quagmire"
HOSTILE = [
    "' OR 1=1 --",
    '"] or id != "',
    "it's",
    "back\\slash",
    "\\",
    "''",
    "a\nb",
    "tab\tbed",
    "%",
    "_",
    "ünï",
    "null",
    "",
]


def installed(store: str) -> None:
    for name in PACKAGES[store]:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


@contextlib.contextmanager
def place(store: str, folder: Path) -> Iterator[str]:
    """Where an index of the store is to be; the server that milvus-lite starts for it is stopped at the end."""
    installed(store)
    path = str(folder / ENDINGS[store])
    yield path
    release(path)


def release(path: str) -> None:
    """Let a file of milvus-lite go, so that what is opened next is read from the disk."""
    if path.endswith(".db"):
        from milvus_lite.server_manager import server_manager_instance

        server_manager_instance.release_server(path)


@pytest.fixture(params=ENDINGS)
def at(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with place(request.param, tmp_path) as path:
        yield path


def encoded(passages: list[Passage]) -> np.ndarray:
    return ENCODER.encode([each.text for each in passages])


def filled(path: str, passages: list[Passage]) -> Corpus:
    corpus = open_corpus(path, FACTS)
    corpus.add(passages, encoded(passages))
    return corpus


def some(count: int = 60) -> list[Passage]:
    draw = np.random.default_rng(4)
    said = ["river", "stone", "the", "of", "Ärger", "42", "it's", "north-west", "law", "tax", "peace", "bank"]
    return [
        passage(f"doc{at}", " ".join(draw.choice(said, int(draw.integers(3, 30)))), title=f"On {said[at % 5]} {at}")
        for at in range(count)
    ]


def ids(found: list) -> list[str]:
    return [hit.passage.id for hit in found]


def bytes_of(path: str) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(Path(path).rglob("*")) if each.is_file())


def test_what_is_added_is_there(at):
    passages = some()
    corpus = filled(at, passages)
    assert len(corpus) == len(passages)
    assert corpus.get(["doc7:0", "none:0", "doc3:0"]) == [passages[7], passages[3]]
    assert corpus.known(["doc3:0", "none:0"]) == {"doc3:0": passages[3].sha256}
    assert corpus.get([]) == [] and corpus.known([]) == {}
    corpus.add([], np.zeros((0, ENCODER.width), np.float32))
    release(at)
    assert open_corpus(at).get(["doc9:0"]) == [passages[9]]


def test_a_passage_is_replaced_by_id(at):
    corpus = filled(at, some(5))
    new = [passage("doc1", SENTINEL), passage("doc9", "nine")]
    corpus.add(new, encoded(new))
    assert len(corpus) == 6
    assert corpus.get(["doc1:0"]) == [new[0]]
    assert ids(corpus.words("xylophonic", 5)) == ["doc1:0"]
    assert ids(corpus.near(encoded(new)[0], 1)) == ["doc1:0"]


def test_the_rest_of_a_document_goes_as_its_passages_come(at):
    def of(name: str, *texts: str) -> list[Passage]:
        return [passage(name, text, number) for number, text in enumerate(texts)]

    corpus = filled(at, [*of("a'b", "one", "two", SENTINEL), *of("b", "one", "two"), *of("c", "one")])
    new = [*of("a'b", "first"), *of("d", "new")]
    corpus.add(new, encoded(new), ["a'b"])
    assert {each: len(corpus.get([f"{each}:{number}" for number in range(3)])) for each in ("a'b", "b", "c", "d")} == {
        "a'b": 1,
        "b": 2,
        "c": 1,
        "d": 1,
    }
    assert corpus.words("xylophonic", 5) == []
    with pytest.raises(GenusError, match="half a character"):
        corpus.add([replace(new[0], text="\ud800")], encoded(new[:1]), ["a'b", "b"])
    assert len(corpus) == 5
    corpus.compact()
    assert SENTINEL.split(maxsplit=1)[0].encode() not in bytes_of(at)


def test_bad_additions_change_nothing(at):
    corpus = filled(at, some(3))
    one = passage("new", "new")
    bad = [
        ([one], np.zeros((1, 3), np.float32), "takes 256 numbers"),
        ([one], np.full((1, 256), np.nan, np.float32), "not finite"),
        ([one, one], np.zeros((2, 256), np.float32), "an id twice"),
        ([replace(one, text="\ud800")], np.zeros((1, 256), np.float32), "half a character"),
    ]
    for passages, vectors, said in bad:
        with pytest.raises(GenusError, match=said):
            corpus.add(passages, vectors)
    with pytest.raises(GenusError, match="takes vectors of 256 numbers"):
        corpus.near(np.zeros(3, np.float32), 1)
    assert len(corpus) == 3


@pytest.mark.parametrize(
    "query", ["river stone", "THE law of 42", "peace tax bank north", "angstrom doc7", "42 42 42 river"]
)
def test_ranks_are_those_of_bm25_and_of_inner_products(at, query):
    passages = [replace(each, text=each.text.replace("Ärger", "anger")) for each in some()]
    corpus, plain = filled(at, passages), MemoryCorpus(passages)
    corpus.compact()
    vector = ENCODER.encode([query])[0]
    for where in (None, Not(Is("document", ("doc7", "doc8", "doc9")))):
        for found, all_ in (
            (corpus.words(query, 12, where), plain.words(query, 60, where)),
            (corpus.near(vector, 12, where), plain.near(vector, 60, where)),
            (corpus.near(vector, 12, where, exact=True), plain.near(vector, 60, where)),
        ):
            right = sorted(all_, key=lambda hit: (-round(hit.score, 5), hit.passage.id))[:12]
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in right], abs=1e-4)
            assert ids(found) == ids(right)


def test_equal_scores_are_ordered_by_id(at):
    order = np.random.default_rng(1).permutation(40)
    passages = [passage(f"doc{n:02}", "the same words", title="same") for n in order]
    corpus = filled(at, passages)
    first = [f"doc{n:02}:0" for n in range(7)]
    assert ids(corpus.words("same", 7)) == first
    assert ids(corpus.near(encoded(passages)[0], 7)) == first
    corpus.compact()
    assert ids(corpus.words("same", 7)) == first


def test_queries_are_data(at):
    corpus = filled(at, some())
    river = ids(corpus.words("river", 20))
    for query in [
        "river\0",
        "'river'",
        "+river -",
        "(river)",
        'river"',
        "river~",
        "river*",
        "RIVER:",
        "river && ||",
        "ríver",
    ]:
        assert ids(corpus.words(query, 20)) == river, query
    for query in ["", " ", "\0", "' \" ; --", "*:*", "\u200b", "zzzz"]:
        assert corpus.words(query, 20) == []
    long = "river " * 200_000
    assert ids(corpus.words(long, 20)) == river
    assert corpus.near(ENCODER.encode([""])[0], 20) == []
    assert corpus.words("river", 0) == [] and corpus.near(encoded(some(1))[0], 0) == []


def test_a_megabyte_of_words_is_cut_alike(at):
    corpus = filled(at, some())
    many = " ".join(f"w{n}" for n in range(150_000))
    assert ids(corpus.words("river " + many, 20)) == ids(corpus.words("river", 20))
    assert corpus.words(many + " river", 20) == []  # what stands behind the limit is left out


def test_filters_quote_what_is_in_them(at):
    passages = [passage(f"doc{n}", "alike", title=title, source=title) for n, title in enumerate(HOSTILE)]
    corpus = filled(at, passages)
    vector = encoded(passages)[0]
    for each in passages:
        assert [hit.passage for hit in corpus.words("alike", 50, Is("title", (each.title,)))] == [each]
        assert [hit.passage for hit in corpus.near(vector, 50, Is("source", (each.title,)))] == [each]
    named = [replace(each, id=f"{each.title}:1", document=each.title or "x") for each in passages]
    corpus.add(named, encoded(named))
    assert corpus.known([each.id for each in named]) == {each.id: each.sha256 for each in named}
    assert corpus.delete([HOSTILE[0], HOSTILE[1]]) == 2
    assert len(corpus) == 2 * len(HOSTILE) - 2


@pytest.fixture(scope="module", params=ENDINGS)
def varied(request, tmp_path_factory):
    """A corpus of passages whose fields differ, and the passages."""
    with place(request.param, tmp_path_factory.mktemp("varied")) as path:
        values = [*HOSTILE, "2001-02-03", "2001", "en", "de", "\0", "zz"]
        draw = np.random.default_rng(0)
        names = ["title", "url", "source", "language", "date"]
        passages = [passage(f"d{n}", "alike", **{name: str(draw.choice(values)) for name in names}) for n in range(40)]
        yield filled(path, passages), passages


FIELDS = st.sampled_from(["document", "title", "url", "source", "language", "date"])
VALUES = st.sampled_from([*HOSTILE, "2001-02-03", "2001", "en", "d3", "d17", "\0"]) | st.text(max_size=4)
FILTERS = st.recursive(
    st.builds(Is, FIELDS, st.lists(VALUES, max_size=3).map(tuple)) | st.builds(Range, FIELDS, VALUES, VALUES),
    lambda part: (
        st.builds(All, st.lists(part, max_size=3).map(tuple))
        | st.builds(AnyOf, st.lists(part, max_size=3).map(tuple))
        | st.builds(Not, part)
    ),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=FILTERS)
def test_filters_admit_what_they_say(varied, where):
    corpus, passages = varied
    right = sorted(each.id for each in passages if admits(where, each))
    assert sorted(ids(corpus.words("alike", 50, where))) == right
    assert sorted(ids(corpus.near(encoded(passages)[0], 50, where))) == right


def test_a_takedown_is_one(at):
    secret = [passage("secret", f"a {SENTINEL} was here", n, title=SENTINEL) for n in range(3)]
    passages = [*some(), *secret]
    corpus = filled(at, passages)
    corpus.compact()
    changed = passage("doc5", "nothing of it")
    held = passage("doc5", "an embarrassing zugzwang")
    for each in (held, changed):
        corpus.add([each], encoded([each]))
    assert SENTINEL.encode() in bytes_of(at)
    assert corpus.delete(["secret", "none"]) == 3
    assert corpus.delete(["secret"]) == 0
    assert corpus.words("xylophonic", 5) == [] and corpus.get(["secret:0"]) == []
    corpus.compact()
    for word in (b"xylophonic", b"quagmire", b"zugzwang"):
        assert word not in bytes_of(at)
    assert len(corpus) == 60
    assert corpus.get(["doc5:0"]) == [changed]
    plain = MemoryCorpus([each for each in some() if each.id != "doc5:0"] + [changed])
    assert [h.score for h in corpus.words("river", 9)] == pytest.approx([h.score for h in plain.words("river", 9)], abs=1e-4)
    release(at)
    assert len(open_corpus(at)) == 60


def test_an_index_moves_as_arrow(tmp_path):
    passages = some(30)
    with place("lance", tmp_path) as first, place("milvus", tmp_path) as second:
        start = filled(first, passages)
        between, end = open_corpus(second, FACTS), open_corpus(str(tmp_path / "again"), FACTS)
        assert moved(start, between) == moved(between, end) == 30
        before, after = (from_rows(next(iter(corpus.arrow()))) for corpus in (start, end))
        order = np.argsort([each.id for each in before[0]])
        back = np.argsort([each.id for each in after[0]])
        assert [before[0][n] for n in order] == [after[0][n] for n in back]
        np.testing.assert_array_equal(before[1][order], after[1][back])
        with pytest.raises(GenusError, match="cannot move"):
            moved(start, open_corpus(str(tmp_path / "third"), OTHER))


def test_genus_index_moves_one(tmp_path, capsys):
    with place("lance", tmp_path) as first, place("milvus", tmp_path) as second:
        filled(first, some(30))
        assert cli._run(["index", "--move", first, "--out", second]) == 0
        assert "30 passages" in capsys.readouterr().err
        assert open_corpus(second, FACTS).get(["doc7:0"]) == [some(30)[7]]
        assert cli._run(["index", "--move", first, "--out", first]) == 1
        assert "is to move to itself" in capsys.readouterr().err


def test_arrow_gives_the_columns_asked_for(at):
    corpus = filled(at, some(5))
    rows = [row for batch in corpus.arrow(["id", "title"]) for row in batch.to_pylist()]
    assert sorted(row["title"] for row in rows) == sorted(each.title for each in some(5))
    assert {*rows[0]} == {"id", "title"}


def test_another_encoder_is_refused(at):
    filled(at, some(3))
    with pytest.raises(GenusError, match=r"was made with the encoder hashed-words .* not with other"):
        open_corpus(at, OTHER)
    release(at)
    assert open_corpus(at).encoder == FACTS
    assert len(open_corpus(at, FACTS)) == 3


def test_what_is_no_index_is_told(at, tmp_path):
    with pytest.raises(GenusError, match="no index of Genus; make one with"):
        open_corpus(at)
    assert not Path(at).exists()
    with pytest.raises(GenusError, match="width"):
        open_corpus(at, {"name": "x", "sha256": "y", "width": 0})
    release(at)
    (tmp_path / "file.db").write_text("not an index")
    with pytest.raises(GenusError):
        open_corpus(str(tmp_path / "file.db"))


ADDING = """
import sys
import numpy as np
from genus.retrieve.opening import open_corpus
from tests.retrieve.memory_corpus import HashedWords, passage
encoder = HashedWords()
corpus = open_corpus(sys.argv[1])
for turn in range(1, 100):
    made = [passage(f"doc{n}", f"turn {turn} of it", title=str(turn)) for n in range(200)]
    print(turn, flush=True)
    corpus.add(made, encoder.encode([each.text for each in made]))
    if turn % 3 == 0:
        corpus.compact()
"""


@pytest.mark.parametrize("moments", [(0.03, 0.2, 0.4), pytest.param((0.0, 0.1, 0.3, 0.5, 0.8, 1.3), marks=pytest.mark.slow)])
def test_a_killed_writer_leaves_nothing_half_visible(at, moments):
    filled(at, [passage(f"doc{n}", "turn 0 of it", title="0") for n in range(200)])
    release(at)
    for moment in moments:
        writer = subprocess.Popen([sys.executable, "-c", ADDING, at], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None and writer.stdout.readline() == "1\n"
        time.sleep(moment)
        writer.send_signal(signal.SIGKILL)
        begun = [1, *map(int, writer.stdout.read().split())]
        writer.wait()
        writer.stdout.close()
        corpus = open_corpus(at)
        (turn,) = {row["title"] for batch in corpus.arrow(["title"]) for row in batch.to_pylist()}
        assert len(corpus) == 200
        assert int(turn) in (begun[-1], begun[-1] - 1) or (begun[-1] == 1 and turn.isdecimal())
        assert len(corpus.words(f"turn {turn}", 300)) == 200
        corpus.compact()
        assert len(corpus) == len(corpus.words("turn", 300)) == 200
        release(at)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"genus_index": 3}, "newer Genus"),
        ({"genus_index": 1, "encoder": {}}, "older Genus .* make it again"),
        ({"genus_index": 2, "encoder": {}, "table": "passages-1", "stale": False}, "does not say its encoder's"),
        ({"genus_index": 2}, "no index of Genus, or a damaged one"),
        (["x"], "no index of Genus, or a damaged one"),
    ],
)
def test_a_manifest_is_checked(at, content, said):
    corpus = filled(at, some(3))
    if at.endswith(".db"):
        corpus._client.alter_collection_properties("passages", properties={"genus.index": json.dumps(content)})
    else:
        (Path(at) / "index.json").write_text(json.dumps(content))
    with pytest.raises(GenusError, match=said):
        open_corpus(at)


def test_what_killed_compactions_left_in_a_milvus_is_dropped(tmp_path, monkeypatch):
    with place("milvus", tmp_path) as at:
        corpus, folder = filled(at, some(5)), Path(at) / "collections"
        with monkeypatch.context() as patched:
            patched.setattr(corpus, "_drop", lambda _: None)  # killed when the alias was moved
            for number in (1, 2):
                corpus.delete([some(5)[number].document])
                corpus.compact()
        (folder / "passages_1" / "schema.json").unlink()  # killed while it dropped one
        (folder / "passages_4").mkdir()  # and while it made one
        corpus._client.create_collection("passages_0", dimension=8)  # somebody else's
        assert {path.name for path in folder.iterdir()} == {f"passages_{number}" for number in range(5)}
        corpus.compact()
        assert {path.name for path in folder.iterdir()} == {"passages_0", "passages_3"}
        (folder / "passages_4").mkdir()
        corpus.delete([some(5)[0].document])
        corpus.compact()
        assert {path.name for path in folder.iterdir()} == {"passages_0", "passages_4"}
        assert len(corpus) == 2
