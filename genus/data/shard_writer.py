"""Writing shards: a series of files for each source of a split. A shard that is whole is kept, so a kill costs no more
than the shards that were being filled. Not for what stands in them (shards.py).
"""

import hashlib
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from genus.core.errors import GenusError
from genus.core.files import read_json, sha256, write_json

__all__ = ["INDEX", "ShardWork", "ShardWriter"]

INDEX = np.dtype("<i8")  # of a document's start in its shard
_MOST = 1000  # sources; each has a file and a list open


class ShardWork:
    """A folder of finished shards, of this start and of earlier ones of the same `inputs`; others' are removed.

    `finished` has them by split, in the order in which they were finished.
    """

    def __init__(self, folder: Path, inputs: dict[str, Any]) -> None:
        self.folder, self.inputs = folder, inputs
        self.finished: dict[str, list[dict[str, Any]]] = self._earlier()
        if not self.finished:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)

    @property
    def bytes(self) -> int:
        """Of text in all finished shards."""
        return sum(shard["bytes"] for shards in self.finished.values() for shard in shards)

    def keep(self, split: str, shard: dict[str, Any]) -> None:
        """A shard is whole: from here on no kill loses it. What a power cut takes is found by its hash, see `_earlier`."""
        self.finished.setdefault(split, []).append(shard)
        write_json(self.folder / "finished.json", {"inputs": self.inputs, "finished": self.finished})

    def publish(self, folder: Path) -> None:
        """Put every finished shard into `folder` too."""
        for shard in (shard for shards in self.finished.values() for shard in shards):
            for path in self._paths(shard):
                try:
                    os.link(path, folder / path.name)
                except OSError:  # a file system without links
                    shutil.copyfile(path, folder / path.name)

    def _paths(self, shard: dict[str, Any]) -> tuple[Path, Path]:
        path = self.folder / shard["name"]
        return path, path.with_suffix(".idx")

    def _earlier(self) -> dict[str, list[dict[str, Any]]]:
        try:
            earlier = read_json(self.folder / "finished.json")
            found: dict[str, list[dict[str, Any]]] = earlier["finished"] if earlier["inputs"] == self.inputs else {}
            for shard in (shard for shards in found.values() for shard in shards):
                if [sha256(path) for path in self._paths(shard)] != [shard["sha256"], shard["index_sha256"]]:
                    return {}
        except (GenusError, OSError, KeyError, TypeError):
            return {}
        return found


class ShardWriter:
    """Appends documents to the shards of one split. A shard that has its fill is finished before the next document.

    `apart` keeps a series of shards for each source. The stream of each ends with an end of text of its own.
    """

    def __init__(self, work: ShardWork, split: str, limit: int, apart: bool) -> None:
        self.work, self.split, self.limit, self.apart = work, split, limit, apart
        self.shards = list(work.finished.get(split, ()))
        self.bytes, self.tokens = (sum(shard[what] for shard in self.shards) for what in ("bytes", "tokens"))
        self._kept: Counter[str] = Counter()  # documents of finished shards that have not come by yet
        for shard in self.shards:
            self._kept[shard["source"]] += shard["documents"]
        self._numbers: dict[str, int] = {}
        self._open: dict[str, _Shard] = {}

    def has(self, source: str) -> bool:
        """Whether the next document of a source is in a finished shard. To be asked once for each, in order."""
        if self._numbers.setdefault(source, len(self._numbers)) >= _MOST:
            raise GenusError(f"the documents are of more than {_MOST:,} sources; let --by name something coarser")
        if not self._kept[source]:
            return False
        self._kept[source] -= 1
        return True

    def add(self, source: str, ids: list[int], size: int) -> None:
        """One document of `size` UTF-8 bytes, after the end of text that starts it."""
        shard = self._open.get(source)
        if shard is None or shard.tokens >= self.limit:
            if shard is not None:
                self._finish(source, shard)
            shard = self._open[source] = self._next(source)
        shard.starts.append(shard.tokens)
        self._append(shard, ids)
        shard.bytes, self.bytes = shard.bytes + size, self.bytes + size

    def flush(self) -> None:
        """Write what was added, so that memory stays bounded."""
        for shard in self._open.values():
            shard.flush()

    def close(self) -> dict[str, Any]:
        """End every stream, and give the counts of the split as the manifest lists them."""
        if not (self.apart or self.shards or self._open):
            self._open[""] = self._next("")  # a split without documents is an end of text
        for source, shard in self._open.items():
            self._append(shard, [])
            self._finish(source, shard)
        self.shards.sort(key=lambda shard: (self._numbers.get(shard["source"], 0), shard["name"]))
        names = ("name", "tokens", "documents", "sha256", "index_sha256") + ("source",) * self.apart
        listed = {"shards": [{name: shard[name] for name in names} for shard in self.shards]}
        return _counts(self.shards) | ({"sources": self._sources()} if self.apart else {}) | listed

    def _sources(self) -> dict[str, dict[str, int]]:
        return {
            source: _counts([shard for shard in self.shards if shard["source"] == source])
            for source in dict.fromkeys(shard["source"] for shard in self.shards)
        }

    def _next(self, source: str) -> "_Shard":
        number = sum(shard["source"] == source for shard in self.shards)
        series = f"{self._numbers[source]:03d}-" if self.apart else ""
        return _Shard(self.work.folder / f"{self.split}-{series}{number:05d}.bin", self.work.inputs["dtype"])

    def _append(self, shard: "_Shard", ids: list[int]) -> None:
        shard.waiting.append(self.work.inputs["end_of_text"])
        shard.waiting += ids
        shard.tokens, self.tokens = shard.tokens + 1 + len(ids), self.tokens + 1 + len(ids)

    def _finish(self, source: str, shard: "_Shard") -> None:
        shard.flush()
        index = np.asarray(shard.starts, INDEX).tobytes()
        shard.path.with_suffix(".idx").write_bytes(index)
        done = {"name": shard.path.name, "tokens": shard.tokens, "documents": len(shard.starts), "bytes": shard.bytes}
        done |= {"sha256": shard.digest.hexdigest(), "index_sha256": hashlib.sha256(index).hexdigest(), "source": source}
        self.shards.append(done)
        self.work.keep(self.split, done)


class _Shard:
    """A shard that is being filled; `waiting` are the ids that are not in the file yet."""

    def __init__(self, path: Path, dtype: str) -> None:
        self.path, self.dtype = path, np.dtype(dtype).newbyteorder("<")
        self.digest = hashlib.sha256()
        self.tokens = self.bytes = 0
        self.starts: list[int] = []
        self.waiting: list[int] = []
        path.write_bytes(b"")  # a killed start may have left some of it

    def flush(self) -> None:
        content = np.asarray(self.waiting, self.dtype).tobytes()
        with self.path.open("ab") as file:  # reopened, so that nothing stays open when a stage fails
            file.write(content)
        self.digest.update(content)
        self.waiting = []


def _counts(shards: list[dict[str, Any]]) -> dict[str, int]:
    return {what: sum(shard[what] for shard in shards) for what in ("tokens", "documents", "bytes")}
