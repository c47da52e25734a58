"""The corpus on a Ray cluster of this machine's own: the same outcome as without it, and a worker's death costs its task."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from real_documents import planted, write_recipe

from genus.cli.main import bind_stage
from genus.core.files import read_json
from genus.core.recipe import read_recipe
from genus.data.corpus import documents, make_corpus
from genus.data.pipeline.runner import Runner

ALONE = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
PARTS = 4


def children(pid: int) -> dict[int, str]:
    """Processes below one, and what they call themselves."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found, new = set[int](), {pid}
    while new:
        found |= new
        new = {child for child, parent in parents.items() if parent in found} - found
    return {each: name for each in found if (name := _name(each))}


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, int]]:
    """A cluster on the loopback address with two processors: its address, and the process that it hangs on."""
    pytest.importorskip("ray", reason="Ray is not installed; pip install 'genus[ray]'")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # the names of its sockets must be short
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--node-ip-address", "127.0.0.1"]
    command += ["--port", str(port), "--num-cpus", "2", "--object-store-memory", str(100 * 2**20)]
    command += ["--include-dashboard", "false", "--disable-usage-stats", "--temp-dir", folder]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env={**os.environ, **ALONE}, start_new_session=True, **quiet)
    try:
        until = time.monotonic() + 120
        while not _answers(port):
            assert process.poll() is None and time.monotonic() < until, "the cluster does not start"
            time.sleep(0.1)
        yield f"127.0.0.1:{port}", process.pid
    finally:
        for pid in children(process.pid):
            _end(pid)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def kill_one(parent: int, kind: str, done: Path, process: subprocess.Popen[bytes]) -> None:
    """End a worker of a kind as soon as a task of the process is done."""
    while not done.exists():
        assert process.poll() is None, "it ended too soon"
        time.sleep(0.005)
    workers = [pid for pid, name in children(parent).items() if name.startswith(kind)]
    assert workers, f"no {kind} at work"
    os.kill(workers[0], signal.SIGKILL)


@pytest.mark.timeout(900)
def test_ray_gives_the_same_and_goes_on_when_a_worker_is_killed(cluster: tuple[str, int], tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "source", planted())
    values = {**read_recipe(recipe), "out": str(tmp_path / "native"), "partitions": PARTS}
    config = bind_stage("corpus", values, str(recipe))[1]
    expected = make_corpus(replace(config, runner=Runner(processes=1)))
    flags = ["--out", str(tmp_path / "ray"), "--partitions", str(PARTS), "--runner.kind", "ray", "--runner.processes", "2"]
    flags += ["--decontaminate.tasks", "source/quiz.jsonl"]  # from the folder of the command, which is not its workers'
    command = [sys.executable, "-m", "genus.cli.main", "corpus", str(recipe), "--runner.address", cluster[0], *flags]
    with (tmp_path / "told").open("wb") as told:
        process = subprocess.Popen(command, env={**os.environ, **ALONE}, stdout=told, stderr=told, cwd=tmp_path)
        kill_one(cluster[1], "ray::UDFActor", tmp_path / ".ray.work" / "read" / "done" / "00000.json", process)
        assert process.wait(timeout=600) == 0, (tmp_path / "told").read_text()
    assert read_json(tmp_path / "ray" / "manifest.json")["dropped_sha256"] == expected["dropped_sha256"]
    kept = [
        {each.id: each.text for split in ("train", "validation") for each in documents(tmp_path / name, split)}
        for name in ("native", "ray")
    ]
    assert kept[0] == kept[1]
