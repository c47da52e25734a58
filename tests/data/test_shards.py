"""Shards: the stream is the documents tokenised one by one, and no changed file goes unnoticed (F53)."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from small_corpus import Made

from genus.core.errors import GenusError
from genus.data import shards as stage
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


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_without_sources_the_manifest_says_no_more_than_it_always_did(made: Made) -> None:
    manifest = open_shards(made.shards.out).manifest
    assert list(manifest) == ["format", "dtype", "vocab", "end_of_text", "tokenizer_sha256", "corpus_sha256", "splits"]
    train = manifest["splits"]["train"]
    assert list(train) == ["tokens", "documents", "bytes", "shards"]
    assert list(train["shards"][0]) == ["name", "tokens", "documents", "sha256", "index_sha256"]
    assert open_shards(made.shards.out).sources("train") == {}


def test_each_source_has_its_documents_in_a_stream_of_its_own(made: Made, tmp_path: Path) -> None:
    make_shards(replace(made.shards, out=tmp_path / "by", by="year"))
    shards = open_shards(tmp_path / "by")
    shards.verify()
    backend = tokenizers.Tokenizer.from_file(str(made.tokenizer.out / "tokenizer.json"))
    expected: dict[str, list[int]] = defaultdict(lambda: [299])
    for document in documents(made.corpus.out, "train"):
        expected[document.meta["year"]] += [*backend.encode(document.text).ids, 299]
    assert list(shards.sources("train")) == list(expected)
    for year, stream in expected.items():
        assert shards.stream("train", year).read(0, len(stream)).tolist() == stream
        assert len(shards.stream("train", year)) == len(stream) == shards.sources("train")[year]["tokens"]
    whole = shards.stream("train")
    assert whole.read(0, len(whole)).tolist() == [token for stream in expected.values() for token in stream]


def test_documents_that_state_no_source_are_a_source_of_their_own(made: Made, tmp_path: Path) -> None:
    make_shards(replace(made.shards, out=tmp_path / "by", by="language"))
    shards, one = open_shards(tmp_path / "by"), open_shards(made.shards.out).stream("train")
    assert list(shards.sources("train")) == ["unstated"]
    assert shards.stream("train", "unstated").read(0, len(one)).tolist() == one.read(0, len(one)).tolist()


def test_more_sources_than_can_be_open_are_refused(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genus.data.shard_writer._MOST", 5)
    with pytest.raises(GenusError, match="of more than 5 sources; let --by name something coarser"):
        make_shards(replace(made.shards, out=tmp_path / "by", by="year"))


class Killed(BaseException):
    """Ends a stage at once, as a kill would."""


def encode_some(monkeypatch: pytest.MonkeyPatch, calls: int) -> list[int]:
    """Let tokenising end after so many batches; the list gets the documents of each."""
    encode, seen = Tokenizer.encode_batch, []

    def some(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
        if len(seen) == calls:
            raise Killed
        seen.append(len(texts))
        return encode(tokenizer, texts)

    monkeypatch.setattr(Tokenizer, "encode_batch", some)
    monkeypatch.setattr(stage, "_BATCH", 1000)
    return seen


@pytest.mark.parametrize("by", ["", "half"])
def test_a_killed_start_keeps_its_finished_shards(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by:  # two sources in turns
        monkeypatch.setattr(stage, "_source", lambda document, _: str(int(document.id[1:]) % 2))
    made_once = replace(made.shards, out=tmp_path / "once", by=by, shard_tokens=300 if by else 700)
    make_shards(made_once)
    recipe, finished = replace(made_once, out=tmp_path / "out"), []
    for calls in (4, 4, 4, 1000):
        with monkeypatch.context() as patch:
            seen = encode_some(patch, calls)
            try:
                make_shards(recipe)
            except Killed:
                assert not recipe.out.exists()
                finished.append(len(list((tmp_path / ".out.unfinished").glob("*.idx"))))
    assert 0 < finished[0] < finished[1] < finished[2]
    assert sum(seen) <= 30 - finished[2]  # a shard has a document at least
    assert set(open_shards(recipe.out).sources("train")) == ({"0", "1"} if by else set())
    assert content(recipe.out) == content(made_once.out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["once", "out"]


def test_finished_shards_of_other_inputs_or_changed_ones_are_not_used(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_shards(replace(made.shards, out=tmp_path / "once"))
    make_shards(replace(made.shards, out=tmp_path / "twice", shard_tokens=600))
    for name, change in (("once", None), ("once", b"ab"), ("once", b""), ("twice", None)):
        recipe = replace(made.shards, out=tmp_path / "out", shard_tokens=600 if name == "twice" else 700)
        with monkeypatch.context() as patch:
            encode_some(patch, 6)
            with pytest.raises(Killed):
                make_shards(replace(recipe, shard_tokens=700))
        unfinished = tmp_path / ".out.unfinished"
        if change is not None:
            (unfinished / ("train-00000.bin" if change else "finished.json")).write_bytes(change)
        make_shards(recipe)
        assert content(recipe.out) == content(tmp_path / name)


def test_a_real_kill_is_survived(made: Made, tmp_path: Path) -> None:
    recipe = replace(made.shards, out=tmp_path / "out")
    code = f"""
import os, signal
from pathlib import PosixPath
from genus.data import shard_writer, shards
keep = shard_writer.ShardWork.keep
def kept(work, split, shard):
    keep(work, split, shard)
    if len(work.finished[split]) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
shard_writer.ShardWork.keep = kept
shards.make_shards(shards.{recipe!r})
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": ""}, capture_output=True, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    unfinished = tmp_path / ".out.unfinished"
    before = {path.name: path.stat().st_ino for path in unfinished.glob("*.bin")}
    make_shards(recipe)
    assert content(recipe.out) == content(made.shards.out)
    kept = sorted(before)[:3]
    assert [(recipe.out / name).stat().st_ino for name in kept] == [before[name] for name in kept]  # the same files


def test_a_file_system_without_links_gets_copies(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    make_shards(replace(made.shards, out=tmp_path / "out"))
    assert content(tmp_path / "out") == content(made.shards.out)


def test_a_split_without_documents_is_one_end_of_text(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "documents", lambda corpus, split: documents(corpus, split) if split == "train" else ())
    make_shards(replace(made.shards, out=tmp_path / "out"))
    stream = open_shards(tmp_path / "out").stream("validation")
    assert (stream.read(0, len(stream)).tolist(), stream.document_starts.tolist()) == ([299], [])
