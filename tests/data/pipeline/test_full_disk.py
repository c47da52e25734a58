"""A disk that is full, at several moments: one sentence, the corpus that was there stays, and with room again it goes on.

The disk is a small file system in memory, in a name space of the test's own: no other process sees it.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from real_documents import planted, write_jsonl

INSIDE = """
import json, os, subprocess, sys
from pathlib import Path
disk, fixed, spares = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
room = lambda size, *more: subprocess.run(["mount", *more, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=True)
room(2**26)

def corpus(*flags):
    command = [sys.executable, "-m", "genus.cli.main", "corpus", *fixed, "--out", disk / "out", *flags]
    told = subprocess.run(command, capture_output=True, text=True)
    whole = (disk / "out" / "manifest.json").read_text() if told.returncode in (0, 1) else ""
    left = sorted(str(path.relative_to(disk)) for path in disk.rglob("*") if path.is_file())
    print(json.dumps({"code": told.returncode, "told": told.stderr, "manifest": json.loads(whole), "left": left}))

corpus()
for spare in spares:
    used = os.statvfs(disk)
    room((used.f_blocks - used.f_bfree) * used.f_frsize + spare, "-o", "remount")
    corpus("--seed", "1")
room(2**26, "-o", "remount")
corpus("--seed", "1")
"""
SPARES = (0, 2**18, 2**18, 2**17)  # bytes, each beyond what the start before left


@pytest.mark.timeout(900)
def test_a_full_disk_costs_nothing_that_was_done(tmp_path: Path) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no name space of its own can be made here, in which to mount a small disk")
    source = write_jsonl(tmp_path / "source", planted()["raw"], files=4)
    fixed = ["--source", str(source), "--partitions", "3", "--runner.processes", "1", "--quiet"]
    fixed += [flag for step in ("exact", "fuzzy", "paragraphs", "personal") for flag in ("--steps", step)]
    (tmp_path / "disk").mkdir()
    command = [*alone, sys.executable, "-c", INSIDE, str(tmp_path / "disk"), json.dumps(fixed), json.dumps(SPARES)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    first, *full, again = map(json.loads, ran.stdout.splitlines())
    assert (first["code"], again["code"]) == (0, 0)
    for each in full:
        assert each["code"] == 1 and each["told"].count("\n") == 1, each["told"]
        assert "could not be written" in each["told"] and "free space" in each["told"]
        assert each["manifest"] == first["manifest"]
        assert not [name for name in each["left"] if "partial" in name]
    assert [name for name in again["left"] if not name.startswith("out/")] == []
    assert again["manifest"]["dropped_sha256"] == first["manifest"]["dropped_sha256"]
    held = [each["manifest"]["splits"]["validation"]["files"] for each in (first, again)]
    assert held[0] != held[1]  # by another seed
