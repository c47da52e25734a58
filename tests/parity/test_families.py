"""Every family against its class in transformers: equal logits and gradients in fp32, both directions, tiny and random."""

import json
import warnings
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from genus.models.attend import DenseAttend, FastAttend
from genus.models.weights import load_model, save_model

VOCAB, CONTEXT, TIME = 97, 32, 13

# Heads that are not a power of two, heads * head_dim != width, fewer kv heads, partial rotation: what a lucky guess misses.
CASES = {
    "gpt2": transformers.GPT2Config(n_embd=24, n_layer=2, n_head=3, n_positions=CONTEXT, vocab_size=VOCAB),
    "gpt2-exact-gelu": transformers.GPT2Config(
        n_embd=24, n_layer=2, n_head=4, n_positions=CONTEXT, vocab_size=VOCAB, activation_function="gelu", n_inner=40
    ),
    "gpt2-untied-unscaled": transformers.GPT2Config(
        n_embd=24, n_layer=2, n_head=3, n_positions=CONTEXT, vocab_size=VOCAB,
        tie_word_embeddings=False, scale_attn_weights=False,
    ),
    "llama": transformers.LlamaConfig(
        hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, head_dim=8,
        max_position_embeddings=CONTEXT, vocab_size=VOCAB,
    ),
    "llama-biased-tied": transformers.LlamaConfig(
        hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3, attention_bias=True, mlp_bias=True,
        max_position_embeddings=CONTEXT, vocab_size=VOCAB, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    ),
    "gptj": transformers.GPTJConfig(n_embd=24, n_layer=2, n_head=3, rotary_dim=4, n_positions=CONTEXT, vocab_size=VOCAB),
    "gpt1": transformers.OpenAIGPTConfig(n_embd=24, n_layer=2, n_head=3, n_positions=CONTEXT, vocab_size=VOCAB),
    "gpt-neo": transformers.GPTNeoConfig(
        hidden_size=24, num_layers=3, num_heads=3, max_position_embeddings=CONTEXT, vocab_size=VOCAB, window_size=5,
        attention_types=[[["global", "local"], 1], [["local"], 1]],
    ),
    "gpt-neox": transformers.GPTNeoXConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, max_position_embeddings=CONTEXT,
        vocab_size=VOCAB, rope_parameters={"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.25},
    ),
    "gpt-neox-serial": transformers.GPTNeoXConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, max_position_embeddings=CONTEXT,
        vocab_size=VOCAB, use_parallel_residual=False, attention_bias=False, hidden_act="gelu_new",
        rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0},
    ),
    "opt": transformers.OPTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, ffn_dim=40, max_position_embeddings=CONTEXT,
        vocab_size=VOCAB, word_embed_proj_dim=24, pad_token_id=None,
    ),
    "opt-350m": transformers.OPTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, ffn_dim=40, max_position_embeddings=CONTEXT,
        vocab_size=VOCAB, word_embed_proj_dim=16, do_layer_norm_before=False, pad_token_id=None,
    ),
    "galactica": transformers.OPTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=3, ffn_dim=40, max_position_embeddings=CONTEXT,
        vocab_size=VOCAB, word_embed_proj_dim=24, activation_function="gelu", enable_bias=False, pad_token_id=None,
        layer_norm_elementwise_affine=False,
    ),
    "llama-3.1": transformers.LlamaConfig(
        hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, head_dim=16,
        max_position_embeddings=CONTEXT, vocab_size=VOCAB,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 50.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    ),
    "gpt-oss": transformers.GptOssConfig(
        hidden_size=24, intermediate_size=20, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2, head_dim=16,
        max_position_embeddings=CONTEXT, vocab_size=VOCAB, sliding_window=5, num_local_experts=6, num_experts_per_tok=3,
        swiglu_limit=0.4,
        rope_parameters={
            "rope_type": "yarn", "rope_theta": 150.0, "factor": 4.0, "beta_fast": 2.0, "beta_slow": 0.5, "truncate": False,
            "original_max_position_embeddings": 16,
        },
    ),
    "gpt-oss-all-dense": transformers.GptOssConfig(
        hidden_size=24, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4, head_dim=16,
        max_position_embeddings=CONTEXT, vocab_size=VOCAB, num_local_experts=4, num_experts_per_tok=1,
        layer_types=["full_attention", "full_attention"], attention_bias=False, tie_word_embeddings=True,
        rope_parameters={
            "rope_type": "yarn", "rope_theta": 150.0, "factor": 4.0, "beta_fast": 2.0, "beta_slow": 0.5, "truncate": True,
            "original_max_position_embeddings": 16,
        },
    ),
    "modern": transformers.ApertusConfig(
        hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2, head_dim=8,
        hidden_act="relu2", max_position_embeddings=CONTEXT, vocab_size=VOCAB, pad_token_id=None,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    ),
    "bloom": transformers.BloomConfig(hidden_size=24, n_layer=2, n_head=6, vocab_size=VOCAB),
    "bloom-power-of-two": transformers.BloomConfig(hidden_size=24, n_layer=2, n_head=4, vocab_size=VOCAB),
}  # fmt: skip


