"""The step that drops documents by rules of thumb, in sets named after the papers that found them.

Each set is a table of limits with the paper's values as defaults. Not for language, personal data or what other documents
repeat, and not for judging what a text is worth: that is the quality classifier's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from genus.core.errors import GenusError
from genus.data.sources import Document
from genus.data.steps.rules_c4 import C4
from genus.data.steps.rules_code import CodePile, CodeRoots, CodeStack
from genus.data.steps.rules_quality import FineWeb, GopherQuality
from genus.data.steps.rules_repetition import GopherRepetition
from genus.data.steps.rules_view import Check, Drop, Text
from genus.data.steps.step import Fate

__all__ = ["CODE_SETS", "TEXT_SETS", "Rules", "Set"]

TEXT_SETS = ("gopher_quality", "gopher_repetition", "c4", "fineweb")
CODE_SETS = ("code_stack", "code_roots", "code_pile")
Set = Literal["gopher_quality", "gopher_repetition", "c4", "fineweb", "code_stack", "code_roots", "code_pile"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Drop documents that break a rule of the sets named.

    A document with a programming language in its meta "code" is judged by the sets for code alone, any other by those for
    text, if it is in one of `languages` or states none: all four were made for English and look at words. The sets are
    tried in the order named, each on the text as the sets before it left it (c4 removes lines), and the rules of a set in a
    fixed order; the first broken rule is the reason.
    """

    sets: tuple[Set, ...] = ("gopher_quality", "gopher_repetition", "c4", "fineweb", "code_stack")
    """Which sets: gopher_quality, gopher_repetition, c4, fineweb; for code: code_stack, code_roots, code_pile."""
    languages: tuple[str, ...] = ("en",)
    """Languages that the sets for text judge, without region: other documents go on as they are. Empty for every one."""
    gopher_quality: GopherQuality = field(default_factory=GopherQuality)
    """Limits of Gopher's rules for quality."""
    gopher_repetition: GopherRepetition = field(default_factory=GopherRepetition)
    """Limits of Gopher's rules on repetition."""
    c4: C4 = field(default_factory=C4)
    """Limits of C4's rules."""
    fineweb: FineWeb = field(default_factory=FineWeb)
    """Limits of FineWeb's rules."""
    code_stack: CodeStack = field(default_factory=CodeStack)
    """Limits for code as in The Stack."""
    code_roots: CodeRoots = field(default_factory=CodeRoots)
    """Limits for code as in ROOTS."""
    code_pile: CodePile = field(default_factory=CodePile)
    """Limits for code as in The Pile."""

    def open(self) -> Callable[[Document], Fate]:
        """What judges one document. Raises GenusError for a set that does not exist or is named twice."""
        for name in self.sets:
            if name not in TEXT_SETS + CODE_SETS:
                raise GenusError(f"rules.sets has {name!r}; choose among {', '.join(TEXT_SETS + CODE_SETS)}")
            if self.sets.count(name) > 1:
                raise GenusError(f"rules.sets names {name} twice; name it once")
        text, code = (self._checks(sets) for sets in (TEXT_SETS, CODE_SETS))
        judged = {"", *self.languages}

        def judge(document: Document) -> Fate:
            if document.meta.get("code"):
                return _judge(document, code)
            other = self.languages and document.language.partition("-")[0] not in judged
            return Fate(document) if other else _judge(document, text)

        return judge

    def _checks(self, sets: tuple[str, ...]) -> tuple[Check, ...]:
        return tuple(getattr(self, name).open() for name in self.sets if name in sets)


def _judge(document: Document, checks: tuple[Check, ...]) -> Fate:
    text = Text(document.text)
    measured = {"words": text.words}
    for check in checks:
        found = check(text)
        if isinstance(found, Drop):
            return Fate(None, found.reason, found.detail, measured)
        text = found
    if text.text == document.text:
        return Fate(document, measured=measured)
    measured["removed_characters"] = len(document.text) - len(text.text)
    return Fate(replace(document, text=text.text), measured=measured)
