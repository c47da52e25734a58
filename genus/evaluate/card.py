"""The model card, filled in: README.md of a model folder tells what the files of its run say, and where each number stands.

Between markers the text is written anew each time. What a person wrote in the marked places, and all outside the markers,
stays. The first draft is of the stage that made the model (train.card, align).
"""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from genus.core.errors import GenusError
from genus.core.files import read_json, sha256
from genus.core.recipe import read_recipe
from genus.evaluate.found import Figure, evaluations, identity, pointer
from genus.train.card import FIGURES
from genus.train.logbook import last_end

__all__ = ["cards"]

_OWNER = ("<!-- genus:owner -->", "<!-- /genus:owner -->")
_PLACES = {
    "intended-use": "_To fill in: who is to use this model and for what, and for what it is not to be used._",
    "limits": "_To fill in: what is known to go wrong, and what should have been measured and was not._",
}
_OWNERS = """## Intended use

To be studied, and to be used for what the figures above show that it can do. Whoever gives it to others answers for what it
is used for.

{intended-use}

## Limits

The model knows its training text and nothing after it or beside it. It can be wrong, and it can pass on what is false,
private or hurtful in that text. What the figures above do not name was not measured; a probe that finds nothing shows no
safety.

{limits}"""
_NUMBERS = int | float


class Row(NamedTuple):
    """A fact: what it is, its value, the file that has it, and where in that file."""

    what: str
    value: Any
    file: Path
    entry: str


def cards(run: Path, extra: Sequence[Path] = ()) -> dict[Path, str]:
    """The whole cards, by file, of the run's model and of those tuned below align/ of it. Nothing is written.

    Evaluations are looked for below the run and in `extra`. Raises GenusError for a card whose markers are torn.
    """
    models = [run / "model", *sorted(run.glob("align/*/model"))]
    return {model / "README.md": _card(run, model, [run, *extra]) for model in models if (model / "config.json").is_file()}


def _card(run: Path, model: Path, roots: Sequence[Path]) -> str:
    path = model / "README.md"
    text = path.read_text("utf-8") if path.is_file() else f"# {model.resolve().parent.name}\n"
    owner = _between(text, _OWNER, path)
    places = {name: _place(name, owner, path) for name in _PLACES}
    home = model.parent
    rows = [*(_learned_from(run) if home == run else ()), *_training(home), *_answers(run, home)]
    parts = [_table(model, rows)]
    if held_out := _held_out(home, model):
        parts.append(f"On held-out text, fewer bits are better:\n\n{_table(model, held_out)}")
    if scores := evaluations(model, roots):
        parts.append(f"On tasks and probes:\n\n{_score_table(model, scores)}")
    text = _put(text, FIGURES, "\n\n".join(part for part in parts if part), path)
    return _put(text, _OWNER, _OWNERS.format(**places), path)


def _place(name: str, owner: str | None, path: Path) -> str:
    """What stands in a marked place, or a prompt to fill it."""
    marks = (f"<!-- yours:{name}: write here, it is kept -->", f"<!-- /yours:{name} -->")
    kept = None if owner is None else _between(owner, marks, path)
    if owner is not None and kept is None:
        raise GenusError(f"{path} has lost the line {marks[0]}; put it and {marks[1]} around what you wrote")
    return f"{marks[0]}\n{_PLACES[name] if kept is None else kept}\n{marks[1]}"


def _between(text: str, marks: tuple[str, str], path: Path) -> str | None:
    """What stands between two markers; None where neither is there."""
    begin, end = marks
    counts = text.count(begin), text.count(end)
    if counts == (0, 0):
        return None
    if counts != (1, 1) or text.index(begin) > text.index(end):
        raise GenusError(f"{path} must have {begin} once and {end} once after it; put them right")
    return text.partition(begin)[2].partition(end)[0].strip("\n")


def _put(text: str, marks: tuple[str, str], body: str, path: Path) -> str:
    """`text` with `body` between the markers; at its end, where there were none."""
    block = f"{marks[0]}\n{body}\n{marks[1]}"
    if _between(text, marks, path) is None:
        return f"{text.rstrip()}\n\n{block}\n"
    before, _, rest = text.partition(marks[0])
    return before + block + rest.partition(marks[1])[2]


