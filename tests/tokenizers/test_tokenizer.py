"""Using tokenizers: exact round trips, text that stays text, exact bytes, streaming, and other models' files."""

import json
import shutil
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from genus.core.errors import GenusError
from genus.tokenizers.bytelevel import train
from genus.tokenizers.tokenizer import StreamDecoder, Tokenizer

OURS = train(iter(["we the people of the united states, in order 🙂🙂🙂 naïve"] * 4), 290)


@pytest.fixture(scope="module")
def pythia(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pythia")
    shutil.copy(shared_data / "tok_pythia_20B" / "20B_tokenizer.json", folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="module")
def opt(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = shared_data / "tok_gpt2_opt"
    model = tokenizers.models.BPE.from_file(str(files / "gpt2-vocab.json"), str(files / "gpt2-merges.txt"))
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = tokenizers.decoders.ByteLevel()
    backend.add_special_tokens(["</s>"])
    folder = tmp_path_factory.mktemp("opt")
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "</s>"}')
    return folder


@given(st.text())
def test_decode_undoes_encode(text: str) -> None:
    assert OURS.decode(OURS.encode(text)) == text


@given(st.text())
def test_token_bytes_join_to_the_text(text: str) -> None:
    assert b"".join(OURS.token_bytes(number) for number in OURS.encode(text)) == text.encode()


@given(st.lists(st.integers(0, OURS.vocab + 3)))
def test_streamed_pieces_join_to_the_whole_and_hold_no_half_character(ids: list[int]) -> None:
    stream = StreamDecoder(OURS)
    assert "".join([*map(stream.add, ids), stream.flush()]) == OURS.decode(ids)


@given(st.text(alphabet="🙂é日a", min_size=1))
def test_valid_text_streams_without_a_replacement_character(text: str) -> None:
    stream = StreamDecoder(OURS)
    for byte in text.encode():  # byte by byte: the worst a model can do
        (number,) = (i for i in range(256) if OURS.token_bytes(i) == bytes([byte]))
        assert "\ufffd" not in stream.add(number)
    assert stream.flush() == ""


def test_an_open_character_is_flushed_once() -> None:
    stream = StreamDecoder(OURS)
    first = next(i for i in range(256) if OURS.token_bytes(i) == b"\xf0")
    assert [stream.add(first), stream.flush(), stream.flush()] == ["", "\ufffd", ""]


def test_special_tokens_in_text_are_text() -> None:
    text = "a<|endoftext|>b"
    assert OURS.end_of_text not in OURS.encode(text)
    assert OURS.decode(OURS.encode(text)) == text


def test_special_ids_are_not_shown_but_have_bytes() -> None:
    assert OURS.end_of_text is not None
    ids = [*OURS.encode("a"), OURS.end_of_text, *OURS.encode("b")]
    assert OURS.decode(ids) == "ab"
    assert OURS.token_bytes(OURS.end_of_text) == b"<|endoftext|>"
    assert OURS.token_bytes(10_000) == b""
    with pytest.raises(GenusError, match="negative"):
        OURS.decode([-1])


def test_a_batch_is_its_singles() -> None:
    texts = ["we the people", "", "🙂", "of the united states " * 50]
    assert OURS.encode_batch(texts) == [OURS.encode(text) for text in texts]


def test_half_a_surrogate_pair_is_named() -> None:
    with pytest.raises(GenusError, match="half a surrogate pair at character 2"):
        OURS.encode("ab\ud83d")


def test_save_and_load_are_byte_for_byte(tmp_path: Path) -> None:
    OURS.save(tmp_path / "a")
    (tmp_path / "a" / "chat_template.jinja").write_text("{{ messages }}")
    loaded = Tokenizer.load(tmp_path / "a")
    loaded.save(tmp_path / "b")
    assert loaded.sha256 == OURS.sha256
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json"]
    for name in names:
        assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "a" / name).read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "is missing"), ('{"model": ', "not whole JSON"), ('{"model": 3}', "cannot be used"), ("[]", "cannot be used")],
)
def test_a_missing_or_corrupt_tokenizer_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(GenusError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_truncation_padding_and_templates_in_the_file_do_not_touch_text(tmp_path: Path) -> None:
    OURS.save(tmp_path)
    backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    backend.enable_truncation(4)
    backend.enable_padding(length=16)
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 289)]
    )
    assert backend.encode("we the people of the united states").ids[0] == 289
    backend.save(str(tmp_path / "tokenizer.json"))
    text = "we the people of the united states"
    assert Tokenizer.load(tmp_path).encode(text) == OURS.encode(text)


@pytest.mark.parametrize(
    ("config", "end"),
    [
        ({"eos_token": "<|im_end|>"}, "<|im_end|>"),
        ({"eos_token": {"content": "<|im_end|>"}}, "<|im_end|>"),
        ({"eos_token": None}, "<|endoftext|>"),
        (None, "<|endoftext|>"),
    ],
)
def test_end_of_text_is_what_the_config_names_else_the_usual(tmp_path: Path, config: dict | None, end: str) -> None:
    OURS.save(tmp_path)
    backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    backend.add_special_tokens(["<|im_end|>"])
    backend.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").unlink()
    if config is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert Tokenizer.load(tmp_path).end_of_text == backend.token_to_id(end)


def test_pythia_gives_the_ids_of_its_own_library_and_its_bytes(pythia: Path) -> None:
    ours, theirs = Tokenizer.load(pythia), tokenizers.Tokenizer.from_file(str(pythia / "tokenizer.json"))
    assert (ours.vocab, ours.end_of_text) == (50277, 0)
    for text in ["def f(x):\n        return x  # 🙂", "The quick  brown fox", "日本語 naïve"]:
        ids = theirs.encode(text).ids
        assert ours.encode(text) == ids
        assert ours.decode(ids) == text == theirs.decode(ids)
        assert b"".join(map(ours.token_bytes, ids)) == text.encode()
    assert ours.decode(ours.encode("<|endoftext|>")) == "<|endoftext|>"
    assert 0 not in ours.encode("<|endoftext|>")


def test_opt_known_ids_and_all_bytes(opt: Path) -> None:
    tokenizer = Tokenizer.load(opt)
    assert tokenizer.encode("Hello world") == [31414, 232]  # as RoBERTa and OPT publish them
    assert (tokenizer.vocab, tokenizer.end_of_text) == (50265, 2)
    assert {bytes([byte]) for byte in range(256)} <= {tokenizer.token_bytes(i) for i in range(tokenizer.vocab)}


def test_sentencepiece_like_files_open(tmp_path: Path) -> None:
    pieces = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", "a", "b", "\u2581a", "\u2581ab"]
    merges = [("\u2581", "a"), ("\u2581a", "b")]
    model = tokenizers.models.BPE(
        {piece: i for i, piece in enumerate(pieces)}, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True
    )
    backend = tokenizers.Tokenizer(model)
    backend.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.Prepend("\u2581"), tokenizers.normalizers.Replace(" ", "\u2581")]
    )
    decoders = tokenizers.decoders
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens(["</s>"])
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    ids = tokenizer.encode("ab ab 🙂")
    assert tokenizer.end_of_text == 1
    assert tokenizer.decode([*ids, 1]) == "ab ab 🙂"
    assert b"".join(map(tokenizer.token_bytes, ids)) == " ab ab 🙂".encode()
    stream = StreamDecoder(tokenizer)  # a continuation keeps the space that a decoded text begins without
    assert "".join(map(stream.add, ids)) + stream.flush() == " ab ab 🙂"
