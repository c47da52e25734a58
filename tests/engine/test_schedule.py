"""The scheduler and the engine around a model that hashes what it reads: every wrong page, place or order would show."""

import itertools
import math
from collections import Counter

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genus.core.errors import GenusError
from genus.engine.engine import Engine
from genus.engine.request import Event, Request
from genus.engine.sampling import Sampling
from genus.engine.schedule import Limits, Pace
from tests.engine.fake import VOCAB, HashModel, hashed

SMALL = Limits(budget=8, beside=4, most=6, slowing=math.inf)  # whatever the time


def ask(prompt, max_tokens=6, seed=1, **fields) -> Request:
    return Request(prompt=tuple(prompt), max_tokens=max_tokens, sampling=Sampling(seed=seed), **fields)


def run(engine: Engine, requests) -> list[dict[int, tuple[int, ...]]]:
    """Each request's choices, run together to the end."""
    said: dict[int, dict[int, tuple[int, ...]]] = {engine.add(request): {} for request in requests}
    while not engine.idle:
        for event in engine.step():
            choices = said[event.request]
            choices[event.choice] = choices.get(event.choice, ()) + event.tokens
    assert engine.at_rest
    return list(said.values())


def alone(request: Request, windows=(None,)) -> dict[int, tuple[int, ...]]:
    """What the request says with an engine of its own, one page for all it needs, nothing shared, all read at once."""
    limits = Limits(budget=256, beside=256)
    return run(Engine(HashModel(64, 64, windows, sharing=False), limits=limits), [request])[0]


def test_a_request_alone_is_a_loop():
    """Against the loop that anyone would write: hash all, choose, append."""
    from genus.engine.sample import Row, choose

    request = ask([1, 2, 3], max_tokens=5)
    model, tokens = HashModel(1, size=64), [1, 2, 3]
    table, _ = model.cache.admit(tokens, "", [1])

    class Whole:
        def __init__(self):
            self.branch, self.tokens, self.start, self.count = self, list(tokens), 0, len(tokens)
            self.table, self.number, self.choice = table, 0, 0

    model.cache.grow(table, 10)
    for position in range(5):
        row = Row(request.sampling, 1, 0, position, (1, 2, 3), tokens[3:], None)
        tokens += choose(model.read([Whole()], [1]), [row])
    assert alone(request) == {0: tuple(tokens[3:])}


def test_steps_mix_those_who_generate_with_pieces_of_prompts():
    model = HashModel(64)
    engine = Engine(model, limits=SMALL)
    run(engine, [ask([1, 2], 4), ask(range(12), 2)])
    assert model.reads[:3] == [
        [(1, 0, 0, 2), (2, 0, 0, 6)],  # a budget of 8
        [(1, 0, 2, 1), (2, 0, 6, 4)],  # 4 beside one who generates
        [(1, 0, 3, 1), (2, 0, 10, 2)],
    ]
    model = HashModel(64)
    engine = Engine(model, limits=Limits(budget=64, beside=4, most=6, slowing=math.inf))
    model.reads.clear()
    engine.add(ask([1], 4))
    engine.step()
    for first in (2, 3):
        engine.add(ask([first] * 20, 2))
    engine.step()
    assert model.reads[-1] == [(1, 0, 1, 1), (2, 0, 0, 8)]  # 4 for each who waits


class Steps:
    """A clock by which a step takes a second, and another for each token of a prompt that it reads beside others."""

    def __init__(self, model):
        self.model, self.steps, self.now = model, 0, 0.0

    def __call__(self):
        for step in self.model.reads[self.steps :]:
            self.now += 1 + sum(count for _, _, _, count in step if count > 1)
        self.steps = len(self.model.reads)
        return self.now


@pytest.mark.parametrize(("slowing", "waiting"), [(0.15, 1), (0.15, 3), (0.5, 1), (2.0, 1)])
def test_prompts_that_wait_slow_the_others_by_so_much(slowing, waiting):
    model = HashModel(256)
    engine = Engine(model, limits=Limits(budget=64, beside=4, most=6, slowing=slowing), clock=(clock := Steps(model)))
    engine.add(ask([1], 400))
    for _ in range(5):
        engine.step()
    first, began = len(model.reads), clock()
    for number in range(waiting):
        engine.add(ask([2 + number, *[place % 7 for place in range(60)]], 1))
    while len(engine.requests) > 1:
        engine.step()
    steps = len(model.reads) - first
    assert (clock() - began) / steps == pytest.approx(1 + slowing * waiting, rel=0.1)


