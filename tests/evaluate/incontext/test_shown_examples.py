"""Prompts: K examples drawn for each item, never the item itself; and how context and completion become tokens."""

import pytest

from genus.core.errors import GenusError
from genus.evaluate.incontext.encoding import encode_pairs
from genus.evaluate.incontext.example import Example
from genus.evaluate.incontext.prompts import Prompts
from genus.evaluate.incontext.task import Task
from genus.tokenizers.bytelevel import train
from tests.train.tiny import WORDS

TASK = Task(name="t", kind="choice", file="", context="Q {q}", completion=" {choice}", separator="\n--\n")
PARTIAL = Task(name="p", kind="partial", file="", context="{choice}", completion=" {q}", instruction="Read.", separator="\n")


def items(count, first=0):
    return [
        Example(place=f"line {n}", fields={"q": str(n)}, choices=("a", f"b{n}"), gold=n % 2)
        for n in range(first, first + count)
    ]


def test_without_examples_there_is_only_the_item():
    prompts = Prompts(TASK, own := items(3), own, 0, 5)
    assert (prompts[1].contexts, prompts[1].completions, prompts[1].gold) == (("Q 1",), (" a", " b1"), 1)
    assert [prompts[n] for n in range(3)] == [Prompts(TASK, own, items(9, 50), 0, 7)[n] for n in range(3)]
    assert Prompts(PARTIAL, own, own, 0, 0)[1].contexts == ("Read.\na", "Read.\nb1")


def test_examples_are_shown_with_what_is_right():
    own = items(2)
    assert Prompts(TASK, own, own, 1, 0)[0].contexts == ("Q 1 b1\n--\nQ 0",)
    assert Prompts(TASK, own, own, 1, 0)[1].contexts == ("Q 0 a\n--\nQ 1",)
    found = Prompts(PARTIAL, own, own, 1, 0)[0]
    assert found.contexts == ("Read.\nb1 1\na", "Read.\nb1 1\nb0") and found.completions == (" 0",)
    assert found.pairs == [(context, " 0") for context in found.contexts]
    assert found.shown == ("line 1",)


def test_never_the_item_itself_nor_its_like():
    own = items(12)
    prompts = Prompts(TASK, own, own, 11, 0)
    for number, item in enumerate(own):
        assert set(prompts[number].shown) == {each.place for each in own if each is not item}
    twice = [*own, *items(12)]  # each record stands there twice
    assert all(item.place not in Prompts(TASK, twice, twice, 9, 0)[n].shown for n, item in enumerate(own))
    other = items(4, first=2)  # of which the third item is one
    assert "line 2" not in Prompts(TASK, own, other, 3, 0)[2].shown


def test_the_seed_and_the_item_alone_decide():
    own, pool = items(6), items(100, first=100)
    drawn = [Prompts(TASK, own, pool, 5, 0)[n].shown for n in range(6)]
    assert [Prompts(TASK, own[: n + 1], pool, 5, 0)[n].shown for n in reversed(range(6))] == drawn[::-1]
    assert len(set(drawn)) == 6 and all(len(set(each)) == 5 for each in drawn)
    assert [Prompts(TASK, own, pool, 5, 1)[n].shown for n in range(6)] != drawn


def test_too_few_to_draw_from():
    with pytest.raises(GenusError, match="line 0: 3 examples cannot be drawn of 2 other records; lower --shots"):
        Prompts(TASK, own := items(3), own, 3, 0)
    assert len(Prompts(TASK, items(3), items(3, first=9), 3, 0)[0].shown) == 3
    with pytest.raises(GenusError, match="line 2: 3 examples cannot be drawn of 2 other records"):
        Prompts(TASK, items(3), [*items(1, first=2), *items(2, first=7)], 3, 0)


@pytest.fixture(scope="module")
def tokenizer():
    return train(iter(WORDS * 4), vocab=300)


def test_tokens_are_those_of_the_whole_text(tokenizer):
    pairs = [("the people", " of these"), ("the people ", "of these"), ("all th", "e people of"), ("", "peace and")]
    found = encode_pairs(tokenizer, pairs)
    for (context, completion), each in zip(pairs[:3], found, strict=False):
        assert [*each.request.context, *each.request.completion] == tokenizer.encode(context + completion)
    assert found[0] == found[1]  # a space that ends a context belongs to what follows
    assert list(found[0].request.context) == tokenizer.encode("the people")
    assert [each.merged for each in found] == [False, False, True, False]
    assert tokenizer.decode(found[2].request.completion) == " the people of"
    assert found[3].request.context == (tokenizer.end_of_text,)  # what starts a text


def test_a_completion_that_is_no_token(tokenizer):
    with pytest.raises(GenusError, match="the completion '' is no token"):
        encode_pairs(tokenizer, [("the", "")])
