"""Text that a wrong decoding has damaged is set right, and characters that say nothing are removed.

Not for style: quotes, ligatures and widths of letters stay as they were written, and text with nothing wrong stays the same.
"""

import functools
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from genus.data.sources import Document
from genus.data.steps.step import Fate

__all__ = ["Repair"]

_SUSPECT = re.compile(r"[^\t\n -~]|&")  # a line of plain ASCII without it has nothing to repair
_SEGMENT = 20_000  # characters repaired at once, of a line that is longer; ftfy's million takes minutes at worst
_MARKS = (
    30  # combining marks in a row, as many as Unicode's stream-safe text has (UAX 15, section 13): order costs the square
)


@dataclass(frozen=True, kw_only=True)
class Repair:
    """Repair text with ftfy, line by line. Source code passes as it is."""

    encoding: bool = True
    """Undo UTF-8 that was read as another encoding: "Ã©" becomes "é"."""
    entities: bool = True
    """Undo HTML's escapes such as "&eacute;", in documents without a "<"."""
    quotes: bool = False
    """Make curly quotes straight."""
    normal: Literal["NFC", "NFKC", "none"] = "NFC"
    """The Unicode normal form."""

    def open(self) -> Callable[[Document], Fate]:
        from ftfy import TextFixerConfig, fix_text

        config = TextFixerConfig(
            unescape_html=False,
            fix_encoding=self.encoding,
            fix_latin_ligatures=False,
            fix_character_width=False,
            uncurl_quotes=self.quotes,
            normalization=None if self.normal == "none" else self.normal,
            max_decode_length=_SEGMENT,
            explain=False,
        )
        runs = _runs_of_marks()

        def step(document: Document) -> Fate:
            if document.meta.get("code") or not _SUSPECT.search(document.text):
                return Fate(document, measured={"repaired": 0})
            text = runs.sub(lambda match: match[0][:_MARKS], document.text.replace("\r\n", "\n"))
            unescape = self.entities and "<" not in text and "&" in text
            how = config._replace(unescape_html=unescape)
            text = "\n".join(fix_text(line, how) if _SUSPECT.search(line) else line for line in text.split("\n"))
            if text == document.text:
                return Fate(document, measured={"repaired": 0})
            if not text.strip():
                return Fate(None, "no text after repair", f"{len(document.text):,} characters", {"repaired": 1})
            return Fate(replace(document, text=text), measured={"repaired": 1})

        return step


@functools.cache
def _runs_of_marks() -> re.Pattern[str]:
    """More combining marks in a row than any language writes."""
    marks = "".join(chr(code) for code in range(0x300, 0x20000) if unicodedata.combining(chr(code)))  # none lies beyond
    return re.compile(rf"[{marks}]{{{_MARKS + 1},}}")
