"""F44 over HTTP: `genus rank` is killed while labellers save; what they were told is saved is there."""

import os
import random
import signal
import sqlite3
import threading
import time

import pytest

from genus.align.feedback import Feedback
from genus.serve.feedback import login_name
from tests.align.desk import ranking
from tests.align.said import opened

LABELLERS = 3  # who save at the same time


def save_until_it_dies(server, name, sent, acknowledged):
    for number in range(10_000):
        said = f"{name}-{number}"
        body = {"ranking": [[0], [1]], "overall": [None] * 3, "flags": [[]] * 3, "comment": said}
        sent.add(said)
        try:
            answer = server.ask("POST", f"/genus/feedback/tasks/{1 + number % 5}", body)
        except OSError:
            return
        assert answer.status == 200, answer.text
        acknowledged.add(said)


@pytest.mark.parametrize("turn", range(2))
def test_f44_a_row_is_there_if_200_was_sent(tmp_path, turn):
    opened(tmp_path, 5).close()
    sent, acknowledged = set(), set()
    with ranking(tmp_path / "log", "--store", str(tmp_path / "feedback.db")) as server:
        threads = [
            threading.Thread(target=save_until_it_dies, args=(server, f"{turn}.{each}", sent, acknowledged))
            for each in range(LABELLERS)
        ]
        for thread in threads:
            thread.start()
        while len(acknowledged) < 5:
            time.sleep(0.001)
        time.sleep(random.Random(turn).uniform(0, 0.3))
        os.kill(server.pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
    with sqlite3.connect(tmp_path / "feedback.db") as connection:
        found = {comment for (comment,) in connection.execute("SELECT comment FROM feedback_rankings")}
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert acknowledged <= found <= sent
    assert len(found - acknowledged) <= LABELLERS  # committed, and killed before the 200 was out
    feedback = Feedback.open(tmp_path / "feedback.db")
    assert set(feedback.states(login_name()).values()) == {"begun"}
