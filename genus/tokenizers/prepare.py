"""What a tokenizer does to text before its tokenizer.json: the steps that file cannot carry, because they are programs.

Chosen by "genus_prepare" in tokenizer_config.json, or by what tokenizer.json itself expects (Galactica's marker).
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from genus.core.errors import GenusError

__all__ = ["MARKER", "galactica", "gpt1", "preparation", "split_words", "standardise", "words"]

Prepare = Callable[[str, Sequence[str]], str]
"""(text, special tokens that are read in it) -> text."""
# As in the released galai code and tokenizer.json; written in two so that this file, read as text, is left whole.
MARKER = "SPL1T-TH1S-" + "Pl3A5E"

_SPANS = re.compile(r"(\[START_(DNA|SMILES|I_SMILES|AMINO)\])(.*?)(\[END_\2\])")
_PUNCTUATION = re.compile(r"""(-+|~+|!+|"+|;+|\?+|\++|,+|\)+|\(+|\\+|/+|\*+|\[+|\]+|}+|{+|\|+|_+)""")
_CHARACTERS = {"—": "-", "–": "-", "―": "-", "…": "...", "´": "'"}


def preparation(config: dict[str, Any], tokenizer_json: dict[str, Any]) -> Prepare | None:
    """The step that a tokenizer's files ask for. Raises GenusError for a name that is none."""
    name = config.get("genus_prepare")
    if name is None and MARKER in str(tokenizer_json.get("pre_tokenizer")):
        name = "galactica"
    if name is None:
        return None
    if name not in _STEPS:
        raise GenusError(f"genus_prepare = {name!r} is not a step; choose one of {', '.join(_STEPS)}")
    return _STEPS[name]


def galactica(text: str, specials: Sequence[str] = ()) -> str:
    """A marker before each character of DNA, protein and SMILES spans; the pre-tokenizer cuts there and removes it.

    Galactica (arXiv 2211.09085, section 3.1), released code. A span ends on its own line.
    """

    def cut(span: re.Match[str]) -> str:
        return span[1] + "".join(MARKER + character for character in span[3]) + MARKER + span[4]

    return _SPANS.sub(cut, text)


def gpt1(text: str, specials: Sequence[str] = ()) -> str:
    """GPT-1's words, lower-case and one space apart: ftfy, `standardise`, spaCy (the released fine-tuning code).

    spaCy gives a line break with the space after it as one word; the released code drops that space, and so does the cut at
    spaces that follows.
    """
    try:
        from ftfy import fix_text
    except ImportError as error:
        raise GenusError("this tokenizer repairs text with ftfy; install it with: pip install ftfy") from error
    pieces = re.split(f"({'|'.join(map(re.escape, specials))})", text) if specials else [text]
    for plain in range(0, len(pieces), 2):
        pieces[plain] = " ".join(word.lower() for word in words(standardise(fix_text(pieces[plain]))))
    return "".join(pieces)


def standardise(text: str) -> str:
    """GPT-1's few characters: plain dashes, dots and apostrophes, spaces around punctuation, one space between words."""
    for character, plain in _CHARACTERS.items():
        text = text.replace(character, plain)
    text = _PUNCTUATION.sub(r" \1 ", text)
    text = re.sub(r"\s*\n\s*", " \n ", text)
    return re.sub(r"[^\S\n]+", " ", text).strip()


def words(text: str) -> list[str]:
    """The words of an English text by spaCy's rules. Raises GenusError where spaCy is not installed."""
    return [token.text for token in _spacy()(text)]


@cache
def _spacy() -> Any:
    try:
        import spacy
    except ImportError as error:
        raise GenusError("this tokenizer cuts words with spaCy; install it with: pip install spacy") from error
    return spacy.blank("en")  # the rules alone: no model is downloaded


def split_words(backend: Any, name: str) -> None:
    """Give a backend GPT-1's words: cut by `gpt1` when that is the named step, else as transformers cuts them (BERT's)."""
    from tokenizers import decoders, normalizers, pre_tokenizers

    if name == "gpt1-spacy":
        backend.pre_tokenizer = pre_tokenizers.Split(" ", "removed")  # not at line breaks, which are words
    else:
        backend.normalizer = normalizers.BertNormalizer(lowercase=True)
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.BPEDecoder(suffix="</w>")


_STEPS: dict[str, Prepare] = {"galactica": galactica, "gpt1-spacy": gpt1}
