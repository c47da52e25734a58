"""The shards stage: a corpus as memory-mapped streams of token ids, and the reader of such streams.

A stream is `E d0 E d1 ... E dn E`, with E the end of text: it starts every document and ends the one before. Where the
tokenizer has a start of its own (LLaMA's <s>), that follows each E. Not for batches (loader.py): here a position is only a
number.
"""

import bisect
import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genus.core.errors import GenusError
from genus.core.files import new_folder, read_json, sha256, write_json
from genus.core.progress import progress, say
from genus.data.corpus import SPLITS, check_corpus, documents
from genus.data.outputs import check_output
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["ShardSet", "ShardsRecipe", "TokenStream", "make_shards", "open_shards"]

_FORMAT = "genus-shards-1"
_BATCH = 2**20  # bytes of text tokenised at once: enough to use all cores
_INDEX = np.dtype("<i8")


@dataclass(frozen=True, kw_only=True)
class ShardsRecipe:
    """Tokenise a corpus into shards."""

    corpus: Path
    """The corpus folder to tokenise."""
    tokenizer: Path
    """The tokenizer folder to do it with."""
    out: Path
    """The folder to make."""
    shard_tokens: int = 100_000_000
    """Tokens after which a shard is full; a document is never divided between two."""


def make_shards(config: ShardsRecipe) -> dict[str, Any]:
    """Write the shards folder and return its manifest. Raises GenusError on a changed corpus or an unfit tokenizer."""
    if config.shard_tokens < 1:
        raise GenusError(f"shard_tokens {config.shard_tokens} is not positive; try 100000000")
    check_output(config.out, ("*.bin", "*.idx", "manifest.json", "tokenizer"))
    corpus, tokenizer = check_corpus(config.corpus), Tokenizer.load(config.tokenizer)
    if tokenizer.end_of_text is None:
        raise GenusError(f"tokenizer {config.tokenizer} names no eos_token; add one to its tokenizer_config.json")
    start = tokenizer.start if tokenizer.start != (tokenizer.end_of_text,) else ()  # the end of text is there already
    dtype = "uint16" if tokenizer.vocab <= 2**16 else "uint32"
    manifest = {"format": _FORMAT, "dtype": dtype, "vocab": tokenizer.vocab, "end_of_text": tokenizer.end_of_text}
    manifest |= {"tokenizer_sha256": tokenizer.sha256, "corpus_sha256": sha256(config.corpus / "manifest.json")}
    total = sum(corpus["splits"][split]["bytes"] for split in SPLITS)
    with new_folder(config.out) as folder, progress("shards", total) as update:
        done, splits = 0, {}
        for split in SPLITS:
            writer = _Writer(folder, split, manifest, config.shard_tokens)
            for texts in _batches(config.corpus, split):
                for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True):
                    writer.add([*start, *ids], len(text.encode()))
                update(done + writer.bytes, f"{split} {writer.tokens:,} tokens")
            splits[split] = writer.close()
            done += writer.bytes
        tokenizer.save(folder / "tokenizer")
        write_json(folder / "manifest.json", manifest | {"splits": splits})
    say(f"{config.out}: " + ", ".join(_figures(split, splits[split]) for split in SPLITS))
    return manifest | {"splits": splits}


def open_shards(path: Path) -> "ShardSet":
    """The shards of a folder. Raises GenusError when they are missing, incomplete, or made by another tokenizer."""
    manifest = read_json(path / "manifest.json")
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise GenusError(f"{path} is not a shards folder of format {_FORMAT}; make it with: genus shards")
    shards = ShardSet(path, manifest)
    for file, size, _ in shards.files():
        if not file.is_file() or file.stat().st_size != size:
            raise GenusError(f"{file} is missing or not {size:,} bytes long; make the shards again")
    if shards.tokenizer().sha256 != manifest["tokenizer_sha256"]:
        raise GenusError(f"{path / 'tokenizer'} is not the tokenizer that made these shards; make the shards again")
    return shards


class ShardSet:
    """An opened shards folder. `manifest` is its manifest.json."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path, self.manifest = path, manifest
        self.vocab: int = manifest["vocab"]
        self.end_of_text: int = manifest["end_of_text"]

    @cached_property
    def fingerprint(self) -> str:
        """Names these very tokens: the SHA-256 of the manifest, which holds that of every file. A run keeps it to resume."""
        return sha256(self.path / "manifest.json")

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the shards."""
        return Tokenizer.load(self.path / "tokenizer")

    def stream(self, split: str) -> "TokenStream":
        """The tokens of "train" or "validation" as one sequence."""
        if split not in self.manifest["splits"]:
            raise GenusError(f"split {split} is not in {self.path}; choose one of {', '.join(self.manifest['splits'])}")
        return TokenStream(self, split)

    def verify(self) -> None:
        """Hash every shard (reads all of it). Raises GenusError naming the first that is not as it was written."""
        for file, _, expected in self.files():
            if sha256(file) != expected:
                raise GenusError(f"{file} is corrupt: its content is not what the manifest lists; make the shards again")

    def files(self) -> Iterator[tuple[Path, int, str]]:
        """Path, size in bytes and SHA-256 of every token file and index, as the manifest lists them."""
        width = np.dtype(self.manifest["dtype"]).itemsize
        for shard in (shard for counts in self.manifest["splits"].values() for shard in counts["shards"]):
            file = self.path / shard["name"]
            yield file, shard["tokens"] * width, shard["sha256"]
            yield file.with_suffix(".idx"), shard["documents"] * _INDEX.itemsize, shard["index_sha256"]


