"""What could not be indexed: counted by reason, the first of each told, and all listed in a file if one is named."""

import json
from collections import Counter
from pathlib import Path

from genus.core.files import write_text
from genus.core.progress import say
from genus.data.sources import Dropped

__all__ = ["Drops"]

_TOLD = 3  # of each reason
# What was read and is nothing, or is never read: no document that was indexed can be in it.
_NOTHING = (
    "bad id",
    "empty",
    "hidden",
    "id again",
    "link out of the folder",
    "link to a folder",
    "no text in the page",
    "not a page",
    "other format",
)


class Drops:
    """`unread` is the id of the first that may hide documents which are still there, or ""."""

    def __init__(self, path: Path | None) -> None:
        """Raises GenusError where `path` cannot be written."""
        if path:
            write_text(path, "")  # found now, not after hours
        self.path, self.unread = path, ""
        self.counts: Counter[str] = Counter()
        self.first: dict[str, list[Dropped]] = {}
        self.lines: list[str] = []

    @property
    def count(self) -> int:
        """Of all reasons."""
        return self.counts.total()

    def add(self, dropped: Dropped) -> None:
        """Note one more."""
        self.counts[dropped.reason] += 1
        first = self.first.setdefault(dropped.reason, [])
        if len(first) < _TOLD:
            first.append(dropped)
        if dropped.reason not in _NOTHING:
            self.unread = self.unread or dropped.id
        if self.path:
            self.lines.append(json.dumps({"id": dropped.id, "reason": dropped.reason, "detail": dropped.detail}))

    def tell(self) -> None:
        """Say what was dropped and why, and write the file."""
        for reason, count in self.counts.most_common():
            shown = "; ".join(f"{each.id[:80]!a} ({each.detail[:100]})" for each in self.first[reason])
            say(f"dropped {count:,}, {reason}: {shown}{'; ...' * (count > _TOLD)}")
        if self.path:
            write_text(self.path, "".join(f"{line}\n" for line in self.lines))
