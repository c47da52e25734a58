"""The report of a corpus as one page: static, with everything inside, and with no script, since it shows texts of strangers.

All that it says is in report.json, see facts.py.
"""

from html import escape
from typing import Any

from genus.core.page import grid, section, small
from genus.core.page import page as page_of
from genus.core.progress import duration
from genus.data.report.charts import bar, histogram
from genus.data.report.evidence import samples
from genus.data.report.facts import STEPS

__all__ = ["page"]

Report = dict[str, Any]

_CAPTIONS = {
    ("read", "characters"): "Length of documents as they were read, in characters",
    (
        "language",
        "language_score",
    ): "Score of the language that was found; one that a source states has none",
    ("rules", "words"): "Length in words, as the rules count them",
    ("quality", "quality"): "Quality score. The line is the chance to be kept, the dots are the shares that were",
    ("toxicity", "toxicity"): "Score for toxic language",
}


def page(report: Report) -> str:
    """The page of a report."""
    title = f"A corpus made from {', '.join(report['inputs'])}, and what is not in it"
    sections = [
        section("What came, and what went on", _funnel(report)),
        section("Why documents were dropped", _reasons(report)),
        section("What was measured", _histograms(report)),
        section("Copies", _clusters(report)),
        section("Evaluation sets", _evaluations(report)),
        section("Personal data", _personal(report)),
        section("Languages", _amounts("language", report["languages"])),
        section("Sources", _amounts("source", report["sources"])),
        section("Time and memory", _spent(report["made"])),
        section("Made from, made with", _origin(report)),
        section("Dropped documents, by chance", samples(report["samples"])),
    ]
    return page_of(title, _summary(report), sections)


def _summary(report: Report) -> str:
    came, left = report["funnel"][0]["in"], report["funnel"][-1]["kept"]
    share = left[0] / max(came[0], 1)
    train, held = (report["splits"][name] for name in ("train", "validation"))
    return (
        f"{came[0]:,} documents were found, and {left[0]:,} of them ({share:.1%}) are left: {train[0]:,} to train on "
        f"({train[1] / 1e6:,.2f} MB), {held[0]:,} held out ({held[1] / 1e6:,.2f} MB): {report['hold_out']}."
    )


def _funnel(report: Report) -> str:
    first = max(report["funnel"][0]["in"][0], 1)
    head = ("step", "documents in", "dropped", "kept", "bytes kept", "bytes changed", "words kept", "")
    rows = [
        (
            row["step"], f"{row['in'][0]:,}", f"{row['dropped'][0]:,}", f"{row['kept'][0]:,}", f"{row['kept'][1]:,}",
            f"{row['changed'][1]:+,}" if row["changed"][1] else "", f"{row['kept'][2]:,}",
            bar(row["kept"][0] / first, f"{row['kept'][0] / first:.1%}"),
        )
        for row in report["funnel"]
    ]  # fmt: skip
    made = sum(row["changed"][0] for row in report["funnel"])
    note = (
        "Checked when this page was made, for each source and each step, in documents, bytes and words: what came, and what "
        "the step changed, is what went on and what was dropped, and all that went on came to the next step. Bytes are "
        "UTF-8's. A word is what stands between white space: few in Chinese, for example. Tokens are not counted here, but "
        "by genus shards, which has a tokenizer."
    )
    note += f" Cutting evaluation sets out made {made:,} documents more of those that were there." if made else ""
    return grid(head, rows, plain=(7,)) + small(note)


def _reasons(report: Report) -> str:
    names = list(report["sources"]) or [""]
    names = sorted({name for row in report["reasons"] for name in row["sources"]} | set(names))
    head = ("step", "reason", *(names if len(names) > 1 else ()), "documents", "bytes", "words")
    rows = []
    for row in report["reasons"]:
        each = [f"{row['sources'].get(name, [0])[0]:,}" for name in names] if len(names) > 1 else []
        sums = [f"{sum(size[n] for size in row['sources'].values()):,}" for n in range(3)]
        rows.append((row["step"], row["reason"], *each, *sums))
    return grid(head, rows, left=2) if rows else "<p>Nothing was dropped.</p>"


def _histograms(report: Report) -> str:
    alpha = report["recipe"].get("quality", {}).get("alpha", 9.0)
    drawn = []
    for (step, name), caption in _CAPTIONS.items():
        found = report["measured"].get(step, {}).get(name)
        if found:
            curve = (lambda score: (2 - score) ** -alpha) if step == "quality" else None
            mean = f"{caption}: {found['documents']:,} documents, {_number(found['sum'] / found['documents'])} on average."
            text = f"<figcaption>{escape(mean)}</figcaption>"
            drawn.append(f"<figure>{text}{histogram(found['bins'], caption, curve)}</figure>")
    note = "Blue went on, red was dropped by the step that measured. Of numbers above 1, four bars make a double."
    if "quality" in report["measured"]:
        note += " Documents of sources marked good are kept whatever their quality score."
    return "".join(drawn) + small(note)


