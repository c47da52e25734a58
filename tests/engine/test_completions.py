"""Whole completions: best_of by hand, and beam search against transformers'."""

import pytest
import torch
import transformers

from genus.core.errors import GenusError
from genus.engine.completions import beam_search, complete
from genus.engine.request import Request
from genus.engine.sampling import Sampling
from genus.models.attend import DenseAttend
from genus.models.families import family_named
from genus.models.weights import save_model
from tests.engine.test_routes import CONTEXT, make_engine, make_model


@pytest.fixture(scope="module")
def network():
    return make_model("gpt2")


def test_best_of_is_the_best_of_all(network):
    request = Request(prompt=(1, 2, 3), max_tokens=5, n=2, sampling=Sampling(seed=3))
    (best,) = complete(make_engine(network, budget=64), [request], best_of=6)
    many = Request(prompt=(1, 2, 3), max_tokens=5, n=6, sampling=Sampling(seed=3), log_probs=0)
    (every,) = complete(make_engine(network, budget=64), [many])
    ranked = sorted(every, key=lambda choice: -sum(score.log_prob for score in choice.scores) / 5)
    assert [choice.tokens for choice in best] == [choice.tokens for choice in ranked[:2]]
    assert len({choice.tokens for choice in every}) > 2
    with pytest.raises(GenusError, match="best_of = 1 must be at least n = 2"):
        complete(make_engine(network), [request], best_of=1)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("width", [2, 4])
def test_beams_are_those_of_transformers(network, tmp_path, width, length_penalty):
    save_model(tmp_path, network, family_named("gpt2"), end_of_text=0)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    prompts = ([1, 2, 3], [9, 8], [30], [40, 41, 42, 43])
    ended = 0
    for prompt in prompts:
        greedy = Request(prompt=tuple(prompt), max_tokens=9, sampling=Sampling(temperature=0))
        ((said,),) = complete(make_engine(network, budget=64), [greedy])
        for end in {said.tokens[3], said.tokens[8]}:
            options = {"num_beams": width, "num_return_sequences": width, "early_stopping": False}
            written = theirs.generate(
                torch.tensor([prompt]),
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                max_new_tokens=CONTEXT - 6,
                do_sample=False,
                eos_token_id=end,
                pad_token_id=end,
                length_penalty=length_penalty,
                **options,
            )
            request = Request(prompt=tuple(prompt), max_tokens=CONTEXT - 6, ends=frozenset({end}))
            found = beam_search(make_engine(network, budget=64), request, width, length_penalty)
            expected = [row[len(prompt) :].tolist() for row in written]
            cut = [tuple(row[: row.index(end)] if end in row else row) for row in expected]
            assert [choice.tokens for choice in found] == cut
            ended += sum(end in row for row in expected)
    assert ended > 0


@torch.no_grad()
def test_a_beam_as_wide_as_all_ranks_all_as_gnmt(network):
    """Every text of one or two tokens, by Wu et al. 2016, equation 14."""
    prompt, ends = (1, 2, 3), frozenset(range(30))

    def after(*said):
        ids = torch.tensor([[*prompt, *said]])
        return network(ids, torch.arange(ids.shape[1])[None], DenseAttend(network.spec))[0, -1].log_softmax(-1).tolist()

    first, ranked = after(), []
    for token in range(50):
        if token in ends:
            ranked.append((first[token], ()))  # ((5 + 1) / 6) ** 0.6 is 1
        else:
            second = after(token)
            both = [((first[token] + second[last]) / (7 / 6) ** 0.6, last) for last in range(50)]
            ranked += [(rank, (token,) if last in ends else (token, last)) for rank, last in both]
    request = Request(prompt=prompt, max_tokens=2, ends=ends)
    found = beam_search(make_engine(network, budget=64), request, 100, length_penalty=0.6, offset=5)
    best = [said for _, said in sorted(ranked, reverse=True)[:100]]
    assert [choice.tokens for choice in found] == best
    assert {0, 1, 2} == {len(said) for said in best}
    plain = beam_search(make_engine(network, budget=64), request, 100, length_penalty=0.6)
    assert [choice.tokens for choice in plain] != best
