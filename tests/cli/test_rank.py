"""`genus rank` up to the page: what it adds to the store, what it refuses before anything starts, what it writes out."""

import json

import pytest

from genus.align.feedback import Feedback
from genus.align.sampled import sample
from genus.cli import main as cli
from genus.data.comparisons import Demonstration
from tests.align.said import CHAT, opened, said
from tests.serve.conftest import chat_folder, chat_model  # noqa: F401 - fixtures

TASK = {"prompt": "p", "answers": ["a", "b"]}


@pytest.fixture
def genus(tmp_path, monkeypatch, capsys):
    """Runs the command in a folder of its own; gives its exit code, what it said, and what the page was opened with."""
    opened_with = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "genus.serve.start.start_desk", lambda feedback, chosen, access: opened_with.append((feedback, chosen))
    )

    def run(*arguments):
        opened_with.clear()
        code = cli._run(["rank", *map(str, arguments)])
        return code, capsys.readouterr().err, opened_with[0] if opened_with else None

    return run


def write(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_tasks_are_added_once_and_the_guideline_is_kept(genus, tmp_path):
    tasks = write(tmp_path / "tasks.jsonl", TASK, {**TASK, "prompt": "q"})
    (tmp_path / "guide.md").write_text("# Be kind\n")
    code, told, page = genus(tasks, "--guideline", "guide.md", "--labeller", "anna", "--port", "0")
    assert (code, told) == (0, "2 new tasks\n")
    assert page[0].guideline()[1] == "# Be kind\n" and page[1].labeller == "anna"
    assert page[0].task(1).guideline == page[0].guideline()[0]
    code, told, page = genus(tasks)
    assert (code, told) == (0, "0 new tasks, 2 known already\n")
    assert len(page[0].task_ids()) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tasks.jsonl"], "tasks.jsonl, line 2: answers has 1 entries"),
        (["none.jsonl"], "none.jsonl cannot be read"),
        ([], "there is no such file; `genus rank tasks.jsonl"),
        (["--model", "m"], "give both"),
        (["--keys", "none.txt"], "none.txt cannot be read"),
        (["--guideline", "none.md"], "none.md cannot be read"),
        (["--host", "0.0.0.0"], "needs --keys"),
        (["--export", "out.jsonl"], "there is no such file"),
        (["--store", "redis://x"], "cannot hold feedback"),
    ],
)
def test_what_cannot_be_ranked_is_said_before_anything_starts(genus, tmp_path, monkeypatch, arguments, told):
    monkeypatch.delenv("GENUS_API_KEY", raising=False)
    write(tmp_path / "tasks.jsonl", TASK, {**TASK, "prompt": "q", "answers": ["a"]})
    code, said, page = genus(*arguments)
    assert (code, page) == (1, None)
    assert told in said and said.count("\n") == 1
    assert not (tmp_path / "feedback.db").exists()


def test_export_says_how_far_labellers_agree(genus, tmp_path):
    feedback = opened(tmp_path)
    for name in ("anna", "ben"):
        feedback.save(said(1, (1, 2, 3), name))
    feedback.demonstrate(Demonstration("p", "a", "anna"))
    feedback.close()
    code, told, page = genus("--export", "out.jsonl")
    assert (code, page) == (0, None)
    assert "wrote 2 rankings to out.jsonl, and demonstrations to out.demonstrations.jsonl" in told
    assert "labellers agree on 100.0% of 3 pairs in 1 tasks" in told
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 2


def test_a_models_answers_are_tasks_and_are_sampled_once(genus, tmp_path, chat_folder, monkeypatch):  # noqa: F811
    prompts = write(tmp_path / "prompts.jsonl", {"prompt": "law of the"}, {"prompt": CHAT}, {"prompt": "law of the"})
    arguments = ["--model", chat_folder, "--prompts", prompts, "--answers", 3, "--max-tokens", 8]
    code, _, (feedback, _) = genus(*arguments)
    tasks = [feedback.task(number) for number in feedback.task_ids()]
    assert code == 0 and [task.prompt for task in tasks] == ["law of the", CHAT]
    assert all(len(set(task.answers)) == 3 for task in tasks)
    assert all(source.startswith(f"{chat_folder.resolve()}, temperature 1") for task in tasks for source in task.sources)
    monkeypatch.setattr("genus.engine.model.load", None)  # not even opened
    code, told, (feedback, _) = genus(*arguments)
    assert code == 0 and "answered all 2 prompts before" in told
    assert len(feedback.task_ids()) == 2


def test_samples_are_the_models_own_and_come_again(chat_model):  # noqa: F811
    """Each answer is what the model gives for a seed; those drawn twice, and empty ones, are left out."""
    (task,) = sample(chat_model, "m", ["law of the"], 4, 6)
    again = next(iter(sample(chat_model, "m", ["law of the"], 4, 6)))
    assert task == again and len(set(task.answers)) == 4
    (told,) = sample(chat_model, "m", ["law " * 600], 4, 6)
    assert "prompt 1" in str(told) and "do not fit the context" in str(told)


def test_a_store_that_is_a_database_elsewhere_is_opened_by_its_url(genus, tmp_path):
    tasks = write(tmp_path / "tasks.jsonl", TASK)
    code, _, page = genus(tasks, "--store", f"sqlite:///{tmp_path}/other.db")
    assert code == 0 and Feedback.open(tmp_path / "other.db").task_ids() == page[0].task_ids() == [1]
