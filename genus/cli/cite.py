"""`genus cite`"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from genus.core.errors import GenusError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from genus.retrieve.cite.check import Finding, Judge, Judged
    from genus.retrieve.cite.claims import Written
    from genus.retrieve.cite.reading import Format
    from genus.retrieve.search import Search

__all__ = ["cite"]

_ENOUGH = 100  # passages that tell common words from rare ones


def cite(
    document: Path | None = None,
    /,
    *,
    index: str = "",
    claim: Annotated[str, Parameter(allow_leading_hyphen=True)] = "",
    source: Path | None = None,
    judge: Path | None = None,
    title: str = "",
    format_: Annotated[Literal["html", "markdown", "wikitext"] | None, Parameter(name="--format")] = None,
    out: Path | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Check whether the sources that a document cites bear it out, and list better ones for the weakest tenth; or check
    one claim against its source (docs/cite.md).

    A sentence with a link or a note is a claim. Its sources are looked up in an index by address or title; nothing is
    ever fetched. Without a judge, the words that claim and source share decide.

    ```sh
    genus index my-sources --out runs/mine/index
    genus cite article.md --index runs/mine/index --out runs/mine/citations.html
    genus cite Tower.wikitext --title "Eiffel Tower" --index runs/mine/index --json
    genus cite --claim "The tower is 330 metres tall." --source tower.txt
    ```

    Parameters
    ----------
    document
        Markdown, Wikipedia's wikitext or HTML, told by the end of its name (.md .txt, .wikitext .wiki, .html).
    index
        A folder, or the URL of a Milvus, as `genus index --out` made it.
    claim
        One claim instead of a document.
    source
        The file that should bear the claim out.
    judge
        The folder of a judge that `genus tune` made.
    title
        What the document, or the claim, is about, added to what is searched for; by default the document's own title.
    format_
        The document's format, where its name does not say.
    out
        Write a page: the claims, their sources beside them, the passages marked.
    json_
        Print the result as JSON.
    """
    from genus.data.sources.document import sound

    _check_flags(document, claim, source, index, bool(out or format_))
    asked = _Asked(index, judge, sound(title), json_)  # an argument need not be UTF-8
    if document is not None:
        _document(document, format_, out, asked)
    elif source is not None:
        _one(_one_claim(sound(claim)), source, asked)


def _check_flags(document: Path | None, claim: str, source: Path | None, index: str, of_documents: bool) -> None:
    """What is asked for is one thing, whole. Raises GenusError."""
    if (document is None) == (not claim.strip()):
        raise GenusError("name a document whose citations are to be checked, or one --claim with its --source")
    if document is None and source is None:
        raise GenusError("a --claim needs its --source, a file; to check a document, name it first")
    if document is None and of_documents:
        raise GenusError("--out and --format are for documents; leave them out with --claim")
    if document is not None and source is not None:
        raise GenusError("--source is for one --claim; the sources of a document are those that it cites")
    if document is not None and not index:
        raise GenusError("checking a document needs --index; make one of its sources with: genus index FOLDER --out INDEX")


@dataclass(frozen=True)
class _Asked:
    index: str
    judge: Path | None
    title: str
    json: bool


def _judge(folder: Path | None, search: "Search | None", document: str = "") -> "Judge":
    from genus.retrieve.cite.check import Judge
    from genus.retrieve.verify.opening import open_verifier
    from genus.retrieve.verify.words import common_words, count_corpus

    counts = count_corpus(search.corpus) if search and len(search.corpus) >= _ENOUGH else common_words()
    return Judge(open_verifier(folder, counts), counts, document)


def _one(claim: str, source: Path, asked: _Asked) -> None:
    from genus.retrieve.cite.reading import read_source
    from genus.retrieve.cite.telling import NO_BETTER, told_judged
    from genus.retrieve.search import open_search

    passages = read_source(source)
    search = open_search(asked.index) if asked.index else None
    judge = _judge(asked.judge, search)
    best = judge.best(claim, passages)
    better = None
    if search:
        hits = search.find(f"{asked.title}. {claim}" if asked.title else claim, 30)
        better = judge.better(claim, [hit.passage for hit in hits], best.score)
    if asked.json:
        told = {"claim": claim, "source": str(source), "judge": judge.verifier.name, **told_judged(best)}
        print(json.dumps(told | ({"better": told_judged(better) if better else None} if search else {})))
        return
    print(f"{best.verdict} ({best.score:.2f} by {judge.verifier.name})\n{_passage(best)}")
    if search:
        print(f"better: {better.verdict} ({better.score:.2f})\n{_passage(better)}" if better else NO_BETTER)


