"""What happens to text before tokenizer.json: GPT-1's repairs and words, Galactica's spans."""

import itertools
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from varied import prose

from genus.core.errors import GenusError
from genus.tokenizers import prepare
from genus.tokenizers.kinds import train_kind
from genus.tokenizers.prepare import MARKER, galactica, standardise
from genus.tokenizers.tokenizer import Tokenizer


def spacy_like(text: str) -> list[str]:
    """Words as spaCy gives them where it matters here: a line break takes the space after it along, n't is a word."""
    return re.findall(r"\n ?|\w+(?=n't)|n't|\w+|[^\w\s]", text)


def released_bpe(word: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """The loop of OpenAI's released fine-tuning code, in its order, with its rule for line breaks."""
    symbols = [*word[:-1], word[-1] + "</w>"]
    while len(symbols) > 1:
        pairs = set(itertools.pairwise(symbols))
        best = min(pairs, key=lambda pair: ranks.get(pair, float("inf")))
        if best not in ranks:
            break
        merged, place = [], 0
        while place < len(symbols):
            pair = tuple(symbols[place : place + 2])
            merged.append("".join(pair) if pair == best else symbols[place])
            place += 2 if pair == best else 1
        symbols = merged
    return ["\n</w>"] if " ".join(symbols) == "\n  </w>" else symbols


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a—b–c―d…", "a - b - c - d..."),  # by hand, from the released text_standardize
        ("it´s", "it's"),
        ("Wait!! (really?) yes,no", "Wait !! ( really ? ) yes , no"),
        ("a\t \u00a0b", "a b"),
        ("one \n\n  two", "one \n two"),
        ("\n ends \n", "ends"),
        ("x.y:z a=b 'q'", "x.y:z a=b 'q'"),  # not on its list
        (r"\*[{|}]_~", r"\ * [ { | } ] _ ~"),
    ],
)
def test_standardise_by_hand(text: str, plain: str) -> None:
    assert standardise(text) == plain


def test_gpt1_with_its_own_words_is_the_released_code(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare, "words", spacy_like)
    for name in ("encoder_bpe_40000.json", "vocab_40000.bpe"):
        shutil.copy(shared_data / "tok_gpt1" / name, tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"genus_prepare": "gpt1-spacy"}')
    ours = Tokenizer.load(tmp_path)
    encoder = json.loads((tmp_path / "encoder_bpe_40000.json").read_text())
    merges = (tmp_path / "vocab_40000.bpe").read_text("utf-8").split("\n")[1:-1]
    ranks = {tuple(pair.split()): number for number, pair in enumerate(merges)}
    text = "Héllo,  “World” — I don't\n\n know… â€œbroken‼ 日 ZÜRICH\nEnd"
    words = spacy_like(standardise(__import__("ftfy").fix_text(text)))
    expected = [encoder.get(piece, 0) for word in words for piece in released_bpe(word.lower(), ranks)]
    assert "\n " in words
    assert encoder["\n</w>"] in expected
    assert 0 in expected  # 日 is not in its vocabulary
    assert ours.encode(text) == expected


def test_special_tokens_are_read_between_gpt1s_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "words", spacy_like)
    ours = train_kind(iter(prose()), 300, "gpt1", "spacy")
    ids = ours.encode("The end<|endoftext|>THE start", specials=True)
    assert ids == [*ours.encode("the end"), ours.end_of_text, *ours.encode("the start")]
    assert ours.end_of_text not in ours.encode("The end<|endoftext|>")


@pytest.mark.parametrize(("missing", "package"), [("ftfy", "ftfy"), ("spacy", "spacy")])
def test_a_missing_library_is_named_with_its_command(missing: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    prepare._spacy.cache_clear()
    with pytest.raises(GenusError, match=f"pip install {package}"):
        prepare.gpt1("text")


def test_galactica_marks_each_character_of_its_spans_and_nothing_else() -> None:
    text = "[START_DNA]AC[END_DNA] ACGT [START_SMILES]C=O[END_I_SMILES] [START_AMINO]M[END_AMINO]"
    marked = "[START_DNA]|A|C|[END_DNA] ACGT [START_SMILES]C=O[END_I_SMILES] [START_AMINO]|M|[END_AMINO]"
    assert galactica(text) == marked.replace("|", MARKER)


def test_galactica_encodes_spans_by_single_characters() -> None:
    ours = train_kind(iter([*prose(), *["ACGTACGT"] * 99]), 420, "galactica")
    start, end = ours.encode("[START_DNA]", specials=True) + ours.encode("[END_DNA]", specials=True)
    ids = ours.encode("[START_DNA]ACGTACGT[END_DNA]", specials=True)
    assert (ids[0], ids[-1]) == (start, end)
    assert [ours.token_bytes(number) for number in ids[1:-1]] == [b"A", b"C", b"G", b"T"] * 2
    assert len(ours.encode("ACGTACGT")) < 8  # elsewhere they are joined
    assert [ours.token_bytes(number) for number in ours.encode("12345((")] == [b"1", b"2", b"3", b"4", b"5", b"(", b"("]
    assert ours.decode(ids) == "ACGTACGT"


def test_a_published_galactica_file_is_known_by_its_marker(tmp_path: Path) -> None:
    train_kind(iter(prose()), 400, "galactica").save(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    ours = Tokenizer.load(tmp_path)
    ids = ours.encode("[START_AMINO]the the[END_AMINO]", specials=True)
    assert [ours.token_bytes(number) for number in ids[1:-1]] == [b"t", b"h", b"e", b" ", b"t", b"h", b"e"]
