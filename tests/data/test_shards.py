"""Shards: the stream is the documents tokenised one by one, and no changed file goes unnoticed (F53)."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from small_corpus import Made

from genus.core.errors import GenusError
from genus.data.corpus import documents
from genus.data.shards import make_shards, open_shards
from genus.tokenizers.tokenizer import Tokenizer


def expected_stream(made: Made, split: str) -> list[int]:
    """The stream by the tokenizers library itself, a document at a time."""
    backend = tokenizers.Tokenizer.from_file(str(made.tokenizer.out / "tokenizer.json"))
    stream = [299]
    for document in documents(made.corpus.out, split):
        stream += [*backend.encode(document.text).ids, 299]
    return stream


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_stream_is_every_document_between_ends_of_text(made: Made, split: str) -> None:
    shards = open_shards(made.shards.out)
    stream, expected = shards.stream(split), expected_stream(made, split)
    assert (shards.vocab, shards.end_of_text) == (300, 299)
    assert stream.read(0, len(stream)).tolist() == expected
    assert stream.document_starts.tolist() == [i for i, token in enumerate(expected) if token == 299][:-1]
    counts = shards.manifest["splits"][split]
    texts = [document.text for document in documents(made.corpus.out, split)]
    assert (counts["tokens"], counts["documents"]) == (len(expected), len(texts))
    assert counts["bytes"] == sum(len(text.encode()) for text in texts)
    shards.verify()


def test_any_span_is_read_across_shards(made: Made) -> None:
    shards = open_shards(made.shards.out)
    stream, expected = shards.stream("train"), expected_stream(made, "train")
    sizes = [shard["tokens"] for shard in shards.manifest["splits"]["train"]["shards"]]
    assert len(sizes) > 3
    assert min(sizes[:-1]) >= 700
    edges = [0, *np.cumsum(sizes).tolist()]
    for start in (edge + d for edge in edges for d in (-1, 0, 1)):
        for stop in (start, start + 1, start + 2000, len(expected)):
            if 0 <= start <= stop <= len(expected):
                piece = stream.read(start, stop)
                assert piece.dtype == np.int64
                assert piece.tolist() == expected[start:stop]
    for start, stop in ((-1, 2), (3, 2), (0, len(expected) + 1)):
        with pytest.raises(IndexError):
            stream.read(start, stop)


def test_the_number_of_shards_does_not_change_the_stream(made: Made, tmp_path: Path) -> None:
    manifest = make_shards(replace(made.shards, out=tmp_path / "one", shard_tokens=10**9))
    assert [shard["name"] for shard in manifest["splits"]["train"]["shards"]] == ["train-00000.bin"]
    one, many = (open_shards(out).stream("train") for out in (tmp_path / "one", made.shards.out))
    assert one.read(0, len(one)).tolist() == many.read(0, len(many)).tolist()
    assert one.document_starts.tolist() == many.document_starts.tolist()


def test_manifest_names_its_inputs_and_its_fingerprint_is_stable(made: Made, tmp_path: Path) -> None:
    shards = open_shards(made.shards.out)
    raw = {name: path.read_bytes() for name, path in (
        ("tokenizer_sha256", made.tokenizer.out / "tokenizer.json"),
        ("corpus_sha256", made.corpus.out / "manifest.json"),
    )}  # fmt: skip
    assert {name: shards.manifest[name] for name in raw} == {n: hashlib.sha256(c).hexdigest() for n, c in raw.items()}
    assert shards.manifest["dtype"] == "uint16"
    make_shards(replace(made.shards, out=tmp_path / "again"))
    assert open_shards(tmp_path / "again").fingerprint == shards.fingerprint
    make_shards(replace(made.shards, out=tmp_path / "other", shard_tokens=900))
    assert open_shards(tmp_path / "other").fingerprint != shards.fingerprint


def test_a_vocabulary_beyond_16_bits_takes_32(made: Made, tmp_path: Path) -> None:
    backend = tokenizers.Tokenizer.from_file(str(made.tokenizer.out / "tokenizer.json"))
    backend.add_tokens([f"<filler {i}>" for i in range(65_536 - 300)])
    backend.add_special_tokens(["<|end|>"])
    (tmp_path / "tokenizer").mkdir()
    backend.save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    (tmp_path / "tokenizer" / "tokenizer_config.json").write_text('{"eos_token": "<|end|>"}')
    manifest = make_shards(replace(made.shards, tokenizer=tmp_path / "tokenizer", out=tmp_path / "shards"))
    assert (manifest["dtype"], manifest["vocab"], manifest["end_of_text"]) == ("uint32", 65_537, 65_536)
    stream = open_shards(tmp_path / "shards").stream("validation")
    expected = [65_536 if token == 299 else token for token in expected_stream(made, "validation")]
    assert stream.read(0, len(stream)).tolist() == expected


@pytest.mark.parametrize("name", ["train-00001.bin", "validation-00000.idx"])
def test_one_flipped_byte_is_named(made: Made, tmp_path: Path, name: str) -> None:
    make_shards(replace(made.shards, out=tmp_path / "shards"))
    raw = bytearray((tmp_path / "shards" / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "shards" / name).write_bytes(raw)
    with pytest.raises(GenusError, match=f"{name} is corrupt"):
        open_shards(tmp_path / "shards").verify()


def test_a_cut_file_another_tokenizer_or_no_shards_are_named(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    with pytest.raises(GenusError, match=r"manifest\.json is missing"):
        open_shards(out)
    make_shards(replace(made.shards, out=out))
    with pytest.raises(GenusError, match="choose one of train, validation"):
        open_shards(out).stream("test")
    tokenizer = out / "tokenizer" / "tokenizer.json"
    content = tokenizer.read_bytes()
    tokenizer.write_bytes(content + b"\n")
    with pytest.raises(GenusError, match="not the tokenizer that made these shards"):
        open_shards(out)
    tokenizer.write_bytes(content)
    whole = (out / "train-00000.bin").read_bytes()
    (out / "train-00000.bin").write_bytes(whole[:-2])
    with pytest.raises(GenusError, match=rf"train-00000\.bin is missing or not {len(whole):,} bytes long"):
        open_shards(out)
    with pytest.raises(GenusError, match="not a shards folder"):
        open_shards(made.corpus.out)


def test_an_unfit_tokenizer_or_number_is_refused(made: Made, tmp_path: Path) -> None:
    spec = json.loads((made.tokenizer.out / "tokenizer.json").read_text())
    spec["added_tokens"] = []
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
    assert Tokenizer.load(tmp_path).end_of_text is None
    with pytest.raises(GenusError, match="names no eos_token"):
        make_shards(replace(made.shards, tokenizer=tmp_path, out=tmp_path / "shards"))
    with pytest.raises(GenusError, match="shard_tokens 0 is not positive"):
        make_shards(replace(made.shards, out=tmp_path / "shards", shard_tokens=0))
