"""Personal data and secrets are written over: each by a mark such as <EMAIL>, all other text staying byte for byte.

Not for names and addresses of people, which need a model of language and stay. The patterns are our own, because Presidio's
bring spaCy, and tldextract, which asks the network. Each has a bounded reach and starts at a boundary, so time is linear.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from genus.core.errors import GenusError
from genus.data.sources import Document
from genus.data.steps.step import Fate

__all__ = ["KINDS", "Personal", "scrub"]

Rewrite = Callable[[re.Match[str]], str | None]  # the text to put in place, or None: this is no personal data

_FILES = frozenset("css gif htm html jpeg jpg js json png py svg tar ts txt webp xml zip".split())  # noqa: SIM905 - icon@2x.png
# Lengths of the countries' account numbers: SWIFT's IBAN registry.
_IBAN = {
    name[:2]: int(name[2:])
    for name in """AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24
    FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LI21 LT20 LU20 LV21
    MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SE24 SI19 SK24 SM27 TN24 TR26 UA29
    VA22 VG24 XK20""".split()  # noqa: SIM905
}


def _email(match: re.Match[str]) -> str | None:
    # git@github.com:... is where a repository lies.
    return None if match[1] == "git" or match[2].lower() in _FILES else "<EMAIL>"


def _card(match: re.Match[str]) -> str | None:
    """Luhn's check digit (ISO/IEC 7812-1)."""
    digits = [int(digit) for digit in reversed(match[0]) if digit.isdigit()]
    total = sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return None if total % 10 else "<CARD>"


def _iban(match: re.Match[str]) -> str | None:
    """ISO 13616: the country's length, and 1 modulo 97. What follows the number may have matched too and is put back."""
    length, at = _IBAN.get(match[0][:2], 0), 0
    number = ""
    while len(number) < length and at < len(match[0]):
        number += match[0][at].strip()
        at += 1
    if not length or len(number) < length or match[0][at : at + 1].isalnum():
        return None
    whole = int("".join(str(int(letter, 36)) for letter in number[4:] + number[:4]))
    return "<IBAN>" + match[0][at:] if whole % 97 == 1 else None


def _ip(match: re.Match[str]) -> str | None:
    """Public addresses. Four small numbers are one only after a word that says so: sections look alike."""
    try:
        address = ipaddress.ip_address(match[0])
    except ValueError:
        return None
    before = match.string[max(0, match.start() - 12) : match.start()].lower()
    if address.version == 4 and (
        re.search(r"(version|release|section|[§v])[ :=]{0,2}$", before)
        or (max(address.packed) < 100 and not re.search(r"(\bips?|address|host|server|from|://)\W{0,3}$", before))
    ):
        return None
    return "<IP>" if address.is_global else None


def _secret(match: re.Match[str]) -> str | None:
    """Random letters: a name in words, such as sk-learn-contrib-..., lacks a digit or a capital."""
    name = match[0]
    return "<SECRET>" if any(map(str.isdigit, name)) and any(map(str.isupper, name)) else None


def _phone(match: re.Match[str]) -> str | None:
    number = match["number"]
    return (
        match[0][: match.start("number") - match.start()] + "<PHONE>" if 7 <= sum(map(str.isdigit, number)) <= 15 else None
    )


