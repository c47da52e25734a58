"""The sampler against transformers' own processors, brute force, and numbers worked by hand."""

import dataclasses
import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genus.core.errors import GenusError
from genus.engine.kernels.draw import philox as kernel_philox
from genus.engine.kernels.draw import uniform
from genus.engine.sample import NOT_FINITE, NOTHING_LEFT, Row, choose, log_probs
from genus.engine.sampling import Sampling

VOCAB = 50


def philox(key: tuple[int, int], counter: tuple[int, int, int, int]) -> list[int]:
    """Philox 4x64-10 from its paper (Salmon et al. 2011, section 3.3), on Python's whole numbers."""
    word = 2**64
    (k0, k1), (c0, c1, c2, c3) = key, counter
    for _ in range(10):
        one, other = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = other // word ^ c1 ^ k0, other % word, one // word ^ c3 ^ k1, one % word
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) % word, (k1 + 0xBB67AE8584CAA73B) % word
    return [c0, c1, c2, c3]


def gumbel(row: Row, vocab: int) -> Tensor:
    """The noise as documented. NumPy counts the counter up before each block of four."""
    key = (row.seed % 2**64, row.choice)
    blocks = [philox(key, (block + 1, row.position, 0, 0)) for block in range(-(-vocab // 4))]
    uniform = [(2 * (raw // 2**12) + 1) / 2**53 for block in blocks for raw in block]
    return torch.tensor([-math.log(-math.log(u)) for u in uniform[:vocab]], dtype=torch.float64)


def some_logits(seed: int, vocab: int = VOCAB) -> Tensor:
    return 3 * torch.randn(vocab, generator=torch.Generator().manual_seed(seed))


def draws(logits: Tensor, count: int = 300, **options: object) -> Counter[int]:
    """Tokens at the first `count` positions, with the same logits at each."""
    sampling = Sampling(**options)
    rows = [Row(sampling, seed=11, position=position) for position in range(count)]
    return Counter(choose(logits.expand(count, -1), rows))


def draw(logits: Tensor, options: dict[str, object], **row: object) -> int:
    return choose(logits[None], [Row(Sampling(**options), **{"seed": 5, **row})])[0]


@pytest.fixture(scope="module")
def transformers_model():
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, n_positions=8, n_embd=8, n_layer=1, n_head=1))


def by_transformers(model, logits: Tensor, row: Row) -> int:
    """The token that transformers' processors, in transformers' order, and the documented noise lead to."""
    from transformers import GenerationConfig

    chosen = row.sampling
    config = GenerationConfig(
        do_sample=not chosen.greedy, num_beams=1, temperature=chosen.temperature or None, top_k=chosen.top_k,
        top_p=chosen.top_p, min_p=chosen.min_p or None, typical_p=chosen.typical_p,
        repetition_penalty=float(chosen.repetition_penalty), no_repeat_ngram_size=chosen.no_repeat_ngram,
        sequence_bias=[[[token], bias] for token, bias in chosen.logit_bias.items()] or None,
    )  # fmt: skip
    allowed = None if chosen.allowed is None else lambda _batch, _ids: list(chosen.allowed)
    ids = torch.tensor([[*row.prompt, *row.said]])
    scores = model._get_logits_processor(config, ids.shape[1], prefix_allowed_tokens_fn=allowed)(ids, logits[None].clone())[
        0
    ]
    return int(scores.argmax() if chosen.greedy else (scores.double() + gumbel(row, VOCAB)).argmax())


ONE_BY_ONE = [
    {}, {"temperature": 0.3}, {"temperature": 7.0}, {"temperature": 0}, {"top_k": 1}, {"top_k": 5}, {"top_k": 500},
    {"top_p": 0.9}, {"top_p": 0.2}, {"min_p": 0.1}, {"min_p": 1.0}, {"typical_p": 0.9}, {"typical_p": 0.2},
    {"repetition_penalty": 1.3}, {"repetition_penalty": 0.6}, {"no_repeat_ngram": 1}, {"no_repeat_ngram": 2},
    {"no_repeat_ngram": 3}, {"logit_bias": {3: 5.5, 40: -2.5, 7: 100.0}}, {"allowed": (1, 4, 30)},
]  # fmt: skip


@pytest.mark.parametrize("options", ONE_BY_ONE, ids=str)
def test_each_option_is_transformers_own(transformers_model, options):
    for case in range(40):
        logits, picked = some_logits(case), random.Random(case)
        said = picked.choices(range(6), k=12)
        row = Row(
            Sampling(**options),
            seed=case - 9,
            choice=case % 3,
            position=12,
            prompt=picked.choices(range(50), k=3),
            said=said,
        )
        assert choose(logits[None], [row]) == [by_transformers(transformers_model, logits, row)], case


def mixed(case: int) -> Row:
    """A row with about half of all options set."""
    picked = random.Random(case)
    options = {
        "temperature": picked.choice([0, 0.5, 0.9, 1.0, 1.0, 2.5]),
        "top_k": picked.choice([0, 0, 3, 20]),
        "top_p": picked.choice([1.0, 1.0, 0.5, 0.93]),
        "min_p": picked.choice([0.0, 0.0, 0.02]),
        "typical_p": picked.choice([1.0, 1.0, 0.8]),
        "repetition_penalty": picked.choice([1.0, 1.2]),
        "no_repeat_ngram": picked.choice([0, 0, 2]),
        "logit_bias": picked.choice([{}, {2: 3.0, 9: -4.0}]),
        "allowed": picked.choice([None, None, tuple(range(0, 50, 2))]),
    }
    ids = picked.choices(range(8), k=14)
    return Row(Sampling(**options), picked.getrandbits(63), picked.randrange(9), 10, prompt=ids[:4], said=ids[4:])


def test_all_options_together_are_transformers_own_in_its_order(transformers_model):
    for case in range(300):
        row, logits = mixed(case), some_logits(case)
        assert choose(logits[None], [row]) == [by_transformers(transformers_model, logits, row)], row


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_is_the_same_alone_and_in_any_batch(dtype):
    logits = torch.stack([some_logits(case, 3001) for case in range(48)]).to(dtype)
    rows = [mixed(case) for case in range(46)]
    rows += [Row(Sampling(presence_penalty=1.0, frequency_penalty=0.4), 3, said=[1, 1, 2]), Row(Sampling(top_p=0.9), 1)]
    before = logits.clone()
    alone = [choose(logits[index, None], [row])[0] for index, row in enumerate(rows)]
    assert choose(logits, rows) == alone
    assert choose(logits.flip(0), rows[::-1]) == alone[::-1]
    assert choose(logits[7:19], rows[7:19]) == alone[7:19]
    assert torch.equal(logits, before)
    assert len(set(alone)) > 20


# What chi-squared of so many degrees of freedom stays below in all but one of ten thousand.
CRITICAL = {2: 18.4, 3: 21.1, 7: 29.9}


@pytest.mark.parametrize("options, kept", [
    ({}, 8), ({"temperature": 2.5}, 8), ({"top_k": 4}, 4), ({"top_p": 0.7}, 3), ({"top_k": 4, "top_p": 0.95}, 4),
])  # fmt: skip
def test_draws_follow_the_softmax_of_what_is_kept(options, kept):
    logits = torch.tensor([0.9, 2.0, -1.0, 1.2, 0.0, 1.6, -0.5, 0.4])
    shares = (logits / options.get("temperature", 1.0)).softmax(-1)
    likeliest = shares.argsort(descending=True)[:kept].tolist()
    drawn, whole = draws(logits, 10_000, **options), float(shares[likeliest].sum())
    assert set(drawn) == set(likeliest)
    expected = {token: 10_000 * float(shares[token]) / whole for token in likeliest}
    assert sum((drawn[token] - expected[token]) ** 2 / expected[token] for token in likeliest) < CRITICAL[kept - 1]


def test_neighbouring_positions_and_choices_are_independent():
    """Pairs of draws, each a fair coin: all four alike often."""
    coin, sampling = torch.zeros(2), Sampling()
    for steps in ({"position": 1}, {"choice": 1}, {"seed": 1}):
        places = ({"seed": 0, **{name: step * by for name, by in steps.items()}} for step in range(4001))
        rows = [Row(sampling, **place) for place in places]
        tokens = choose(coin.expand(4001, -1), rows)
        pairs = Counter(itertools.pairwise(tokens))
        assert sum((pairs[pair] - 1000) ** 2 / 1000 for pair in ((0, 0), (0, 1), (1, 0), (1, 1))) < CRITICAL[3], steps


def test_noise_is_a_function_of_seed_choice_position_and_token():
    flat, places = torch.zeros(1000), [(-(2**63), 0, 0), (2**63 - 1, 0, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1),
                                       (-1, 0, 0), (0, 2, 0), (0, 0, 2), (7, 3, 5)]  # fmt: skip
    tokens = [draw(flat, {}, seed=seed, choice=choice, position=position) for seed, choice, position in places]
    assert tokens == [int(gumbel(Row(Sampling(), *place), 1000).argmax()) for place in places]
    assert len(set(tokens)) == len(places)


@pytest.mark.parametrize("raw", [0, 2**64 - 1])
def test_the_ends_of_the_random_stream_are_inside_the_unit_interval(raw):
    """A uniform of 0 or 1 would be infinite noise."""
    assert 0 < uniform(np.uint64(raw)) == ((raw >> 12) + 0.5) / 2**52 < 1


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**40))
@settings(max_examples=30, deadline=None)
def test_the_stream_is_numpys(seed, choice, position):
    ours = [kernel_philox(np.uint64(seed), np.uint64(choice), np.uint64(block), np.uint64(position)) for block in (1, 2, 3)]
    theirs = np.random.Philox(key=seed + (choice << 64), counter=position << 64).random_raw(12)
    assert [number for block in ours for number in block] == theirs.tolist()


def test_a_padded_table_draws_the_same():
    """A draft model may have more or fewer rows of padding than the model it guesses for."""
    for position in range(50):
        logits = some_logits(position)
        padded = torch.cat((logits, torch.full((14,), -1e4)))
        for options in ({}, {"top_k": 7}, {"top_p": 0.8}):
            assert draw(logits, options, position=position) == draw(padded, options, position=position)


@settings(max_examples=15, deadline=None)
@given(top_k=st.integers(0, 8), top_p=st.sampled_from([0.05, 0.33, 0.5, 0.9, 0.999, 1.0]), seed=st.integers(0, 1000))
def test_what_is_drawn_is_what_the_definition_keeps(top_k, top_p, seed):
    """In plain Python: the k likeliest, then up to and including the token that reaches top_p of those."""
    logits = some_logits(seed, 8)
    p = logits.softmax(-1).tolist()
    order = sorted(range(8), key=lambda token: -p[token])[: top_k or None]
    expected, reached = set(), 0.0
    for token in order:
        if reached < top_p * sum(p[token] for token in order):
            expected.add(token)
        reached += p[token]
    drawn = set(draws(logits, top_k=top_k, top_p=top_p))
    assert {token for token in expected if p[token] > 0.1} <= drawn <= expected


@pytest.mark.parametrize("top_p, including, excluding", [
    (0.3, {0}, {0}), (0.5, {0}, {0}), (0.6, {0, 1}, {0}), (0.75, {0, 1}, {0, 1}), (0.8, {0, 1, 2}, {0, 1}),
    (0.95, {0, 1, 2, 3}, {0, 1, 2}),
])  # fmt: skip
def test_top_p_by_hand(top_p, including, excluding):
    """Shares 0.5, 0.25, 0.15, 0.1. GPT-2's code stops before its sum would pass top_p, but keeps one token."""
    logits = torch.tensor([0.5, 0.25, 0.15, 0.1]).log()
    assert set(draws(logits, top_p=top_p)) == including
    assert set(draws(logits, top_p=top_p, top_p_kind="excluding")) == excluding


def test_gpt2s_top_p_is_its_codes():
    """openai/gpt-2, src/sample.py, top_p_logits, line by line."""
    for case in range(200):
        logits, top_p = some_logits(case), (0.02, 0.4, 0.9, 0.99)[case % 4]
        falling = logits.sort(descending=True).values
        count = int((falling.softmax(-1).cumsum(-1) <= top_p).sum())
        kept = torch.where(logits < falling[max(count - 1, 0)], -1e10, logits.double())
        row = Row(Sampling(top_p=top_p, top_p_kind="excluding"), seed=case)
        assert choose(logits[None], [row]) == [int((kept + gumbel(row, VOCAB)).argmax())]


def test_tokens_as_likely_as_the_last_kept_are_kept():
    logits = torch.tensor([1.0, 0.0, 1.0, 1.0, -1.0])
    assert set(draws(logits, top_k=2)) == {0, 2, 3}
    assert set(draws(logits, top_p=0.2)) == {0, 2, 3}


def test_penalties_by_openais_formula():
    """mu[j] - c[j] * frequency - (c[j] > 0) * presence, of generated tokens only; the token 3 stands in the prompt alone."""
    logits, said, prompt = torch.tensor([2.0, 2.0, 2.0, 2.0, 1.0]), [0, 1, 1], [3, 3, 3]
    expected = torch.tensor([2 - 0.7 - 0.4, 2 - 0.7 - 2 * 0.4, 2.0, 2.0, 1.0])
    for position in range(200):
        row = Row(Sampling(presence_penalty=0.7, frequency_penalty=0.4), 5, 0, position, prompt, said)
        assert choose(logits[None], [row]) == [int((expected.double() + gumbel(row, 5)).argmax())]


def test_a_penalty_turns_a_greedy_choice():
    logits = torch.tensor([1.0, 1.5, 1.4])
    assert [draw(logits, {"temperature": 0, "presence_penalty": by}, said=[1]) for by in (0, 0.2, -0.2)] == [1, 2, 1]
    assert draw(logits, {"temperature": 0, "frequency_penalty": 0.05}, said=[1, 1, 1, 1]) == 2
    assert draw(logits, {"temperature": 0, "presence_penalty": 2.0}, prompt=[1]) == 1


@pytest.mark.parametrize("temperature", [0, 1e-9, 9e-6])
def test_greedy_takes_the_first_of_the_likeliest(temperature):
    logits = torch.tensor([0.0, 3.0, 3.0, -1.0])
    assert draw(logits, {"temperature": temperature}) == 1
    assert draw(logits, {"temperature": temperature, "logit_bias": {1: -1.0}}) == 2
    assert draw(logits, {"temperature": temperature, "repetition_penalty": 2.0}, prompt=[1, 2, 3]) == 1


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_f35_a_row_that_is_not_finite_leaves_the_others_alone(bad):
    logits = torch.stack([some_logits(case) for case in range(4)])
    rows = [Row(Sampling(), 1), Row(Sampling(temperature=0), 1), Row(Sampling(top_k=3), 1), Row(Sampling(), 2)]
    good = choose(logits, rows)
    logits[1, 4] = logits[2, 49] = bad
    assert choose(logits, rows) == [good[0], NOT_FINITE, NOT_FINITE, good[3]]


def test_f09_nothing_left_is_a_result_of_its_row():
    logits = some_logits(0, 4).expand(5, -1)
    banned = dict.fromkeys(range(4), -100)
    rows = [Row(Sampling(allowed=(2,), logit_bias={2: -100}), 1), Row(Sampling(allowed=(2,)), 1),
            Row(Sampling(logit_bias=banned), 1), Row(Sampling(no_repeat_ngram=1), 1, prompt=[0, 1], said=[2, 3]),
            Row(Sampling(logit_bias=dict(list(banned.items())[:3])), 1)]  # fmt: skip
    assert choose(logits, rows) == [NOTHING_LEFT, 2, NOTHING_LEFT, NOTHING_LEFT, 3]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e4, 3e36])
