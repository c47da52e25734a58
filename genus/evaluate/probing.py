"""Probes asked of a model one after the other: OUT/probes.json has the figures, OUT/NAME.jsonl what each item gave.

A probe that is done with the same model, data and settings is not done again.
"""

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import locked, read_json, write_json, write_text
from genus.core.progress import say
from genus.engine.model import load
from genus.evaluate.found import identity
from genus.evaluate.probes import PROBES, find_probe
from genus.evaluate.published.tables import beside
from genus.evaluate.recipe import Evaluate
from genus.train.logbook import entry

__all__ = ["evaluate_probes", "probe_table"]


def evaluate_probes(config: Evaluate) -> dict[str, Any]:
    """Write config.out and return its probes.json. What is missing is said before the model loads."""
    if config.model is None:
        raise GenusError("no model is named; give its folder")
    for name in config.probes:
        find_probe(name)
        if missing := [need for need in PROBES[name].needs if getattr(config, need) is None]:
            raise GenusError(f"the probe {name} needs --{missing[0]} too; name it")
        if config.data is None and PROBES[name].data:
            raise GenusError(f"the probe {name} needs data; give --data a {PROBES[name].data}")
    if config.data is not None and not config.data.exists():
        raise GenusError(f"{config.data} does not exist; give --data the file or folder that the probes read")
    folder = config.model if (config.model / "config.json").is_file() else config.model / "model"
    file, model = config.out / "probes.json", None
    with locked(config.out):
        results: dict[str, Any] = read_json(file) if file.exists() else {}
        for name in config.probes:
            settings = _settings(config, name, folder)
            if results.get(name, {}).get("settings") == settings:
                say(f"{name}: done before")
                continue
            model = model or load(folder)
            more = {need: getattr(config, need) for need in PROBES[name].needs}
            result = find_probe(name)(model, config.data, limit=config.limit, seed=config.seed, **more)
            results[name] = {"settings": settings, **_kept(config.out, name, result)}
            write_json(file, results)
            entry(folder.resolve().parent, "evaluation", f"probe {name}, in {config.out.name}/{file.name}")
    return results


def probe_table(results: dict[str, Any]) -> list[tuple[str, ...]]:
    """Rows of words: a head, and one for each figure, with what was published of it."""
    rows: list[tuple[str, ...]] = [("probe", "measure", "items", "value", "95%", "published")]
    for name, result in results.items():
        others = {row["measure"]: row["published"] for row in result.get("published", ())}
        for measure, each in result["measures"].items():
            interval = "" if each["low"] is None else f"{each['low']:.3f} to {each['high']:.3f}"
            value = "" if each["value"] is None else f"{each['value']:.3f}"
            printed = ", ".join(f"{other['model']} {other['value']:.3f}" for other in others.get(measure, ()))
            rows.append((name, measure, f"{each['count']:,}", value, interval, printed))
    return rows


def _settings(config: Evaluate, name: str, folder: Path) -> dict[str, Any]:
    """What a probe's result depends on, but for what its files hold."""
    found = {"model": identity(folder), "data": str(config.data), "limit": config.limit}
    needs = {need: str(getattr(config, need)) for need in PROBES[name].needs}
    return {**found, **needs, "seed": config.seed, "genus": version("genus")}


def _kept(out: Path, name: str, result: dict[str, Any]) -> dict[str, Any]:
    """A result without its items and its figure, which get files of their own."""
    items, figure, asked = result.pop("items"), result.pop("figure", ""), result.pop("asked", None)
    write_text(out / f"{name}.jsonl", "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items))
    if figure:
        write_text(out / f"{name}.svg", figure)
    if asked is not None:
        values = {measure: each["value"] for measure, each in result["measures"].items()}
        result |= {"asked": asdict(asked), "published": beside(name, values, asked)}
    return result
