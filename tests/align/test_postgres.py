"""The feedback store on a real Postgres, started for the test where there is one."""

import os
import pwd
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from genus.align.feedback import Feedback, TakenError
from genus.align.rankings import Thumb
from genus.align.store import BusyError, Store
from genus.core.errors import GenusError
from genus.data.comparisons import Demonstration
from tests.align.said import CHAT, said, tasks

pytest.importorskip("psycopg", reason="the Postgres driver is not installed; pip install '.[postgres]'")
PLACES = [os.environ.get("PATH", ""), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))]


@pytest.fixture(scope="module")
def url():
    initdb = shutil.which("initdb", path=os.pathsep.join(PLACES))
    if initdb is None:
        pytest.skip("there is no Postgres; install its server to test with it")
    user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name  # Postgres refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="genus-postgres-"))
    shutil.chown(folder, user)
    as_user = {"user": user, "cwd": folder} if os.getuid() == 0 else {"cwd": folder}
    options = ["--auth=trust", "--username=genus", "--no-sync", "--encoding=UTF8", "--locale=C"]
    subprocess.run([initdb, "-D", folder / "data", *options], check=True, capture_output=True, **as_user)
    listens = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    control = [Path(initdb).with_name("pg_ctl"), "-D", folder / "data", "-w", "-l", folder / "log", "-o", listens]
    subprocess.run([*control, "start"], check=True, capture_output=True, **as_user)
    yield f"postgresql://genus@/postgres?host={folder}"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, **as_user)
    shutil.rmtree(folder, ignore_errors=True)


def test_all_that_is_said_comes_back(url):
    feedback = Feedback.open(url, new=True)
    assert [feedback.add_tasks(tasks(2)) for _ in range(2)] == [2, 0]
    digest = feedback.set_guideline("Be kind.")
    first = feedback.task_ids()[0]
    feedback.save(said(first, (1, None, None), submitted=False))
    feedback.save(said(first, (2, 1, 2), overall=(1, None, 7), flags=((), ("opinion",), ()), comment="ü", guideline=digest))
    feedback.save(said(first, (1, 2, 3), "ben"))
    feedback.demonstrate(Demonstration(CHAT, "5", "anna"))
    feedback.thumb(Thumb("p", "a", "m", 1, "anna"))
    feedback.close()
    again = Feedback.open(url)
    assert [(each.prompt, each.ranks, each.labeller) for each in again.comparisons()] == [
        ("prompt 0", (2, 1, 2), "anna"), ("prompt 0", (1, 2, 3), "ben"),
    ]  # fmt: skip
    kept = again.ranking(first, "anna")
    assert (kept.overall, kept.flags, kept.comment, kept.guideline) == ((1, None, 7), ((), ("opinion",), ()), "ü", digest)
    assert again.demonstrations() == [Demonstration(CHAT, "5", "anna")]
    assert again.states("anna") == {first: "done"} and len(again.thumbs()) == 1
    with pytest.raises(TakenError):
        again.save(said(first, (3, 2, 1)))
    with pytest.raises(GenusError, match="added, never changed"), again.store.write() as connection:
        connection.execute(text("UPDATE feedback_rankings SET labeller = 'x'"))
    again.close()


def test_f43_two_submits_at_once_are_one(url):
    feedback = Feedback.open(url, new=True)
    feedback.add_tasks(tasks(2))
    task = feedback.task_ids()[1]
    together, told = threading.Barrier(4), []

    def submit():
        together.wait()
        try:
            told.append(feedback.save(said(task, (1, 2, 3), "cleo")))
        except TakenError as error:
            told.append(error)

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(isinstance(each, TakenError) for each in told) == [False, True, True, True]
    assert len([each for each in feedback.comparisons() if each.labeller == "cleo"]) == 1
    feedback.close()


def test_f44_a_locked_table_is_waited_for_then_busy(url):
    feedback, other = Feedback(Store(url, new=True, wait=1)), Store(url)
    feedback.add_tasks(tasks(1))
    task = feedback.task_ids()[0]
    with other.write() as connection:
        connection.execute(text("LOCK TABLE feedback_rankings IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(BusyError, match="nothing was saved"):
            feedback.save(said(task, (1, 2, 3), "dora"))
    feedback.save(said(task, (1, 2, 3), "dora"))
    feedback.close()
    other.close()


def test_a_database_without_feedback_is_named(url):
    with pytest.raises(GenusError, match="cannot be opened"):
        Feedback.open(url.replace("/postgres?", "/template1?"))
