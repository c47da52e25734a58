"""The report stage: one self-contained page that says what was made from what, read from what other stages wrote."""

import html
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import read_json, write_text
from genus.core.page import grid, page, section, small
from genus.core.progress import duration, say
from genus.evaluate.card import cards
from genus.evaluate.curves import curves
from genus.evaluate.found import evaluations, figures_in
from genus.evaluate.growth import growth_plot, size_plot
from genus.evaluate.recipe import Report
from genus.evaluate.scores import score_table
from genus.train.energy import energy_text, read_energy
from genus.train.journal import read_journal

__all__ = ["report"]

_SAMPLES = 3  # at the start, in the middle, at the end


def report(config: Report) -> None:
    """Write config.out from the run's files, and fill in its model cards. Raises GenusError when the run has not begun."""
    if (config.run is None) == (not config.sizes):
        raise GenusError("name a run, or --sizes with the folders of evaluations; one of the two")
    for folder in config.evaluations:
        figures_in(folder)
    if config.run is None:
        _write_sizes(config)
        return
    run = config.run
    facts = read_json(run / "run.json")
    records = read_journal(run / "metrics.jsonl")
    steps = [record for record in records if "loss" in record]
    if not steps:
        raise GenusError(f"{run} has no steps of training yet; run `genus pretrain` first")
    corpus = _optional(run / "corpus" / "manifest.json")
    shards = _optional(run / "shards" / "manifest.json")
    scores = _optional(run / "evaluation.json")
    recipe = (run / "recipe.toml").read_text("utf-8")
    filled = cards(run, config.evaluations)
    source = str(corpus.get("source", "a text"))
    sections = [
        section("On text that it has never seen", _scores(scores)),
        section("On tasks and probes", _evaluated(config, run)),
        section("How it grew", "".join(growth_plot(read_json(file)) for file in sorted(run.rglob("growth.json")))),
        section("Learning", curves(read_journal(run / "metrics.jsonl", abandoned=True))),
        section("What it writes", _samples(read_journal(run / "samples.jsonl"))),
        section("Answers", _answers(_optional(run / "align/wins.json"), _optional(run / "align/reward/gate.json"))),
        section("The text", _table(_corpus_rows(corpus))),
        section("The tokens", _table(_token_rows(shards))),
        section("The mixture", _mixture([record["mixture"] for record in records if "mixture" in record])),
        section("The training", _table(_training_rows(facts, steps, read_energy(run)))),
        section("The recipe", f"<pre>{html.escape(recipe)}</pre>"),
        section("The logbook", _logbook(run / "logbook.md")),
    ]
    title = f"A GPT made from {Path(source).name or source}"
    write_text(config.out, page(title, _summary(facts, steps, corpus, scores), sections))
    for path, text in filled.items():
        if not path.is_file() or path.read_text("utf-8") != text:
            write_text(path, text)
    say(f"{config.out}: open it in a browser")
    say(f"model cards filled in: {', '.join(str(path) for path in filled) or 'none, no model is there'}")


def _evaluated(config: Report, run: Path) -> str:
    """What was measured of the run's model on tasks and probes, with a link to each one's items."""
    model = run / "model"
    there = (model / "config.json").is_file()
    return score_table(evaluations(model, [run, *config.evaluations]), config.out) if there else ""


def _write_sizes(config: Report) -> None:
    curves, found = size_plot(config.sizes)
    table = score_table([figure for _, figure in found], config.out, [name for name, _ in found])
    summary = "Scores against parameters; shaded: 95% intervals."
    write_text(config.out, page("Scores by size", summary, [curves, table]))
    say(f"{config.out}: open it in a browser")