def test_a_machine_that_stood_still_owes_little():
    pace = Pace(0.15)
    pace.took(1.0, 1, read=False)
    pace.took(10_000.0, 1, read=True)
    for _ in range(70):
        pace.took(1.0, 1, read=False)
    assert pace.may_read


def test_who_does_not_fit_waits_and_nobody_passes():
    """12 pages of 4: 5 + 5 tokens need 3 pages each."""
    model = HashModel(6)
    engine = Engine(model, limits=SMALL)
    big, small = ask([*range(5)], 5), ask([9], 2)
    said = run(engine, [big, ask([9, 9, 9, 9, 9], 5), ask([8, 8, 8, 8, 8], 12), small])
    assert said == [alone(each) for each in (big, ask([9, 9, 9, 9, 9], 5), ask([8, 8, 8, 8, 8], 12), small)]
    first = [next(i for i, step in enumerate(model.reads) if number in {r[0] for r in step}) for number in (1, 2, 3, 4)]
    assert first[0] == first[1] < first[2] <= first[3]


@pytest.mark.parametrize(("request_", "words"), [
    (ask([1] * 30, 30), "needs 15 pages and the cache has 6"),
    (ask([1], 4, n=7), "n = 7 is more than the 6"),
])  # fmt: skip
def test_what_can_never_run_is_refused(request_, words):
    engine = Engine(HashModel(6), limits=SMALL)
    with pytest.raises(GenusError, match=words):
        engine.add(request_)
    assert engine.at_rest


def test_choices_share_the_prompt():
    """n choices are those of n requests that differ in nothing but the number of their choice; the prompt is read once."""
    model = HashModel(64)
    together = run(Engine(model, limits=SMALL), [ask(range(7), 5, n=4)])[0]
    assert together == alone(ask(range(7), 5, n=4))
    assert len(set(together.values())) > 1
    assert sum(count for step in model.reads for _, _, start, count in step if start < 7) == 7


@pytest.mark.parametrize("windows", [(None,), (None, 6), (3,)])
def test_a_known_beginning_is_not_read_again(windows):
    model = HashModel(64, windows=windows)
    engine = Engine(model, limits=SMALL)
    first = run(engine, [ask(range(13))])
    read = len(model.reads)
    assert run(engine, [ask(range(13))]) == first
    assert sum(count for step in model.reads[read:] for _, _, start, count in step if start < 13) == 1


@pytest.mark.parametrize("windows", [(None,), (None, 6), (3,)])
@pytest.mark.parametrize("budget", [7, 8, 30, 200])
def test_who_comes_together_reads_an_equal_beginning_once(windows, budget):
    """Whatever piece of it a step reads, and while some generate already."""
    model = HashModel(200, 4, windows)
    engine = Engine(model, limits=Limits(budget=budget, beside=3, most=7))
    common = [place % 5 for place in range(20)]
    requests = [ask([*common, 9, 9, number], 3) for number in range(7)]
    assert run(engine, requests) == [alone(request, windows) for request in requests]
    prompts = sum(min(count, 23 - start) for step in model.reads for _, _, start, count in step if start < 23)
    assert prompts == 20 + 7 * 3


def test_who_only_scores_is_followed_but_follows_nobody():
    model = HashModel(200)
    engine = Engine(model, limits=Limits(budget=8, beside=8, most=4))
    prompt = [place % 5 for place in range(21)]
    run(engine, [ask(prompt, 2), ask(prompt, 2, echo=True), ask(prompt, 2)])
    read = [
        sum(min(count, 21 - start) for step in model.reads for r, _, start, count in step if r == number and start < 21)
        for number in (1, 2, 3)
    ]
    assert read == [21, 21, 1]


