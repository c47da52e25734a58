"""C4's rules, which remove lines and so change the text. Not C4's language filter or its removal of repeated sentences."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genus.core.errors import GenusError
from genus.data.steps.rules_view import Check, Drop, Text, at_least

__all__ = ["C4"]

_ENDS = (".", "!", "?", '"', "”")
_CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*(?=\s|$)")  # of "..." the last
_NOTICES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
_LONGEST = 1000  # characters of a word


@dataclass(frozen=True, kw_only=True)
class C4:
    """C4's rules (arXiv 1910.10683, section 2.2; numbers of words and sentences as in its code, c4_utils.py).

    Removed are lines that do not end in . ! ? or a double quotation mark, or end in "...", lines with too few words, with
    "javascript" or a notice on policies or cookies, or with a word of over 1,000 characters, and citation marks such as
    [1] or [citation needed]; what is left is joined without blank lines. Dropped are pages with "lorem ipsum", with a curly
    bracket, with a bad word, or with too few sentences left. Departures: sentences are counted by their ends, not by NLTK;
    a bracket counts wherever it stands (C4's code looks only at lines it keeps). Text that was wrapped to a width loses
    nearly all its lines to `ended_lines`: turn that off for it, as FineWeb did.
    """

    ended_lines: bool = True
    """Remove lines that do not end in terminal punctuation."""
    least_words: int = 5
    """Fewest words in a line that is kept."""
    least_sentences: int = 3
    """Fewest sentences in what is left of a page."""
    bad_words: Path | None = None
    """A UTF-8 file of words or phrases, one a line; a page with any of them is dropped. None comes with Genus."""

    def open(self) -> Check:
        """The check of these rules. Raises GenusError when the file of bad words cannot be read."""
        bad = _bad_words(self.bad_words) if self.bad_words else _none

        def check(text: Text) -> Text | Drop:
            lower = text.text.lower()
            return _bad_page(text.text, lower) or bad(lower) or self._kept(text, lower)

        return check

    def _kept(self, text: Text, lower: str) -> Text | Drop:
        noticed = any(mark in lower for mark in ("javascript", *_NOTICES))
        lines = (
            [_CITATION.sub("", line).strip() for line in text.lines] if "[" in lower else list(map(str.strip, text.lines))
        )
        lines = [line for line in lines if self._is_kept(line) and not (noticed and _is_notice(line))]
        sentences = sum(len(_SENTENCE_END.findall(line)) or 1 for line in lines)
        few = at_least(self.least_sentences, sentences, "c4: too few sentences", "sentences in the lines kept")
        if few is not None:
            return few
        changed = "\n".join(lines)
        return text if changed == text.text else Text(changed)

    def _is_kept(self, line: str) -> bool:
        if self.ended_lines and (not line.endswith(_ENDS) or line.endswith("...")):
            return False
        words = line.split()
        return len(words) >= self.least_words and (len(line) <= _LONGEST or max(map(len, words)) <= _LONGEST)


def _bad_page(text: str, lower: str) -> Drop | None:
    if count := lower.count("lorem ipsum"):
        return Drop("c4: lorem ipsum", f"{count:,} times")
    if count := text.count("{"):
        return Drop("c4: curly bracket", f"{count:,}, the first at character {text.index('{'):,}")
    return None


def _is_notice(line: str) -> bool:
    lower = line.lower()
    return "javascript" in lower or any(notice in lower for notice in _NOTICES)


def _none(_: str) -> Drop | None:
    return None


def _bad_words(path: Path) -> Callable[[str], Drop | None]:
    """Finds whole words and phrases of the file in a lower-cased text, by words first, which is fast for a long list."""
    try:
        listed = {" ".join(line.lower().split()) for line in path.read_text("utf-8").splitlines()} - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise GenusError(f"c4.bad_words {path} cannot be read ({error}); name a UTF-8 file with one word a line") from error
    words = frozenset(item for item in listed if re.fullmatch(r"\w+", item))
    phrases = {item: re.compile(rf"(?<!\w){re.escape(item)}(?!\w)") for item in sorted(listed - words)}

    def found(lower: str) -> Drop | None:
        bad = sorted(words.intersection(re.findall(r"\w+", lower)))
        bad = bad or [item for item, pattern in phrases.items() if item in lower and pattern.search(lower)]
        return Drop("c4: bad word", f"{bad[0]!r}") if bad else None

    return found