def _compile(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    # ASCII letters and digits only, because Chinese is written close to both ends of an address.
    return re.compile(pattern, flags | re.ASCII)


_START, _END = r"(?<![\w.+/-])", r"(?![\w-]|\.\d)"
# In this order: what an earlier one writes over, a later one does not see.
_PATTERNS: tuple[tuple[str, str, re.Pattern[str], Rewrite], ...] = (
    (
        "secret",
        "-----BEGIN",
        _compile(
            r"-----BEGIN (?:[A-Z]{1,12} ){0,3}PRIVATE KEY-----(?:(?!-----)[\s\S]){1,16384}+"
            r"-----END [A-Z ]{0,40}PRIVATE KEY-----"
        ),
        lambda match: "<SECRET>",
    ),
    (
        "secret",
        "",
        _compile(
            r"(?<![A-Za-z0-9_-])(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[oprsu]_[A-Za-z0-9]{36,255}+|github_pat_[A-Za-z0-9_]{22,255}+"
            r"|xox[abeoprs]-[A-Za-z0-9-]{10,250}+|AIza[A-Za-z0-9_-]{35}|sk-[A-Za-z0-9_-]{20,250}+"
            r"|eyJ[A-Za-z0-9_-]{8,2000}+\.eyJ[A-Za-z0-9_-]{8,8000}+\.[A-Za-z0-9_-]{16,1000}+)(?![A-Za-z0-9_-])"
        ),
        _secret,
    ),
    (
        "email",
        "@",
        _compile(
            r"(?<![A-Za-z0-9._%+-])([A-Za-z0-9_%+][A-Za-z0-9._%+-]{0,63}+)@"
            r"(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,8}([A-Za-z]{2,24})(?![A-Za-z0-9-])"
        ),
        _email,
    ),
    ("iban", "", _compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d\d(?: ?[A-Z0-9]){11,30}+(?![a-z])"), _iban),
    (
        "card",
        "",
        _compile(
            _START + r"(?:(?:4\d|5[1-5]|2[2-7]|6[045]|35)\d\d([ -]?)\d{4}\1\d{4}\1\d{4}|3[47]\d\d([ -]?)\d{6}\2\d{5}"
            r"|3[068]\d\d([ -]?)\d{6}\3\d{4})" + _END
        ),
        _card,
    ),
    ("ssn", "-", _compile(_START + r"(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}" + _END), lambda match: "<SSN>"),
    ("ip", ".", _compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)"), _ip),
    ("ip", ":", _compile(r"(?<![\w:.])[23][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![\w:])"), _ip),
    (
        "phone",
        "",
        _compile(r"(?<![\w.])(?P<number>\+[1-9]\d{0,2}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){5,13}+)(?![\w-]|\.\d)"),
        _phone,
    ),
    (
        "phone",
        "",
        _compile(
            _START
            + r"(?P<number>(?:\+?1[ .-]?)?(?:\([2-9]\d\d\) ?[2-9]\d\d[ .-]\d{4}|[2-9]\d\d([.-])[2-9]\d\d\2\d{4}))"
            + _END,
        ),
        _phone,
    ),
    (
        "phone",
        "",
        _compile(
            r"\b(?:tel|telephone|phone|mobile|fax|telefon|mobil)\b[.:]{0,2} {0,2}(?P<number>\(?\d(?:[ ./()-]{0,2}\d){6,14}+)"
            + _END,
            re.IGNORECASE,
        ),
        _phone,
    ),
)
KINDS = ("email", "phone", "ip", "card", "iban", "ssn", "secret")


@dataclass(frozen=True, kw_only=True)
class Personal:
    """Write over personal data and secrets, and count them by kind."""

    kinds: tuple[str, ...] = KINDS
    """What to look for: email, phone, ip (public addresses), card, iban, ssn (United States), secret (keys and tokens)."""

    def open(self) -> Callable[[Document], Fate]:
        """Raises GenusError for a kind that is not there."""
        for kind in self.kinds:
            if kind not in KINDS:
                raise GenusError(f'personal.kinds has "{kind}"; choose among {", ".join(KINDS)}')

        def step(document: Document) -> Fate:
            text, counts = scrub(document.text, self.kinds)
            return Fate(replace(document, text=text) if counts else document, measured=counts)

        return step


def scrub(text: str, kinds: tuple[str, ...] = KINDS) -> tuple[str, Mapping[str, int]]:
    """The text with marks in place of personal data, and how many of each kind there were."""
    counts: Counter[str] = Counter()
    for kind, needed, pattern, rewrite in _PATTERNS:
        if kind not in kinds or needed not in text:
            continue

        def write(match: re.Match[str], kind: str = kind, rewrite: Rewrite = rewrite) -> str:
            written = rewrite(match)
            counts[kind] += written is not None
            return match[0] if written is None else written

        text = pattern.sub(write, text)
    return text, {kind: count for kind, count in counts.items() if count}
