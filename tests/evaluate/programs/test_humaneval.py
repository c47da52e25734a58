"""HumanEval's form: pass@k, records, what is written and how it is judged."""

import gzip
import itertools
import json
import math
from dataclasses import replace

import pytest

from genus.core.errors import GenusError
from genus.engine.model import Model
from genus.engine.sampling import Sampling
from genus.evaluate.incontext import stage
from genus.evaluate.incontext.stage import evaluate_tasks, table
from genus.evaluate.programs.humaneval import STOPS, Asked, humaneval, judge, pass_at_k, read_problems, summary
from genus.evaluate.programs.running import Limits, check_lock
from genus.evaluate.recipe import Evaluate
from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.tokenizers.bytelevel import train

LIMITS = Limits(seconds=30, memory=2**28)


@pytest.fixture
def _lock() -> None:
    try:
        check_lock()
    except GenusError as error:
        pytest.skip(str(error))  # that it holds where it can is tested beside


def record(number: int, **changes: object) -> dict[str, object]:
    doc = f'"""The sum of x and {number}.\n    >>> add_{number}(1)\n    {number + 1}\n    """'
    return {
        "task_id": f"Small/{number}",
        "prompt": f"def add_{number}(x: int) -> int:\n    {doc}\n",
        "canonical_solution": f"    return x + {number}\n",
        "test": f"def check(candidate):\n    assert candidate(1) == {number + 1}\n    assert candidate(-{number}) == 0\n",
        "entry_point": f"add_{number}",
        **changes,
    }


def write_records(path, records):
    content = "".join(json.dumps(each) + "\n" for each in records).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.fixture(scope="module")
def model() -> Model:
    tokenizer = train(iter([json.dumps(record(number)) for number in range(9)]), vocab=300)
    spec = spec_of("gpt2", vocab=300, context=96, width=24, depth=2, heads=3)
    network = LanguageModel(spec)
    initialise(network, family_named("gpt2").init(spec), seed=0)
    return Model(network, family_named("gpt2"), tokenizer)


def test_pass_at_k_is_the_share_of_draws_with_one_that_passed():
    for samples in range(1, 8):
        for passed, k in itertools.product(range(samples + 1), range(1, samples + 1)):
            draws = list(itertools.combinations(range(samples), k))
            share = sum(min(draw) < passed for draw in draws) / len(draws)
            assert pass_at_k(samples, passed, k) == pytest.approx(share, rel=1e-14)


def test_pass_at_k_of_many_samples():
    assert pass_at_k(200, 31, 1) == 31 / 200
    product = 1 - math.prod(1 - 100 / number for number in range(200 - 31 + 1, 201))  # the paper's program
    assert pass_at_k(200, 31, 100) == pytest.approx(product, rel=1e-9)
    assert pass_at_k(10**5, 1, 10) == pytest.approx(1e-4, rel=1e-12)
    assert pass_at_k(10**4, 10**4 - 5, 10) == 1


def test_figures_are_as_many_as_there_are_samples():
    rows = [{"samples": 10 + extra, "passed": 1, "outcomes": []} for extra in range(2)]
    figures = summary(rows)["figures"]
    assert {name: figure["value"] for name, figure in figures.items()} == {
        "pass@1": pytest.approx((1 / 10 + 1 / 11) / 2),
        "pass@10": pytest.approx((1 + 10 / 11) / 2),
    }


@pytest.mark.parametrize(("samples", "passed", "k"), [(5, 6, 1), (5, -1, 1), (5, 2, 6), (5, 2, 0)])
def test_pass_at_k_of_too_few_samples_is_refused(samples, passed, k):
    with pytest.raises(GenusError, match="draw at least k"):
        pass_at_k(samples, passed, k)


@pytest.mark.usefixtures("_lock")
def test_164_solutions_pass(tmp_path):
    problems = read_problems(write_records(tmp_path / "small.jsonl.gz", map(record, range(164))))
    found = summary(judge(problems, [[problem.solution] for problem in problems], LIMITS))
    wilson = [164 / (164 + 1.959964**2), 1]
    assert found["figures"] == {
        "pass@1": {"value": 1, "bootstrap": [1, 1], "wilson": pytest.approx(wilson, rel=1e-6), "count": 164}
    }
    assert found["verdicts"] == {"passed": 164}


def test_blanks_that_end_a_prompt_are_part_of_what_follows(tmp_path):
    (problem,) = read_problems(write_records(tmp_path / "one.jsonl", [record(1, prompt="def add_1(x):\n    ")]))
    assert problem.prompt == "def add_1(x):"
    assert problem.solution == "\n        return x + 1\n"
    assert problem.program(problem.solution).startswith("def add_1(x):\n        return x + 1\n\ndef check(candidate):")


@pytest.mark.usefixtures("_lock")
def test_verdicts_are_counted_and_kept(tmp_path):
    problems = read_problems(write_records(tmp_path / "two.jsonl", [record(1), record(2)]))
    right, wrong, cheat = "\n    return x + 1\n", "\n    return x\n", "\n    import sys; sys.exit(0)\n"
    hostile = "\n    open('/etc/passwd')\n"
    rows = judge(problems, [[right, wrong, right, cheat], [wrong, wrong, hostile, wrong]], LIMITS)
    verdicts = [[outcome["verdict"] for outcome in row["outcomes"]] for row in rows]
    assert verdicts == [["passed", "failed", "passed", "failed"], ["failed", "failed", "refused", "failed"]]
    assert "AssertionError" in rows[0]["outcomes"][1]["output"]
    found = summary(rows)
    assert found["figures"]["pass@1"]["value"] == (2 / 4 + 0) / 2
    low, high = found["figures"]["pass@1"]["bootstrap"]
    assert (low, high) == (0, 0.5)
    assert found["verdicts"] == {"passed": 2, "failed": 5, "refused": 1}


