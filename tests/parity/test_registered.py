"""PaLM and GPT-3 folders open in transformers, through the class that Genus registers."""

import pytest
import torch
import transformers

from genus.models.families import family_named
from genus.models.registered import register
from genus.models.spec import Strided
from genus.models.weights import load_model, save_model
from tests.parity.test_unreleased import CONTEXT, VOCAB, ids, logits, random_model

SHAPES = {
    "palm": {"width": 24, "depth": 2, "heads": 3, "head_dim": 16},
    "gpt3": {"width": 24, "depth": 3, "heads": 4, "window": 5},
    "gpt3-strided": {"width": 24, "depth": 2, "heads": 4, "window": 5, "stride": 3},
}


@pytest.fixture(params=SHAPES)
def saved(request, tmp_path):
    family = request.param.split("-")[0]
    model = random_model(family, **SHAPES[request.param])
    save_model(tmp_path, model, family_named(family), end_of_text=0)
    register()
    return model, tmp_path


def opened(folder) -> torch.nn.Module:
    model, report = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(names for kind, names in report.items() if kind.endswith("_keys")), report
    return model.eval()


def test_both_open_what_is_saved(saved):
    model, folder = saved
    again, _ = load_model(folder)
    assert again.spec == model.spec
    with torch.no_grad():
        expected = logits(model, ids())
        assert torch.equal(logits(again, ids()), expected)
        torch.testing.assert_close(opened(folder)(ids()).logits, expected, atol=1e-6, rtol=1e-6)


def test_what_transformers_saves_opens_in_genus(saved, tmp_path):
    model, folder = saved
    opened(folder).save_pretrained(tmp_path / "theirs")
    again, _ = load_model(tmp_path / "theirs")
    with torch.no_grad():
        assert torch.equal(logits(again, ids()), logits(model, ids()))


def test_padding_and_generation(saved):
    """A padded batch gives each row its own logits, and transformers' greedy loop is ours."""
    from genus.engine.generate import generate_tokens
    from genus.engine.sampling import Sampling

    model, folder = saved
    theirs = opened(folder)
    short, long = ids()[0, :6], ids()[1]
    padded = torch.stack((torch.cat((torch.zeros(8, dtype=torch.long), short)), long))
    mask = torch.ones_like(padded)
    mask[0, :8] = 0
    with torch.no_grad():
        found = theirs(padded, attention_mask=mask).logits
        torch.testing.assert_close(found[0, 8:], logits(model, short[None])[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found[1], logits(model, long[None])[0], atol=1e-5, rtol=1e-5)
    seen = set()
    for prompt in (short, long, short[2:4], long[3:6]):
        expected = list(generate_tokens(model, prompt.tolist(), 12, Sampling(temperature=0)))
        options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
        written = theirs.generate(prompt[None], attention_mask=torch.ones_like(prompt)[None], **options)
        assert written[0, len(prompt) :].tolist() == expected
        seen.update(expected)
    assert len(seen) > 2  # a model stuck on one token would agree with anything


def test_labels_give_the_mean_loss(saved):
    model, folder = saved
    with torch.no_grad():
        loss = opened(folder)(ids(), labels=ids()).loss
        expected = torch.nn.functional.cross_entropy(logits(model, ids())[:, :-1].flatten(0, 1), ids()[:, 1:].flatten())
    torch.testing.assert_close(loss, expected)


def test_a_stride_survives_the_folder(tmp_path):
    model = random_model("gpt3", width=24, depth=2, heads=4, window=5, stride=3)
    save_model(tmp_path, model, family_named("gpt3"))
    assert load_model(tmp_path)[0].spec.attention.windows == (5, Strided(stride=3))
    assert (model.spec.vocab, model.spec.context) == (VOCAB, CONTEXT)