@pytest.mark.parametrize("options", [
    {"temperature": 1e-5}, {"temperature": 100.0}, {"top_p": 1e-6}, {"typical_p": 1e-6}, {"repetition_penalty": 0.1},
    {"repetition_penalty": 10.0}, {"min_p": 1.0},
], ids=str)  # fmt: skip
def test_f08_extremes_draw_a_token(scale, options):
    """Without a warning, which would be an error here."""
    assert 0 <= draw(some_logits(1) * scale, {"logit_bias": {1: 100.0}, **options}, prompt=[1, 2, 3]) < VOCAB


def test_what_is_far_below_the_likeliest_is_never_drawn():
    logits = torch.full((20_000,), -42.0)
    logits[777] = 0.0
    assert set(draws(logits, 200)) == {777}


def test_log_probs_are_raw_and_the_same_in_any_batch():
    logits = torch.stack([some_logits(case, 40_000) for case in range(5)])  # so long that one row alone is a case of its own
    found = log_probs(logits)
    exact = logits.double() - logits.double().exp().sum(-1, keepdim=True).log()
    torch.testing.assert_close(found.double(), exact, atol=1e-5, rtol=0)
    assert all(torch.equal(log_probs(logits[index, None])[0], found[index]) for index in range(5))
    assert log_probs(logits.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("field, value", [
    ("temperature", -0.1), ("temperature", float("nan")), ("temperature", 1e9), ("temperature", "1"), ("top_p", 0),
    ("top_p", 1.1), ("top_p", float("nan")), ("top_p_kind", "both"), ("top_k", -1), ("top_k", 2.5), ("min_p", -0.1),
    ("min_p", 1.5), ("typical_p", 0), ("typical_p", 2), ("presence_penalty", 2.1), ("frequency_penalty", -2.1),
    ("repetition_penalty", 0), ("repetition_penalty", float("inf")), ("no_repeat_ngram", -1), ("no_repeat_ngram", 1.0),
    ("seed", 2**64), ("seed", -(2**63) - 1), ("seed", 0.5), ("logit_bias", {1: 101}), ("logit_bias", {1: float("nan")}),
    ("logit_bias", {-1: 1.0}), ("logit_bias", {"abc": 1.0}), ("logit_bias", {True: 1.0}),
    ("logit_bias", dict.fromkeys(range(1025), 1.0)), ("allowed", ()), ("allowed", (1, -1)), ("stop", [""]),
    ("stop", ["a"] * 1000), ("stop", ["a" * 2**20]), ("stop", [3]),
], ids=lambda value: str(value)[:20])  # fmt: skip
def test_f08_f09_f10_f11_out_of_range(field, value):
    with pytest.raises(GenusError, match=field):
        Sampling(**{field: value})


def test_f09_tokens_beyond_the_vocabulary():
    Sampling(logit_bias={49: 1.0}, allowed=(49,)).check_vocab(50)
    for options in ({"logit_bias": {50: 1.0}}, {"allowed": (3, 50)}):
        with pytest.raises(GenusError, match=f"{next(iter(options))} names token 50; this model's ids go from 0 to 49"):
            Sampling(**options).check_vocab(50)


def test_sampling_is_a_value():
    """What it was made from may change; it does not."""
    bias = {1: 2.0}
    sampling = Sampling(logit_bias=bias, stop=["a", "b"], allowed=[1, 2])
    bias[1] = 9.0
    assert sampling == Sampling(logit_bias={1: 2.0}, stop=("a", "b"), allowed=(1, 2))
    assert hash(sampling) == hash(dataclasses.replace(sampling))
    assert Sampling(stop="###").stop == ("###",)
    assert Sampling(seed=4).draw_seed() == 4
    assert len({Sampling().draw_seed() for _ in range(100)}) == 100


def test_randomness_of_others_is_left_alone():
    torch.manual_seed(0)
    np.random.seed(0)
    before, ours = torch.get_rng_state(), np.random.get_state()[1].copy()
    draws(some_logits(1))
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(ours, np.random.get_state()[1])