def _learned_from(run: Path) -> Iterator[Row]:
    """Of the text and its tokens, so far as they still are those that the run read."""
    facts, shards = _json(run / "run.json"), run / "shards" / "manifest.json"
    if not shards.is_file() or sha256(shards) != facts.get("shards"):
        return
    tokens, corpus = read_json(shards), run / "corpus" / "manifest.json"
    if corpus.is_file() and sha256(corpus) == tokens.get("corpus_sha256"):
        text = read_json(corpus)
        yield Row("source of the text", text["source"], corpus, "/source")
        for split, title in (("train", "to learn from"), ("validation", "held out")):
            for unit in ("documents", "bytes"):
                yield Row(f"{title}: {unit}", text["splits"][split][unit], corpus, pointer("splits", split, unit))
        yield Row("how held out", text["hold_out"], corpus, "/hold_out")
        for reason, count in text["dropped"].items():
            yield Row(f"documents dropped: {reason}", count, corpus, pointer("dropped", reason))
        described = run / "corpus" / "data_card.md"
        if described.is_file():
            yield Row("data card", "what the text is, whose, and what was dropped", described, "whole file")
        report = run / "corpus" / "report.json"
        for at, step in enumerate(_json(report).get("funnel", ())):
            if step["step"] == "read":
                yield Row("documents found in the sources", step["in"][0], report, pointer("funnel", str(at), "in", "0"))
    yield Row("vocabulary", tokens["vocab"], shards, "/vocab")
    yield Row("tokens to learn from", tokens["splits"]["train"]["tokens"], shards, "/splits/train/tokens")
    for name in ("corpus_sha256", "tokenizer_sha256"):
        yield Row(name.replace("_sha256", ", SHA-256"), tokens[name], shards, pointer(name))


def _training(home: Path) -> Iterator[Row]:
    """Of the run that made a model: recipe, steps, machine, energy."""
    facts, path = _json(home / "run.json"), home / "run.json"
    if "parameters" in facts:
        yield Row("parameters", facts["parameters"], path, "/parameters")
    yield from _recipe(home / "recipe.toml")
    for name, value in facts.get("data", {}).items():
        yield Row(name, value, path, pointer("data", name))
    yield from _steps(home / "metrics.jsonl")
    if machine := facts.get("machine"):
        yield Row("machine", machine["name"], path, "/machine/name")
        yield Row("PyTorch", machine["torch"], path, "/machine/torch")
    if commit := facts.get("environment", {}).get("commit"):
        yield Row("commit", commit, path, "/environment/commit")
    if ended := last_end(home):
        yield Row("training ended", ended, home / "logbook.md", f"{ended} end")
    energy, file = _json(home / "energy.json"), home / "energy.json"
    for name, title in (("kwh", "energy, kWh"), ("measured_kwh", "measured of it, the rest estimated, kWh"),
                        ("seconds", "seconds in which it was counted"), ("co2_kg", "emissions, kg CO2e")):  # fmt: skip
        if energy.get(name) is not None:
            yield Row(title, energy[name], file, pointer(name))


def _recipe(recipe: Path) -> Iterator[Row]:
    """What the recipe of a run decided that a reader asks for first."""
    values = read_recipe(recipe) if recipe.is_file() else {}
    if start := values.get("model"):
        if isinstance(start, str):
            yield Row("started from", "/".join(Path(start).parts[-2:]), recipe, "/model")
        else:
            for name in ("context", "width", "depth", "heads"):
                if start.get(name):
                    yield Row(name, start[name], recipe, pointer("model", name))
    for name in ("beta", "episodes", "kl"):
        if isinstance(values.get(name), _NUMBERS):
            yield Row(name, values[name], recipe, pointer(name))


def _steps(path: Path) -> Iterator[Row]:
    """From the last lines of metrics.jsonl: how far training came, and what it lost on held-out text."""
    if not path.is_file():
        return
    last: dict[str, tuple[int, dict[str, Any]]] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            record = json.loads(line)
        except ValueError:  # the half line of a kill
            continue
        if "abandoned" not in record:
            last |= {name: (number, record) for name in ("loss", "validation_loss", "mixture") if name in record}
    for kind, names in (("loss", ("step", "tokens", "examples", "episodes", "skipped", "seconds")), ("validation_loss", ())):
        number, record = last.get(kind, (0, {}))
        for name, value in record.items():
            if name in names or (not names and name.startswith("validation_") and value is not None):
                yield Row(_TITLES.get(name, name.replace("_", " ")), value, path, f"line {number} /{name}")
    number, record = last.get("mixture", (0, {}))
    for name, source in record.get("mixture", {}).get("sources", {}).items():
        entry = pointer("mixture", "sources", name, "tokens")
        yield Row(f"tokens read of {name}", source["tokens"], path, f"line {number} {entry}")


