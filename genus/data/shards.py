"""The shards stage: a corpus as memory-mapped streams of token ids, and the reader of such streams.

A stream is `E d0 E d1 ... E dn E`, with E the end of text: it starts every document and ends the one before. Where the
tokenizer has a start of its own (LLaMA's <s>), that follows each E. With `by`, each source has a stream of its own, for
mixture.py; they follow each other in that of the split. Not for batches (loader.py): here a position is only a number.
"""

import bisect
import itertools
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genus.core.errors import GenusError
from genus.core.files import new_folder, read_json, sha256, write_json
from genus.core.progress import Update, progress, say
from genus.data.corpus import SPLITS, check_corpus, documents
from genus.data.outputs import check_output
from genus.data.shard_writer import INDEX, ShardWork, ShardWriter
from genus.data.sources import Document
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["ShardSet", "ShardsRecipe", "TokenStream", "make_shards", "open_shards"]

_FORMAT = "genus-shards-1"
_BATCH = 2**20  # bytes of text tokenised at once: enough to use all cores
_AHEAD = 2  # batches
_FIELDS = ("source", "licence", "language")


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
    by: str = ""
    """What tells the sources of a mixture apart: source, licence, language, or a key of meta; "" for one stream of all."""


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
    manifest |= {"by": config.by} if config.by else {}
    total = sum(corpus["splits"][split]["bytes"] for split in SPLITS)
    unfinished = config.out.with_name(f".{config.out.name}.unfinished")
    with new_folder(config.out) as folder:
        work = ShardWork(unfinished, manifest | {"shard_tokens": config.shard_tokens, "start": list(start)})
        with progress("shards", total, work.bytes) as update:
            splits = {split: _write(config, split, tokenizer, work, update) for split in SPLITS}
        work.publish(folder)
        tokenizer.save(folder / "tokenizer")
        write_json(folder / "manifest.json", manifest | {"splits": splits})
    shutil.rmtree(unfinished, ignore_errors=True)
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

    def stream(self, split: str, source: str | None = None) -> "TokenStream":
        """The tokens of "train" or "validation" as one sequence: all of them, or those of one source."""
        if split not in self.manifest["splits"]:
            raise GenusError(f"split {split} is not in {self.path}; choose one of {', '.join(self.manifest['splits'])}")
        if source is not None and source not in self.sources(split):
            known = ", ".join(self.sources(split)) or "not told apart"
            raise GenusError(f"source {source} is not in {split} of {self.path}; its sources are {known}")
        return TokenStream(self, split, source)

    def sources(self, split: str) -> dict[str, dict[str, int]]:
        """Tokens, documents and bytes of each source of a split; none where they were not told apart."""
        found: dict[str, dict[str, int]] = self.manifest["splits"][split].get("sources", {})
        return found

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
            yield file.with_suffix(".idx"), shard["documents"] * INDEX.itemsize, shard["index_sha256"]


class TokenStream:
    """The tokens of a split, or of one source of it, read from disk on demand: `len()` of them, `read` any span."""

    def __init__(self, shards: ShardSet, split: str, source: str | None = None) -> None:
        self.split, self.end_of_text = split if source is None else f"{split} of {source}", shards.end_of_text
        listed = shards.manifest["splits"][split]["shards"]
        mine = [shard for shard in listed if source is None or shard["source"] == source]
        self._files = [shards.path / shard["name"] for shard in mine]
        tokens = [shard["tokens"] for shard in mine]
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
        parts = (np.fromfile(file.with_suffix(".idx"), INDEX) for file in self._files)
        return np.concatenate([part + low for part, low in zip(parts, self._starts, strict=False)], dtype=np.int64)


class _Text(NamedTuple):
    """A document that waits for its tokens."""

    source: str
    text: str


def _write(config: ShardsRecipe, split: str, tokenizer: Tokenizer, work: ShardWork, update: Update) -> dict[str, Any]:
    """Tokenise what is not in finished shards; the counts of the split."""
    writer = ShardWriter(work, split, config.shard_tokens, apart=bool(config.by))
    before = work.bytes - writer.bytes  # of the splits that are done
    for texts, ids in _tokenised(tokenizer, _batches(config, split, writer)):
        for (source, text), each in zip(texts, ids, strict=True):
            writer.add(source, [*work.inputs["start"], *each], len(text.encode()))
        writer.flush()
        update(before + writer.bytes, f"{split} {writer.tokens:,} tokens")
    return writer.close()


def _tokenised(tokenizer: Tokenizer, batches: Iterator[list[_Text]]) -> Iterator[tuple[list[_Text], list[list[int]]]]:
    """Batches with their ids, in order. While one is written, one becomes Python's numbers, and tokenizers' own threads
    work on another.
    """
    waiting: deque[tuple[list[_Text], Future[list[list[int]]]]] = deque()
    with ThreadPoolExecutor(_AHEAD) as ahead:
        for texts in batches:
            waiting.append((texts, ahead.submit(tokenizer.encode_batch, [each.text for each in texts])))
            if len(waiting) > _AHEAD:
                first, ids = waiting.popleft()
                yield first, ids.result()
        for last, ids in waiting:
            yield last, ids.result()


def _batches(config: ShardsRecipe, split: str, writer: ShardWriter) -> Iterator[list[_Text]]:
    texts: list[_Text] = []
    size = 0
    for document in documents(config.corpus, split):
        source = _source(document, config.by)
        if writer.has(source):
            continue
        texts.append(_Text(source, document.text))
        size += len(document.text)
        if size >= _BATCH:
            yield texts
            texts, size = [], 0
    if texts:
        yield texts


def _source(document: Document, by: str) -> str:
    if not by:
        return ""
    return (getattr(document, by) if by in _FIELDS else document.meta.get(by, "")) or "unstated"


def _figures(split: str, counts: dict[str, Any]) -> str:
    ratio = counts["bytes"] / max(counts["tokens"], 1)
    return f"{split} {counts['tokens']:,} tokens of {counts['documents']:,} documents ({ratio:.2f} bytes per token)"
