"""MXFP4: decoded by the table in plain Python, and as transformers decodes it."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from genus.core.errors import GenusError
from genus.models.attend import FastAttend
from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import Init, initialise
from genus.models.mxfp4 import decode
from genus.models.weights import config_of, load_model, save_model, tensors_of

TABLE = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]


def some_bytes(*shape: int, low: int = 0, high: int = 256) -> torch.Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.uint8)


def test_decode_by_the_table():
    blocks, scales = some_bytes(2, 3, 4, 16), some_bytes(2, 3, 4, low=100, high=150)
    decoded = decode(blocks, scales)
    assert decoded.shape == (2, 3, 128)
    for expert in range(2):
        for row in range(3):
            for column in range(128):
                group, place = divmod(column, 32)
                byte = int(blocks[expert, row, group, place // 2])
                code = byte % 16 if place % 2 == 0 else byte // 16
                assert decoded[expert, row, column] == TABLE[code] * 2.0 ** (int(scales[expert, row, group]) - 127)


def test_decode_as_transformers():
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    blocks, scales = some_bytes(3, 6, 5, 16), some_bytes(3, 6, 5, low=110, high=140)
    theirs = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)  # (experts, in, rows)
    assert torch.equal(decode(blocks, scales).mT, theirs)


def packed(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Random codes in place of a weight (experts, in, out): blocks and scales as gpt-oss is published."""
    experts, into, out = weight.shape
    return some_bytes(experts, out, into // 32, 16), some_bytes(experts, out, into // 32, low=122, high=126)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A gpt-oss folder whose experts are MXFP4, with the config that says so."""
    shape = {"vocab": 61, "context": 32, "width": 32, "depth": 2, "heads": 4, "hidden": 64, "experts": 3, "per_token": 2}
    model, family = LanguageModel(spec_of("gpt_oss", **shape)), family_named("gpt_oss")
    initialise(model, Init(matrix=0.3, residual=0.3, embed=0.5), seed=0)
    tensors = {}
    for name, tensor in tensors_of(model, family):
        if name.endswith(("gate_up_proj", "down_proj")):
            tensors[name + "_blocks"], tensors[name + "_scales"] = packed(tensor)
        else:
            tensors[name] = tensor.contiguous()
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    config = config_of(model.spec, family, torch.float32)
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def test_a_published_folder_is_as_transformers_dequantises_it(published, tmp_path):
    """The same folder with experts unpacked by transformers' own function is opened by its own class."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    ours, family = load_model(published)
    plain = {}
    with safe_open(published / "model.safetensors", framework="pt") as stored:
        for name in stored.keys():  # noqa: SIM118 - not a dict
            if name.endswith("_blocks"):
                base = name.removesuffix("_blocks")
                parts = stored.get_tensor(name), stored.get_tensor(base + "_scales")
                plain[base] = convert_moe_packed_tensors(*parts, dtype=torch.float32).contiguous()
            elif not name.endswith("_scales"):
                plain[name] = stored.get_tensor(name)
    folder = tmp_path / "plain"
    folder.mkdir()
    save_file(plain, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((published / "config.json").read_text())
    del config["quantization_config"]
    (folder / "config.json").write_text(json.dumps(config))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    tokens = torch.randint(61, (2, 11), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = ours(tokens, torch.arange(11).expand_as(tokens), FastAttend(ours.spec))
        torch.testing.assert_close(found, theirs(tokens).logits, atol=1e-4, rtol=1e-4)
    (tmp_path / "saved").mkdir()
    save_model(tmp_path / "saved", ours, family)
    assert "quantization_config" not in json.loads((tmp_path / "saved" / "config.json").read_text())


@pytest.mark.parametrize("change, match", [
    (lambda tensors, base: tensors.pop(base + "_scales"), "is missing"),
    (lambda tensors, base: tensors.update({base + "_scales": tensors[base + "_scales"][:, :1]}), "not MXFP4"),
    (lambda tensors, base: tensors.update({base + "_blocks": tensors[base + "_blocks"].float()}), "not floating point"),
    (lambda tensors, base: tensors[base + "_scales"].fill_(255), "NaN or infinity"),
])  # fmt: skip
def test_f46_damaged_blocks(published, change, match):
    path = published / "model.safetensors"
    tensors = load_file(path)
    change(tensors, "model.layers.0.mlp.experts.gate_up_proj")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})
    with pytest.raises(GenusError, match=match):
        load_model(published)


def test_other_quantisations_are_refused_by_name(published):
    config = json.loads((published / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (published / "config.json").write_text(json.dumps(config))
    with pytest.raises(GenusError, match=r"gptq.*mxfp4 only"):
        load_model(published)