def test_following_breaks_no_promise():
    """A page that nobody uses is shared out of one's own promise, or not at all."""
    from genus.engine.pages import Cache

    cache = Cache(4, (None,), [4])
    table, _ = cache.admit([1, 2, 3, 4, 5], "", [1])
    cache.grow(table, 4)
    cache.read(table, [1, 2, 3, 4, 5], 4)
    follower, found = cache.admit([1, 2, 3, 4, 5, 6], "", [2], found=False)
    assert found == 0
    cache.release(table)  # its page is idle now
    assert cache.groups[0].unpromised == 2
    assert cache.follow(follower, [1, 2, 3, 4, 5, 6], 0) == 4
    assert (cache.groups[0].unpromised, follower.room) == (2, [1])
    cache.release(follower)
    assert cache.at_rest
    follower, _ = cache.admit([1, 2, 3, 4, 5, 6], "", [0], found=False)
    assert cache.admit([7], "", [4]) is not None
    assert cache.groups[0].unpromised == 0
    assert cache.follow(follower, [1, 2, 3, 4, 5, 6], 0) == 0


def test_salts_keep_apart():
    model = HashModel(64)
    engine = Engine(model, limits=SMALL)
    for salt in ("a", "b"):
        run(engine, [ask(range(13), salt=salt)])
    assert sum(count for step in model.reads for _, _, start, count in step if start < 13) == 26


def test_the_prompt_is_scored_with_and_without_known_pages():
    """Each score is the log-softmax of the hash; what is cached makes no difference."""
    model = HashModel(64)
    engine = Engine(model, limits=SMALL)
    run(engine, [ask(range(13))])
    scored = ask(range(13), 1, echo=True, log_probs=2)
    (first, second) = [list(engine.stream(scored)) for _ in range(2)]
    strip = lambda events: [(event.tokens, event.scores, event.prompt_scores) for event in events]  # noqa: E731
    assert strip(first) == strip(second)
    scores = next(event.prompt_scores for event in first if event.prompt_scores)
    assert [score.token for score in scores] == [*range(13)]
    assert scores[0].log_prob is None
    for score in scores[1:]:
        assert score.log_prob <= score.top[0][1]
        assert len(score.top) == 2
    only = list(engine.stream(ask(range(13), 0, echo=True)))
    assert [score[:2] for event in only for score in event.prompt_scores] == [score[:2] for score in scores]
    assert only[-1].finish == "length"
    assert engine.at_rest


@pytest.mark.parametrize("step", range(7))
def test_aborted_in_every_phase(step):
    """Queued, in its prompt's pieces, with its choices half done: all is free, and the others are as they were."""
    engine = Engine(HashModel(24), limits=SMALL)
    numbers = [engine.add(each) for each in (ask([5], 9), ask(range(12), 6, n=3), ask([7] * 9, 9))]
    kept: tuple[int, ...] = ()
    for _ in range(step):
        kept += tuple(token for event in engine.step() if event.request == numbers[0] for token in event.tokens)
    assert all(event.finish == "aborted" for number in numbers[1:] for event in engine.abort(number))
    assert engine.abort(numbers[1]) == []
    while not engine.idle:
        kept += tuple(token for event in engine.step() for token in event.tokens)
    assert kept == alone(ask([5], 9))[0]
    assert engine.at_rest


def test_giving_up_a_stream_aborts_it():
    engine = Engine(HashModel(24), limits=SMALL)
    stream = engine.stream(ask([1, 2], 9))
    next(stream)
    stream.close()
    assert engine.at_rest


def test_a_stream_beside_others_loses_nothing():
    engine = Engine(HashModel(24), limits=SMALL)
    other, mine = ask([3], 9), ask([1, 2], 4)
    number = engine.add(other)
    assert tuple(token for event in engine.stream(mine) for token in event.tokens) == alone(mine)[0]
    events: list[Event] = []
    while not engine.idle:
        events += engine.step()
    assert {event.request for event in events} == {number}
    assert tuple(token for event in events for token in event.tokens) == alone(other)[0]


def test_deadlines():
    now = [0.0]
    engine = Engine(HashModel(24), limits=SMALL, clock=lambda: now[0])
    late = engine.add(ask([1], 9, timeout=5.0, since=0.0))
    engine.add(ask([2], 9, timeout=500.0, since=0.0))
    engine.step()
    now[0] = 6.0
    ended = [event for event in engine.step() if event.finish]
    assert [(event.request, event.finish) for event in ended] == [(late, "deadline")]
    while not engine.idle:
        engine.step()
    assert engine.at_rest


