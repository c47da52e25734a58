"""Clients of environments of their own, which `make clients` installs: openai 2.x, lm-eval, llm and litellm.

Each test is skipped where its environment is absent. They share the server of the other tests.
"""

import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from genus.engine.model import Model, load
from genus.engine.request import Request
from tests.serve.models import TEMPLATE
from tests.serve.running import ROOT, Running

QUESTIONS = (
    ("the people of these states shall have", " peace", " plenty", " revenue"),
    ("no law shall be made", " without their consent", " in the year 7", " 🙂"),
    ("we hold that all are equal", " before it", " and the treasury", " naïve"),
    ("and the treasury reports ", "a surplus", " of", "日本"),  # a context that ends in a space, which lm-eval moves
    ("a", " b", " c", " the people of these states"),
)
TEXTS = ("the people of these states shall have peace", "日本 🙂", "no law shall be made without their consent " * 60)


def environment(name: str) -> Path:
    """The commands of an environment; the test is skipped where it is absent."""
    folder = ROOT / name
    if not (folder / ".ready").exists():
        pytest.skip(f"{name} is absent; `make clients` installs it")
    return folder / "bin"


def run(command: list[Any], home: Path, **variables: str) -> str:
    """What a command prints, with no network beyond this machine and nothing of the user's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HOME": str(home), "NO_PROXY": "*"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**kept, **offline, **variables},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done.stdout


@pytest.mark.slow
def test_the_tests_of_the_openai_package_pass_with_its_last_2(server: Running, tmp_path: Path) -> None:
    python = environment(".venv-clients") / "python"
    version = run([python, "-c", "import openai; print(openai.__version__)"], tmp_path)
    assert version.startswith("2.")
    told = json.dumps(dataclasses.asdict(server))
    file = ROOT / "tests/serve/test_openai_client.py"
    said = run([python, "-m", "pytest", "-p", "no:cacheprovider", file], tmp_path, GENUS_TEST_SERVER=told)
    assert " passed" in said and "skipped" not in said


@pytest.fixture(scope="module")
def scored(server: Running, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What lm-eval found for each item of two tasks, by task."""
    lm_eval = environment(".venv-clients") / "lm_eval"
    folder = tmp_path_factory.mktemp("lm-eval")
    asked = [{"q": q, "choices": choices, "answer": 0} for q, *choices in QUESTIONS]
    (folder / "questions.jsonl").write_text("".join(json.dumps(each) + "\n" for each in asked))
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    common = {"dataset_path": "json", "test_split": "test", "metadata": {"version": 1}}
    questions = {
        **common,
        "task": "questions",
        "dataset_kwargs": {"data_files": {"test": str(folder / "questions.jsonl")}},
        "output_type": "multiple_choice",
        "doc_to_text": "{{q}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{answer}}",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc"}],
    }
    texts = {
        **common,
        "task": "texts",
        "dataset_kwargs": {"data_files": {"test": str(folder / "texts.jsonl")}},
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "metric_list": [{"metric": "bits_per_byte"}],
    }
    for task in (questions, texts):  # JSON is YAML
        (folder / f"{task['task']}.yaml").write_text(json.dumps(task))
    arguments = {
        "model": "plain",
        "base_url": f"{server.url}/v1/completions",
        "tokenizer_backend": "remote",
        "auth_token": server.key,
        "max_length": "512",
    }
    written = ",".join(f"{name}={value}" for name, value in arguments.items())
    asked_for = [
        "--model",
        "local-completions",
        "--model_args",
        written,
        "--tasks",
        "questions,texts",
        "--include_path",
        folder,
    ]
    command = [lm_eval, "run", *asked_for, "--batch_size", "4", "--log_samples", "--output_path", folder / "out"]
    run(command, folder, OPENAI_API_KEY=server.key)
    found = {}
    for name in ("questions", "texts"):
        (file,) = (folder / "out").rglob(f"samples_{name}_*.jsonl")
        found[name] = [json.loads(line) for line in file.read_text().splitlines()]
    return found


@pytest.fixture(scope="module")
def model(server: Running) -> Model:
    return load(Path(server.folder) / "plain")


