"""Use a tokenizer.json of any Hugging Face model: encode, decode, exact token bytes, and decoding as tokens arrive.

User text is only ever text here: "<|endoftext|>" typed by a person becomes ordinary tokens. Special tokens are placed by
id, by the code that builds a stream or a prompt, or by a chat template around the messages (chat.py). Not for training
(kinds.py), and not for the files of other tokenizers (formats.py).
"""

import codecs
import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import write_bytes
from genus.tokenizers import chat
from genus.tokenizers.alphabet import BYTE_OF, MOST_IDS
from genus.tokenizers.formats import FILES, read_tokenizer
from genus.tokenizers.prepare import preparation

__all__ = ["FILES", "StreamDecoder", "Tokenizer"]

_USUAL_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<|return|>")  # where no tokenizer_config.json names it
_BYTE_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")  # how sentencepiece-like vocabularies spell a single byte


class Tokenizer:
    """A tokenizer folder in memory. `files` maps names of `FILES` to their content; it is saved back byte for byte."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = dict(files)
        try:
            spec = json.loads(files["tokenizer.json"])
            self._backend = _backend(spec)
            self._config: dict[str, Any] = dict(json.loads(files.get("tokenizer_config.json", b"{}")))
        except Exception as error:  # the library raises plain Exception on a bad file
            raise GenusError(f"tokenizer.json cannot be used ({error}); make or download the tokenizer again") from error
        self._backend.encode_special_tokens = True  # text stays text, see above
        self._prepare = preparation(self._config, spec)
        self._byte_level = '"ByteLevel"' in json.dumps(spec.get("decoder"))
        self._added = self._backend.get_added_tokens_decoder()
        ids = self._backend.get_vocab(with_added_tokens=True)
        self.vocab: int = max(ids.values(), default=-1) + 1
        """Rows that an embedding needs: the greatest id and one."""
        if self.vocab > MOST_IDS:
            raise GenusError(f"tokenizer.json has the id {self.vocab - 1}, which no model has; download the tokenizer again")
        self.end_of_text: int | None = ids.get(self._end_token(ids))
        """The id that ends a document, if the tokenizer has one."""
        self.pad: int | None = ids.get(str(_content(self._config.get("pad_token"))))
        """The id that fills rows up for other libraries, if the tokenizer names one."""
        self.start: tuple[int, ...] = self._read_start(ids)
        """The ids that a model of this tokenizer expects before a document: LLaMA's <s>, OPT's </s>; mostly none."""
        self.sha256: str = hashlib.sha256(files["tokenizer.json"]).hexdigest()
        """Of tokenizer.json: two tokenizers with the same one give the same ids."""
        self._bytes = [b""] * self.vocab
        for text, number in ids.items():
            self._bytes[number] = self._to_bytes(text, number)

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """The tokenizer in a folder: its tokenizer.json, or files that can be turned into one (formats.py).

        Raises GenusError naming the file that is missing or damaged.
        """
        files = read_tokenizer(folder)
        try:
            return cls(files)
        except GenusError as error:
            raise GenusError(f"{folder}: {error}") from error

    def save(self, folder: Path) -> None:
        """Write the files that it was made from into `folder`, each whole or not at all."""
        for name, content in self._files.items():
            write_bytes(folder / name, content)

    @property
    def files(self) -> dict[str, bytes]:
        """The content of each file that `save` writes."""
        return dict(self._files)

    def id_of(self, token: str) -> int | None:
        """The id of a token as its files spell it; None where there is none."""
        found: int | None = self._backend.token_to_id(token)
        return found

    def check_rows(self, rows: int, where: str) -> None:
        """Raise GenusError when a table of `rows` rows, that of the model `where`, is too small for this vocabulary."""
        if self.vocab > rows:
            what = f"its tokenizer has {self.vocab:,} ids, its embedding {rows:,} rows"
            raise GenusError(f"{where}: {what}; put the model's own tokenizer there")

    def encode(self, text: str, specials: bool = False) -> list[int]:
        """The ids of a text, without any special token around it. Raises GenusError on half a surrogate pair.

        With `specials`, special tokens written in the text become their ids: for text that the caller wrote, never a user.
        """
        return self._encode(self._marked if specials else self._backend, [text], specials)[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text, on all cores."""
        return self._encode(self._backend, texts, False)

    def _encode(self, backend: Any, texts: Sequence[str], specials: bool) -> list[list[int]]:
        try:
            if self._prepare is not None:
                texts = [self._prepare(text, self.special_names if specials else ()) for text in texts]
            encodings = backend.encode_batch_fast(texts, add_special_tokens=False)
        except (UnicodeEncodeError, TypeError) as error:
            raise GenusError(f"text cannot be encoded ({_why(texts, error)}); give valid Unicode text") from error
        return [encoding.ids for encoding in encodings]

    @property
    def chat_template(self) -> str | None:
        """The default chat template, in Jinja, if the files have one."""
        return chat.template_of(self._config, self._files.get("chat_template.jinja"))

    @cached_property
    def template_sha256(self) -> str:
        """Of the chat template; "" without one."""
        return hashlib.sha256(self.chat_template.encode()).hexdigest() if self.chat_template else ""

    def with_template(self, template: str, specials: Sequence[str] = ()) -> "Tokenizer":
        """The same with this chat template, and with new ids for those of the `specials` that it lacks.

        Raises GenusError where the file leaves no ids after all others.
        """
        config = {name: value for name, value in self._config.items() if name != "chat_template"}
        files = {**self._files, "chat_template.jinja": template.encode()}
        if config != self._config:
            files["tokenizer_config.json"] = json.dumps(config, indent=1, ensure_ascii=False).encode()
        if missing := [name for name in specials if name not in self.special_names]:
            from tokenizers import AddedToken

            backend = _backend(json.loads(self._files["tokenizer.json"]))
            backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in missing])
            files["tokenizer.json"] = backend.to_str(pretty=True).encode()
        made = Tokenizer(files)
        if len({made._backend.token_to_id(name) for name in missing} - set(range(self.vocab))) < len(missing):
            raise GenusError(
                f"tokenizer.json has no free ids for {', '.join(missing)}; give a template of tokens that it has"
            )
        return made

    def encode_chat(self, messages: Any, add_generation_prompt: bool = True, tools: Any = None) -> list[int]:
        """The ids of a chat as its template writes it. What stands in messages or tools is text and forges no special token.

        `messages` are mappings with "role" and "content", `tools` mappings as OpenAI's API has them. Raises GenusError
        naming the first message that is none.
        """
        text = self._render(messages, add_generation_prompt, tools)
        guarded = chat.BREAK in text or self._normalises_to_special([*messages, *(tools or ())])
        return self._encode(self._guarded if guarded else self._marked, [text], True)[0]

    @cached_property
    def turn_ends(self) -> frozenset[int]:
        """The ids that end a turn of the model: the end of text, and what the template writes after an answer."""
        ends = set() if self.end_of_text is None else {self.end_of_text}
        if self.chat_template:
            answer = "ANSWER"  # plain letters, which no template changes
            with contextlib.suppress(GenusError):  # a template that wants other messages
                chatted = self._render([{"role": "user", "content": "?"}, {"role": "assistant", "content": answer}], False)
                if found := self._special_pattern.search(chatted.rpartition(answer)[2]):
                    ends.add(self._backend.token_to_id(found[0]))
        return frozenset(ends)

    @cached_property
    def special_names(self) -> tuple[str, ...]:
        """The special tokens as they are written."""
        return tuple(token.content for token in self._added.values() if token.special)

    @cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        return chat.pattern_of(self.special_names)

    def render_chat(self, messages: Any, add_generation_prompt: bool = True, tools: Any = None) -> str:
        """The text that `encode_chat` reads."""
        return self._render(messages, add_generation_prompt, tools).replace(chat.BREAK, "")

    def _render(self, messages: Any, add_generation_prompt: bool, tools: Any = None) -> str:
        if not self.chat_template:
            raise GenusError("this tokenizer has no chat template; give it a chat_template.jinja, or use plain text")
        named = {name: _content(token) for name, token in self._config.items() if name.endswith("_token")}
        variables: dict[str, Any] = {name: token for name, token in named.items() if isinstance(token, str)}
        variables["add_generation_prompt"] = add_generation_prompt
        said = {"messages": messages} if tools is None else {"messages": messages, "tools": tools}
        return chat.render_safely(self.chat_template, said, self.special_names, **variables)

    def _normalises_to_special(self, messages: Any) -> bool:
        text = json.dumps(messages, ensure_ascii=False).encode("utf-8", "replace").decode()
        normaliser = self._backend.normalizer
        return normaliser is not None and bool(self._special_pattern.search(normaliser.normalize_str(text)))

    @cached_property
    def _marked(self) -> Any:
        """The backend that reads special tokens in text."""
        return _backend(json.loads(self._files["tokenizer.json"]))

    @cached_property
    def _guarded(self) -> Any:
        """`_marked` for text in which chat.BREAK keeps some special tokens from being read: it is removed after that."""
        spec = json.loads(self._files["tokenizer.json"])
        for token in spec.get("added_tokens", []):
            token["normalized"] = bool(token["normalized"]) and not token["special"]
        remove = {"type": "Replace", "pattern": {"String": chat.BREAK}, "content": ""}
        steps = [remove, spec["normalizer"]] if spec.get("normalizer") else [remove]
        return _backend(spec | {"normalizer": {"type": "Sequence", "normalizers": steps}})

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
        named = _content(self._config.get("eos_token"))
        return next((token for token in (named, *_USUAL_ENDS) if token in ids), "")

    def _read_start(self, ids: dict[str, int]) -> tuple[int, ...]:
        if (asked := self._config.get("add_bos_token")) is not None:  # transformers lets it win over tokenizer.json too
            start = ids.get(str(_content(self._config.get("bos_token"))))
            return (start,) if asked and start is not None else ()
        encoded = self._backend.encode("a")
        return tuple(encoded.ids[: (*encoded.special_tokens_mask, 0).index(0)])

    def _to_bytes(self, text: str, number: int) -> bytes:
        if number in self._added:
            return self._added[number].content.encode()
        if self._byte_level and all(character in BYTE_OF for character in text):
            return bytes(BYTE_OF[character] for character in text)
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


def _backend(spec: dict[str, Any]) -> Any:
    from tokenizers import Tokenizer as Backend

    backend = Backend.from_str(json.dumps(spec))
    backend.no_truncation()  # a saved truncation would cut documents silently
    backend.no_padding()
    return backend


def _content(token: Any) -> Any:
    return token.get("content") if isinstance(token, dict) else token  # older configs wrap it in an AddedToken
