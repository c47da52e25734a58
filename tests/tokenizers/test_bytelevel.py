"""Training: the layout of GPT-2, the same result for the same text, and a folder that transformers opens."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genus.core.errors import GenusError
from genus.tokenizers.bytelevel import END_OF_TEXT, train
from genus.tokenizers.tokenizer import Tokenizer

TEXTS = ["the union of the people", "the state of the union, 1790", "naïve 🙂 the the the union", "peace and the law"] * 3


def test_layout_is_bytes_then_merges_then_end_of_text() -> None:
    tokenizer = train(iter(TEXTS), 270)
    assert tokenizer.vocab == 270
    assert sorted(tokenizer.token_bytes(i) for i in range(256)) == [bytes([i]) for i in range(256)]
    assert all(len(tokenizer.token_bytes(i)) > 1 for i in range(256, 269))
    assert tokenizer.end_of_text == 269
    assert tokenizer.token_bytes(269) == END_OF_TEXT.encode()


def test_the_first_merge_is_the_most_frequent_pair() -> None:
    tokenizer = train(iter(["abab abab xyxyxyxyxyxyxy"] * 2), 258)  # "xy" 7 times a text, no other pair more
    assert tokenizer.token_bytes(256) == b"xy"


def test_training_is_deterministic_across_processes_and_threads() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_bytelevel as t; print(t.train(iter(t.TEXTS), 290).sha256)"
    )
    expected = train(iter(TEXTS), 290).sha256
    for threads in ("1", "3"):
        run = subprocess.run(
            [sys.executable, "-c", program, str(Path(__file__).parent)],
            env=os.environ | {"RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stdout.strip() == expected


def test_transformers_opens_the_folder_and_gives_the_same_ids(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = train(iter(TEXTS), 290)
    tokenizer.save(tmp_path)
    for theirs in (
        transformers.AutoTokenizer.from_pretrained(tmp_path),
        transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path),
    ):
        for text in [*TEXTS, " two  spaces\n\n\ttab", "日本語", "don't , ."]:
            assert theirs(text)["input_ids"] == tokenizer.encode(text)
            assert theirs.decode(tokenizer.encode(text)) == text
        assert len(theirs) == tokenizer.vocab
        assert theirs.eos_token_id == theirs.bos_token_id == theirs.unk_token_id == tokenizer.end_of_text


@pytest.mark.parametrize("vocab", [0, 256, 257])
def test_a_vocabulary_without_a_merge_is_refused(vocab: int) -> None:
    with pytest.raises(GenusError, match="at least 258"):
        train(iter(TEXTS), vocab)


def test_a_vocabulary_larger_than_the_text_allows_names_the_most_and_that_works() -> None:
    with pytest.raises(GenusError, match=r"at most (\d+)") as caught:
        train(iter(TEXTS), 5000)
    most = int(str(caught.value).rsplit(" ", 1)[1])
    assert 258 < most < 5000
    assert train(iter(TEXTS), most).vocab == most
    with pytest.raises(GenusError, match=f"at most {most}"):
        train(iter(TEXTS), most + 1)


def test_the_end_of_text_in_training_text_is_text() -> None:
    tokenizer = train(iter([END_OF_TEXT * 3, "some text"] * 5), 262)
    assert isinstance(tokenizer, Tokenizer)
    assert tokenizer.end_of_text not in tokenizer.encode(END_OF_TEXT)


def test_a_pair_seen_once_is_not_a_merge() -> None:
    with pytest.raises(GenusError, match="at most 258"):
        train(iter(["ab ab qz"]), 259)
