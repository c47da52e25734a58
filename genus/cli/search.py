"""`genus search`"""

import dataclasses
import json
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from genus.cli.input import read_input
from genus.core.errors import GenusError

if TYPE_CHECKING:
    from genus.retrieve.filters import Filter
    from genus.retrieve.passage import Hit

__all__ = ["search"]

_COLUMNS = 110
_MOST = 1000  # passages of one search


def search(
    index: str,
    query: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    by: Literal["words", "meaning", "both"] = "both",
    count: int = 10,
    where: tuple[str, ...] = (),
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Find passages of an index, best first.

    ```sh
    genus search runs/sotu/index "Why was the bank not chartered again?"
    genus search runs/sotu/index "war with Mexico" --by words --where "date>=1845 and date<=1849-12-31"
    genus search runs/mine/index "how to begin" --where language=en,de --where "not document=drafts/a.md" --json
    ```

    Parameters
    ----------
    index
        A folder, or the URL of a Milvus, as `genus index --out` made it.
    query
        What is looked for; - reads it from standard input.
    by
        words (BM25), meaning (vectors), or both, whose scores are scaled and added.
    count
        Passages to show.
    where
        Conditions on document, title, url, source, language and date: = != >= <=, with and, or, not and ( ). A,B is either;
        a value with blanks stands in quotes. All that are given must hold.
    json_
        Print a line of JSON for each passage.
    """
    from genus.data.sources.document import sound
    from genus.retrieve.search import open_search

    asked = sound(read_input() if query == "-" else query)  # an argument need not be UTF-8
    if not asked.strip():
        raise GenusError("the query is empty; write what you look for")
    if not 0 < count <= _MOST:
        raise GenusError(f"--count {count} is not from 1 to {_MOST}; correct it")
    conditions = _conditions(map(sound, where))
    hits = open_search(index).find(asked, count, by, conditions)
    if json_:
        print("".join(f"{json.dumps({'score': hit.score, **dataclasses.asdict(hit.passage)})}\n" for hit in hits), end="")
        return
    print("\n\n".join(_shown(number, hit) for number, hit in enumerate(hits, 1)) or "nothing was found")


def _conditions(where: Iterable[str]) -> "Filter | None":
    from genus.retrieve.filters import All
    from genus.retrieve.where import read_where

    parts = tuple(read_where(each) for each in where)
    return All(parts) if len(parts) > 1 else parts[0] if parts else None


def _shown(number: int, hit: "Hit") -> str:
    from genus.retrieve.passage import in_one_line

    passage = hit.passage
    facts = [passage.id, passage.title, passage.date, passage.url]
    head = f"{number:>3}  {hit.score:.4f}  {'  '.join(in_one_line(fact) for fact in facts if fact)}"
    return f"{head}\n{textwrap.fill(in_one_line(passage.text), _COLUMNS, initial_indent='     ', subsequent_indent='     ')}"
