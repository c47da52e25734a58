"""`genus verify`: what Genus saves of each family, transformers opens with equal logits; a difference is not hidden."""

import pytest
import torch

from genus.cli import main as cli
from genus.models import verify as verify_module
from genus.models.families import FAMILIES, family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.models.weights import save_model


@pytest.fixture
def folder(tmp_path, request):
    name = getattr(request, "param", "gpt2")
    spec = spec_of(name, vocab=60, context=32, width=24, depth=2, heads=3)
    model = LanguageModel(spec)
    initialise(model, family_named(name).init(spec), seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))  # the usual start is too regular to prove much
    save_model(tmp_path, model, family_named(name), end_of_text=0)
    return tmp_path


@pytest.mark.parametrize("folder", FAMILIES, indirect=True)
def test_saved_models_of_every_family(folder):
    verdict = verify_module.verify(folder)
    assert verdict["transformers"] < 1e-4
    assert verdict["round_trip"] == 0


def test_a_difference_fails(folder, monkeypatch, capsys):
    theirs = verify_module._their_logits
    monkeypatch.setattr(verify_module, "_their_logits", lambda *given: theirs(*given) + 2e-4)
    assert cli._run(["verify", str(folder)]) == 1
    captured = capsys.readouterr()
    assert "differ by more than 0.0001" in captured.err
    assert "transformers: logits differ by at most 2.0" in captured.out


def test_without_transformers_the_round_trip_is_still_made(folder, monkeypatch, capsys):
    monkeypatch.setattr(verify_module, "find_spec", lambda name: None)
    assert cli._run(["verify", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "round_trip: logits differ by at most 0.00e+00" in said
    assert "transformers: not installed" in said
    assert "pip install 'genus[verify]'" in said


def test_a_round_trip_that_changes_the_logits_fails(folder, monkeypatch, capsys):
    """A save that wrote another model would be caught."""
    first, calls = verify_module._logits, []

    def second_differs(model, ids):
        calls.append(1)
        return first(model, ids) + (2e-4 if len(calls) > 1 else 0)

    monkeypatch.setattr(verify_module, "_logits", second_differs)
    assert cli._run(["verify", str(folder)]) == 1
    assert "round_trip: logits differ by at most 2.0" in capsys.readouterr().out
