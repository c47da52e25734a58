"""The records of task files, by the form of the file, each with its place, for errors. Tasks say what they mean."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat

from genus.core.errors import GenusError
from genus.data.records import Record, read_all
from genus.evaluate.incontext.scramble import scrambled, wanted

__all__ = ["FORMS", "read_records"]


def read_records(path: Path, form: str, seed: int = 0) -> list[Record]:
    """All records of a file, in order; the seed is for those that are made. Raises GenusError naming the place."""
    if form not in FORMS:
        raise GenusError(f"{path}: the form {form!r} is unknown; choose of {', '.join(FORMS)}")
    if form == "words":
        found = [Record(scrambled(word, seed), place) for word, place in _words(path)]
    else:
        found = list(FORMS[form](path))
    if not found:
        raise GenusError(f"{path} holds no records; name another file")
    return found


def _json(path: Path) -> list[Record]:
    return read_all(path, lambda record: [record])


def _last_word(path: Path) -> Iterator[Record]:
    """LAMBADA: passages, the last word of which is asked for; of a .jsonl file the field `text`."""
    for record in _lines(path) if path.suffix == ".txt" else _json(path):
        before, space, word = record.text("text").rstrip().rpartition(" ")
        if not space or not before.strip():
            raise record.wrong("text", "is a single word; give a passage")
        yield Record({**record.fields, "context": before, "word": word}, record.place)


def _lines(path: Path) -> Iterator[Record]:
    for number, line in enumerate(_text(path).split("\n"), 1):
        if line.strip():
            yield Record({"text": line.strip()}, f"{path}, line {number}")


def _labelled(path: Path) -> Iterator[Record]:
    """SST-2 and TREC: a line is a label and a text. A label such as DESC:manner has a finer one after its colon."""
    for line in _lines(path):
        label, _, text = line.fields["text"].partition(" ")
        if not text.strip():
            raise GenusError(f"{line.place} is not a label and a text; give both, with a space between them")
        label, _, fine = label.partition(":")
        yield Record({"label": label, "fine": fine, "text": text.strip()}, line.place)


def _articles(path: Path) -> Iterator[Record]:
    """WikiText: an article begins at a line such as " = Title = "."""
    text = _text(path)
    heads = [match.start() for match in re.finditer(r"^ = [^=\n]+ = *$", text, re.MULTILINE)] or [0]
    for first, after in zip(heads, [*heads[1:], len(text)], strict=True):
        place = f"{path}, line {text.count(chr(10), 0, first) + 1}"
        yield Record({"text": text[first:after].strip(" \n") + "\n"}, place)


def _copa(path: Path) -> list[Record]:
    """COPA's own XML: premise, question (cause or effect), choice1, choice2, label (0 or 1)."""
    parser, items, texts = expat.ParserCreate(), list[tuple[int, dict[str, str]]](), list[str]()

    def start(name: str, attributes: dict[str, str]) -> None:
        texts.clear()
        if name == "item":
            items.append((parser.CurrentLineNumber, attributes))

    def end(name: str) -> None:
        if items and name in ("p", "a1", "a2"):
            items[-1][1][name] = "".join(texts).strip()

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, texts.append
    try:
        parser.Parse(_text(path), True)
    except expat.ExpatError as error:
        raise GenusError(f"{path} is not XML ({error}); download it again") from error
    return [_copa_record(values, f"{path}, line {line}") for line, values in items]


def _copa_record(values: dict[str, str], place: str) -> Record:
    read = Record(values, place)
    alternative = read.text("most-plausible-alternative")
    if alternative not in ("1", "2"):
        raise read.wrong("most-plausible-alternative", f"is {alternative!r}; give 1 or 2")
    premise, first, second = (read.text(name) for name in ("p", "a1", "a2"))
    found: dict[str, Any] = {"premise": premise, "question": read.text("asks-for"), "choice1": first, "choice2": second}
    return Record({**found, "label": int(alternative) - 1}, place)


def _words(path: Path) -> Iterator[tuple[str, str]]:
    """The first 10,000 words that fit GPT-3's tasks, one a line, the most frequent first."""
    found = [(line.fields["text"].split()[0].lower(), line.place) for line in _lines(path)]
    places = {word: place for word, place in reversed(found) if wanted(word)}
    yield from [(word, places[word]) for word in dict.fromkeys(word for word, _ in found) if word in places][:10_000]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise GenusError(f"{path} cannot be read ({error.strerror}); name a file of records") from error
    except UnicodeDecodeError as error:
        raise GenusError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error


FORMS: dict[str, Callable[[Path], Any]] = {
    "json": _json,
    "last_word": _last_word,
    "lines": _lines,
    "labelled": _labelled,
    "wikitext": _articles,
    "copa": _copa,
    "words": _words,
}
"""json: .jsonl or .json. words: GPT-3's five scramblings of each, in fields of their names."""