def _optional(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_json(path) if path.exists() else {}
    return content


def _logbook(path: Path) -> str:
    text = html.escape(path.read_text("utf-8", errors="replace")) if path.is_file() else ""
    return text and f"<details><summary>{text.count(chr(10)):,} lines</summary><pre>{text}</pre></details>"


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>" if cells else ""


def _summary(facts: dict[str, Any], steps: list[dict[str, Any]], corpus: dict[str, Any], scores: dict[str, Any]) -> str:
    last = steps[-1]
    text = f"{facts['parameters']:,} parameters, trained from random weights on {last['tokens']:,} tokens"
    if corpus:
        train = corpus["splits"]["train"]
        text += f" of {train['documents']:,} documents ({train['bytes'] / 1e6:.1f} MB)"
    text += f" in {duration(last['seconds'])} on {facts['machine']['name']}."
    if scores:
        text += f" Held-out text costs it {scores['bits_per_byte']:.3f} bits per byte."
    return text


def _scores(scores: dict[str, Any]) -> str:
    """Bits per byte as bars, the shorter the better."""
    if not scores:
        return ""
    rows = [("this model", scores["bits_per_byte"])]
    if found := scores.get("references"):
        rows += [("a byte 5-gram model of the same training text", found["ngram_bpb"])]
        rows += [("xz -9, having seen the training text", found["xz_bpb"])]
    longest = max(bits for _, bits in rows)
    cells = "".join(
        f'<tr><td>{name}</td><td class="n">{bits:.3f}</td><td><svg width="{200 * bits / longest:.0f}" '
        f'height="12" role="img" aria-label="{bits:.3f}"><rect width="100%" height="12" fill="#4878a8"/></svg></td></tr>'
        for name, bits in rows
    )
    note = (
        f"Bits for each of {scores['bytes']:,} UTF-8 bytes of {scores['documents']:,} held-out documents; fewer is better. "
        f"Perplexity per token: {scores['perplexity']:.1f} over {scores['tokens']:,} tokens."
    )
    return f"<table>{cells}</table>{small(note)}"


def _samples(samples: list[dict[str, Any]]) -> str:
    """The first, a middle and the last sample."""
    if len(samples) > _SAMPLES:
        samples = [samples[0], samples[len(samples) // 2], samples[-1]]
    return "".join(
        f"<p>After {sample['tokens']:,} tokens:</p><blockquote>{html.escape(sample['text'])}</blockquote>"
        for sample in samples
    )


def _answers(wins: dict[str, Any], gate: dict[str, Any]) -> str:
    """Who wins against the SFT model, and what each says."""
    if not wins:
        return ""
    head = ("", "wins against the first", "95% interval", "score of 6", "repetition", "tokens")
    rows, said = [], ""
    for name, found in wins.items():
        model = Path(name).parent.name
        interval = f"{found['win_rate_least']:.1%} to {found['win_rate_most']:.1%}"
        figures = (f"{found['score']:.2f}", f"{found['repetition']:.2%}", f"{found['tokens']:.1f}")
        rows.append((model, f"{found['win_rate']:.1%}", interval, *figures))
        said += f"<p>{html.escape(model)}:</p>" + "".join(
            f"<blockquote>{html.escape(each)}</blockquote>" for each in found.get("says", ())
        )
    prompts = next(iter(wins.values()))["prompts"]
    note = f"Answers to {prompts:,} held-out prompts, compared by a program that knows form, not truth."
    if gate:
        least, most = gate["accuracy_least"], gate["accuracy_most"]
        note += f" The reward model orders {gate['accuracy']:.1%} ({least:.1%} to {most:.1%}) of held-out pairs as it does."
    return grid(head, rows) + small(note) + said


def _corpus_rows(corpus: dict[str, Any]) -> list[tuple[str, str]]:
    if not corpus:
        return []
    rows = [("source", str(corpus["source"]))]
    for split, title in (("train", "to train on"), ("validation", "held out")):
        counts = corpus["splits"][split]
        rows.append((title, f"{counts['documents']:,} documents, {counts['bytes']:,} bytes"))
    rows.append(("how held out", str(corpus["hold_out"])))
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in corpus["dropped"].items())
    return [*rows, ("dropped", dropped or "nothing")]


def _token_rows(shards: dict[str, Any]) -> list[tuple[str, str]]:
    if not shards:
        return []
    rows = [("vocabulary", f"{shards['vocab']:,} byte-level BPE tokens")]
    for split, title in (("train", "to train on"), ("validation", "held out")):
        counts = shards["splits"][split]
        rows.append((title, f"{counts['tokens']:,} tokens, {counts['bytes'] / counts['tokens']:.2f} bytes each"))
    return rows


def _mixture(reports: list[dict[str, Any]]) -> str:
    """What training read of each source, as the last of the reports has it."""
    if not reports:
        return ""
    report = reports[-1]
    head = ("source", "target", "achieved", "tokens", "epochs")
    rows = [
        (name, f"{each['target']:.2%}", f"{each['achieved']:.2%}", f"{each['tokens']:,}", f"{each['epochs']:.2f}")
        for name, each in report["sources"].items()
    ]
    left_out = f" Left out: {', '.join(report['left_out'])}." if report["left_out"] else ""
    note = f"Shares of {report['rows']:,} rows; an epoch is all text of its source.{left_out}"
    return grid(head, rows) + small(note)


def _training_rows(facts: dict[str, Any], steps: list[dict[str, Any]], energy: dict[str, Any]) -> list[tuple[str, str]]:
    last, machine = steps[-1], facts["machine"]
    speed = last["tokens"] / last["seconds"]
    used = facts["flop"] * speed
    share, precision = used / machine["matmul_flops"], machine.get("precision", "fp32")
    return [
        ("steps", f"{last['step']:,} of {facts['steps']:,}, {last['skipped']} skipped"),
        ("time in steps", duration(last["seconds"])),
        ("speed", f"{speed:,.0f} tokens per second"),
        ("arithmetic (MFU)", f"{used / 1e9:,.1f} GFLOP/s, {share:.0%} of what a matrix product in {precision} reaches here"),
        ("energy", energy_text(energy)),
        ("machine", f"{machine['name']}, {machine['threads']} threads, {machine['system']}"),
        ("software", f"PyTorch {machine['torch']}, Python {machine['python']}"),
    ]  # fmt: skip
