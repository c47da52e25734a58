"""Where sentences end, and which sentence a mark belongs to."""

import time

import pytest

from genus.retrieve.cite.claims import Block, Mark, Reference, Written, claims_of, reference_of
from genus.retrieve.cite.sentences import sentences

CASES = {
    "One ends here. Two begins here.": 2,
    "It cost 1.5 million in Sept. 1889. It paid.": 2,
    "Mr. Eiffel met Dr. Smith of No. 5, Rue St. Honoré. He left.": 2,
    "J. K. Rowling wrote it, e.g. in 1997. Others read it.": 2,
    "She lives in the U.S. Senate page. He does not.": 2,
    "She lives in the U.S. He does not.": 2,
    "Apple Inc. sued Google Inc. The court decided.": 2,
    '"He left. She stayed," he said. Nobody knew.': 2,
    "He asked “Why? Tell me. Now.” and left. Then it rained.": 2,
    'He said "Stop." Then he left.': 2,
    "It rose (see fig. 3. It is clear) in 1990. It fell.": 2,
    "Really?! Yes. No way...": 3,
    "It went on … and on. The end.": 2,
    "A point at 5 a.m. was agreed. It held.": 2,
    "1. The first item is long. It has two.": 2,
    "東京は首都です。人口は多い。": 2,
    "Een zin. Nog een zin! En 'n derde?": 3,
    "no end at all": 1,
    "   ": 0,
    "": 0,
}


@pytest.mark.parametrize("text", CASES)
def test_sentences(text):
    spans = list(sentences(text))
    assert len(spans) == CASES[text], [text[start:end] for start, end in spans]
    kept = " ".join(text[start:end] for start, end in spans)
    assert "".join(kept.split()) == "".join(text.split())  # nothing is lost, nothing is said twice


def test_a_long_text_without_any_sign_takes_no_time_in_its_square():
    text = "(" * 50_000 + '"' * 50_000 + "a. b" * 50_000
    assert list(sentences(text))
    began = time.process_time()
    assert len(list(sentences("A b c" + "." * 200_000 + "x"))) == 1
    assert time.process_time() - began < 10  # each point of the run tried anew: half a minute


A, B = Reference("http://a.org"), Reference("http://b.org")


def claims(text: str, *marks: Mark) -> list[tuple[str, tuple[Reference, ...]]]:
    return [(claim.text, claim.references) for claim in claims_of(Written("", [Block(text, list(marks))]))]


def test_a_note_belongs_to_the_sentence_before_it():
    text = "The first says this. The second says that."
    assert claims(text, Mark(20, 20, (A,))) == [("The first says this.", (A,))]
    assert claims(text, Mark(21, 21, (A,))) == [("The first says this.", (A,))]
    assert claims(text, Mark(9, 9, (A,)), Mark(42, 42, (B,))) == [
        ("The first says this.", (A,)),
        ("The second says that.", (B,)),
    ]


def test_a_link_belongs_to_the_sentence_it_begins():
    text = "The first says this. The second says that."
    assert claims(text, Mark(21, 27, (A,))) == [("The second says that.", (A,))]


def test_in_writing_without_blanks_a_note_follows_its_sentence_too():
    assert claims("東京は日本の首都です。人口は多いと言われる。", Mark(11, 11, (A,))) == [("東京は日本の首都です。", (A,))]


def test_a_source_named_twice_by_a_sentence_counts_once():
    assert claims("One sentence says this.", Mark(3, 3, (A, B)), Mark(23, 23, (A,))) == [("One sentence says this.", (A, B))]


def test_a_link_that_says_nothing_cites_nothing():
    assert not claims("A list of further reading", Mark(0, 25, (A,)))
    assert not claims("See here", Mark(4, 8, (A,)))
    assert claims("The whole sentence is a link.", Mark(0, 29, (A,)))


def test_a_claim_without_end_is_cut_to_what_stands_before_its_note():
    text = "word " * 1000 + "the end"
    [(claim, _)] = claims(text, Mark(len(text), len(text), (A,)))
    assert len(claim) <= 2000
    assert claim.endswith("the end")


def test_what_a_note_names():
    [found] = reference_of('Smith, J. "Tall towers". Paris, 2001. https://a.org/t.')
    assert found.url == "https://a.org/t"
    assert "Tall towers" in found.titles
    assert reference_of("Ibid. ")[0].titles == ("Ibid",)
    assert not reference_of(" ")
    two = reference_of("", [("http://a.org", "A page"), ("http://b.org", "Another")])
    assert [(each.url, each.titles) for each in two] == [("http://a.org", ("A page",)), ("http://b.org", ("Another",))]
