"""`genus run`: a folder of stage recipes, in order, each skipped while its recipe and inputs are as they were."""

import tomllib
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from genus.cli.main import STAGES, bind_stage
from genus.core.errors import GenusError
from genus.core.files import locked, read_json, sha256, write_json
from genus.core.progress import say
from genus.core.recipe import as_dict, read_recipe

__all__ = ["Changes", "merge", "parse_changes", "run", "run_stages"]

Changes = dict[str, dict[str, Any]]  # stage -> fields that win over its recipe

_TRAINS = (
    "pretrain",
    "tune",
    "sft",
    "reward",
    "dpo",
    "ppo",
    "grpo",
)  # stages that make a model in their folder, and may be restarted
_HASHED = 32 * 2**20  # bytes; larger inputs are told apart by size and time


def run(
    folder: Path,
    /,
    *,
    out: Path | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative=())] = None,
    restart: bool = False,
) -> None:
    """Execute a folder of recipes named NUMBER-STAGE.toml in order. A stage whose recipe and inputs have not changed is
    skipped, so the same command goes on wherever it was killed.

    ```sh
    genus run recipes/demo
    genus run recipes/demo --out runs/small --set pretrain.tokens=200000
    ```

    Parameters
    ----------
    folder
        The folder of recipes.
    out
        Write here instead of runs/NAME, NAME being the folder's.
    set_
        STAGE.FIELD=VALUE, a change to one recipe; may be repeated.
    restart
        Make everything again.
    """
    run_stages(folder, out, parse_changes(set_ or []), restart)


def run_stages(
    folder: Path, out: Path | None, changes: Changes, restart: bool = False, optional: Collection[str] = ()
) -> Path:
    """See `run`; gives the folder that was written to. Where an `optional` stage cannot be done, it says why, and all
    optional stages from there on are left out."""
    recipes = _recipes(folder)
    home = Path("runs") / folder.resolve().name
    out = out or home
    with locked(out / "stages"):
        record = out / "stages" / "done.json"
        failed = False
        done: dict[str, Any] = read_json(record) if record.exists() and not restart else {}
        ready = [_Stage.bind(recipe, home, out, changes) for recipe in recipes]  # all checked before any works
        for stage in ready:
            now = {"recipe": as_dict(stage.config), "inputs": stage.inputs()}
            if done.get(stage.recipe) == now and stage.product.exists():
                say(f"{stage.name}: nothing has changed, skipped")
                continue
            if failed and stage.name in optional:
                continue
            say(f"{stage.name}: started")
            try:
                stage.call(restart)
            except GenusError as error:
                if stage.name not in optional:
                    raise
                failed = True
                say(f"{error}\n{stage.name} and what builds on it are left out")
                continue
            done[stage.recipe] = now
            write_json(record, done)
    return out


@dataclass
class _Stage:
    """One recipe, resolved."""

    name: str
    recipe: str  # the file's name; a folder may hold a stage twice
    command: Callable[..., None]
    config: Any

    @classmethod
    def bind(cls, recipe: Path, home: Path, out: Path, changes: Changes) -> "_Stage":
        name = recipe.stem.split("-", 1)[1]
        values = merge(_move(read_recipe(recipe), home, out), changes.get(name, {}))
        command, config = bind_stage(name, values, str(recipe))
        return cls(name, recipe.name, command, config)

    def call(self, restart: bool) -> None:
        self.command(**({"restart": True} if restart and self.name in _TRAINS else {}))

    @property
    def product(self) -> Path:
        """What is there when the stage is done."""
        out: Path = self.config.out
        return out / "model" if self.name in _TRAINS else out

    def inputs(self) -> dict[str, str]:
        """What the stage reads, told by content: every path of its recipe but `out`, and sources that are paths."""
        named = {field.name: getattr(self.config, field.name) for field in fields(self.config) if field.name != "out"}
        found = {name: value for name, value in named.items() if isinstance(value, Path) or _is_source(name, value)}
        for name, value in named.items():
            if isinstance(value, list | tuple):
                paths = [getattr(each, "path", each) for each in value]  # of a corpus's sources; others are paths themselves
                found |= {f"{name}[{index}]": path for index, path in enumerate(paths) if _is_path(path)}
        return {name: _fingerprint(Path(value), self.config.out) for name, value in found.items()}


def _is_path(value: Any) -> bool:
    """Comparisons and prompts may also be the URL of a store."""
    return isinstance(value, Path) or (isinstance(value, str) and Path(value).exists())


def _is_source(name: str, value: Any) -> bool:
    return name == "source" and Path(value).exists()


def parse_changes(assignments: list[str]) -> Changes:
    """["pretrain.optim.lr=0.01"] -> {"pretrain": {"optim": {"lr": 0.01}}}. Values are TOML, or else plain text."""
    changes: Changes = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        stage, _, path = name.partition(".")
        if not equals or not path or stage not in STAGES:
            raise GenusError(f"--set {assignment} is not STAGE.FIELD=VALUE; for example --set pretrain.tokens=200000")
        nested: Any = _value(value)
        for key in reversed(path.split(".")):
            nested = {key: nested}
        changes[stage] = merge(changes.get(stage, {}), nested)
    return changes


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _recipes(folder: Path) -> list[Path]:
    recipes = sorted(folder.glob("*.toml"), key=lambda path: int(path.name.split("-")[0]) if _named(path) else 0)
    if not recipes:
        raise GenusError(f"{folder} has no recipes; name a folder of files such as 1-corpus.toml")
    for recipe in recipes:
        if not _named(recipe):
            raise GenusError(f"{recipe} is not NUMBER-STAGE.toml; the stages are {', '.join(STAGES)}")
    return recipes


def _named(recipe: Path) -> bool:
    number, _, stage = recipe.stem.partition("-")
    return number.isdigit() and stage in STAGES


def _move(values: dict[str, Any], home: Path, out: Path) -> dict[str, Any]:
    """The recipe with the paths that lead to or below `home` leading to or below `out`."""
    return {name: _moved(value, home, out) for name, value in values.items()}


def _moved(value: Any, home: Path, out: Path) -> Any:
    if isinstance(value, list):
        return [_moved(each, home, out) for each in value]
    if isinstance(value, dict):
        return _move(value, home, out)
    return str(out / below) if (below := _below(value, home)) else value


def _below(value: Any, home: Path) -> Path | None:
    is_below = isinstance(value, str) and Path(value).is_relative_to(home)
    return Path(value).relative_to(home) if is_below else None


def merge(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """Nested values, those of `top` winning."""
    both = {name: merge(base[name], top[name]) for name in base.keys() & top.keys() if isinstance(top[name], dict)}
    return {**base, **top, **both}


def _fingerprint(path: Path, out: Path) -> str:
    """The content of a file or folder in one number; `out`, what a run writes while it goes on, reports, which say how long
    it took, and model cards, which reports fill in, do not count."""
    if path.is_file():
        return sha256(path)
    counted = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and file != out and not {"stages", "__pycache__"}.intersection(file.parts)
        if not file.name.startswith((".", "report.")) and not _is_card(file)
    ]
    lines = [f"{file.relative_to(path)} {_file_fingerprint(file)}" for file in counted]
    return sha256_of("\n".join(lines).encode()).hexdigest()


def _is_card(file: Path) -> bool:
    return file.name == "README.md" and (file.parent / "config.json").is_file()


def _file_fingerprint(file: Path) -> str:
    status = file.stat()
    return sha256(file) if status.st_size <= _HASHED else f"{status.st_size} {status.st_mtime_ns}"
