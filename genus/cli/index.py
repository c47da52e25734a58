"""`genus index`"""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.core.errors import GenusError
from genus.core.progress import duration, say
from genus.retrieve.recipe import Index

__all__ = ["index"]


def index(
    source: str = "",
    /,
    *,
    config: Annotated[Index, Parameter(name="*")],
    move: str = "",
    delete: tuple[str, ...] = (),
    bench: int = 0,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Index documents as passages of 100 words, to be found by words and by meaning; or bring an index up to date.

    The same line again adds what is new, replaces what has changed, and leaves the rest alone.

    ```sh
    genus index sotu --out runs/sotu/index
    genus index my-texts --out runs/mine/index --prune
    genus index dumps/enwiki-latest-pages-articles.xml.bz2 --out http://localhost:19530/wikipedia
    genus index --move runs/mine/index --out http://localhost:19530/mine
    genus index --out runs/mine/index --delete notes/private.md
    genus index --out runs/mine/index --bench 200
    ```

    Parameters
    ----------
    source
        A corpus of `genus corpus`, a folder or file of text, Markdown, HTML, JSON lines (text, title, url; or Sphere's
        fields), Parquet, web archives or code, a Wikipedia dump, or a packaged collection (sotu).
    move
        Another index, whose passages and vectors are put in as they are; the encoder is the other's.
    delete
        A document to take out, off the disk too; give it again for more.
    bench
        Time so many queries, drawn from the index, by words, by meaning and by both.
    json_
        Print what was done as one line of JSON.
    """
    if not (source or move or delete or bench):
        raise GenusError("nothing is to be done; name a folder to index, or a document to --delete, or queries to --bench")
    if source and delete:
        raise GenusError(f"--delete and {source} are given; take the document out of the source first, then delete it alone")
    if bench < 0:
        raise GenusError(f"--bench {bench} is no number of queries; give one above 0, such as 200")
    done: dict[str, object] = {}
    if move:
        done["moved"] = _move(move, config.out)
    if delete:
        done["deleted"] = _delete(config.out, delete)
    if source:
        done |= _make(source, config)
    if bench:
        done["bench"] = _bench(config.out, bench, quiet=json_)
    if json_:
        print(json.dumps(done))


def _move(place: str, out: str) -> int:
    from genus.retrieve.opening import open_corpus
    from genus.retrieve.rows import moved

    if _resolved(place) == _resolved(out):
        raise GenusError(f"{place} is to move to itself; name another --out")
    source = open_corpus(place)
    target = open_corpus(out, source.encoder)
    count = moved(source, target)
    target.compact()
    say(f"{out}: {count:,} passages of {place} are in, {len(target):,} in all")
    return count


def _resolved(place: str) -> str:
    return place.rstrip("/") if "://" in place else str(Path(place).resolve())


def _delete(place: str, documents: tuple[str, ...]) -> int:
    from genus.data.sources.document import sound
    from genus.retrieve.index import delete_documents

    count = delete_documents(place, [sound(name) for name in documents])  # an argument need not be UTF-8
    disk = "Milvus frees its disk when it next collects garbage" if "://" in place else "from the disk too"
    say(f"{place}: {count:,} passages of {len(documents):,} documents are gone, {disk}")
    return count


def _make(source: str, config: Index) -> dict[str, object]:
    from genus.retrieve.index import make_index

    told = make_index(source, config)
    say(
        f"{config.out}: {told.passages:,} passages, after {duration(told.seconds)}; documents: {told.new:,} new, "
        f"{told.changed:,} changed, {told.unchanged:,} as they were, {told.removed:,} removed, {told.dropped:,} dropped; "
        f"{told.written:,} passages written, {told.encoded:,} texts encoded"
    )
    return told._asdict()


def _bench(place: str, count: int, quiet: bool) -> list[dict[str, object]]:
    from genus.cli.tables import aligned
    from genus.retrieve.search import open_search
    from genus.retrieve.timing import timed

    found = timed(open_search(place), count)
    if not quiet:
        rows = [(each.by, f"{each.p50:.1f}", f"{each.p95:.1f}") for each in found]
        print("\n".join(aligned([("milliseconds", "p50", "p95"), *rows])))
    return [each._asdict() for each in found]
