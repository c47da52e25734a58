"""Whether `genus cite` finds citations that lead to the wrong page: WiCE's claims as one document, some citations swapped.

DATA is a folder with wice/claim_dev.jsonl (github.com/ryokamoi/wice). A Markdown document is written whose sentences are the
claims, each with a note that gives the address of its page; the pages are indexed under these addresses. Of one citation in
ten the address is that of another claim's page. Reported, over several drawings: the share of the swapped citations that is
in the weakest tenth (a tenth by chance; the claims that their pages do not bear out are in the way), how often a better
source was proposed for those, and that it was the page that was cited before.

Then what the doubts of genus.retrieve.cite.doubts are worth: the share of real passages, the best of each cited page, that
they fall on, and of passages made to be found, from the claims' words.

  python bench/cite.py DATA --work /tmp/cite-bench --json
"""

import argparse
import json
import random
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from genus.core.files import write_text
from genus.retrieve.cite.check import Finding, Judge, check
from genus.retrieve.cite.doubts import Doubts
from genus.retrieve.cite.reading import read_cited
from genus.retrieve.index import make_index
from genus.retrieve.recipe import Index
from genus.retrieve.search import Search, open_search
from genus.retrieve.verify.coverage import Coverage
from genus.retrieve.verify.opening import open_verifier
from genus.retrieve.verify.words import WordCounts, count_corpus
from genus.retrieve.words import words

TITLE = "(meta data) TITLE: "
COMMON = 0.15  # of passages that hold a word, above which it is no keyword


class Row(NamedTuple):
    """A claim, the title of its page, and the page's text."""

    claim: str
    title: str
    text: str


def main() -> None:
    """Index the pages, check the document once for each seed, and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="where the index is made, and kept")
    parser.add_argument("--judge", type=Path, help="folder of a judge; without it, coverage")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = read_rows(asked.data / "wice" / "claim_dev.jsonl")
    write_text(asked.work / "pages.jsonl", "".join(page(number, row) for number, row in enumerate(rows)))
    make_index(str(asked.work / "pages.jsonl"), Index(out=str(asked.work / "index")))
    search = open_search(str(asked.work / "index"))
    counts = count_corpus(search.corpus)
    drawn = [swapped(rows, search, counts, asked, seed) for seed in range(asked.seeds)]
    found = {"claims": len(rows), "passages": len(search.corpus), "seeds": asked.seeds} | summed(drawn)
    found |= doubted(rows, search, counts)
    print(*(f"{name}: {value}" for name, value in found.items()), sep="\n")
    if asked.json:
        print(json.dumps(found))


def read_rows(path: Path) -> list[Row]:
    """The claims with their pages."""
    rows = map(json.loads, path.read_text("utf-8").splitlines())
    return [
        Row(each["claim"], each["evidence"][0].removeprefix(TITLE), "\n".join(each["evidence"][1:] or each["evidence"]))
        for each in rows
    ]


def page(number: int, row: Row) -> str:
    """A page as a line of JSON, under an address of its own."""
    return json.dumps({"id": f"page-{number}", "title": row.title, "url": address(number), "text": row.text}) + "\n"


def address(number: int) -> str:
    """Where the page of a claim is said to be."""
    return f"https://www.pages.example/{number}"


def swapped(rows: Sequence[Row], search: Search, counts: WordCounts, asked: Any, seed: int) -> dict[str, float]:
    """Swap, check, and count."""
    rng = random.Random(seed)
    chosen = rng.sample(range(len(rows)), len(rows) // 10)
    others = {place: rng.choice([n for n, row in enumerate(rows) if row.text != rows[place].text]) for place in chosen}
    path = asked.work / f"swapped-{seed}.md"
    said = [f"{' '.join(row.claim.split()).rstrip('.')}.[^{n}]" for n, row in enumerate(rows)]
    notes = [f"[^{n}]: <{address(others.get(n, n))}>" for n in range(len(rows))]
    write_text(path, "\n\n".join([*said, *notes]) + "\n")
    written = read_cited(path, None)
    judge = Judge(open_verifier(asked.judge, counts), counts, written.text)
    findings = by_claim(check(written, search, judge), len(rows))
    weak = [n for n in others if findings[n].weakest]
    proposed = {n: finding.better.passage.url for n, finding in findings.items() if finding.better}
    return {
        "swapped": len(chosen),
        "swapped in the weakest tenth": len(weak),
        "of them with a better source": len(proposed.keys() & set(weak)),
        "of those, the page that was cited": sum(proposed.get(n) == address(n) for n in weak),
        "kept in the weakest tenth": sum(each.weakest for each in findings.values()) - len(weak),
        "of those with a better source": len(proposed.keys() - set(weak)),
    }


def by_claim(findings: Sequence[Finding], count: int) -> dict[int, Finding]:
    """Findings by the claim's place, by their order."""
    if len(findings) != count:
        raise SystemExit(f"{len(findings)} claims were read of {count}")
    return {finding.claim.number - 1: finding for finding in findings}