@pytest.mark.usefixtures("_lock")
def test_a_model_writes_up_to_a_stop_and_is_judged(model, tmp_path):
    path = write_records(tmp_path / "some.jsonl", [record(number, prompt=f"def add_{number}(x):\n") for number in range(3)])
    asked = Asked(samples=4, max_tokens=24, temperature=1.0, seed=7, limits=LIMITS)
    found = humaneval(model, path, asked)
    assert found["figures"]["pass@1"]["value"] == 0
    assert sum(found["verdicts"].values()) == 12
    for place, row in enumerate(found["rows"]):
        options = {"max_tokens": 24, "temperature": 1.0, "top_p": 0.95, "seed": 7 + place}
        assert row["completions"][0] == model.generate(row["prompt"], stop=STOPS, **options)
        assert len(set(row["completions"])) > 1
        assert row["cut"] == 0
    assert json.loads(json.dumps(found)) == found
    again = humaneval(model, path, asked)
    assert [row["completions"] for row in again["rows"]] == [row["completions"] for row in found["rows"]]


@pytest.mark.usefixtures("_lock")
def test_the_beginning_of_a_long_prompt_is_cut_and_counted(model, tmp_path):
    path = write_records(tmp_path / "long.jsonl", [record(1, prompt="# a comment\n" * 40 + record(1)["prompt"])])
    (row,) = humaneval(model, path, Asked(max_tokens=20, limits=LIMITS))["rows"]
    ids = model.prompt_ids(row["prompt"])
    assert row["cut"] == len(ids) - (96 - 20)
    options = {"max_tokens": 20, "temperature": 0.2, "top_p": 0.95, "seed": 0, "stop": STOPS}
    assert row["completions"] == [model.generate(model.tokenizer.decode(ids[-76:]), **options)]
    (row,) = humaneval(model, path, Asked(limits=LIMITS))["rows"]
    assert row["cut"] == len(ids) - 96 // 2


@pytest.mark.usefixtures("_lock")
def test_a_file_of_problems_is_a_task_that_goes_on_when_killed(model, tmp_path, monkeypatch):
    model.save(tmp_path / "model")
    small = [record(number, prompt=f"def add_{number}(x):\n") for number in range(5)]
    files = write_records(tmp_path / "small.jsonl.gz", small), write_records(tmp_path / "text.jsonl", [{"text": "def f():"}])
    asked = Evaluate(
        model=tmp_path / "model", tasks=tuple(map(str, files)), out=tmp_path / "out", samples=2, temperature=0.9
    )
    monkeypatch.setattr(stage, "_ITEMS", 2)
    results = evaluate_tasks(asked)
    assert results["tasks"]["small"]["figures"]["pass@1"] == {"value": 0, "bootstrap": [0, 0], "count": 5}
    assert [row[:2] for row in table(results)[1:]] == [("small", "pass@1"), ("text", "bits_per_byte")]
    whole = (tmp_path / "out" / "small.jsonl").read_bytes().splitlines(True)
    rows = [json.loads(line) for line in whole]
    assert [row["place"] for row in rows] == [f"{files[0]}, line {number}" for number in range(1, 6)]
    assert {len(row["completions"]) for row in rows} == {2}

    (tmp_path / "out" / "small.jsonl").write_bytes(b"".join(whole[:2]) + whole[2][:9])  # killed in the middle of a line
    assert evaluate_tasks(asked)["tasks"] == results["tasks"]
    again = (tmp_path / "out" / "small.jsonl").read_bytes().splitlines(True)
    assert again[:2] == whole[:2]
    assert [json.loads(line)["completions"] for line in again] == [row["completions"] for row in rows]
    with pytest.raises(GenusError, match=r"small was begun otherwise \(task.temperature"):
        evaluate_tasks(replace(asked, temperature=0.5))


def test_completions_are_drawn_as_in_the_paper():
    assert Asked(seed=4).sampling(3) == Sampling(temperature=0.2, top_p=0.95, stop=STOPS, seed=7)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt": None}, "prompt is missing"),
        ({"test": ""}, "test is empty"),
        ({"task_id": 3}, "task_id is int"),
        ({"entry_point": "add 2"}, "entry_point is 'add 2'"),
    ],
)
def test_a_bad_record_is_named_by_its_line(tmp_path, changes, said):
    path = write_records(tmp_path / "bad.jsonl", [record(1), record(2, **changes)])
    with pytest.raises(GenusError, match="line 2") as raised:
        read_problems(path)
    assert said in str(raised.value)


def test_a_task_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(GenusError, match="Small/1 is given twice"):
        read_problems(write_records(tmp_path / "twice.jsonl", [record(1), record(2), record(1)]))


@pytest.mark.parametrize("fields", [{"samples": 0}, {"max_tokens": 0}, {"samples": 2, "temperature": 0}, {"top_p": 2.0}])
def test_what_cannot_be_asked_is_refused(fields):
    with pytest.raises(GenusError):
        Asked(**fields)
