"""The labellers' desk over HTTP: each sees what is theirs, says it once, and is told when it could not be kept."""

import contextlib
import json
import resource
import sqlite3

import httpx
import pytest

from genus.align.feedback import Feedback
from genus.align.rankings import FLAGS, Task
from genus.align.store import Store
from genus.data.comparisons import Comparison, Demonstration
from genus.serve.feedback import Desk
from tests.align.said import CHAT, tasks
from tests.serve.here import KEY, Here
from tests.serve.running import running

HOME = "/genus/feedback"
ANNA, BEN = {"authorization": f"Bearer {KEY}"}, {"authorization": "Bearer gk-other"}


@pytest.fixture(scope="module")
def server(chat_model, chat_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("desk")
    Feedback.open(folder / "feedback.db", new=True).close()
    feedback = Feedback(Store(folder / "feedback.db", wait=0.1))
    found = Here(chat_model, chat_folder, desk=Desk(feedback, None))
    yield found
    found.stop()
    feedback.close()


@pytest.fixture
def feedback(server):
    return server.desk.feedback


@pytest.fixture
def task(server, feedback, request):
    """The number of a task of this test's own."""
    feedback.add_tasks([Task(request.node.name, ("one", "two", "three"), ("model-a", "model-b", "person"))])
    return feedback.task_ids()[-1]


def said(ranking, count=3, **more):
    return {"ranking": ranking, "overall": [None] * count, "flags": [[]] * count, **more}


def rank(server, task, body, headers=ANNA):
    return server.client.post(f"{HOME}/tasks/{task}", json=body, headers=headers)


def rows(feedback):
    with sqlite3.connect(feedback.store.name) as connection:
        return connection.execute("SELECT count(*) FROM feedback_rankings").fetchone()[0]


def error(answer, status, code=None):
    assert answer.status_code == status, answer.text
    found = answer.json()["error"]
    assert code in (None, found["code"])
    return found["message"]


def test_what_two_labellers_say_comes_back_as_comparisons(server, feedback, task):
    """Each by the places of their own page; the store has them by the task's answers."""
    texts = {}
    for headers in (ANNA, BEN):
        texts[headers["authorization"]] = server.client.get(f"{HOME}/tasks/{task}", headers=headers).json()["answers"]
    assert all(sorted(each) == ["one", "three", "two"] for each in texts.values())
    for headers, order in ((ANNA, ["three", "one", "two"]), (BEN, ["two", "one", "three"])):
        shown = texts[headers["authorization"]]
        ranking = [[shown.index(order[0])], [shown.index(each) for each in order[1:]]]
        assert rank(server, task, said(ranking, submit=True), headers).status_code == 200
    prompt, answers = feedback.task(task).prompt, ("one", "two", "three")
    found = [each for each in feedback.comparisons() if each.prompt == prompt]
    assert found == [Comparison(prompt, answers, (2, 2, 1), "anna"), Comparison(prompt, answers, (2, 1, 2), "ben")]
    # of 3 pairs they ordered one both: three before two, or two before three
    agreed = server.client.get(f"{HOME}/agreement").json()["agreement"]
    assert agreed == feedback.agreement()._asdict()
    assert feedback.agreement().pairs >= 1


def test_answers_are_blind(server, task):
    shown = server.client.get(f"{HOME}/tasks/{task}").text + server.client.get(HOME).text
    assert not [source for source in ("model-a", "model-b", "person") if source in shown]


def test_a_click_is_kept_and_shown_again(server, feedback, task):
    before = rows(feedback)
    body = said([[2], [0]], overall=[None, 7, 1], flags=[[], ["opinion"], []], comment="hm", seconds=1.5)
    body["overall"], body["flags"] = [None, 7, 1], [[], ["opinion"], []]
    assert rank(server, task, said([[2]])).status_code == rank(server, task, body).status_code == 200
    assert rows(feedback) == before + 2
    kept = server.client.get(f"{HOME}/tasks/{task}").json()["record"]
    names = ("ranking", "overall", "flags", "comment", "seconds")
    assert {name: kept[name] for name in names} == {name: body[name] for name in names}
    assert kept["state"] == "begun"
    assert server.client.get(f"{HOME}/tasks/{task}", headers=BEN).json()["record"] is None
    assert [task, "begun"] in server.client.get(HOME).json()["tasks"]
    assert [task, "open"] in server.client.get(HOME, headers=BEN).json()["tasks"]


def test_the_desk_says_who_asks_what_is_asked_and_what_is_told(server, feedback, task):
    digest = feedback.set_guideline("Be *kind*.")
    desk = server.client.get(HOME).json()
    assert (desk["open"], desk["labeller"], desk["flags"]) == (True, "anna", FLAGS)
    assert desk["guideline"] == {"digest": digest, "text": "Be *kind*."}
    feedback.set_guideline("Be true.")
    assert rank(server, task, said([[0], [1], [2]], submit=True, guideline=digest)).status_code == 200
    assert [ranking.guideline for found, ranking in feedback.submitted() if found.id == task] == [digest]
    assert "no version" in error(rank(server, task, said([], guideline="x")), 400)
    both = [[number for number, _ in server.client.get(HOME, headers=each).json()["tasks"]] for each in (ANNA, BEN)]
    assert sorted(both[0]) == sorted(both[1]) == feedback.task_ids()


def test_without_a_store_there_is_no_desk(here):
    assert here.client.get(HOME).json() == {"open": False}
    assert here.client.get(f"{HOME}/tasks/1").status_code == 404
    assert here.post(f"{HOME}/thumbs", prompt="p", answer="a", thumb=1).status_code == 404


def test_demonstrations_thumbs_and_preferences(server, feedback):
    prompt = [{**turn} for turn in CHAT]
    for _ in range(2):  # the answer to the first was lost
        assert server.post(f"{HOME}/demonstrations", prompt=prompt, answer="5").json() == {"demonstrations": 1}
    assert Demonstration(CHAT, "5", "anna") in feedback.demonstrations()
    assert server.post(f"{HOME}/thumbs", prompt="p", answer="a", model="m", thumb=-1).json() == {"thumb": -1}
    assert ("p", "a", "m", -1, "anna") in feedback.thumbs()
    body = {"prompt": "which", "answers": ["good", "bad", "worse"], "models": ["x", "y", "z"], "preferred": 0}
    assert server.post(f"{HOME}/preferences", **body).status_code == 200
    assert Comparison("which", ("good", "bad", "worse"), (1, 2, 2), "anna") in feedback.comparisons()
    assert "it stands" in error(server.post(f"{HOME}/preferences", **{**body, "preferred": None}), 409)
    error(server.post(f"{HOME}/preferences", **{**body, "preferred": 3}), 400, "invalid_value")
    error(server.post(f"{HOME}/preferences", **{**body, "answers": ["a", "a"], "models": []}), 400)


def test_f43_a_second_submit_is_409(server, feedback, task):
    body = said([[0], [1], [2]], submit=True)
    assert rank(server, task, body).status_code == 200
    before = rows(feedback)
    for again in (body, said([[2], [1], [0]], submit=True), said([])):
        assert "it stands" in error(rank(server, task, again), 409, "already_submitted")
    assert rank(server, task, body, BEN).status_code == 200
    assert rows(feedback) == before + 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ranking": [[0], [1]], "submit": True}, "has no rank yet"),
        ({"ranking": [[0], [1], [1]], "submit": True}, "names answer 1 twice"),
        ({"ranking": [[0], [1], [2], [3]]}, "names answer 3"),
        ({"ranking": [[0], [-1]]}, "names answer -1"),
        ({"ranking": [[0], [], [1, 2]], "submit": True}, "leave a gap"),
        ({"ranking": [[], [], [], [0]]}, "ranks go from 1 to 3"),
        ({"ranking": [["0"]]}, "ranking"),
        ({"ranking": "012"}, "ranking"),
        ({"ranking": [[True]]}, "ranking"),
        ({"ranking": [[0]] * 10}, "ranking"),
        ({"overall": [8, None, None]}, "overall goes from 1 to 7"),
        ({"overall": [1.5, None, None]}, "overall"),
        ({"overall": [None]}, "overall has 1 entries"),
        ({"flags": [["rude"], [], []]}, "'rude' is no flag"),
        ({"flags": [[]]}, "flags has 1 entries"),
        ({"comment": "x" * 2**20}, "comment"),
        ({"comment": "\x00"}, "comment holds a character"),
        ({"comment": "\ud800"}, "invalid"),
        ({"seconds": -1}, "seconds"),
        ({"submit": True, "skip": True, "ranking": [[0], [1], [2]]}, "not both"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_f43_what_is_no_ranking_is_400_and_leaves_no_row(server, feedback, task, change, told):
    before = rows(feedback)
    content = json.dumps({**said([[0]]), **change})
    answer = server.client.post(f"{HOME}/tasks/{task}", content=content)
    message = error(answer, 400)
    assert told in message or told == "invalid", message
    assert rows(feedback) == before


def test_f43_a_body_without_end_is_413(server, task):
    error(rank(server, task, said([], comment="x" * 5 * 2**20)), 413)


@pytest.mark.parametrize("number", ["0", "999999", "-1", "x", "1e3", "٣", "9" * 400, "%2e%2e"])
def test_f43_a_foreign_task_is_404(server, number):
    error(server.client.get(f"{HOME}/tasks/{number}"), 404)
    error(rank(server, number, said([])), 404)


def test_f43_nobody_reads_or_writes_what_is_anothers(server, feedback, task):
    """Not under a body that names another, and not the texts that another judged in the playground."""
    assert rank(server, task, said([[0], [1], [2]], comment="private", submit=True)).status_code == 200
    assert "private" not in server.client.get(f"{HOME}/tasks/{task}", headers=BEN).text
    assert "ben" in error(rank(server, task, said([], labeller="anna"), BEN), 403, "not_yours")
    assert rank(server, task, said([[1]], labeller="ben"), BEN).status_code == 200
    assert [each.comment for _, each in feedback.submitted() if each.task == task] == ["private"]
    body = {"prompt": "anna's own", "answers": ["a", "b"], "preferred": 0}
    assert server.post(f"{HOME}/preferences", **body).status_code == 200
    number = feedback.submitted()[-1][0].id
    error(server.client.get(f"{HOME}/tasks/{number}", headers=BEN), 404)


@pytest.mark.parametrize("path", [HOME, f"{HOME}/agreement", f"{HOME}/tasks/1"])
def test_f43_a_key_is_needed(server, path):
    assert httpx.get(server.url + path).status_code == 401
    assert httpx.get(server.url + path, headers={**ANNA, "origin": "https://evil.example"}).status_code == 403


@contextlib.contextmanager
def locked(feedback):
    other = sqlite3.connect(feedback.store.name, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


def test_f44_a_locked_store_is_503_and_leaves_nothing(server, feedback, task):
    before = rows(feedback)
    with locked(feedback):
        answer = rank(server, task, said([[0], [1], [2]], submit=True))
        assert "nothing was saved" in error(answer, 503, "store_busy")
        assert int(answer.headers["retry-after"]) >= 1
        assert server.client.get(f"{HOME}/tasks/{task}").json()["record"] is None
        assert server.client.get("/health").status_code == 200
    assert rows(feedback) == before
    assert rank(server, task, said([[0], [1], [2]], submit=True)).status_code == 200


def test_f44_a_full_disk_is_507_and_leaves_nothing(server, feedback, task, tmp_path):
    with sqlite3.connect(feedback.store.name) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most[1]))  # the system lets no file of this process grow beyond
    try:
        answer = rank(server, task, said([[0], [1], [2]], submit=True, comment="x" * 9000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert "free space" in error(answer, 507, "disk_full")
    assert feedback.ranking(task, "anna") is None
    assert rank(server, task, said([[0], [1], [2]], submit=True)).status_code == 200


def test_one_person_without_keys_goes_by_their_name(chat_model, chat_folder, tmp_path):
    feedback = Feedback.open(tmp_path / "feedback.db", new=True)
    feedback.add_tasks(tasks(1))
    found = Here(chat_model, chat_folder, key=None, desk=Desk(feedback, "cleo"))
    try:
        assert found.client.get(HOME).json()["labeller"] == "cleo"
        assert found.client.post(f"{HOME}/tasks/1", json=said([[0], [1], [2]], submit=True)).status_code == 200
    finally:
        found.stop()
    assert [each.labeller for each in feedback.comparisons()] == ["cleo"]


def test_genus_serve_has_the_desk_too(chat_folder, tmp_path):
    place = tmp_path / "feedback.db"
    with running((chat_folder,), tmp_path / "log", "--feedback", str(place), "--labeller", "dora") as server:
        body = {"prompt": "p", "answers": ["a", "b"], "models": ["tiny", "tiny"], "preferred": 1}
        assert json.loads(server.get(HOME)[1])["labeller"] == "dora"
        assert server.ask("POST", f"{HOME}/preferences", body).status == 200
    assert Feedback.open(place).comparisons() == [Comparison("p", ("a", "b"), (2, 1), "dora")]
