"""Where sentences end, in text without marks: a few signs that European and CJK texts share. Not for any grammar."""

import re
from collections.abc import Iterator

__all__ = ["sentences"]

_END = re.compile(r"""(?<![.!?…])[.!?…]++["'”’»)\]]*+(?=\s|$)|[。！？]++[”’」』）]*+""")
_NEVER = frozenset(  # but for chance, no sentence ends with these
    """adm al approx art brig c ca capt cf ch col dept dr ed eds e.g eq est fig figs fr ft gen gov hon i.e lt maj mr mrs ms
    mt nos op p pp pres prof rep rev sec sen sgt st viz vol vols v vs""".split()  # noqa: SIM905
)
_NUMBER = frozenset("no jan feb mar apr jun jul aug sep sept oct nov dec".split())  # noqa: SIM905 - "No. 5", but "I said no."
_BEGINS = frozenset(  # after what may end a sentence or not, such as "Inc." and "U.S.", these say that it did
    """a after all although an and as at before both but by despite during each for from he her his how however i if in it
    its many most on one our she since so some such that the their then there these they this those though to under until
    we what when where while who with you""".split()  # noqa: SIM905
)
_MAYBE = frozenset("assn ave bros co corp etc inc jr ltd ph.d sr".split())  # noqa: SIM905
_DOTTED = re.compile(r"(?:\w\.)+\w")  # U.S, a.m
_LAST = re.compile(r"[\w.]++$")
_SPACE = re.compile(r"\s*+")
_WORD = re.compile(r"""["'“‘«(\[]*(\w+)""")
_BRACKETS = re.compile(r'[“”«»()「」"]')
_OPENS = {"“": "”", "«": "»", "(": ")", "「": "」"}
_WHOLE = 400  # characters of a quotation or a bracket that is not cut


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence, without the white space around it; text that has no end is one sentence."""
    whole, at = _whole(text), 0
    start = _skipped(text, 0)
    for end in _END.finditer(text):
        while at < len(whole) and whole[at][1] < end.end():
            at += 1
        inside = at < len(whole) and whole[at][0] < end.start() and end.end() < whole[at][1]
        if not inside and _ends(text, start, end):
            yield start, end.end()
            start = _skipped(text, end.end())
    if start < (last := len(text.rstrip())):
        yield start, last


def _ends(text: str, start: int, end: re.Match[str]) -> bool:
    """Whether a sentence ends at these marks; only after a single point is that in doubt, or where small letters follow."""
    following = _WORD.match(text, _skipped(text, end.end()))
    follows = following[1] if following else ""
    if follows[:1].islower():
        return False
    if not follows or not end[0].startswith(".") or end[0].startswith(".."):
        return True
    last = _LAST.search(text, max(start, end.start() - 40), end.start())
    word = last[0].lower() if last else ""
    if word in _NEVER or (word in _NUMBER and follows.isdigit()) or (word.isdigit() and last and last.start() == start):
        return False
    if word in _MAYBE or _DOTTED.fullmatch(word):
        return follows.lower() in _BEGINS
    return not (len(word) == 1 and word.isalpha() and text[end.start() - 1].isupper())  # an initial: J. Smith


def _skipped(text: str, at: int) -> int:
    """Where the white space at a place ends."""
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _whole(text: str) -> list[tuple[int, int]]:
    """Quotations and brackets that are not cut, the outermost, in order. Odd straight quotes are inches, or a slip."""
    straight = text.count('"') % 2 == 0
    opened: dict[str, int] = {}
    found: list[tuple[int, int]] = []
    for match in _BRACKETS.finditer(text):
        sign, place = match[0], match.start()
        if sign in _OPENS:
            opened.setdefault(_OPENS[sign], place)
        elif sign in opened:
            found.append((opened.pop(sign), place + 1))
        elif sign == '"' and straight:
            opened[sign] = place
    merged: list[tuple[int, int]] = []
    for first, last in sorted(span for span in found if span[1] - span[0] <= _WHOLE):
        if not merged or first >= merged[-1][1]:
            merged.append((first, last))
    return merged
