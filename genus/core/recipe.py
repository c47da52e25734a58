"""Recipes: frozen dataclasses as TOML files. How flags and files become dataclasses is the command line's (cli/main.py)."""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import write_text

__all__ = ["as_dict", "differences", "read_recipe", "save_recipe"]

_ABSENT = "(unset)"


def as_dict(recipe: Any) -> dict[str, Any]:
    """A recipe as TOML can say it: paths as text, tuples as lists, None left out."""
    return {
        field.name: _plain(value)
        for field in dataclasses.fields(recipe)
        if (value := getattr(recipe, field.name)) is not None
    }


def save_recipe(path: Path, recipe: Any) -> None:
    """Write a resolved recipe, every default spelled out."""
    import tomli_w

    write_text(path, tomli_w.dumps(as_dict(recipe)))


def read_recipe(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises GenusError with the place of a mistake."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise GenusError(f"{path} cannot be read ({error}); name a recipe file") from error
    except tomllib.TOMLDecodeError as error:
        raise GenusError(f"{path} is not TOML: {error}") from error


def differences(old: dict[str, Any], new: dict[str, Any], ignore: frozenset[str] = frozenset()) -> list[str]:
    """The fields in which two recipes differ, by path: "optim.lr was 0.001, now 0.002"."""
    before, after = _flat(old), _flat(new)
    return [
        f"{name} was {before.get(name, _ABSENT)}, now {after.get(name, _ABSENT)}"
        for name in sorted(before.keys() | after.keys())
        if name not in ignore and before.get(name, _ABSENT) != after.get(name, _ABSENT)
    ]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return as_dict(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _flat(recipe: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in recipe.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