def _one_claim(claim: str) -> str:
    from genus.retrieve.words import words

    if len(claim) > 5000:
        raise GenusError(f"the claim has {len(claim):,} characters, more than 5,000; give one sentence")
    if not words(claim):
        raise GenusError("the claim has no words; write what is to be checked")
    return " ".join(claim.split())


def _document(path: Path, form: "Format | None", out: Path | None, asked: _Asked) -> None:
    from genus.core.files import write_text
    from genus.core.progress import progress, say
    from genus.retrieve.cite.check import check
    from genus.retrieve.cite.claims import claims_of
    from genus.retrieve.cite.reading import read_cited
    from genus.retrieve.cite.telling import cited_page, counted, told
    from genus.retrieve.search import open_search

    written = read_cited(path, form, asked.title)
    if not (count := len(claims_of(written))):
        raise GenusError(f"{path} has no citations: no sentence has a link to another site, or a note that names a source")
    search = open_search(asked.index)
    judge = _judge(asked.judge, search, written.text)
    with progress(f"{count:,} claims", count) as update:
        findings = check(written, search, judge, update)
    if out:
        write_text(out, cited_page(written.title, findings, written.problems, search.corpus))
        say(f"the page: {out}")
    if asked.json:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        facts = {"document": str(path), "sha256": sha256, "title": written.title, "judge": judge.verifier.name}
        print(json.dumps(facts | {"counts": counted(findings), "problems": written.problems, "claims": told(findings)}))
        return
    print("\n".join(_lines(written, findings, judge)))


def _lines(written: "Written", findings: "Sequence[Finding]", judge: "Judge") -> list[str]:
    """What a terminal shows: the counts, then the weakest tenth."""
    from genus.cli.tables import aligned
    from genus.retrieve.cite.telling import NO_BETTER, counted

    counts = counted(findings)
    weakest = sorted((each for each in findings if each.best), key=lambda each: each.best.score if each.best else 0.0)
    weakest = [each for each in weakest if each.weakest]
    lines = [f"{_shown(written.title, 60)}: {len(findings):,} claims, judged by {judge.verifier.name}"]
    lines += aligned([(name, f"{count:,}") for name, count in counts.items()])
    lines += [f"\nThe weakest tenth ({len(weakest):,}):"] if weakest else []
    rows = [("claim", "score", "cited", "better")]
    for finding in weakest:
        best = finding.best
        cited = best.best.passage.title if best and best.best else ""
        better = f"{finding.better.score:.2f} {finding.better.passage.title}" if finding.better else NO_BETTER
        said = f"{finding.claim.number} {finding.claim.text}"
        rows.append((_shown(said, 50), f"{best.score:.2f}" if best else "", _shown(cited, 28), _shown(better, 36)))
    lines += aligned(rows, left=4) if weakest else []
    lines += [f"{_shown(problem, 100)}" for problem in written.problems[:10]]
    if counts["not in the index"] == sum(counts.values()):
        lines.append("no cited source is in the index, by address or title; index them: genus index FOLDER --out INDEX")
    return lines


def _passage(judged: "Judged") -> str:
    from genus.retrieve.cite.doubts import MEANING

    passage = judged.passage
    note = f"\n  note: {MEANING[judged.doubt]}" if judged.doubt else ""
    where = f"{_shown(passage.title, 80)} ({_shown(passage.id, 80)}, characters {passage.start:,} to {passage.end:,}"
    return f"  {where}, sha256 {passage.sha256[:12]})\n  {_shown(passage.text, 1000)}{note}"


def _shown(text: str, most: int) -> str:
    from genus.retrieve.passage import in_one_line

    line = in_one_line(text)
    return line if len(line) <= most else f"{line[: most - 1]}…"
