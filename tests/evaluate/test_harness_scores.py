"""lm-evaluation-harness scores a model the same through Genus as through transformers, item by item."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genus.core.errors import GenusError
from genus.evaluate.harness import evaluate_harness, table
from genus.evaluate.recipe import Evaluate
from tests.tasks.small import WORDS, make_base, write_records

PYTHON = Path(__file__).resolve().parents[2] / ".venv-harness/bin/python"
FORMS = {
    "choices": "output_type: multiple_choice\ndoc_to_choice: '{{choices}}'\ndoc_to_target: '{{gold}}'\n"
    "metric_list: [{metric: acc}, {metric: acc_norm}]",
    "cloze": "output_type: loglikelihood\ndoc_to_target: '{{choices[gold]}}'\n"
    "metric_list: [{metric: perplexity}, {metric: acc}]",
    "rolling": "output_type: loglikelihood_rolling\ndoc_to_target: '{{text}}'\nmetric_list: [{metric: bits_per_byte}]",
    "said": "output_type: generate_until\ndoc_to_target: '{{choices[gold]}}'\nmetric_list: [{metric: exact_match}]\n"
    "generation_kwargs: {until: ['x'], max_gen_toks: 12, do_sample: false}",
}
RECORDS = [
    {"query": f"the {word} of these", "choices": ["have peace", "be made without consent"], "gold": n % 2,
     "text": f"the {word} of these states shall have peace and plenty, and no law " * 4}
    for n, word in enumerate(WORDS)
]  # fmt: skip


@pytest.fixture
def tasks(tmp_path):
    records = write_records(tmp_path / "records.jsonl", RECORDS)
    (tmp_path / "tasks").mkdir()
    for name, form in FORMS.items():
        head = f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {records}}}}}\ntest_split: test\n"
        query = "" if name == "rolling" else "{{query}}"
        (tmp_path / "tasks" / f"{name}.yaml").write_text(f"{head}doc_to_text: '{query}'\n{form}\n")
    return tmp_path / "tasks"


def run(*command, folder):
    if not PYTHON.exists():
        pytest.skip(".venv-harness is absent; `make peers` installs lm-evaluation-harness")
    offline = {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(folder),
        "PYTHONPATH": str(PYTHON.parents[2]),
    }
    done = subprocess.run(command, env=os.environ | offline, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_same_scores_through_genus_as_through_transformers(tiny_shards, tmp_path, tasks):
    folder = make_base(tmp_path / "model", tiny_shards.parent / "tokenizer", context=64)
    run(PYTHON, Path(__file__).with_name("harness_scores.py"), folder, tasks, folder=tmp_path)
    theirs, ours = json.loads((tasks / "found.json").read_text())
    for name in ("choices", "cloze", "rolling"):
        pairs = list(zip(numbers(theirs["samples"][name]), numbers(ours["samples"][name]), strict=True))
        assert len(pairs) == 8 * (2 if name == "choices" else 1)
        assert all(a == pytest.approx(b, abs=1e-3) for a, b in pairs)
    assert ours["samples"]["said"] == theirs["samples"]["said"]
    for name in FORMS:
        assert ours["figures"][name] == pytest.approx(theirs["figures"][name], rel=1e-3)


def numbers(samples):
    """log p of each request of each item."""
    responses = [response for item in samples for request in item for response in request]
    return [float(each[0] if isinstance(each, list) else each) for each in responses]


def test_the_command(tiny_shards, tmp_path, tasks):
    folder, out = make_base(tmp_path / "model", tiny_shards.parent / "tokenizer", context=64), tmp_path / "out"
    command = "from genus.cli.main import main; main()"
    arguments = ("evaluate", folder, "--harness", "choices", "cloze", "--data", tasks, "--limit", "4", "--out", out)
    said = run(PYTHON, "-c", command, *map(str, arguments), folder=tmp_path)
    results = json.loads((out / "results.json").read_text())
    assert results["items"] == {"choices": 4, "cloze": 4} and results["shots"] == {"choices": 0, "cloze": 0}
    assert len((out / "choices.jsonl").read_text().splitlines()) == 4
    assert [row[:2] for row in table(results)[1:]] == [
        ("choices", "acc"), ("choices", "acc_norm"), ("cloze", "perplexity"), ("cloze", "acc")]  # fmt: skip
    assert all(row[4] in said for row in table(results))


def test_without_the_harness_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(GenusError, match=r"pip install 'genus\[harness\]'"):
        evaluate_harness(Evaluate(model=tmp_path, harness=("choices",), out=tmp_path / "out"))
