"""`genus compare`"""

import shutil
import textwrap
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from genus.cli.explain import MEANINGS, fields_of

if TYPE_CHECKING:
    from genus.models.spec import DecoderSpec

__all__ = ["Difference", "compare", "differences"]

_SHAPE = ("parameters", "vocab", "context", "width", "depth", "attention.heads", "attention.head_dim", "mlp.hidden")
_ABSENT = ""  # the value of a field in a spec that has no such part


class Difference(NamedTuple):
    """A field, its value in each of two specs, and sentences on what that means; a field of the shape needs none."""

    path: str
    one: str
    other: str
    sentences: list[str]


def compare(one: str, other: str, /) -> None:
    """Explain how two models differ: each field that is not equal, what the difference means, and where it came from.

    ```sh
    genus compare gpt2 llama
    genus compare opt-125m opt-350m
    genus compare gpt2 runs/demo/model
    ```

    Parameters
    ----------
    one
        A size, a family (its first size), or a model's folder.
    other
        The model to compare with it.
    """
    from genus.cli.models import describe
    from genus.cli.tables import aligned

    models = [describe(one), describe(other)]
    found = differences(models[0].spec, models[1].spec)
    if not found:
        print(f"{models[0].name} and {models[1].name} have the same spec")
        return
    head, *lines = aligned([("", models[0].name, models[1].name), *(row[:3] for row in found)], left=3)
    print(head)
    columns = min(shutil.get_terminal_size().columns, 110)
    for line, difference in zip(lines, found, strict=True):
        print(f"\n{line}" if difference.sentences else line)
        for sentence in difference.sentences:
            print(textwrap.fill(sentence, columns, initial_indent="  ", subsequent_indent="  "))


def differences(one: "DecoderSpec", other: "DecoderSpec") -> list[Difference]:
    """What differs, the shape first. A field of a part that only one of the two has is left out where it does nothing."""
    specs, found = [_entries(one), _entries(other)], []
    order = [field.name for field in fields(one)]
    rest = [path for path in dict.fromkeys([*specs[0], *specs[1]]) if path not in _SHAPE]
    for path in (*_SHAPE, *sorted(rest, key=lambda path: order.index(path.split(".")[0]))):
        entries = [entry for spec in specs if (entry := spec.get(path))]
        values = [spec[path][1] if path in spec else _ABSENT for spec in specs]
        if values[0] != values[1] and (len(entries) == 2 or any(values)):
            sentences = [] if path in _SHAPE else [_sentence(*entry) for entry in entries]
            found.append(Difference(path, _say(values[0]), _say(values[1]), list(dict.fromkeys(sentences))))
    return found


def _entries(spec: "DecoderSpec") -> dict[str, tuple[str, Any]]:
    """All fields, and the parameters; what is as usual beside another field is said so instead of as a number."""
    entries = fields_of(spec)
    usual = {
        "attention.kv_heads": (spec.attention.heads, "one a head"),
        "attention.scale": (None, "head_dim ** -0.5"),
        "position.dim": (spec.attention.head_dim, "whole head"),
    }
    for path, (value, word) in usual.items():
        if path in entries and entries[path][1] == value:
            entries[path] = (entries[path][0], word)
    return {"parameters": ("", spec.parameters), **entries}


def _sentence(key: str, value: Any) -> str:
    meaning = MEANINGS[key]
    return meaning if isinstance(meaning, str) else f"{value}: {meaning[str(value)]}"


def _say(value: Any) -> str:
    from genus.models.diagram import window_words

    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,g}"
        case tuple():
            return ", ".join(window_words(window) for window in value)
        case _:
            return "-" if value == _ABSENT else "none" if value is None else str(value)
