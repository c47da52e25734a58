"""The feedback store: what is said of answers comes back as it was said, and nothing else does."""

import sqlite3

import pytest
from sqlalchemy import text

from genus.align.compared import find_comparisons, find_demonstrations
from genus.align.feedback import Feedback
from genus.align.rankings import Task, Thumb
from genus.core.errors import GenusError
from genus.data.comparisons import Comparison, Demonstration
from tests.align.said import CHAT, opened, said, tasks


@pytest.fixture
def feedback(tmp_path):
    found = opened(tmp_path)
    yield found
    found.close()


def test_trainers_read_what_was_submitted_and_nothing_else(feedback, tmp_path):
    feedback.add_tasks([Task(CHAT, ("5", "six"), ("model-a", "model-b"))])
    feedback.save(said(1, (2, 1, 2)))
    feedback.save(said(1, (1, 2, 3), "ben"))
    feedback.save(said(2, (1, None, None), submitted=False))
    feedback.save(said(2, (None, None, None), "ben", submitted=False, skipped=True))
    feedback.save(said(3, (1, 2)))
    feedback.demonstrate(Demonstration(CHAT, "It is 5.", "anna"))
    answers = ("answer 0.0", "answer 0.1", "answer 0.2")
    expected = [
        Comparison("prompt 0", answers, (2, 1, 2), "anna"),
        Comparison("prompt 0", answers, (1, 2, 3), "ben"),
        Comparison(CHAT, ("5", "six"), (1, 2), "anna"),
    ]
    assert feedback.comparisons() == expected
    place = str(tmp_path / "feedback.db")
    assert find_comparisons([place, f"sqlite:///{place}"]) == expected * 2  # as genus reward and genus dpo read it
    assert find_demonstrations([place]) == [Demonstration(CHAT, "It is 5.", "anna")]


def test_every_click_is_a_row_and_the_newest_counts(feedback, tmp_path):
    clicks = [said(1, ranks, submitted=False, comment=str(ranks)) for ranks in [(1, None, None), (1, 2, None), (2, 1, None)]]
    for click in clicks:
        feedback.save(click)
    assert feedback.ranking(1, "anna")._replace(created=0) == clicks[-1]
    assert feedback.ranking(1, "ben") is None
    rows = sqlite3.connect(tmp_path / "feedback.db").execute("SELECT comment FROM feedback_rankings ORDER BY id").fetchall()
    assert [row[0] for row in rows] == [click.comment for click in clicks]


def test_the_database_itself_refuses_to_change_a_row(feedback):
    feedback.save(said(1, (1, 2, 3)))
    for change in ("UPDATE feedback_rankings SET labeller = 'ben'", "DELETE FROM feedback_rankings"):
        with pytest.raises(Exception, match="added, never changed"), feedback.store.write() as connection:
            connection.execute(text(change))
    assert [each.labeller for each in feedback.comparisons()] == ["anna"]


def test_a_commit_is_on_the_disk(feedback):
    with feedback.store.write() as connection:
        settings = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")]
    assert settings == ["wal", 2]  # 2 is FULL


def test_the_same_task_twice_is_one(feedback):
    first, second = tasks(2)
    again = second._replace(answers=second.answers[::-1])
    other = first._replace(prompt="other")
    assert feedback.add_tasks([first, again, other]) == 1
    assert feedback.task_ids() == [1, 2, 3]
    assert feedback.task(3).prompt == "other"


def test_states_and_counts_are_the_labellers_own(feedback):
    feedback.save(said(1, (1, None, None), submitted=False))
    feedback.save(said(2, (None, None, None), submitted=False, skipped=True))
    assert feedback.states("anna") == {1: "begun", 2: "skipped"}
    feedback.save(said(2, (1, 1, 2)))
    assert feedback.states("anna") == {1: "begun", 2: "done"}
    assert feedback.states("ben") == {}
    feedback.demonstrate(Demonstration("p", "a", "anna"))
    feedback.demonstrate(Demonstration("p", "a", "anna"))  # sent again after a lost answer
    feedback.demonstrate(Demonstration("p", "a", "ben"))
    assert (feedback.demonstrated("anna"), len(feedback.demonstrations())) == (1, 2)


def test_each_ranking_keeps_the_guideline_that_was_shown(feedback):
    assert feedback.guideline() is None
    first = feedback.set_guideline("Be kind.")
    second = feedback.set_guideline("Be true.")
    assert feedback.guideline() == (second, "Be true.")
    assert feedback.has_guideline(first) and not feedback.has_guideline("no")
    feedback.save(said(1, (1, 2, 3), guideline=first))
    assert feedback.set_guideline("Be kind.") == first  # back to an older one is a change too
    assert feedback.guideline() == (first, "Be kind.")
    assert [ranking.guideline for _, ranking in feedback.submitted()] == [first]


def test_preferences_are_comparisons_and_no_tasks(feedback):
    task = Task("q", ("right", "wrong"), ("a", "b"))
    feedback.prefer(task, said(0, (1, 2)))
    feedback.prefer(task._replace(answers=("wrong", "right")), said(0, (2, 1), "ben"))  # in another order on the page
    assert feedback.comparisons() == [
        Comparison("q", ("right", "wrong"), (1, 2), "anna"), Comparison("q", ("right", "wrong"), (1, 2), "ben"),
    ]  # fmt: skip
    assert feedback.task_ids() == [1, 2]


def test_the_newest_thumb_stands(feedback):
    for thumb in (1, -1):
        feedback.thumb(Thumb("p", "a", "m", thumb, "anna"))
    feedback.thumb(Thumb("p", "a", "m", 1, "ben"))
    feedback.thumb(Thumb("p", "b", "m", 1, "anna"))
    feedback.thumb(Thumb("p", "b", "m", 0, "anna"))
    assert [(each.answer, each.thumb, each.labeller) for each in feedback.thumbs()] == [("a", -1, "anna"), ("a", 1, "ben")]


def test_a_store_that_is_none_is_named(tmp_path):
    with pytest.raises(GenusError, match=r"none\.db cannot be opened: there is no such file"):
        Feedback.open(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []  # and none was made
    (tmp_path / "text.db").write_text("no database " * 100)
    with pytest.raises(GenusError, match="not a database"):
        Feedback.open(tmp_path / "text.db", new=True)
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE tasks (id INTEGER)")
    with pytest.raises(GenusError, match="holds no feedback"):
        Feedback.open(tmp_path / "other.db")
    Feedback.open(tmp_path / "later.db", new=True).close()
    with sqlite3.connect(tmp_path / "later.db") as later:
        later.execute("INSERT INTO feedback_about (form, created) VALUES (99, 0)")
    with pytest.raises(GenusError, match="form 99"):
        Feedback.open(tmp_path / "later.db", new=True)


@pytest.mark.parametrize("url", ["mysql://host/name", "sqlite://", "postgresql", "://", "nonsense://"])
def test_no_other_database(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GenusError):
        Feedback.open(url)


def test_a_password_is_told_to_nobody():
    pytest.importorskip("psycopg", reason="the Postgres driver is not installed; pip install '.[postgres]'")
    with pytest.raises(GenusError, match="cannot be opened") as caught:
        Feedback.open("postgresql://anna:secret@127.0.0.1:1/feedback")
    assert "secret" not in str(caught.value)


def test_postgres_without_its_driver_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(GenusError, match=r"genus\[postgres\]"):
        Feedback.open("postgresql://127.0.0.1:1/feedback")
