"""Run folders as the pages read them."""

import fcntl
import json

import pytest

from genus.serve.errors import ApiError
from genus.serve.runs import Runs


def line(step: int) -> str:
    return json.dumps({"step": step, "loss": 3.0 - step / 10}) + "\n"


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "runs" / "first"
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text(line(1) + line(2))
    (folder / "samples.jsonl").write_text(json.dumps({"step": 2, "text": "<b>We</b> the"}) + "\n")
    (folder / "logbook.md").write_text("# first\n")
    (folder / "run.json").write_text('{"steps": 20}')
    (tmp_path / "runs" / "no run").mkdir()
    return folder


def test_what_is_told_of_a_run(run):
    runs = Runs((run.parent,))
    (listed,) = runs.listed()
    expected = {"id": "first", "name": "first", "stage": "pretrain", "state": "stopped", "step": 2, "steps": 20}
    assert listed == expected | {"updated": listed["updated"]}
    told = runs.told("first")
    assert [each["step"] for each in told["metrics"]] == [1, 2]
    assert told["samples"] == [{"step": 2, "text": "<b>We</b> the"}] and told["logbook"] == "# first\n"


def test_it_goes_on_from_where_it_was(run):
    """A line that is half written comes with the next answer, whole."""
    runs = Runs((run,))  # a run itself
    after = runs.told("first")["next"]
    with (run / "metrics.jsonl").open("a") as file:
        file.write(line(3) + line(4)[:10])
        file.flush()
        told = runs.told("first", after)
        assert [each["step"] for each in told["metrics"]] == [3]
        file.write(line(4)[10:])
    assert [each["step"] for each in runs.told("first", told["next"])["metrics"]] == [4]
    assert runs.told("first", 10**9)["metrics"] == []


def test_whether_it_still_runs(run):
    runs = Runs((run,))
    (run / ".lock").touch()
    with (run / ".lock").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert runs.listed()[0]["state"] == "running"
    (run / "metrics.jsonl").write_text(line(20))
    assert runs.listed()[0]["state"] == "finished"


@pytest.mark.parametrize("left", [2, 300])  # more than what is read of the end of a file
def test_what_a_run_left_by_going_back_is_told_apart(run, left):
    """The page shows it faintly; the run itself is where it went back to."""
    gone = [json.dumps({"step": 3 + each, "loss": 9.0, "abandoned": 1}) + "\n" for each in range(left)]
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines(gone)
    with (run / "samples.jsonl").open("a") as file:
        file.write(json.dumps({"step": 3, "text": "noise", "abandoned": 1}) + "\n")
    told = Runs((run,)).told("first")
    assert told["step"] == 2 and [each["step"] for each in told["samples"]] == [2]
    assert [each.get("abandoned", 0) for each in told["metrics"]] == [0, 0] + [1] * left


def test_damaged_files_show_what_can_be_read(run):
    (run / "metrics.jsonl").write_bytes(b"{\n\xff\xfe\n3\n" + line(5).encode())
    (run / "run.json").write_text("[]")
    (run / "logbook.md").write_bytes(b"\xff")
    assert [each["step"] for each in Runs((run,)).told("first")["metrics"]] == [5]


@pytest.mark.parametrize("name", ["..", "../first", "/etc", "", "first/../first"])
def test_only_runs_that_stand_there_have_names(run, name):
    with pytest.raises(ApiError, match="no such run"):
        Runs((run.parent,)).told(name)
