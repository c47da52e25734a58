"""C4's rules: which lines stay, what drops a page, bad words from a file; hand-made pages."""

import time
from pathlib import Path

import pytest

from genus.core.errors import GenusError
from genus.data.steps.rules_c4 import C4
from genus.data.steps.rules_view import Drop, Text

PAGE = "The river was high all week.\nNobody could cross it before Sunday!\nWho knew that it would fall?"


def judged(text: str, rules: C4 | None = None) -> str | Drop:
    found = (rules or C4()).open()(Text(text))
    return found if isinstance(found, Drop) else found.text


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("A line of five words.", "A line of five words."),
        ("Only four words here.", ""),
        ("This one has no end mark", ""),
        ("This one trails off in dots...", ""),
        ('She said: "it was all over"', 'She said: "it was all over"'),
        ("She said: “it was all over”", "She said: “it was all over”"),
        ("He said: 'it was all over'", ""),
        ("Please do turn on JavaScript now.", ""),
        ("We use cookies on this site.", ""),
        ("Read the Privacy Policy of ours.", ""),
        ("It fell[1] a day later[citation needed] by noon.[23]", "It fell a day later by noon."),
        ("The list [a] of it has stayed[].", "The list [a] of it has stayed."),
        ("   Space around it does not stay.  ", "Space around it does not stay."),
        ("w" * 1001 + " is a long word here.", ""),
        ("w" * 1000 + " is a long word here.", "w" * 1000 + " is a long word here."),
        ("", ""),
    ],
)
def test_lines(line: str, left: str) -> None:
    assert judged(f"{line}\n{PAGE}\n\n{line}\n") == "\n".join(filter(None, [left, PAGE, left]))


def test_unchanged_text_is_the_same_object() -> None:
    text = Text(PAGE)
    assert C4().open()(text) is text


def test_lines_without_end_marks_can_stay() -> None:
    assert judged(PAGE + "\nThis one has no end mark", C4(ended_lines=False)) == PAGE + "\nThis one has no end mark"
    assert judged(PAGE + "\nOnly four words here", C4(ended_lines=False)) == PAGE


@pytest.mark.parametrize(
    ("text", "reason", "detail"),
    [
        (f"{PAGE}\nLorem Ipsum dolor\nlorem ipsum", "c4: lorem ipsum", "2 times"),
        (f"{PAGE}\nvar x = {{}}", "c4: curly bracket", "1, the first at character 103"),
        (PAGE.replace("!", ""), "c4: too few sentences", "2 sentences in the lines kept, at least 3"),
        ("", "c4: too few sentences", "0 sentences in the lines kept, at least 3"),
    ],
)
def test_pages(text: str, reason: str, detail: str) -> None:
    assert judged(text) == (reason, detail)


@pytest.mark.parametrize(
    ("line", "sentences"),
    [
        ("One two three four five. And six? Seven (and eight.) Nine!", 4),
        ("It cost 3.50 at a.b.c and then... it rose 1.5 more.", 2),
        ('She said "never mind it." Then she left for good."', 2),
        ("They have never asked for it”", 1),
    ],
)
def test_sentences_are_counted_by_their_ends(line: str, sentences: int) -> None:
    assert judged(line, C4(least_sentences=sentences)) == line
    assert isinstance(judged(line, C4(least_sentences=sentences + 1)), Drop)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("What a DAMNED shame.", "damned"),
        ("A damnedest thing.", ""),
        ("Go to\nHell-fire now.", "hell-fire"),
        ("The shell-fire now.", ""),
        ("A very bad thing.", "very bad"),
        ("Everyvery bad thing.", ""),
        ("A very badly done thing.", ""),
    ],
)
def test_bad_words_are_whole_words_and_phrases(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "bad.txt").write_text("damned\n\nVery   bad\nhell-fire\n", "utf-8")
    found = judged(text + "\n" + PAGE, C4(bad_words=tmp_path / "bad.txt", ended_lines=False, least_words=0))
    assert found == (("c4: bad word", f"'{word}'") if word else text + "\n" + PAGE)


def test_unreadable_bad_words_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "latin1.txt").write_bytes(b"\xe4\n")
    for name in ("absent.txt", "latin1.txt"):
        with pytest.raises(GenusError, match=f"{name} cannot be read"):
            C4(bad_words=tmp_path / name).open()


@pytest.mark.parametrize("hostile", ["[" * 10**6, "[" + "1" * 10**6, "a. " + ".)" * 10**6, "." * 10**6, ".'" * 10**6 + "x."])
def test_hostile_lines_take_linear_time(hostile: str) -> None:
    before = time.process_time()
    judged("a b c d e f g " + hostile + ' end."', C4(least_words=0))
    assert time.process_time() - before < 5
