"""PaLM and GPT-3, whose authors released no code: against a class that computes the same, and against the papers' formulas
written out in plain Python, one token at a time."""

import math

import numpy as np
import pytest
import torch
import transformers

from genus.models.attend import DenseAttend, FastAttend
from genus.models.families import spec_of
from genus.models.heads import LanguageModel
from genus.models.spec import Rotary, Strided

VOCAB, CONTEXT, TIME = 61, 32, 14
ATTENDS = pytest.mark.parametrize("attend", [DenseAttend, FastAttend])


def random_model(family: str, **shape) -> LanguageModel:
    spec = spec_of(family, vocab=VOCAB, context=CONTEXT, **shape)
    model = LanguageModel(spec)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mean = 1.0 if name.endswith("norm.weight") else 0.0
            parameter.copy_(mean + 0.2 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def ids() -> torch.Tensor:
    return torch.randint(VOCAB, (2, TIME), generator=torch.Generator().manual_seed(1))


def logits(model: LanguageModel, tokens: torch.Tensor, attend=FastAttend) -> torch.Tensor:
    return model(tokens, torch.arange(tokens.shape[1]).expand_as(tokens), attend(model.spec))


# --- PaLM ---


def cohere_of(model: LanguageModel) -> torch.nn.Module:
    """transformers' Command-R with one key head, no QK-norm and PaLM's scale: the same function under other names."""
    spec = model.spec
    config = transformers.CohereConfig(
        vocab_size=spec.vocab, hidden_size=spec.width, num_hidden_layers=spec.depth, intermediate_size=spec.mlp.hidden,
        num_attention_heads=spec.attention.heads, num_key_value_heads=1, logit_scale=spec.width**-0.5, use_qk_norm=False,
        attention_bias=False, tie_word_embeddings=True, max_position_embeddings=spec.context, layer_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, attn_implementation="eager", pad_token_id=None,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    config.head_dim = spec.attention.head_dim
    theirs = transformers.CohereForCausalLM(config).eval()
    state = {"model.embed_tokens.weight": model.decoder.embed.weight, "model.norm.weight": model.decoder.norm.weight}
    for i, block in enumerate(model.decoder.blocks):
        state[f"model.layers.{i}.input_layernorm.weight"] = block.attention_norm.weight
        for name in "qkv":
            state[f"model.layers.{i}.self_attn.{name}_proj.weight"] = getattr(block.attention, name).weight
        state[f"model.layers.{i}.self_attn.o_proj.weight"] = block.attention.out.weight
        for name in ("up", "gate", "down"):
            state[f"model.layers.{i}.mlp.{name}_proj.weight"] = getattr(block.mlp, name).weight
    missing, unexpected = theirs.load_state_dict({k: v.detach().clone() for k, v in state.items()}, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected
    theirs.tie_weights()
    return theirs, state


def palm() -> LanguageModel:
    return random_model("palm", width=24, depth=2, heads=3, head_dim=16)  # as 540B, heads * head_dim is not the width


@ATTENDS
def test_palm_is_cohere_logits(attend):
    model = palm()
    theirs, _ = cohere_of(model)
    expected = theirs(ids()).logits
    assert expected.std() > 0.1
    torch.testing.assert_close(logits(model, ids(), attend), expected, atol=1e-5, rtol=1e-5)


def test_palm_is_cohere_gradients():
    model = palm()
    theirs, state = cohere_of(model)
    weights = torch.randn(2, TIME, VOCAB, generator=torch.Generator().manual_seed(2))
    (theirs(ids()).logits * weights).sum().backward()
    (logits(model, ids()) * weights).sum().backward()
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in state.items():
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-4, rtol=1e-4)
    assert len(state) == len(list(model.parameters()))


def plain_norm(x: np.ndarray, gain: np.ndarray, bias: np.ndarray | float = 0.0) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * gain + bias


def plain_turn(x: np.ndarray, position: int) -> np.ndarray:
    """RoPE on neighbours as complex numbers, which is how the paper introduces it."""
    angles = position * 10_000.0 ** (-np.arange(0, len(x), 2) / len(x))
    turned = (x[0::2] + 1j * x[1::2]) * np.exp(1j * angles)
    return np.stack((turned.real, turned.imag), -1).reshape(-1)


def plain_softmax(scores: np.ndarray) -> np.ndarray:
    scores = np.exp(scores - scores.max())
    return scores / scores.sum()


def test_palm_by_the_formula():
    """y = x + MLP(LN(x)) + Attention(LN(x)), SwiGLU, one key head (arXiv 2204.02311, section 2), token by token."""
    model = palm()
    w = {name: p.detach().double().numpy() for name, p in model.named_parameters()}
    heads, size, scale = 3, 16, 16**-0.5
    text = ids()[0].tolist()
    stream = [w["decoder.embed.weight"][token] for token in text]
    for layer in range(2):
        p = f"decoder.blocks.{layer}."
        normed = [plain_norm(x, w[p + "attention_norm.weight"]) for x in stream]
        keys = [plain_turn(w[p + "attention.k.weight"] @ x, at) for at, x in enumerate(normed)]
        values = [w[p + "attention.v.weight"] @ x for x in normed]
        after = []
        for at, (x, n) in enumerate(zip(stream, normed, strict=True)):
            queries = (w[p + "attention.q.weight"] @ n).reshape(heads, size)
            said = []
            for head in range(heads):
                query = plain_turn(queries[head], at)
                share = plain_softmax(np.array([query @ keys[seen] * scale for seen in range(at + 1)]))
                said.append(sum(part * values[seen] for seen, part in enumerate(share)))
            gate = w[p + "mlp.gate.weight"] @ n
            mlp = w[p + "mlp.down.weight"] @ (gate / (1 + np.exp(-gate)) * (w[p + "mlp.up.weight"] @ n))
            after.append(x + mlp + w[p + "attention.out.weight"] @ np.concatenate(said))
        stream = after
    hidden = np.stack([plain_norm(x, w["decoder.norm.weight"]) for x in stream])
    expected = torch.from_numpy(hidden @ w["decoder.embed.weight"].T / math.sqrt(24)).float()
    with torch.no_grad():
        torch.testing.assert_close(logits(model, ids()[:1])[0], expected, atol=1e-5, rtol=1e-5)


# --- GPT-3 ---


def seen_by(window, query: int) -> list[int]:
    """The definitions of the sparse patterns, in words of one key each (arXiv 1904.10509, section 4.2)."""
    if isinstance(window, Strided):
        return [key for key in range(query + 1) if (query - key) % window.stride == 0]
    return [key for key in range(query + 1) if window is None or query - key < window]


@ATTENDS
@pytest.mark.parametrize("pattern", [{"window": 4}, {"window": 3, "stride": 5}, {"window": 40}, {"window": 1, "stride": 1}])
def test_gpt3_by_the_formula(attend, pattern):
    """GPT-2's block with each layer's visible keys listed one by one."""
    model = random_model("gpt3", width=24, depth=3, heads=4, **pattern)
    windows = [model.spec.attention.window(layer) for layer in range(3)]
    w = {name: p.detach().double().numpy() for name, p in model.named_parameters()}
    text = ids()[0].tolist()
    x = w["decoder.embed.weight"][text] + w["decoder.position.weight"][:TIME]
    for layer, window in enumerate(windows):
        p = f"decoder.blocks.{layer}."

        def linear(name: str, value: np.ndarray, p: str = p) -> np.ndarray:
            return value @ w[f"{p}{name}.weight"].T + w[f"{p}{name}.bias"]

        normed = plain_norm(x, w[p + "attention_norm.weight"], w[p + "attention_norm.bias"])
        q, k, v = (linear(f"attention.{name}", normed).reshape(TIME, 4, 6) for name in "qkv")
        said = np.zeros((TIME, 4, 6))
        for query in range(TIME):
            keys = seen_by(window, query)
            for head in range(4):
                share = plain_softmax(k[keys, head] @ q[query, head] * 6**-0.5)
                said[query, head] = share @ v[keys, head]
        x = x + linear("attention.out", said.reshape(TIME, 24))
        up = linear("mlp.up", plain_norm(x, w[p + "mlp_norm.weight"], w[p + "mlp_norm.bias"]))
        x = x + linear("mlp.down", 0.5 * up * (1 + np.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3))))
    expected = plain_norm(x, w["decoder.norm.weight"], w["decoder.norm.bias"]) @ w["decoder.embed.weight"].T
    with torch.no_grad():
        torch.testing.assert_close(
            logits(model, ids()[:1], attend)[0], torch.from_numpy(expected).float(), atol=1e-5, rtol=1e-5
        )


