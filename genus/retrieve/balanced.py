"""Wikitext whose brackets and tags are closed, for a parser that takes minutes over a page of those that are not.

What is never closed, closed before it is opened, or nested deeper than articles are, is written as the characters it is.
"""

import re
from collections import Counter

__all__ = ["balanced"]

_DEEPEST = 20  # brackets and tags within one another
_TOKEN = re.compile(
    r"(?P<open>\{\{|\[\[|\{\||\[(?=https?://))|(?P<close>\}\}|\]\]|\|\}(?!\})|\])"
    r"|<(?P<end>/?)(?P<tag>[a-zA-Z]\w{0,30}+)(?P<rest>[^<>]{0,1000}+)>|<"
)
_CLOSES = {"}}": "{{", "]]": "[[", "|}": "{|", "]": "["}
_VOID = frozenset({"br", "hr", "img", "wbr"})
_OPEN_QUOTE = re.compile(r"""=\s*'[^']*+$""")


def balanced(wikitext: str) -> str:
    """The text without comments, in time linear in its length."""
    text = _without_comments(wikitext)
    pieces: list[str] = []
    opened: list[tuple[str, int]] = []  # what, and which of the pieces
    held: Counter[str] = Counter()
    last = 0
    for match in _TOKEN.finditer(text):
        pieces += [text[last : match.start()], match[0]]
        last = match.end()
        kind, closes = _kind(match)
        if kind and not closes and len(opened) < _DEEPEST:
            opened.append((kind, len(pieces) - 1))
            held[kind] += 1
        elif kind and closes and held[kind]:
            while True:
                found, place = opened.pop()
                held[found] -= 1
                if found == kind:
                    break
                pieces[place] = _characters(pieces[place])
        elif kind != "" and match[0] != "]":
            pieces[-1] = _characters(match[0])
    for _, place in opened:
        pieces[place] = _characters(pieces[place])
    return "".join([*pieces, text[last:]])


def _kind(match: re.Match[str]) -> tuple[str | None, bool]:
    """What a token opens or closes; "" for what needs no end, and None for what is no sign at all."""
    if match["open"] or match["close"]:
        return match["open"] or _CLOSES[match["close"]], bool(match["close"])
    if not match["tag"]:
        return None, False
    rest, name = match["rest"], match["tag"].lower()
    if rest.count('"') % 2 or _OPEN_QUOTE.search(rest):
        return None, False
    return "" if rest.endswith("/") or name in _VOID else f"<{name}", bool(match["end"])


def _without_comments(text: str) -> str:
    parts, at = [], 0
    while (start := text.find("<!--", at)) >= 0 and (end := text.find("-->", start)) >= 0:
        parts.append(text[at:start])
        at = end + 3
    return "".join([*parts, text[at:]])


def _characters(token: str) -> str:
    signs = 1 if token.startswith("<") else len(token)  # without its first sign a tag is none
    return "".join(f"&#{ord(each)};" for each in token[:signs]) + token[signs:]
