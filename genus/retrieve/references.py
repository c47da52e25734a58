"""References between [START_REF] and [END_REF], as Galactica writes them: foretold, and checked by an index of titles.

Galactica (arXiv 2211.09085, sections 3.2 and 5.2) cites by "[START_REF] Title, Author[END_REF]". Only the two special tokens
mark a reference: the same letters typed in a prompt or in a passage are text. Whether a source bears a sentence out is
not asked here: see verify/.
"""

import difflib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from genus.core.errors import GenusError
from genus.engine.completions import complete
from genus.engine.request import Request
from genus.engine.sampling import Sampling
from genus.evaluate.estimates import Estimate, share
from genus.retrieve.corpus import Corpus
from genus.retrieve.words import words

if TYPE_CHECKING:
    from genus.engine.model import Model
    from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["Cut", "Foretold", "Reference", "Titles", "cut", "foretell", "measure", "referenced", "write"]

_START, _END = "[START_REF]", "[END_REF]"
_MARKED = re.compile(r"\[START_REF\](.*?)\[END_REF\]", re.DOTALL)
_LONGEST = 300  # characters of a title; more is none
_NEAR = 0.85  # of difflib's ratio: a letter or two are wrong, or a short word is
_CANDIDATES = 50  # titles that share words, whose letters are then compared
_AUTHOR = 3  # words of an author's name: "van der Maaten"
_TOKENS = 100  # of a reference; the longest titles of papers have some 60

Verdict = Literal["known", "near", "unknown"]


class Titles:
    """Titles that there are. Case, accents, width and punctuation of a title do not count."""

    def __init__(self, titles: Iterable[str]) -> None:
        self._titles: dict[str, str] = {}
        self._holders: dict[str, set[str]] = defaultdict(set)
        for title in titles:
            plain = _plain(title)
            if plain and plain not in self._titles:
                self._titles[plain] = title
                for word in plain.split():
                    self._holders[word].add(plain)

    @classmethod
    def of(cls, corpus: Corpus) -> "Titles":
        """Those of an index."""
        return cls(title for batch in corpus.arrow(("title",)) for title in batch["title"].to_pylist())

    def find(self, said: str) -> tuple[Verdict, str]:
        """Whether a title is there, one like it is, or none; and that title, "" for none.

        Up to three words after the last comma may be an author, whom an index of titles cannot tell; they may be left out.
        """
        if len(said) > _LONGEST:
            return "unknown", ""
        title, _, author = said.rpartition(",")
        forms = [form for form in (_plain(said), _plain(title) if len(author.split()) <= _AUTHOR else "") if form]
        for form in forms:
            if form in self._titles:
                return "known", self._titles[form]
        ratio, best = max(((_alike(form, title), title) for form in forms for title in self._sharing(form)), default=(0, ""))
        return ("near", self._titles[best]) if ratio >= _NEAR else ("unknown", "")

    def _sharing(self, form: str) -> list[str]:
        """Titles that share words with it, those with the most and rarest first; equal ones in the order of letters."""
        shared: Counter[str] = Counter()
        for word in set(form.split()):
            for title in self._holders.get(word, ()):
                shared[title] += 1 / len(self._holders[word])  # type: ignore[assignment]
        return sorted(shared, key=lambda title: (-shared[title], title))[:_CANDIDATES]


class Cut(NamedTuple):
    """A text up to a reference, whose title is to be foretold: token ids that end in [START_REF]."""

    prompt: tuple[int, ...]
    title: str


@dataclass(frozen=True)
class Reference:
    """One that a model wrote: the text's characters from `start` to `end`. `match` is the title of the index, or ""."""

    title: str
    verdict: Verdict
    match: str
    start: int
    end: int


@dataclass(frozen=True)
class Foretold:
    """Shares of references: whose title is right to the letter, and which of the index is the right one."""

    exact: Estimate
    looked_up: Estimate


def cut(text: str, tokenizer: "Tokenizer") -> list[Cut]:
    """Each reference of a text that marks them, [START_REF] Title[END_REF], with all before it; earlier ones stay in."""
    start, end = _marks(tokenizer)
    ids, found, at = list(tokenizer.start), [], 0
    for marked in _MARKED.finditer(text):
        ids += [*tokenizer.encode(text[at : marked.start()]), start]
        found.append(Cut(tuple(ids), marked[1].strip()))
        ids += [*tokenizer.encode(marked[1]), end]
        at = marked.end()
    return found


def foretell(model: "Model", cuts: Sequence[Cut]) -> list[str]:
    """The likeliest title of each, by greedy search. What does not end within 100 tokens is given as far as it came."""
    _, end = _marks(model.tokenizer)
    room = [model.spec.context - len(each.prompt) for each in cuts]
    if any(each < 1 for each in room):
        raise GenusError(f"a text before a reference fills the context of {model.spec.context} tokens; cut it shorter")
    asked = [
        Request(prompt=each.prompt, max_tokens=min(_TOKENS, left), sampling=Sampling(temperature=0), ends=frozenset({end}))
        for each, left in zip(cuts, room, strict=True)
    ]
    return [choices[0].text.strip() for choices in complete(model.engine, asked)]


def measure(said: Sequence[str], cuts: Sequence[Cut], titles: Titles) -> Foretold:
    """How often what was said is right, as it stands, and as the index knows it."""
    pairs = [(one, each.title) for one, each in zip(said, cuts, strict=True)]
    looked_up = sum(bool(match := titles.find(one)[1]) and match == titles.find(right)[1] for one, right in pairs)
    return Foretold(share(sum(one == right for one, right in pairs), len(pairs)), share(looked_up, len(pairs)))


def write(
    model: "Model", prompt: str, titles: Titles, max_tokens: int | None = None, **sampling: Any
) -> tuple[str, list[Reference]]:
    """What follows a prompt, and the references in it, checked."""
    said = model.generate(model.prompt_ids(prompt), max_tokens, return_tokens=True, **sampling)
    return referenced([int(token) for token in said], model.tokenizer, titles)


def referenced(tokens: Sequence[int], tokenizer: "Tokenizer", titles: Titles) -> tuple[str, list[Reference]]:
    """The text of tokens without the two marks, and its references. One that does not end is unknown: it may go on."""
    start, end = _marks(tokenizer)
    text, found, opened, held = "", [], -1, list[int]()

    def put() -> None:
        nonlocal text
        text += tokenizer.decode(held)
        held.clear()

    def close(ended: bool) -> None:
        nonlocal opened
        title = text[opened:].strip()
        verdict, match = titles.find(title) if ended else ("unknown", "")
        first = opened + len(text[opened:]) - len(text[opened:].lstrip())
        found.append(Reference(title, verdict, match, first, first + len(title)))
        opened = -1

    for token in tokens:
        if token not in (start, end):
            held.append(token)
            continue
        put()
        if opened >= 0:
            close(token == end)
        if token == start:
            opened = len(text)
    put()
    if opened >= 0:
        close(False)
    return text, found


def _marks(tokenizer: "Tokenizer") -> tuple[int, int]:
    start, end = tokenizer.id_of(_START), tokenizer.id_of(_END)
    if start is None or end is None:
        raise GenusError(f"the tokenizer has no {_START} and {_END}; take a model of Galactica's, or train its kind")
    return start, end


def _plain(title: str) -> str:
    return " ".join(words(title))


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
