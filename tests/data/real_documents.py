"""Real documents for tests of the corpus: passages of the packaged presidential messages, with more planted in them."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from genus.data.sources import Document, read

__all__ = ["NOTICE", "QUESTION", "STEPS", "passages", "planted", "write_jsonl", "write_recipe"]

STEPS = (
    "extract", "repair", "language", "rules", "exact", "fuzzy", "paragraphs", "quality", "decontaminate", "personal",
    "toxicity", "budgets",
)  # fmt: skip
QUESTION = "How many lanterns does the harbour master light if every third barge carries two and the ferry none at all?"
NOTICE = "This copy was made for the reading room and may be neither sold nor lent without the consent of the keeper. " * 3
_FRENCH = "Le conseil a décidé de reporter la séance parce que le président n'avait pas reçu le rapport des experts. "
_ADVERT = "Click here to subscribe to our newsletter and win a prize today, offers end soon."


def passages(count: int, characters: int = 1200) -> list[str]:
    """Different runs of neighbouring paragraphs, each of at least so many characters, evenly over all messages."""
    found = [text for message in read("sotu") if isinstance(message, Document) for text in _runs(message.text, characters)]
    different = list(dict.fromkeys(found))
    assert len(different) >= count, f"there are only {len(different)} passages of {characters} characters"
    return [different[i * len(different) // count] for i in range(count)]


def _runs(text: str, characters: int) -> Iterator[str]:
    held: list[str] = []
    for paragraph in filter(str.strip, text.split("\n")):
        held.append(paragraph.strip())
        if sum(map(len, held)) >= characters:
            yield "\n\n".join(held)
            held = []


def planted(count: int = 240, seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Records of two sources, good and raw, of which every step drops or changes some."""
    chance = random.Random(seed)
    texts = passages(count + count // 3)
    good = [{"id": f"good{i:04}", "text": text, "date": f"19{i % 90 + 10}"} for i, text in enumerate(texts[count:])]
    plain = [{"id": f"raw{i:04}", "text": text, "licence": "CC0"} for i, text in enumerate(texts[:count])]
    few = max(3, count // 40)
    for record in plain[8 * few :]:
        record["text"] += f"\n\n{_ADVERT} {record['id']} has {len(record['text'])} letters."
    some = iter(plain)
    raw: list[dict[str, Any]] = [*plain]
    for i in range(few):
        raw.append({"id": f"copy{i}", "text": next(some)["text"]})
        raw.append({"id": f"near{i}", "text": next(some)["text"].replace(" the ", " a certain ", 1)})
        raw.append({**next(some), "licence": f"of its own {i}"})  # the same id and text, but for what is known beside
        raw.append({"id": plain[i]["id"], "text": f"{texts[-1 - i]} Of this there is another with the same name."})
        next(some)["text"] += f"\n\n{NOTICE.strip()}"
        next(some)["text"] += f" Write to keeper{i}@example.org for more."
        record = next(some)
        half = record["text"].index(" ", len(record["text"]) // 2)
        record["text"] = f"{record['text'][:half]} {QUESTION} {record['text'][half:]}"
        next(some)["text"] = f"Zounds! {chance.randrange(10**6)} zounds. " + "Zounds, he said to the envoy. " * 20
        raw.append({"id": f"french{i}", "text": f"{i}. {_FRENCH * 8}"})
        raw.append({"id": f"short{i}", "text": f"Only {i}."})
    return {"good": good, "raw": raw}


def write_jsonl(folder: Path, records: list[dict[str, Any]], files: int = 1) -> Path:
    """The records, in turn to so many files."""
    folder.mkdir(parents=True)
    for number in range(files):
        lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records[number::files]]
        (folder / f"{number}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def write_recipe(folder: Path, sources: dict[str, list[dict[str, Any]]], files: int = 4) -> Path:
    """A recipe with all steps on, for `genus corpus RECIPE --out FOLDER`, and what it reads, in a folder."""
    for name, records in sources.items():
        write_jsonl(folder / name, records, files)
    (folder / "quiz.jsonl").write_text(json.dumps({"question": QUESTION}) + "\n")
    (folder / "oaths.txt").write_text("zounds\n")
    tables = [
        f'[[sources]]\nname = "{name}"\npath = "{folder / name}"\ngood = {json.dumps(name == "good")}' for name in sources
    ]
    size = sum(len(record["text"].encode()) for records in sources.values() for record in records)
    recipe = folder / "corpus.toml"
    recipe.write_text(
        "\n".join(
            [
                f"steps = {list(STEPS)}",
                *tables,
                f'[decontaminate]\ntasks = ["{folder / "quiz.jsonl"}"]',
                f'[toxicity]\nwords = "{folder / "oaths.txt"}"\nmost = 0.2',
                "[quality]\nalpha = 1.0",
                '[paragraphs]\nunit = "lines"',  # the rules of C4 leave no empty ones
                '[rules]\nsets = ["gopher_quality", "c4", "fineweb"]',
                f"[budgets]\nen = {size // 2}",
                "",
            ]
        )
    )
    return recipe
