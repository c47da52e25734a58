"""LoRA in peft's files: what peft computes with them, and what is read back, is the merged model."""

import copy
import json
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from genus.core.errors import GenusError
from genus.models.attend import FastAttend
from genus.models.families import FAMILIES, family_named, family_of
from genus.models.family import Shape
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.models.lora import add_lora, lora_parts, merge_lora
from genus.models.lora_files import merge_adapter, save_adapter
from genus.models.scorer import Scorer
from genus.models.weights import save_model, save_scorer

ALL = ("q", "k", "v", "out", "up", "down")
VOCAB = 97


def tuned(family, parts, outputs=0):
    """A model as it was, and the same with LoRA that has learned something."""
    spec = family.spec(Shape(vocab=VOCAB, context=32, width=24, depth=2, heads=3, experts=2, per_token=1, window=8))
    base = LanguageModel(spec)
    initialise(base, family.init(spec), 3)
    base = Scorer.of(base, outputs) if outputs else base
    model = copy.deepcopy(base).eval()
    torch.manual_seed(7)
    add_lora(model, parts, rank=2, alpha=3.0)
    with torch.no_grad():
        for _, part in lora_parts(model):
            part.lora_b.normal_(std=0.3)
        if outputs:
            model.score.weight.normal_()
    return base.eval(), model


@pytest.mark.parametrize("parts", [("q", "v"), ("k", "out")])
@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_read_back_is_the_merged_model(name, parts, tmp_path):
    family = family_named(name)
    base, model = tuned(family, parts)
    save_adapter(tmp_path, model, family, "base")
    merge_adapter(base, family, tmp_path)
    merge_lora(model)
    for (key, ours), (_, again) in zip(model.named_parameters(), base.named_parameters(), strict=True):
        torch.testing.assert_close(again, ours, atol=1e-6, rtol=1e-5, msg=key)


def theirs(folder, kind):
    """The base in transformers with the adapter, by the peft library."""
    peft = pytest.importorskip("peft", reason="peft is absent; pip install 'genus[test]' brings it")
    import transformers

    base = getattr(transformers, kind).from_pretrained(folder / "base", dtype=torch.float32)
    with warnings.catch_warnings():  # peft asks transformers by a name that will go
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        return peft.PeftModel.from_pretrained(base, folder / "adapter").eval()


@pytest.mark.parametrize("parts", [ALL, ("v",), ("q", "down")], ids="-".join)
@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox", "bloom", "opt", "gptj"])
def test_peft_computes_the_same(name, parts, tmp_path):
    family = family_of(name)
    base, model = tuned(family, parts)
    save_model(made(tmp_path / "base"), base, family, 0)
    save_adapter(made(tmp_path / "adapter"), model, family, str(tmp_path / "base"))
    merge_lora(model)
    tokens = torch.randint(VOCAB, (2, 11), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = model(tokens, torch.arange(11).expand_as(tokens), FastAttend(model.spec))
        torch.testing.assert_close(theirs(tmp_path, "AutoModelForCausalLM")(tokens).logits, ours, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["gpt2", "llama", "opt"])
def test_peft_computes_the_same_scores(name, tmp_path):
    family = family_of(name)
    base, model = tuned(family, ("q", "v"), outputs=3)
    save_scorer(made(tmp_path / "base"), base, family, ("a", "b", "c"), {"pad": 0})
    save_adapter(made(tmp_path / "adapter"), model, family, str(tmp_path / "base"))
    merge_lora(model)
    tokens = torch.randint(1, VOCAB, (2, 11), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = model(tokens, torch.arange(11).expand_as(tokens), FastAttend(model.spec))[:, -1]
        found = theirs(tmp_path, "AutoModelForSequenceClassification")(tokens).logits
        torch.testing.assert_close(found, ours, atol=1e-4, rtol=0)
    merge_adapter(base, family, tmp_path / "adapter")
    assert torch.equal(base.score.weight, model.score.weight)


def made(folder):
    folder.mkdir()
    return folder


@pytest.fixture
def saved(tmp_path):
    family = family_of("gpt2")
    base, model = tuned(family, ("q",))
    save_adapter(tmp_path, model, family, "base")
    return base, family, tmp_path


def test_a_fused_part_keeps_the_scale(saved):
    config = json.loads((saved[2] / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["rank_pattern"]) == (2, 3, {})
    family = family_of("gpt2")
    save_adapter(saved[2], tuned(family, ALL)[1], family, "base")
    config = json.loads((saved[2] / "adapter_config.json").read_text())
    assert (config["rank_pattern"], config["alpha_pattern"]) == ({"attn.c_attn": 6}, {"attn.c_attn": 9})
    assert config["target_modules"] == ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"use_dora": True}, "use_dora = True"), ({"bias": "all"}, "bias = 'all'"), ({"peft_type": "IA3"}, "not of LoRA")],
)
def test_other_adapters_are_refused(saved, change, message):
    base, family, folder = saved
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(GenusError, match=message):
        merge_adapter(base, family, folder)


def test_what_fits_nowhere_is_named(saved):
    base, family, folder = saved
    path = folder / "adapter_model.safetensors"
    whole = load_file(path)
    save_file({**whole, "base_model.model.other.lora_A.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(GenusError, match=r"other.lora_A.weight has no place in the model"):
        merge_adapter(base, family, folder)
    wide = {name: torch.zeros(tensor.shape[0], 8) if "lora_A" in name else tensor for name, tensor in whole.items()}
    save_file(wide, path)
    with pytest.raises(GenusError, match=r"transformer.h.0.attn.c_attn is of shape .72, 8., the model's is not"):
        merge_adapter(base, family, folder)
    path.write_bytes(b"half")
    with pytest.raises(GenusError, match=r"adapter_model.safetensors is not a whole safetensors file"):
        merge_adapter(base, family, folder)