def test_a_dense_gpt3_is_a_gpt2():
    """What the paper says of it, and a check against released code: same tensors, same logits."""
    gpt3 = random_model("gpt3", width=24, depth=2, heads=4, window=CONTEXT)
    gpt2 = random_model("gpt2", width=24, depth=2, heads=4)
    gpt2.load_state_dict(gpt3.state_dict())
    assert torch.equal(logits(gpt3, ids()), logits(gpt2, ids()))


# --- positions and routers, by their formulas ---


def test_yarn_constants_of_gpt_oss():
    """Section 11 of the facts sheet worked out by hand: the border pairs 8.0928 and 17.3980, the factor 1.34657."""
    from genus.models.families import family_named
    from genus.models.parts.position import rotation

    spec = family_named("gpt_oss").sizes["gpt-oss-20b"].position
    assert isinstance(spec, Rotary)
    cos, sin = rotation(spec, torch.tensor([[1]]))
    magnitude = (cos**2 + sin**2).sqrt()
    torch.testing.assert_close(magnitude, torch.full_like(magnitude, 1.34657), atol=1e-5, rtol=0)
    angles = torch.atan2(sin, cos).flatten().double()
    plain = 150_000.0 ** (-torch.arange(32, dtype=torch.float64) / 32)
    ramp = ((torch.arange(32) - 8.0928) / (17.3980 - 8.0928)).clamp(0, 1)
    torch.testing.assert_close(angles, plain * (1 - ramp) + plain / 32 * ramp, atol=1e-5, rtol=1e-4)


def test_llama3_stretch_by_its_three_cases():
    from genus.models.parts.position import rotation
    from genus.models.spec import Llama3

    spec = Rotary(dim=128, base=500_000.0, stretch=Llama3())
    plain = 500_000.0 ** (-np.arange(64) / 64)
    expected = []
    for frequency in plain:
        wavelength = 2 * math.pi / frequency
        if wavelength < 8192 / 4:
            expected.append(frequency)
        elif wavelength > 8192 / 1:
            expected.append(frequency / 8)
        else:
            smooth = (8192 / wavelength - 1) / (4 - 1)
            expected.append((1 - smooth) * frequency / 8 + smooth * frequency)
    cos, sin = rotation(spec, torch.tensor([[1]]))
    angles = torch.atan2(sin, cos).flatten().double()
    torch.testing.assert_close(angles, torch.tensor(expected), atol=1e-7, rtol=1e-4)