@pytest.mark.parametrize("kind", ["raises", "nan"])
@pytest.mark.parametrize("limits", [SMALL, Limits(budget=64, beside=64)])
def test_one_bad_row_hurts_nobody_else(kind, limits):
    model = HashModel(64)
    model.broken[12] = kind
    engine = Engine(model, limits=limits)
    good = [ask([1, 2, 3], 3), ask([4] * 9, 3)]
    numbers = [engine.add(each) for each in (good[0], ask([1, 12, 1], 4), good[1])]
    said: dict[int, list[Event]] = {number: [] for number in numbers}
    while not engine.idle:
        for event in engine.step():
            said[event.request].append(event)
    assert said[numbers[1]][-1].finish == "error"
    assert ("planted" in said[numbers[1]][-1].error) == (kind == "raises")
    for number, request in zip((numbers[0], numbers[2]), good, strict=True):
        tokens = tuple(token for event in said[number] for token in event.tokens)
        if 12 not in tokens:  # it would have been broken alone too
            assert tokens == alone(request)[0]
    assert engine.at_rest


def test_without_promises_the_youngest_starts_over():
    model = HashModel(5)
    engine = Engine(model, limits=Limits(budget=8, beside=4, most=6, optimistic=True))
    requests = [ask([token] * 3, 12) for token in range(4)]
    assert run(engine, requests) == [alone(each) for each in requests]
    assert engine.scheduler.preempted > 0


@pytest.mark.parametrize("prompt", [[1, 2, 3, 4] * 5, [7] * 9, [1, 2, 3]])
def test_guesses_change_no_token(prompt):
    model = HashModel(64)
    engine = Engine(model, limits=Limits(budget=64, beside=8, most=4), guesses=4)
    greedy = Request(prompt=tuple(prompt), max_tokens=40, sampling=Sampling(temperature=0))
    for request in (greedy, ask(prompt, 40, n=2)):
        assert run(engine, [request])[0] == alone(request)


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("windows", [(None,), (None, 6)])
@pytest.mark.parametrize("pages", [64, 5])
def test_a_draft_changes_no_token(same, pages, windows):
    """A draft that thinks alike, one that does not, and one without room for all. The noise is the same: thinking alike is
    agreeing, whatever the temperature."""

    class Other(HashModel):
        def _logits(self, work, place):
            return [*super()._logits(work, place)[1:], 0.0]

    draft, model = (HashModel if same else Other)(pages, windows=windows), HashModel(64, windows=windows)
    engine = Engine(model, limits=Limits(budget=64, beside=8, most=6), guesses=4, draft=draft)
    requests = [ask([1, 2, 3], 30, n=2), ask([4] * 9, 20, seed=7), ask([5], 1)]
    assert run(engine, requests) == [alone(each, windows) for each in requests]
    assert draft.cache.at_rest
    if same and pages == 64:
        assert len(model.reads) <= 2 + 30 // 5


def test_a_draft_forgets_its_wrong_guesses():
    """One that thinks alike at six places of seven is right again after it was wrong, which a wrong token in its cache would
    prevent."""

    class Mostly(HashModel):
        def _logits(self, work, place):
            logits = super()._logits(work, place)
            return logits if place % 7 else logits[::-1]

    model = HashModel(64)
    engine = Engine(model, guesses=4, draft=Mostly(64))
    assert run(engine, [ask([1, 2, 3], 40)]) == [alone(ask([1, 2, 3], 40))]
    assert len(model.reads) <= 1 + 2 * 40 // 7 + 1


def test_guessed_texts_have_the_model_s_distribution():
    """10,000 texts of three tokens, guessed by a model that thinks otherwise, against all 13^3 texts' probabilities."""

    class Other(HashModel):
        def _logits(self, work, place):
            return [2 * logit for logit in super()._logits(work, place)]

    model = HashModel(256)
    engine = Engine(model, limits=Limits(budget=256, beside=256, most=60), guesses=2, draft=Other(256))
    found = Counter(said[0] for said in run(engine, [ask([1, 2], 3, seed=seed) for seed in range(10_000)]))
    expected: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(3):
        expected = {
            (*said, token): chance * share
            for said, chance in expected.items()
            for token, share in enumerate(next_shares([1, 2, *said]))
        }
    likely = [said for said, chance in expected.items() if chance >= 5e-4]  # five or more expected
    rest = 1 - sum(expected[said] for said in likely)
    counts = [found[said] for said in likely] + [10_000 - sum(found[said] for said in likely)]
    shares = [expected[said] for said in likely] + [rest]
    statistic = sum((count - 10_000 * share) ** 2 / (10_000 * share) for count, share in zip(counts, shares, strict=True))
    freedom = len(likely)
    assert freedom > 100
    assert statistic < freedom + 4 * (2 * freedom) ** 0.5  # four standard deviations of chi-squared


