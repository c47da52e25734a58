"""Train a tokenizer of any kind of the lineage, on the same few steps: how text is cut, and which special tokens there are.

Not for using one: see tokenizer.py. Not for reading published ones: see formats.py.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from genus.core.errors import GenusError
from genus.tokenizers import prepare
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["END_OF_TEXT", "KINDS", "Kind", "KindName", "least_vocab", "train_kind"]

END_OF_TEXT = "<|endoftext|>"
KindName = Literal["gpt2", "gpt1", "neox", "galactica", "llama"]

_SPACES = tuple(" " * count for count in range(24, 1, -1))  # as in GPT-NeoX-20B (arXiv 2204.06745, section 3.2)
_SPANS = ("DNA", "AMINO", "SMILES", "I_SMILES")
_SCIENCE = (
    *("[START_REF]", "[END_REF]", "[IMAGE]", "<fragments>", "</fragments>", "<work>", "</work>"),
    *("[START_SUP]", "[END_SUP]", "[START_SUB]", "[END_SUB]"),
    *(f"[{side}_{span}]" for span in _SPANS for side in ("START", "END")),
)
# Brackets one by one, ASCII operators in runs of the same, as in Galactica's tokenizer.json.
_OPERATORS = r"""[\(\)\[\]\{\}]|([!"\#\$%\&'\*\+,\-\./:;<=>\?\\\^_`\|\~])\1*"""
_BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of tokenizer. `first` and `last` are its special tokens, before and after what is learned."""

    cut: Callable[[Any], None]
    """Gives a backend its normaliser, pre-tokenizer and decoder."""
    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    spaces: tuple[str, ...] = ()
    """Runs of spaces that are tokens, after all else."""
    start: str = ""
    """What stands before every document."""
    named: dict[str, str] = field(default_factory=dict)
    """For tokenizer_config.json."""
    letters: Literal["bytes", "characters", "characters or bytes"] = "bytes"
    """What the merges begin with."""
    word_end: str = ""


def train_kind(texts: Iterator[str], vocab: int, kind: KindName = "gpt2", pretokenizer: str = "bert") -> Tokenizer:
    """A tokenizer of exactly `vocab` ids, the same for the same texts. `pretokenizer` is GPT-1's alone: "bert" or "spacy".

    Raises GenusError when `vocab` is below `least_vocab`, or more than the texts allow: a merge must be seen twice.
    """
    from tokenizers import AddedToken, processors

    made = KINDS["gpt1-spacy" if (kind, pretokenizer) == ("gpt1", "spacy") else kind]
    least = least_vocab(kind)
    if vocab < least:
        raise GenusError(f"vocab {vocab} is too small; {_LETTERS[made.letters]} needs at least {least}")
    learned = vocab - len(made.last) - len(made.spaces)
    backend = _learn(texts, learned, made)
    # Added after training, so that they take the last ids as in GPT-2; the trainer would give them the first.
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in made.last])
    backend.add_tokens([AddedToken(name, normalized=True) for name in made.spaces])
    found = backend.get_vocab_size()
    if found < vocab:
        raise GenusError(f"vocab {vocab} is more than this text allows; give more text, or a vocab of at most {found}")
    if made.start:
        special = [(made.start, backend.token_to_id(made.start))]
        backend.post_processor = processors.TemplateProcessing(single=f"{made.start} $A", special_tokens=special)
    # What transformers reads to open the folder offline. No model_max_length: a tokenizer has no context, a model does.
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **made.named, "clean_up_tokenization_spaces": False}
    files = {"tokenizer.json": backend.to_str(pretty=True), "tokenizer_config.json": json.dumps(config, indent=1)}
    return Tokenizer({name: content.encode() for name, content in files.items()})


def least_vocab(kind: KindName) -> int:
    """The fewest ids that a kind can have: its special tokens, its bytes, and one merge."""
    made = KINDS[kind]
    return len(made.first + made.last + made.spaces) + (1 if made.letters == "characters" else 257)


def _learn(texts: Iterator[str], vocab: int, kind: Kind) -> Any:
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

    options = {"unk_token": "<unk>", "end_of_word_suffix": kind.word_end} if kind.word_end else {}
    backend = Tokenizer(models.BPE(**options))
    kind.cut(backend)
    fallback = _BYTES if kind.letters == "characters or bytes" else ()
    letters: dict[str, Any] = {
        "limit_alphabet": (vocab - len(kind.first + fallback)) // 2
    }  # rarer ones are bytes, or unknown
    if kind.letters == "bytes":
        letters = {"initial_alphabet": sorted(pre_tokenizers.ByteLevel.alphabet())}
    if kind.word_end:
        letters |= {"end_of_word_suffix": kind.word_end}
    trainer = trainers.BpeTrainer(
        vocab_size=vocab - len(fallback),
        min_frequency=2,
        special_tokens=[AddedToken(name, special=True, normalized=False) for name in kind.first],
        show_progress=False,
        **letters,
    )
    step = prepare.preparation(kind.named, {})
    backend.train_from_iterator(map(step, texts, itertools.repeat(())) if step else texts, trainer)
    return _with_bytes(backend, kind.first) if fallback else backend


def _with_bytes(backend: Any, first: tuple[str, ...]) -> Any:
    """The backend with 256 byte tokens after its special ones, as in SentencePiece, for characters it did not learn."""
    from tokenizers import Tokenizer

    spec = json.loads(backend.to_str())
    learned = sorted(spec["model"]["vocab"], key=spec["model"]["vocab"].get)[len(first) :]
    spec["model"]["vocab"] = {token: number for number, token in enumerate((*first, *_BYTES, *learned))}
    spec["model"] |= {"byte_fallback": True, "unk_token": "<unk>", "fuse_unk": True}
    return Tokenizer.from_str(json.dumps(spec))


def _cut_bytes(backend: Any, normaliser: Any = None, before: tuple[Any, ...] = ()) -> None:
    from tokenizers import decoders, pre_tokenizers

    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([*before, words]) if before else words
    backend.decoder = decoders.ByteLevel()
    if normaliser is not None:
        backend.normalizer = normaliser


def _cut_neox(backend: Any) -> None:
    from tokenizers import normalizers

    _cut_bytes(backend, normalizers.NFC())


def _cut_galactica(backend: Any) -> None:
    from tokenizers import Regex, normalizers, pre_tokenizers

    steps = (
        pre_tokenizers.Split(prepare.MARKER, "removed"),
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.Split(Regex(_OPERATORS), "isolated"),
        pre_tokenizers.Split("\n", "isolated"),
    )
    _cut_bytes(backend, normalizers.NFKC(), steps)


def _cut_llama(backend: Any) -> None:
    from tokenizers import decoders, normalizers, pre_tokenizers

    space = "\u2581"
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(space), normalizers.Replace(" ", space)])
    words = pre_tokenizers.Metaspace(space, prepend_scheme="never")
    backend.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.Digits(individual_digits=True)])
    plain = (decoders.Replace(space, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0))
    backend.decoder = decoders.Sequence(list(plain))


_ENDS = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT}
_FAIRSEQ = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
# GPT-1 had no end of text: its documents were whole books. Streams of documents need one, so ours has.
_GPT1 = {**_ENDS, "unk_token": "<unk>"}


def _gpt1(named: dict[str, str]) -> Kind:
    def cut(backend: Any) -> None:
        prepare.split_words(backend, named.get("genus_prepare", ""))

    return Kind(cut=cut, first=("<unk>",), last=(END_OF_TEXT,), named=named, letters="characters", word_end="</w>")


KINDS = {
    "gpt2": Kind(cut=_cut_bytes, last=(END_OF_TEXT,), named={**_ENDS, "unk_token": END_OF_TEXT}),
    "gpt1": _gpt1(_GPT1),
    "gpt1-spacy": _gpt1({**_GPT1, "genus_prepare": "gpt1-spacy"}),
    "neox": Kind(
        cut=_cut_neox,
        first=(END_OF_TEXT, "<|padding|>"),
        spaces=_SPACES,
        named={**_ENDS, "unk_token": END_OF_TEXT, "pad_token": "<|padding|>"},
    ),
    "galactica": Kind(
        cut=_cut_galactica,
        first=("<s>", "<pad>", "</s>", "<unk>", *_SCIENCE),
        start="</s>",
        named={**_FAIRSEQ, "genus_prepare": "galactica"},
    ),
    "llama": Kind(
        cut=_cut_llama,
        first=("<unk>", "<s>", "</s>"),
        start="<s>",
        named={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        letters="characters or bytes",
    ),
}
_LETTERS = {
    "bytes": "byte-level BPE",
    "characters": "BPE over characters",
    "characters or bytes": "BPE with bytes to fall back on",
}
