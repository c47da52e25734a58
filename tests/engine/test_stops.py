"""Stop strings in text that comes in pieces, against searches of the whole text."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genus.engine.stops import StopText
from genus.tokenizers.bytelevel import train
from genus.tokenizers.tokenizer import StreamDecoder
from tests.train.tiny import WORDS

OURS = train(iter(WORDS * 4), vocab=300)
LETTERS = "ab\u00e9🙂"


def shown(text: str, stops: list[str], cuts: list[int]) -> tuple[str, str | None]:
    """The text that is shown of pieces cut at `cuts`, and the stop string that was met."""
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    stopper = StopText(stops)
    pieces = [stopper.add(text[start:end]) for start, end in itertools.pairwise(places)]
    return "".join(pieces) + stopper.flush(), stopper.met


@given(st.text(LETTERS, max_size=40), st.text(LETTERS, min_size=1, max_size=5), st.lists(st.integers(0, 40), max_size=8))
def test_one_stop_string_is_str_find(text, stop, cuts):
    found = text.find(stop)
    assert shown(text, [stop], cuts) == ((text, None) if found < 0 else (text[:found], stop))


@given(st.text("ab\u00e9", max_size=60), st.lists(st.text("ab\u00e9", min_size=1, max_size=9), max_size=5),
       st.lists(st.integers(0, 60), max_size=8))  # fmt: skip
@example("aabaaabaaa\u00e9", ["aabaaa\u00e9"], [])  # falls back by more than one step
def test_of_many_the_first_to_be_complete_ends_the_text(text, stops, cuts):
    """By str.find of each in the whole text; of those that end at one character, the longest."""
    ends = [(text.find(stop) + len(stop), -len(stop), stop) for stop in stops if stop in text]
    end, minus, met = min(ends, default=(len(text), 0, None))
    assert shown(text, stops, cuts) == (text[: end + minus], met)


@given(st.text("ab", max_size=60), st.lists(st.text("ab", min_size=1, max_size=9), min_size=1, max_size=4))
@example("aabaaabaaac", ["aabaaac"])  # falls back by more than one step
def test_no_more_is_held_back_than_may_begin_a_stop_string(text, stops):
    stopper, given_out = StopText(stops), ""
    for index, character in enumerate(text):
        given_out += stopper.add(character)
        if stopper.met is not None:
            break
        held = text[len(given_out) : index + 1]
        assert text[: index + 1] == given_out + held
        endings = [text[start : index + 1] for start in range(index + 2)]
        assert held == next(ending for ending in endings if any(stop.startswith(ending) for stop in stops))


def test_nothing_is_shown_after_the_end():
    stopper = StopText(["."])
    assert [stopper.add("One. Two"), stopper.add(" three."), stopper.flush(), stopper.met] == ["One", "", "", "."]


@pytest.mark.parametrize(
    "stops, expected", [([], "a🙂b\u00e9🙂!c"), (["🙂!"], "a🙂b\u00e9"), (["\u00e9🙂"], "a🙂b"), (["!"], "a🙂b\u00e9🙂")]
)
def test_f38_f11_characters_over_many_tokens(stops, expected):
    """Every byte a token of its own: no U+FFFD is shown, and a stop string is met across tokens and bytes."""
    byte_ids = {OURS.token_bytes(number): number for number in range(256)}
    decoder, stopper = StreamDecoder(OURS), StopText(stops)
    pieces = [stopper.add(decoder.add(byte_ids[bytes([byte])])) for byte in "a🙂b\u00e9🙂!c".encode()]
    whole = "".join(pieces) + stopper.add(decoder.flush()) + stopper.flush()
    assert whole == expected
    assert stopper.met == (stops[0] if stops else None)


def test_f38_an_open_character_at_the_end_is_flushed_once():
    byte_ids = {OURS.token_bytes(number): number for number in range(256)}
    decoder, stopper = StreamDecoder(OURS), StopText(["xyz"])
    pieces = [stopper.add(decoder.add(byte_ids[byte])) for byte in (b"x", b"\xf0", b"\x9f")]
    assert "".join(pieces) + stopper.add(decoder.flush()) + stopper.flush() == "x\ufffd"
