"""F43 and F44 at the store: what cannot be a ranking, a store that is locked or full, a writer that is killed."""

import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from genus.align.blind import ranks_of
from genus.align.feedback import Feedback, TakenError, UnknownError
from genus.align.rankings import Task
from genus.align.store import BusyError, FullError, Store
from genus.core.errors import GenusError
from tests.align.said import opened, said


@pytest.fixture
def feedback(tmp_path):
    found = opened(tmp_path)
    yield found
    found.close()


def rows(folder: Path) -> int:
    with sqlite3.connect(folder / "feedback.db") as connection:
        return connection.execute("SELECT count(*) FROM feedback_rankings").fetchone()[0]


def test_f43_a_submitted_ranking_stands(feedback, tmp_path):
    feedback.save(said(1, (1, 2, 3)))
    for again in (said(1, (3, 2, 1)), said(1, (3, 2, 1), submitted=False)):
        with pytest.raises(TakenError, match="it stands"):
            feedback.save(again)
    feedback.save(said(1, (3, 2, 1), "ben"))
    assert [each.ranks for each in feedback.comparisons()] == [(1, 2, 3), (3, 2, 1)]
    assert rows(tmp_path) == 2


def test_f43_two_submits_at_once_are_one(feedback, tmp_path):
    """Where the question before is passed by both, as on Postgres, the index lets one in."""
    feedback.save(said(1, (1, 2, 3)))
    with sqlite3.connect(tmp_path / "feedback.db") as connection, pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        names = "task, labeller, ranks, overall, flags, comment, seconds, skipped, submitted, created"
        connection.execute(f"INSERT INTO feedback_rankings ({names}) SELECT {names} FROM feedback_rankings")


@pytest.mark.parametrize(
    ("ranking", "told"),
    [
        (said(1, (1, None, 2)), "has no rank yet"),
        (said(1, (1, 2)), "ranks has 2 entries and the task 3"),
        (said(1, (1, 2, 3, 4)), "ranks has 4 entries"),
        (said(1, (1, 3, 3)), "leave a gap"),
        (said(1, (2, 3, 3)), "leave a gap"),
        (said(1, (2, 3, 4)), "ranks go from 1 to 3"),
        (said(1, (0, None, None), submitted=False), "ranks go from 1 to 3"),
        (said(1, (1, 2, 3), overall=(8, None, None)), "overall goes from 1 to 7"),
        (said(1, (1, 2, 3), overall=(0, None, None)), "overall goes from 1 to 7"),
        (said(1, (1, 2, 3), flags=(("rude",), (), ())), "'rude' is no flag"),
        (said(1, (1, 2, 3), comment="x" * 10_001), "comment has 10,001 characters"),
        (said(1, (1, 2, 3), comment="\0"), "comment holds a character"),
        (said(1, (1, 2, 3), skipped=True), "not both"),
        (said(1, (1, 2, 3), ""), "labeller is empty"),
    ],
)
def test_f43_what_is_no_ranking_leaves_no_row(feedback, tmp_path, ranking, told):
    with pytest.raises(GenusError, match=told):
        feedback.save(ranking)
    assert rows(tmp_path) == 0


def test_f43_an_answer_is_ranked_once_and_is_there():
    assert ranks_of([[2], [0, 1]], 3) == [2, 2, 1]
    assert ranks_of([[], [1]], 2) == [None, 2]  # while one is at it
    for ranking, told in [([[0], [0, 1]], "answer 0 twice"), ([[3]], "names answer 3"), ([[-1]], "answer -1")]:
        with pytest.raises(GenusError, match=told):
            ranks_of(ranking, 3)


def test_f43_a_foreign_task_is_none(feedback):
    feedback.prefer(Task("q", ("a", "b")), said(0, (1, 2), "ben"))  # task 3, of ben's playground
    for task in (0, 3, 99, -1):
        with pytest.raises(UnknownError, match="there is no task"):
            feedback.save(said(task, (1, 2)))


def test_f44_a_locked_store_is_waited_for_then_busy(tmp_path, feedback):
    other = sqlite3.connect(tmp_path / "feedback.db", isolation_level=None)
    hasty = Feedback(Store(tmp_path / "feedback.db", wait=0.1))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusyError, match="nothing was saved"):
        hasty.save(said(1, (1, 2, 3)))
    with pytest.raises(BusyError):
        hasty.add_tasks([Task("new", ("a", "b"))])
    assert len(hasty.task_ids()) == 2  # readers do not wait
    other.execute("ROLLBACK")
    hasty.save(said(1, (1, 2, 3)))
    assert rows(tmp_path) == 1 and len(hasty.task_ids()) == 2
    other.close()
    hasty.close()


def test_f44_a_full_disk_is_said_and_nothing_is_half_written(tmp_path, feedback):
    """The system itself refuses to let the file grow."""
    feedback.save(said(1, (1, 2, 3)))
    size = (tmp_path / "feedback.db-wal").stat().st_size
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most[1]))
    try:
        with pytest.raises(FullError, match="full, so nothing was saved"):
            feedback.save(said(2, (1, 2, 3), comment="x" * 9000))
        with pytest.raises(FullError):
            feedback.prefer(Task("q", ("a", "b" * 9000)), said(0, (1, 2)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert [each.prompt for each in feedback.comparisons()] == ["prompt 0"]
    feedback.save(said(2, (3, 2, 1)))
    assert [each.ranks for each in Feedback.open(tmp_path / "feedback.db").comparisons()] == [(1, 2, 3), (3, 2, 1)]


WRITERS = """
import os, random, signal, sqlite3, sys, time
from pathlib import Path
from genus.align.feedback import Feedback
from tests.align.said import opened, said

folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
opened(folder, 40).close()
acknowledged, draw = set(), random.Random(int(sys.argv[3]))
for turn in range(rounds):
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        feedback = Feedback.open(folder / "feedback.db")
        for number in range(100_000):
            name = f"{turn}-{number}"
            feedback.save(said(1 + number % 40, (3, 1, 2), name, comment=name * 50, submitted=number % 3 > 0))
            os.write(writer, f"{name}\\n".encode())  # as a 200 is sent: after the commit
        os._exit(0)
    os.close(writer)
    said_so, wanted = b"", draw.randint(1, 8)
    while said_so.count(b"\\n") < wanted:
        said_so += os.read(reader, 100)
    time.sleep(draw.uniform(0, 0.01))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while piece := os.read(reader, 65536):
        said_so += piece
    os.close(reader)
    acknowledged |= set(said_so.decode().split("\\n")[:-1])
    connection = sqlite3.connect(folder / "feedback.db")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    found = dict(connection.execute("SELECT labeller, comment FROM feedback_rankings"))
    connection.close()
    assert acknowledged <= found.keys(), acknowledged - found.keys()
    # what is there unacknowledged was killed between its commit and its 200: one at most in each round
    assert len(found.keys() - acknowledged) <= turn + 1
    assert all(comment == name * 50 for name, comment in found.items())
submitted = {each.labeller for each in Feedback.open(folder / "feedback.db").comparisons()}
wanted = {name for name in acknowledged if int(name.split("-")[1]) % 3 > 0}
assert wanted <= submitted and len(acknowledged) > 3 * rounds
print(len(acknowledged))
"""


def test_f44_kill_9_while_writing_loses_nothing_that_was_acknowledged(tmp_path):
    """Real processes, killed at moments drawn at random."""
    command = [sys.executable, "-c", WRITERS, str(tmp_path), "25", "7"]
    found = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