class TokenStream:
    """The tokens of one split across its shards, read from disk on demand: `len()` of them, `read` any span."""

    def __init__(self, shards: ShardSet, split: str) -> None:
        self.split, self.end_of_text = split, shards.end_of_text
        self._files = [shards.path / shard["name"] for shard in shards.manifest["splits"][split]["shards"]]
        tokens = [shard["tokens"] for shard in shards.manifest["splits"][split]["shards"]]
        self._starts = [0, *itertools.accumulate(tokens)]  # of each shard in the stream, and the end of the last
        dtype = np.dtype(shards.manifest["dtype"]).newbyteorder("<")
        self._maps = [np.asarray(np.memmap(file, dtype=dtype, mode="r")) for file in self._files]  # plain slices are quicker

    def __len__(self) -> int:
        return self._starts[-1]

    def read(self, start: int, stop: int) -> NDArray[np.int64]:
        """Tokens start..stop-1, (stop - start,). Raises IndexError outside of 0..len."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"tokens {start}..{stop} of {len(self)}")
        first = bisect.bisect_right(self._starts, start) - 1
        pieces: list[NDArray[Any]] = []
        for shard in range(first, len(self._maps)):
            low = self._starts[shard]
            if low >= stop and pieces:
                break
            pieces.append(self._maps[shard][max(start - low, 0) : stop - low])
        return np.concatenate(pieces, dtype=np.int64) if pieces else np.empty(0, np.int64)

    @cached_property
    def document_starts(self) -> NDArray[np.int64]:
        """Position of the end of text that precedes each document, (documents,)."""
        parts = (np.fromfile(file.with_suffix(".idx"), _INDEX) for file in self._files)
        return np.concatenate([part + low for part, low in zip(parts, self._starts, strict=False)], dtype=np.int64)


class _Writer:
    """Appends documents to the shards of one split. A shard that has its fill is closed before the next document."""

    def __init__(self, folder: Path, split: str, manifest: dict[str, Any], limit: int) -> None:
        self.folder, self.split, self.limit = folder, split, limit
        self.dtype = np.dtype(manifest["dtype"]).newbyteorder("<")
        self.end_of_text: int = manifest["end_of_text"]
        self.bytes = self.tokens = 0  # of the split
        self.shards: list[dict[str, Any]] = []
        self._open()

    def add(self, ids: list[int], size: int) -> None:
        """One document of `size` UTF-8 bytes, after the end of text that starts it."""
        if self.here >= self.limit:
            self._finish()
            self._open()
        self.starts.append(self.here)
        self._append([self.end_of_text, *ids])
        self.bytes += size

    def close(self) -> dict[str, Any]:
        """End the split, and give its counts as the manifest lists them."""
        self._append([self.end_of_text])
        self._finish()
        counts = {"tokens": self.tokens, "documents": sum(shard["documents"] for shard in self.shards)}
        return counts | {"bytes": self.bytes, "shards": self.shards}

    def _open(self) -> None:
        self.name = f"{self.split}-{len(self.shards):05d}.bin"
        self.digest = hashlib.sha256()
        self.here = 0
        self.starts: list[int] = []

    def _append(self, ids: list[int]) -> None:
        content = np.asarray(ids, self.dtype).tobytes()
        with (self.folder / self.name).open("ab") as file:  # reopened, so that nothing stays open when a stage fails
            file.write(content)
        self.digest.update(content)
        self.here, self.tokens = self.here + len(ids), self.tokens + len(ids)

    def _finish(self) -> None:
        index = np.asarray(self.starts, _INDEX).tobytes()
        (self.folder / self.name).with_suffix(".idx").write_bytes(index)
        shard = {"name": self.name, "tokens": self.here, "documents": len(self.starts)}
        self.shards.append(shard | {"sha256": self.digest.hexdigest(), "index_sha256": hashlib.sha256(index).hexdigest()})


def _batches(corpus: Path, split: str) -> Iterator[list[str]]:
    texts: list[str] = []
    size = 0
    for document in documents(corpus, split):
        texts.append(document.text)
        size += len(document.text)
        if size >= _BATCH:
            yield texts
            texts, size = [], 0
    if texts:
        yield texts


def _figures(split: str, counts: dict[str, Any]) -> str:
    ratio = counts["bytes"] / max(counts["tokens"], 1)
    return f"{split} {counts['tokens']:,} tokens of {counts['documents']:,} documents ({ratio:.2f} bytes per token)"
