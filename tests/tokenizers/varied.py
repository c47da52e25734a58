"""Text that tokenizers stumble on, and small tokenizers to try on it."""

import unicodedata
from pathlib import Path

ODD = [
    "def f(x):\n\t\treturn  x  # 🙂👩‍👩‍👧 \r\n\n\n   y",
    "don't I'll WE'VE it's 'S  12345 1,000.5 ½ ٣",
    "  leads",
    "🙂",
    "trails  ",
    "",
    " ",
    "\u00a0no-break\u2003em\u3000wide",
    "<|endoftext|> </s> <s> <unk> <0x41>",
    "ſ'ſ \x00\x01\x85 a\u0301 ﬁ Å ① ｆｕｌｌ 가",
    "naïve ZÜRICH, 日本語。Привет! ঘোষণা שלום",
    unicodedata.normalize("NFD", "ঘোষণা é Ự 각"),
]


def languages(shared_data: Path) -> list[str]:
    """The declaration of human rights in 42 languages."""
    return [path.read_text("utf-8") for path in sorted((shared_data / "udhr_bloom").glob("*.txt"))]


def prose() -> list[str]:
    """Some hundred lines of English, numbers and Markdown, in every checkout and never edited, and the odd ones."""
    root = Path(__file__).parents[2]
    files = (root / "LICENSE", root / "records" / "0001-demo.md")
    return [*(line for path in files for line in path.read_text("utf-8").splitlines()), *ODD]