def test_lm_eval_scores_each_item_as_the_model_in_process(scored: dict[str, Any], model: Model) -> None:
    encode, items = model.tokenizer.encode, sorted(scored["questions"], key=lambda item: item["doc_id"])
    assert len(items) == len(QUESTIONS)
    greedy = 0
    for item, (question, *choices) in zip(items, QUESTIONS, strict=True):
        expected = []
        for choice in choices:
            stripped = question.rstrip()
            whole = encode(question + choice)
            start = len(encode(stripped))
            values = model.score_tokens([whole])[0].tolist()[start - 1 :]
            request = Request(prompt=tuple(whole), max_tokens=0, echo=True, log_probs=1)
            scores = next(event.prompt_scores for event in model.engine.stream(request) if event.prompt_scores)
            likeliest = all(score.token == score.top[0][0] for score in scores[start:])
            expected.append([sum(values), likeliest])
            greedy += likeliest
        found = [[float(value), flag == "True" or flag is True] for ((value, flag),) in item["resps"]]
        assert found == expected  # the very floats
        best = max(range(len(choices)), key=lambda index: expected[index][0])
        assert item["acc"] == float(best == 0)
    assert greedy < len(QUESTIONS) * 3


def test_lm_eval_reads_texts_from_the_end_of_text_on(scored: dict[str, Any], model: Model) -> None:
    """The prefix is the token that /tokenizer_info names; long texts come in windows, of which each scores what is new."""
    items = sorted(scored["texts"], key=lambda item: item["doc_id"])
    size = 512 - 2  # lm-eval keeps a place for the prefix, and one for the token that it asks for
    for item, text in zip(items, TEXTS, strict=True):
        ids = model.tokenizer.encode(text)
        expected, done = 0.0, 0
        while done < len(ids):
            end = min(len(ids), done + size)
            before = [model.tokenizer.end_of_text] if done == 0 else ids[end - size - 1 : done]
            (values,) = model.score_tokens([[*before, *ids[done:end]]])
            expected, done = expected + sum(values.tolist()[len(before) - 1 :]), end
        assert float(item["resps"][0][0]) == expected
    assert len(ids) > size  # the last is a long one


def test_llm_prompts_and_chats(server: Running, tmp_path: Path) -> None:
    llm = environment(".venv-clients") / "llm"
    settings = {"api_base": f"{server.url}/v1", "api_key_name": "genus"}
    models = [
        {"model_id": "chats", "model_name": "chatty", **settings, "supports_schema": True},
        {"model_id": "texts", "model_name": "plain", **settings, "completion": True},
    ]
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps(models))
    (tmp_path / "keys.json").write_text(json.dumps({"genus": server.key}))

    def said(*arguments: str) -> str:
        return run([llm, *arguments], tmp_path, LLM_USER_PATH=str(tmp_path))

    options = ["-o", "temperature", "0", "-o", "max_tokens", "40"]
    expected = " of the union 🙂 naïve 日本\n"
    assert said("-m", "chats", "the people", *options) == expected
    assert said("-m", "chats", "the people", *options, "--no-stream") == expected
    streamed = said("-m", "texts", "the people", *options)
    assert streamed == said("-m", "texts", "the people", *options, "--no-stream") != expected
    log = json.loads(said("logs", "list", "--json", "-n", "0"))
    assert len(log) == 4 and {each["model"] for each in log} == {"chats", "texts"}
    schema = {
        "type": "object",
        "properties": {"valid": {"type": "boolean"}},
        "required": ["valid"],
        "additionalProperties": False,
    }
    assert isinstance(json.loads(said("-m", "chats", "as JSON", *options, "--schema", json.dumps(schema)))["valid"], bool)


def test_litellm(server: Running, tmp_path: Path) -> None:
    python = environment(".venv-litellm") / "python"
    variables = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "GENUS_URL": f"{server.url}/v1", "GENUS_KEY": server.key}
    said = run([python, ROOT / "tests/serve/litellm_client.py"], tmp_path, **variables)
    assert said.splitlines()[-1] == "all as expected"


def test_the_template_that_a_client_renders_is_the_one_that_the_server_does(server: Running) -> None:
    assert json.loads(server.get("/tokenizer_info?model=chatty")[1])["chat_template"] == TEMPLATE
