"""Where a data stage may write. A stage replaces its folder whole, so it must never be pointed at someone's work."""

from fnmatch import fnmatch
from pathlib import Path

from genus.core.errors import GenusError

__all__ = ["check_output"]

_BESIDE = (".lock", "recipe.toml", "report.html")  # what the command line and reports leave beside any stage's output


def check_output(out: Path, made: tuple[str, ...]) -> None:
    """Refuse (GenusError) an `out` that is a file, or holds a name that matches none of `made`, the stage's own names."""
    if not out.name:
        raise GenusError(f"out {out} cannot be replaced by a finished folder; name a new folder")
    if out.exists() and not out.is_dir():
        raise GenusError(f"out {out} is a file; name a folder")
    names = sorted(path.name for path in out.iterdir()) if out.exists() else []
    strange = [name for name in names if not any(fnmatch(name, pattern) for pattern in made + _BESIDE)]
    if strange:
        raise GenusError(f"out {out} holds {strange[0]}, which this stage did not make and would delete; name a new folder")