def summed(drawn: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Sums over the drawings, and the share of all."""
    sums = {name: int(sum(each[name] for each in drawn)) for name in drawn[0]}
    each = [one["swapped in the weakest tenth"] / one["swapped"] for one in drawn]
    found = sums["swapped in the weakest tenth"], sums["swapped"]
    return sums | {"share found": round(found[0] / found[1], 3), "by seed": [round(one, 3) for one in each],
                   "spread": round(statistics.pstdev(each), 3)}  # fmt: skip


def doubted(rows: Sequence[Row], search: Search, counts: WordCounts) -> dict[str, Any]:
    """The share of real passages, and of made ones, that are in doubt."""
    pages: dict[str, list[str]] = {}
    for batch in search.corpus.arrow(("document", "text")):
        for document, text in zip(batch.column("document").to_pylist(), batch.column("text").to_pylist(), strict=True):
            pages.setdefault(document.rpartition("page-")[2], []).append(text)
    coverage, doubts, rng = Coverage(counts), Doubts(counts), random.Random(0)
    real = []
    for number, row in enumerate(rows):
        scores = coverage.scores(row.claim, pages[str(number)])
        real.append(pages[str(number)][scores.index(max(scores))])
    found = {
        "real, the best of each page": doubt_share(doubts, [(row.claim, text) for row, text in zip(rows, real, strict=True)])
    }
    for name, make in attacks(counts, real, rng).items():
        found[name] = doubt_share(doubts, [(row.claim, make(row.claim)) for row in rows])
    return {"in doubt": found}


def doubt_share(doubts: Doubts, pairs: Sequence[tuple[str, str]]) -> float:
    """Of claims and passages, the share in doubt."""
    return round(sum(bool(doubts.of(claim, text)) for claim, text in pairs) / len(pairs), 3)


def attacks(counts: WordCounts, prose: Sequence[str], rng: random.Random) -> dict[str, Callable[[str], str]]:
    """Passages made from a claim alone, to be found for it."""

    def keys(claim: str) -> list[str]:
        return [word for word in words(claim) if counts.holding.get(word, 0) < COMMON * counts.passages]

    def shuffled(of: list[str]) -> list[str]:
        return rng.sample(of, len(of))

    def spread(claim: str) -> str:
        said, own = rng.choice(prose).split(), shuffled(keys(claim))
        return " ".join(f"{word} {own[place // 6]}" if place % 6 == 0 and place // 6 < len(own) else word
                        for place, word in enumerate(said))  # fmt: skip

    return {
        "the claim itself": lambda claim: claim,
        "the claim in other prose": lambda claim: f"{claim} {rng.choice(prose)}",
        "this page confirms that": lambda claim: f"This page confirms that {claim} All of it has been checked.",
        "keywords, five times": lambda claim: " ".join(keys(claim) * 5),
        "keywords shuffled": lambda claim: " ".join(shuffled(keys(claim))),
        "keywords shuffled, before other prose": lambda claim: f"{' '.join(shuffled(keys(claim)))}. {rng.choice(prose)}",
        "keywords spread through other prose": spread,
        "keywords in order, before other prose": lambda claim: f"{' '.join(keys(claim))}. {rng.choice(prose)}",
    }


if __name__ == "__main__":
    main()
