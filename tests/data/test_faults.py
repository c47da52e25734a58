"""A writer that fails at any flush or rename (F49): the old output is whole, nothing half is left, a re-run succeeds."""

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_corpus import Made

from genus.core.errors import GenusError
from genus.data.corpus import make_corpus
from genus.data.shards import make_shards, open_shards
from genus.data.vocabulary import make_tokenizer


def content(folder: Path) -> dict[str, bytes]:
    """Of all files; of a report, which tells times, all but how it was made."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    if "report.json" in found:
        told = json.loads(found["report.json"])
        found["report.json"] = json.dumps({name: told[name] for name in told if name != "made"}).encode()
        found["report.html"] = found["report.html"][-8:]  # its end, when it is whole
    return found


class Failing:
    """Stands in for `function` and raises on its n-th call; n = 0 never, only counting."""

    def __init__(self, function: Callable[..., Any], n: int) -> None:
        self.function, self.n, self.calls = function, n, 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.calls == self.n:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.function(*arguments)


# Each stage with a field that changes what it writes, so that old and new outputs cannot be confused.
STAGES = {
    "corpus": (make_corpus, {"held_out": 0.2}),
    "tokenizer": (make_tokenizer, {"vocab": 290}),
    "shards": (make_shards, {"shard_tokens": 2500}),
}
CALLS = {"fsync": (os, "fsync"), "rename": (Path, "rename")}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_at_any_moment_loses_nothing(made: Made, tmp_path: Path, stage: str, call: str) -> None:
    make, change = STAGES[stage]
    recipe = replace(getattr(made, stage), out=tmp_path / "out")
    if stage == "shards":
        recipe = replace(recipe, shard_tokens=10**9)  # few files, so few moments to fail at
    changed = replace(recipe, **change)
    make(changed)
    after = content(recipe.out)
    make(recipe)
    before = content(recipe.out)
    assert before != after
    where, name = CALLS[call]
    function, n, failed = getattr(where, name), 0, True
    while failed:
        n += 1
        failing = Failing(function, n)
        with pytest.MonkeyPatch.context() as patch:
            # A plain function, so that it binds as a method of Path.
            patch.setattr(where, name, lambda *arguments, failing=failing: failing(*arguments))
            try:
                make(changed)
                failed = False
            except GenusError as error:
                assert "No space left on device" in str(error)
        # The very last flush comes after the new output took its place: then either is whole.
        assert content(recipe.out) in ((before, after) if failed else (after,))
        assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".partial")] == []
        if failed:
            make(changed)
            assert content(recipe.out) == after
            make(recipe)
    assert n > 2


def test_a_kill_between_the_two_renames_is_repaired_by_the_next_run(made: Made, tmp_path: Path) -> None:
    recipe = replace(made.shards, out=tmp_path / "out")
    make_shards(recipe)
    recipe.out.rename(tmp_path / ".out.old")  # as a kill there would leave it
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "train-00000.bin").write_bytes(b"half")
    make_shards(recipe)
    open_shards(recipe.out).verify()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