def next_shares(tokens: list[int]) -> list[float]:
    """softmax of what the model hashes tokens to."""
    return torch.tensor(hashed([tokens])).softmax(-1).tolist()


def test_a_draft_of_other_tokens_is_refused():
    draft = HashModel(4)
    draft.vocab += 1
    with pytest.raises(GenusError, match="another tokenizer"):
        Engine(HashModel(4), draft=draft)


def test_a_right_guess_saves_a_step():
    """A model that says its own prompt again, whatever the hash."""

    class Echoing(HashModel):
        def _logits(self, work, place):
            return [100.0 if token == (place + 1) % 5 else 0.0 for token in range(VOCAB)]

    requests = [Request(prompt=tuple(i % 5 for i in range(11)), max_tokens=30, sampling=Sampling(temperature=0))]
    steps = []
    for guesses in (0, 5):
        model = Echoing(64)
        said = run(Engine(model, guesses=guesses), requests)
        assert said == [{0: tuple(i % 5 for i in range(11, 41))}]
        steps.append(len(model.reads))
    assert steps == [30, 1 + 6]  # the prompt's, then 2 guesses, 4, and 5 from there on


TOKENS = st.integers(0, 3)
REQUESTS = st.builds(
    ask,
    st.lists(TOKENS, min_size=1, max_size=14),
    st.integers(1, 8),
    seed=st.integers(0, 3),
    n=st.sampled_from([1, 1, 1, 2, 3]),
    salt=st.sampled_from(["", "", "s"]),
)
_alone: dict[tuple, dict[int, tuple[int, ...]]] = {}


def known_alone(request: Request) -> dict[int, tuple[int, ...]]:
    key = (request.prompt, request.max_tokens, request.sampling.seed, request.n)
    if key not in _alone:
        _alone[key] = alone(request)
    return _alone[key]


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    arrivals=st.lists(st.tuples(st.integers(0, 5), REQUESTS, st.none() | st.integers(0, 9)), min_size=1, max_size=6),
    pages=st.integers(12, 20),
    optimistic=st.booleans(),
    guesses=st.sampled_from([0, 3]),
    draft=st.booleans(),
)
def test_any_schedule_tells_each_what_it_would_hear_alone(arrivals, pages, optimistic, guesses, draft):
    """Random arrivals, lengths, choices and aborts: equal tokens, nothing leaks, nobody waits for ever."""
    limits = Limits(budget=7, beside=3, most=5, optimistic=optimistic)
    small = HashModel(pages // 2) if draft else None
    engine = Engine(HashModel(pages), limits=limits, guesses=guesses, draft=small)
    said: dict[int, dict[int, tuple[int, ...]]] = {}
    asked: dict[int, Request] = {}
    ends: dict[int, int] = {}
    waiting = sorted(arrivals, key=lambda arrival: arrival[0])
    for step in itertools.count():
        while waiting and waiting[0][0] <= step:
            _, request, given_up = waiting.pop(0)
            number = engine.add(request)
            asked[number], said[number] = request, {}
            if given_up is not None:
                ends[number] = step + given_up
        for number in [number for number, end in ends.items() if end == step]:
            engine.abort(number)
        if engine.idle and not waiting:
            break
        for event in engine.step():
            choices = said[event.request]
            choices[event.choice] = choices.get(event.choice, ()) + event.tokens
        assert step < 400, "somebody waits for ever"
    assert engine.at_rest
    assert small is None or small.cache.at_rest
    for number, request in asked.items():
        expected = known_alone(request)
        for choice, tokens in said[number].items():
            assert tokens == (expected[choice] if number not in ends else expected[choice][: len(tokens)])
        assert number in ends or len(said[number]) == request.n