def _clusters(report: Report) -> str:
    text = ""
    for step, found in report["clusters"].items():
        if not found["sizes"]:
            continue
        what = "the same text" if step == "exact" else "nearly the same text"
        sizes = [(f"{size:,}", f"{count:,}") for size, count in found["sizes"]]
        text += f"<h3>Of {what}</h3>{grid(('documents in a cluster', 'clusters'), sizes)}"
        largest = [(kept, f"{size:,}") for kept, size in found["largest"]]
        text += f"<details><summary>The largest</summary>{grid(('the copy that stays', 'documents'), largest)}</details>"
        if found["jaccard"]:
            near = [(f"{left:.2f}" + (f" to {left + 0.02:.2f}" if left < 1 else ""), f"{count:,}")
                    for left, count in found["jaccard"]]  # fmt: skip
            text += grid(("Jaccard index with the copy that stays, measured", "dropped"), near)
    return text


def _evaluations(report: Report) -> str:
    measured = report["measured"].get("decontaminate", {})
    head = ("set", "examples", "words in a run", "runs looked for", "found", "too common to cut", "documents cut for it")
    rows = [
        (each["name"], *(f"{each[name]:,}" for name in ("examples", "words", "grams", "found", "too_common")),
         f"{measured.get('n-grams of ' + each['name'], {}).get('documents', 0):,}")
        for each in report["evaluations"]
    ]  # fmt: skip
    removed = measured.get("characters removed", {}).get("sum", 0)
    note = small(f"{removed:,.0f} characters were cut out, those around a run among them.")
    return grid(head, rows) + note if rows else ""


def _personal(report: Report) -> str:
    rows = [
        (kind, f"{found['sum']:,.0f}", f"{found['documents']:,}")
        for kind, found in report["measured"].get("personal", {}).items()
    ]
    return grid(("kind", "written over", "in documents"), rows) if rows else ""


def _amounts(what: str, found: dict[str, list[int]]) -> str:
    whole = max(sum(size[1] for size in found.values()), 1)
    rows = [
        (name or "not stated", *(f"{number:,}" for number in size), f"{size[1] / whole:.1%}", bar(size[1] / whole, name))
        for name, size in sorted(found.items(), key=lambda each: (-each[1][1], each[0]))
    ]
    return grid((what, "documents", "bytes", "words", "of bytes", ""), rows, plain=(5,))


def _spent(made: dict[str, Any]) -> str:
    passes = [
        (each["name"], f"{each['tasks']:,}" if each["tasks"] else "one process", duration(each["seconds"]),
         f"{each['cpu']:,.1f}", f"{each['peak'] / 1e6:,.0f}")
        for each in made["passes"]
    ]  # fmt: skip
    steps = [(step, f"{seconds:,.1f}") for step, seconds in made["seconds"].items()]
    note = (
        "Time of all tasks together, whatever ran at once; CPU seconds are of all threads. Peak: the most memory that a "
        f"process had held by then, in MB. On disk the folder of work took {made['work_bytes'] / 1e6:,.1f} MB, "
        f"the corpus {made['out_bytes'] / 1e6:,.1f} MB."
    )
    table = grid(("pass", "tasks", "time", "CPU seconds", "peak MB"), passes)
    own = f"<h3>In the steps themselves</h3>{grid(('step', 'seconds'), steps)}" if steps else ""
    return table + small(note) + own


def _origin(report: Report) -> str:
    import tomli_w

    inputs = [
        (name, each["path"], f"{each['files']:,}", f"{each['bytes']:,}", each["sha256"][:16])
        for name, each in report["inputs"].items()
    ]
    made = report["made"]
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    note = (
        f"Each file's hash is in inputs.sha256. Seed {report['recipe']['seed']}. {versions}; {made['machine']}. SHA-256 of "
        f"what was dropped, where and why: {report['dropped_sha256']}"
    )
    said = {
        name: value for name, value in report["recipe"].items() if name not in STEPS or name in report["recipe"]["steps"]
    }
    recipe = f"<details><summary>The recipe</summary><pre>{escape(tomli_w.dumps(said))}</pre></details>"
    return grid(("source", "path", "files", "bytes stored", "SHA-256"), inputs, left=2) + small(note) + recipe


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
