"""Training each kind of the lineage: its special tokens, its way with text, and what transformers makes of the folder."""

import unicodedata
from pathlib import Path

import pytest
import transformers
from varied import ODD, prose

from genus.core.errors import GenusError
from genus.tokenizers.kinds import KINDS, KindName, least_vocab, train_kind
from genus.tokenizers.tokenizer import Tokenizer

GALACTICA = (
    "<s> <pad> </s> <unk> [START_REF] [END_REF] [IMAGE] <fragments> </fragments> <work> </work> [START_SUP] [END_SUP] "
    "[START_SUB] [END_SUB] [START_DNA] [END_DNA] [START_AMINO] [END_AMINO] [START_SMILES] [END_SMILES] [START_I_SMILES] "
    "[END_I_SMILES]"
)
FORMS = {"neox": "NFC", "galactica": "NFKC"}  # what text becomes; the others of these keep it as it is


@pytest.fixture(scope="module")
def trained() -> dict[str, Tokenizer]:
    return {kind: train_kind(iter(prose()), 600, kind) for kind in ("gpt2", "gpt1", "neox", "galactica", "llama")}


@pytest.mark.parametrize("kind", ["gpt2", "neox", "galactica", "llama"])
def test_decode_undoes_encode(trained: dict[str, Tokenizer], kind: str) -> None:
    for text in prose():
        expected = unicodedata.normalize(FORMS[kind], text) if kind in FORMS else text
        assert trained[kind].decode(trained[kind].encode(text)) == expected


def test_gpt1_keeps_lower_case_words(trained: dict[str, Tokenizer]) -> None:
    ours = trained["gpt1"]
    assert ours.decode(ours.encode("The GPT, and\nTHE end.")) == "the gpt , and the end ."
    assert ours.encode("龍") == [0]
    assert ours.token_bytes(0) == b"<unk>"


@pytest.mark.parametrize(
    ("kind", "specials", "start", "end"),
    [
        ("gpt2", {599: "<|endoftext|>"}, (), 599),
        ("gpt1", {0: "<unk>", 599: "<|endoftext|>"}, (), 599),
        ("neox", {0: "<|endoftext|>", 1: "<|padding|>"}, (), 0),
        ("galactica", dict(enumerate(GALACTICA.split())), (2,), 2),
        ("llama", {0: "<unk>", 1: "<s>", 2: "</s>"}, (1,), 2),
    ],
)  # fmt: skip
def test_special_ids(
    trained: dict[str, Tokenizer], kind: str, specials: dict[int, str], start: tuple[int, ...], end: int
) -> None:
    ours = trained[kind]
    assert (ours.vocab, ours.start, ours.end_of_text) == (600, start, end)
    for number, name in specials.items():
        assert ours.token_bytes(number) == name.encode()
        assert ours.encode(name, specials=True) == [number]
        assert number == 0 or number not in ours.encode(name)  # GPT-1's 0 is also what it does not know


@pytest.mark.parametrize("kind", ["gpt2", "gpt1", "neox", "galactica", "llama"])
def test_transformers_opens_each_kind_and_gives_the_same_ids(
    trained: dict[str, Tokenizer], kind: str, tmp_path: Path
) -> None:
    ours = trained[kind]
    ours.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in ODD:
        assert theirs(text)["input_ids"] == [*ours.start, *ours.encode(text, specials=True)]
        assert theirs(text, split_special_tokens=True)["input_ids"] == [*ours.start, *ours.encode(text)]
    assert theirs.eos_token_id == ours.end_of_text


def test_neox_runs_of_spaces_are_tokens(trained: dict[str, Tokenizer]) -> None:
    ours = trained["neox"]
    assert [ours.token_bytes(number) for number in range(577, 600)] == [b" " * count for count in range(24, 1, -1)]
    assert ours.encode(" " * 24) == [577]


def test_llama_splits_digits_and_falls_back_to_bytes(trained: dict[str, Tokenizer]) -> None:
    ours = trained["llama"]
    assert [ours.token_bytes(number) for number in range(3, 259)] == [bytes([byte]) for byte in range(256)]
    assert [ours.token_bytes(number) for number in ours.encode("2024")] == [b" ", b"2", b"0", b"2", b"4"]
    rare = ours.encode("\U0001f9ff")
    assert [number - 3 for number in rare[1:]] == [*"\U0001f9ff".encode()]


@pytest.mark.parametrize("kind", ["gpt2", "gpt1", "neox", "galactica", "llama"])
def test_a_vocabulary_that_cannot_be_is_refused_with_one_that_can(kind: KindName) -> None:
    with pytest.raises(GenusError, match=rf"needs at least {least_vocab(kind)}$"):
        train_kind(iter(prose()), least_vocab(kind) - 1, kind)
    with pytest.raises(GenusError, match=r"at most (\d+)") as caught:
        train_kind(iter(prose()), 20_000, kind)
    most = int(str(caught.value).rsplit(" ", 1)[1])
    assert train_kind(iter(prose()), most, kind).vocab == most


@pytest.mark.parametrize(("kind", "vocab"), [("gpt1", 20), ("llama", 300)])
def test_letters_take_at_most_half_of_the_ids(kind: KindName, vocab: int) -> None:
    text = "".join(chr(0x4E00 + number) * 2 for number in range(400))
    assert train_kind(iter([text, *prose()]), vocab, kind).vocab == vocab


def test_every_kind_is_a_choice() -> None:
    assert {kind.removesuffix("-spacy") for kind in KINDS} == set(KindName.__args__)
