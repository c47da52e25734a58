"""What repeats, and where a loop starts, by hand and against a search over everything."""

import random

import pytest

from genus.evaluate.degeneration import Loop, distinct, find_loop, measures, repeated
from genus.evaluate.looping import picture


def test_repeated_and_distinct():
    assert repeated([1, 2, 1, 2, 1], 2) == pytest.approx(1 - 2 / 4)  # 12 21 12 21
    assert repeated([1, 2, 3], 2) == 0 == repeated([1], 2) == repeated([], 1)
    assert distinct([[1, 2, 1], [1, 2]], 2) == pytest.approx(2 / 3) and distinct([[1]], 2) is None


def test_a_loop_starts_where_the_first_token_comes_again():
    text = [9, 8, 7]
    assert find_loop([*text, *[1, 2, 3, 4] * 3]) == Loop(start=3 + 4, period=4)
    assert find_loop([*text, *[1, 2, 3, 4] * 3, 1, 2]) == Loop(7, 4)  # cut within a round
    assert find_loop([*text, *[1] * 12]) == Loop(4, 1)
    assert find_loop([*text, *[1] * 11]) is None  # too short
    assert find_loop([*text, *[1, 2, 3, 4, 5, 6] * 2]) is None  # only twice
    assert find_loop([*text, *[1, 2, 3, 4] * 5, 9]) is None  # left again
    assert find_loop([]) is None and find_loop([1] * 12) == Loop(1, 1)


def by_search(tokens, times=3, least=12):
    best = None
    for period in range(1, len(tokens) // times + 1):
        for first in range(len(tokens) - max(times * period, least) + 1):
            if all(tokens[i] == tokens[i - period] for i in range(first + period, len(tokens))):
                if best is None or first < best[0]:
                    best = first, period
                break
    return best and Loop(best[0] + best[1], best[1])


def test_loops_are_those_that_a_search_finds():
    draw = random.Random(0)
    found = 0
    for _ in range(300):
        before = [draw.randrange(3) for _ in range(draw.randrange(8))]
        tokens = before + [draw.randrange(3) for _ in range(draw.randrange(1, 7))] * draw.randrange(1, 8)
        assert find_loop(tokens) == by_search(tokens), tokens
        found += find_loop(tokens) is not None
    assert 100 < found < 300


def test_measures_of_a_setting():
    loop, plain = [1, 2] * 10, list(range(20))
    found = measures({"greedy": [loop, plain, loop]})
    assert found["greedy: loops"].value == pytest.approx(2 / 3) and found["greedy: start of loops"].value == 2
    assert found["greedy: repeated 1"].value == pytest.approx(2 * 0.9 / 3)
    assert found["greedy: distinct 1"].value == pytest.approx(20 / 60)


def test_the_picture_has_a_bar_and_a_step_for_each_setting():
    drawn = picture({"greedy": [0.9, 0.8], "top-p": [0.1, 0.0]}, {"greedy": [4, None], "top-p": [None, None]}, 40)
    assert drawn.startswith("<svg") and drawn.count("greedy") == 1 and "tokens written" in drawn
    assert drawn == picture({"greedy": [0.9, 0.8], "top-p": [0.1, 0.0]}, {"greedy": [4, None], "top-p": [None, None]}, 40)
