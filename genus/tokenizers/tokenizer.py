"""Use a tokenizer.json of any Hugging Face model: encode, decode, exact token bytes, and decoding as tokens arrive.

User text is only ever text here: "<|endoftext|>" typed by a person becomes ordinary tokens. Special tokens are placed by
id, by the code that builds a stream or a prompt. Not for training (bytelevel.py).
"""

import codecs
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import read_json, write_bytes

__all__ = ["FILES", "StreamDecoder", "Tokenizer"]

FILES = ("chat_template.jinja", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json")
_USUAL_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<|return|>")  # where no tokenizer_config.json names it
_BYTE_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")  # how sentencepiece-like vocabularies spell a single byte


class Tokenizer:
    """A tokenizer folder in memory. `files` maps names of `FILES` to their content; it is saved back byte for byte."""

    def __init__(self, files: dict[str, bytes]) -> None:
        from tokenizers import Tokenizer as Backend

        self._files = dict(files)
        try:
            spec = json.loads(files["tokenizer.json"])
            self._backend = Backend.from_str(files["tokenizer.json"].decode())
            self._config: dict[str, Any] = json.loads(files.get("tokenizer_config.json", b"{}"))
        except Exception as error:  # the library raises plain Exception on a bad file
            raise GenusError(f"tokenizer.json cannot be used ({error}); make or download the tokenizer again") from error
        self._backend.encode_special_tokens = True  # text stays text, see above
        self._backend.no_truncation()  # a saved truncation would cut documents silently
        self._backend.no_padding()
        self._byte_level = '"ByteLevel"' in json.dumps(spec.get("decoder"))
        self._added = self._backend.get_added_tokens_decoder()
        ids = self._backend.get_vocab(with_added_tokens=True)
        self.vocab: int = max(ids.values(), default=-1) + 1
        """Rows that an embedding needs: the greatest id and one."""
        self.end_of_text: int | None = ids.get(self._end_token(ids))
        """The id that ends a document, if the tokenizer has one."""
        self.sha256: str = hashlib.sha256(files["tokenizer.json"]).hexdigest()
        """Of tokenizer.json: two tokenizers with the same one give the same ids."""
        self._bytes = [b""] * self.vocab
        for text, number in ids.items():
            self._bytes[number] = self._to_bytes(text, number)

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """The tokenizer in a folder. Raises GenusError when tokenizer.json is missing or not one."""
        read_json(folder / "tokenizer.json")  # its errors name the path
        try:
            return cls({name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()})
        except GenusError as error:
            raise GenusError(f"{folder}: {error}") from error

    def save(self, folder: Path) -> None:
        """Write the files that it was made from into `folder`, each whole or not at all."""
        for name, content in self._files.items():
            write_bytes(folder / name, content)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without any special token around it or in it. Raises GenusError on half a surrogate pair."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text, on all cores."""
        try:
            encodings = self._backend.encode_batch_fast(texts, add_special_tokens=False)
        except (UnicodeEncodeError, TypeError) as error:
            raise GenusError(f"text cannot be encoded ({_why(texts, error)}); give valid Unicode text") from error
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; special tokens and ids beyond the vocabulary give none. Half a character at an end is U+FFFD."""
        if not self._byte_level:  # such decoders also join words, which no single token's bytes can tell
            return self._backend.decode([self._known(number) for number in ids if number < self.vocab])
        return b"".join(self.visible_bytes(number) for number in ids).decode("utf-8", errors="replace")

    def token_bytes(self, number: int) -> bytes:
        """The exact bytes of a token, a special one's name included; b"" beyond the vocabulary, where models pad rows."""
        return self._bytes[self._known(number)] if number < self.vocab else b""

    def visible_bytes(self, number: int) -> bytes:
        """`token_bytes`, but b"" for a special token: what a reader of the text is shown."""
        return b"" if number in self._added and self._added[number].special else self.token_bytes(number)

    def _known(self, number: int) -> int:
        if number < 0:
            raise GenusError(f"token id {number} is negative; ids run from 0 to {self.vocab - 1}")
        return number

    def _end_token(self, ids: dict[str, int]) -> str:
        named = self._config.get("eos_token")
        named = named.get("content") if isinstance(named, dict) else named  # older configs wrap it in an AddedToken
        return next((token for token in (named, *_USUAL_ENDS) if token in ids), "")

    def _to_bytes(self, text: str, number: int) -> bytes:
        if number in self._added:
            return self._added[number].content.encode()
        if self._byte_level and all(character in _BYTE_OF for character in text):
            return bytes(_BYTE_OF[character] for character in text)
        if match := _BYTE_FALLBACK.fullmatch(text):
            return bytes([int(match[1], 16)])
        # sentencepiece writes a space as U+2581; GPT-1 marks the end of a word.
        return text.replace("\u2581", " ").replace("</w>", " ").encode()


class StreamDecoder:
    """Text of tokens that arrive one by one, never half a character; the pieces joined are the text of the whole."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, number: int) -> str:
        """What token `number` completes: often a word, "" while a character is still open."""
        return self._decoder.decode(self._tokenizer.visible_bytes(number))

    def flush(self) -> str:
        """What is left at the end: U+FFFD once if a character was left open, else ""."""
        return self._decoder.decode(b"", final=True)


def _why(texts: Sequence[str], error: Exception) -> str:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as half:
            return f"half a surrogate pair at character {half.start}"
    return str(error)


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte: itself where it prints as one character, else the next from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(rest)}


_BYTE_OF = _byte_alphabet()
