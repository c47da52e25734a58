"""Flags of `genus generate` as the sampling that the engine is given."""

from collections.abc import Iterator

import pytest

import genus.cli.main as cli
import genus.engine.model
from genus.engine.sampling import Sampling

USUAL = {"temperature": 0.8, "top_p": 0.95}


class Recorder:
    """Takes the place of a model and keeps what it was asked."""

    weights = "fp32"

    def stream(self, prompt: str, max_tokens: int | None, sampling: Sampling) -> Iterator[str]:
        self.asked = (prompt, max_tokens, {name: getattr(sampling, name) for name in Sampling.__dataclass_fields__})
        return iter(("!",))


@pytest.mark.parametrize("flags, expected", [
    ([], USUAL), (["--temperature", "0"], {**USUAL, "temperature": 0}), (["--seed", "-3"], {**USUAL, "seed": -3}),
    (["--stop", ".", "--stop", "\n\n", "--top-k", "4"], {**USUAL, "stop": (".", "\n\n"), "top_k": 4}),
    (["--top-p", "1", "--top-p-kind", "excluding", "--min-p", "0.1", "--typical-p", "0.9"],
     {"temperature": 0.8, "top_p_kind": "excluding", "min_p": 0.1, "typical_p": 0.9}),
    (["--presence-penalty", "-1", "--frequency-penalty", "0.5", "--repetition-penalty", "1.1", "--no-repeat-ngram", "3"],
     {**USUAL, "presence_penalty": -1.0, "frequency_penalty": 0.5, "repetition_penalty": 1.1, "no_repeat_ngram": 3}),
], ids=str)  # fmt: skip
def test_flags_are_the_fields_of_sampling(monkeypatch, capsys, flags, expected):
    model = Recorder()
    monkeypatch.setattr(genus.engine.model, "load", lambda _folder, _weights: model)
    assert cli._run(["generate", "folder", "We", "--max-tokens", "7", *flags]) == 0
    whole = Sampling(**expected)
    assert model.asked == ("We", 7, {name: getattr(whole, name) for name in Sampling.__dataclass_fields__})
    assert capsys.readouterr().out == "We!\n"


@pytest.mark.parametrize("flags, said", [
    (["--top-p", "2"], "top_p = 2.0 is out of range"), (["--stop", ""], "stop[0] is not a text"),
    (["--top-k", "2.5"], "2.5"), (["--top-p-kind", "both"], "including"), (["--logit-bias", "3"], "logit-bias"),
])  # fmt: skip
def test_bad_flags_are_named(capsys, flags, said):
    assert cli._run(["generate", "folder", "We", *flags]) in (1, 2)
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error and "defect" not in error