def random_model(config: transformers.PretrainedConfig) -> torch.nn.Module:
    """Every parameter random: usual starts hide swapped norms (all 1) and lost biases (all 0)."""
    torch.manual_seed(0)
    config.bos_token_id = config.eos_token_id = 0
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0, 0.2)
    return model


@pytest.fixture(params=CASES)
def theirs(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[torch.nn.Module, Path]:
    model = random_model(CASES[request.param])
    model.save_pretrained(tmp_path / "theirs")
    return model, tmp_path / "theirs"


def ids() -> tuple[Tensor, Tensor]:
    tokens = torch.randint(VOCAB, (2, TIME), generator=torch.Generator().manual_seed(1))
    return tokens, torch.arange(TIME).expand_as(tokens)


@pytest.mark.parametrize("attend", [DenseAttend, FastAttend])
def test_logits_are_theirs(theirs, attend):
    model, folder = theirs
    ours, _ = load_model(folder)
    tokens, positions = ids()
    expected = model(tokens).logits
    assert expected.std() > 0.1  # a flat output would agree with anything
    torch.testing.assert_close(ours(tokens, positions, attend(ours.spec)), expected, atol=1e-5, rtol=1e-5)


def their_name(family, rule) -> str:
    """The name in transformers' module, which may be younger than that in the files."""
    return family.aliases.get(rule.theirs, rule.theirs)


def test_gradients_are_theirs(theirs):
    model, folder = theirs
    ours, family = load_model(folder)
    tokens, positions = ids()
    weights = torch.randn(2, TIME, VOCAB, generator=torch.Generator().manual_seed(2))
    (model(tokens).logits * weights).sum().backward()
    (ours(tokens, positions, FastAttend(ours.spec)) * weights).sum().backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    parameters = dict(ours.named_parameters())
    checked = 0
    for rule in family.rules:
        for layer in range(ours.spec.depth if "{i}" in rule.theirs else 1):
            names = [name.format(i=layer) for name in rule.ours]
            if names[0] in parameters:
                gradient = rule.save(ours.spec, [parameters[name].grad for name in names])
                torch.testing.assert_close(
                    gradient, expected[their_name(family, rule).format(i=layer)], atol=1e-4, rtol=1e-4
                )
                checked += len(names)
    assert checked == len(parameters)


def test_what_we_save_opens_in_transformers(theirs, tmp_path):
    model, folder = theirs
    ours, family = load_model(folder)
    (tmp_path / "ours").mkdir()
    save_model(tmp_path / "ours", ours, family, end_of_text=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(names for kind, names in report.items() if kind.endswith("_keys")), report
    theirs_state, again_state = model.state_dict(), again.state_dict()
    assert theirs_state.keys() == again_state.keys()
    for name, tensor in theirs_state.items():
        assert torch.equal(tensor, again_state[name]), name
    tokens, _ = ids()
    again.set_attn_implementation("eager")
    torch.testing.assert_close(again.eval()(tokens).logits, model(tokens).logits, atol=0, rtol=0)


def test_load_and_save_are_inverse_to_the_byte(theirs, tmp_path):
    _, folder = theirs
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    save_model(tmp_path / "one", *load_model(folder))
    save_model(tmp_path / "two", *load_model(tmp_path / "one"))
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_parameters_by_arithmetic(theirs):
    model, folder = theirs
    ours, _ = load_model(folder)
    assert ours.spec.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_older_files_are_read_too(tmp_path):
    """Pythia's head under either name, names without their prefix, and the buffers of old masks."""
    model = random_model(CASES["gpt-neox"])
    model.save_pretrained(tmp_path)
    tokens, positions = ids()
    expected = model(tokens).logits
    tensors = load_file(tmp_path / "model.safetensors")
    assert "embed_out.weight" in tensors or "lm_head.weight" in tensors
    head = tensors.pop("embed_out.weight") if "embed_out.weight" in tensors else tensors.pop("lm_head.weight")
    for name in ("embed_out.weight", "lm_head.weight"):
        older = {key.removeprefix("gpt_neox."): tensor for key, tensor in tensors.items()}
        older |= {name: head, "layers.0.attention.masked_bias": torch.tensor(-1e9), "layers.1.attention.bias": torch.ones(1)}
        save_file(older, tmp_path / "model.safetensors", metadata={"format": "pt"})
        ours, _ = load_model(tmp_path)
        torch.testing.assert_close(ours(tokens, positions, FastAttend(ours.spec)), expected, atol=1e-5, rtol=1e-5)
    config = json.loads((tmp_path / "config.json").read_text())
    rope = config.pop("rope_parameters")
    config |= {"rotary_pct": rope["partial_rotary_factor"], "rotary_emb_base": rope["rope_theta"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_model(tmp_path)[0].spec == ours.spec
