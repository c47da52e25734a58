"""Jobs for up to four ranks, of one start of PyTorch; the tests look at what they left."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Job = dict[str, Any]


def run_jobs(folder: Path, jobs: list[Job]) -> dict[str, list[Job]]:
    """Every job on as many ranks as its `world`; name -> what each rank found."""
    folder.mkdir()
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, "-m", "tests.distributed.worker", str(folder)]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    return {
        job["name"]: [json.loads((folder / f"{job['name']}-{rank}.json").read_text()) for rank in range(job["world"])]
        for job in jobs
    }


def take_back(run: Path, copy: Path, step: int) -> Path:
    """A copy of a run as it was when its checkpoint of `step` was the newest."""
    shutil.copytree(run, copy)
    for path in (copy / "checkpoints").glob("step-*"):
        if int(path.name[5:]) > step:
            shutil.rmtree(path)
    return copy