_TITLES = {
    "step": "steps of training",
    "tokens": "tokens read",
    "examples": "examples read",
    "episodes": "episodes played",
    "skipped": "steps left out",
    "seconds": "seconds in steps",
    "validation_loss": "loss on held-out data",
}


_JUDGED = {
    "win_rate": "win rate over {}",
    "win_rate_least": "win rate, least (95%)",
    "win_rate_most": "win rate, most (95%)",
    "prompts": "prompts",
    "score": "mean score",
    "repetition": "repetition",
    "ended": "share that ended by themselves",
}


def _answers(run: Path, home: Path) -> Iterator[Row]:
    """What a reward model reached, and how often a tuned model's answers win."""
    gate, wins = home / "gate.json", run / "align" / "wins.json"
    for name, value in _json(gate).items():
        if isinstance(value, _NUMBERS):
            yield Row(
                name.replace("_", " "), value if not isinstance(value, bool) else str(value).lower(), gate, pointer(name)
            )
    content, mine = _json(wins), (home / "model").parts[-2:]
    first = next(iter(content), "")
    weights = max((path.stat().st_mtime for path in (home / "model").glob("*.safetensors")), default=0)
    for name, found in content.items():
        if Path(name).parts[-2:] == mine and wins.stat().st_mtime >= weights:
            other = "/".join(Path(first).parts[-2:])
            for key, title in _JUDGED.items():
                if name != first or not key.startswith("win"):
                    yield Row(f"answers judged by a program: {title.format(other)}", found[key], wins, pointer(name, key))


def _held_out(home: Path, model: Path) -> list[Row]:
    """evaluation.json, where it is of the weights that are there now."""
    file = home / "evaluation.json"
    found = _json(file)
    weights = max((path.stat().st_mtime for path in model.glob("*.safetensors")), default=0)
    if not found or found.get("model", identity(model)) != identity(model) or file.stat().st_mtime < weights:
        return []
    names = ("bits_per_byte", "perplexity", "documents", "bytes", "tokens")
    titles = ("bits per byte", "perplexity per token", "documents", "bytes", "tokens")
    rows = [Row(title, found[name], file, pointer(name)) for name, title in zip(names, titles, strict=True)]
    others = found.get("references", {})
    for name, title in (
        ("ngram_bpb", "a byte n-gram model of the training text"),
        ("xz_bpb", "xz, given the training text"),
    ):
        if name in others:
            rows.append(Row(f"bits per byte of {title}", others[name], file, pointer("references", name)))
    return rows


def _table(model: Path, rows: Sequence[Row]) -> str:
    lines = [f"| {_cell(row.what)} | {_said(row.value)} | {_source(model, row.file, row.entry)} |" for row in rows]
    return "\n".join(["| | | from |", "| --- | --- | --- |", *lines]) if lines else ""


def _score_table(model: Path, scores: Sequence[Figure]) -> str:
    lines = ["| task | measure | shots | items | value | from | to | where |", "| --- " * 8 + "|"]
    for each in scores:
        numbers = (each.shots, each.count, each.value, each.low, each.high)
        cells = [_cell(each.task), _cell(each.measure), *("" if each is None else _said(each) for each in numbers)]
        where = _source(model, each.file, each.entry)
        if each.items.is_file():
            where += f", [items]({quote(os.path.relpath(each.items.resolve(), model.resolve()))})"
        lines.append(f"| {' | '.join(cells)} | {where} |")
    return "\n".join([*lines, "", "`from` and `to` hold the value with a confidence of 95%."])


def _source(model: Path, file: Path, entry: str) -> str:
    link = os.path.relpath(file.resolve(), model.resolve())
    name = "/".join(part for part in Path(link).parts if part != "..")
    return f"[{_cell(name)}]({quote(link)}) `{_cell(entry)}`"


def _said(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else _cell(str(value))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("`", "'").replace("|", "\\|")


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_json(path) if path.is_file() else {}
    return content
