"""Files from before tokenizer.json: the same ids as the libraries that they were made for, on text of every sort."""

import base64
import io
import json
import shutil
from pathlib import Path

import pytest
import sentencepiece
import tiktoken
import transformers
from tiktoken_ext import openai_public
from varied import ODD, languages, prose

from genus.core.errors import GenusError
from genus.tokenizers.alphabet import CHARACTER_OF
from genus.tokenizers.formats import find_tokenizer
from genus.tokenizers.kinds import train_kind
from genus.tokenizers.ranks import ENCODINGS
from genus.tokenizers.tokenizer import StreamDecoder, Tokenizer

# As tiktoken 0.14 has it, written for its own engine; ours is the older form for the tokenizers library's.
CL100K = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
    r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s"""
)
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
IDENTITY = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False, "byte_fallback": True}
LLAMA = {"model_type": "bpe", "split_digits": True, "character_coverage": 0.99, **IDENTITY}


@pytest.fixture(scope="module")
def tiny() -> Tokenizer:
    return train_kind(iter(prose()), 400)


def copy(folder: Path, **files: Path) -> Path:
    """`folder` with files under other names; "__" in a name is a dot."""
    for name, source in files.items():
        shutil.copy(source, folder / name.replace("__", "."))
    return folder


def tiny_merges(tiny: Tokenizer, folder: Path) -> Path:
    model = json.loads(tiny._files["tokenizer.json"])["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"] | {"<|endoftext|>": 399}))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"]), ""]
    (folder / "merges.txt").write_text("\n".join(lines))
    return folder


def tiny_ranks(tiny: Tokenizer, path: Path) -> dict[bytes, int]:
    ranks = {tiny.token_bytes(number): number for number in range(399)}
    ranks["🙂".encode()] = 399  # whole, but with no way to merge it: it is found as a word only
    path.write_text("".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items()))
    return ranks


def pieces(folder: Path, **options: object) -> sentencepiece.SentencePieceProcessor:
    """A SentencePiece model trained here by its own library, written as tokenizer.model."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(prose()), model_writer=written, minloglevel=2, hard_vocab_limit=False, **options
    )
    (folder / "tokenizer.model").write_bytes(written.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())


def test_vocab_and_merges_give_the_ids_they_were_saved_from_and_transformers(tiny: Tokenizer, tmp_path: Path) -> None:
    ours = Tokenizer.load(tiny_merges(tiny, tmp_path))
    theirs = transformers.GPT2Tokenizer.from_pretrained(tmp_path)
    assert (ours.vocab, ours.end_of_text, ours.start) == (400, 399, ())
    for text in prose():
        assert ours.encode(text) == tiny.encode(text) == theirs(text, split_special_tokens=True)["input_ids"]


def test_what_was_converted_is_saved_as_a_folder_that_transformers_opens(tiny: Tokenizer, tmp_path: Path) -> None:
    ours = Tokenizer.load(tiny_merges(tiny, tmp_path))
    ours.save(tmp_path / "saved")
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert Tokenizer.load(tmp_path / "saved").sha256 == ours.sha256
    assert theirs.eos_token_id == 399
    assert theirs(ODD[0])["input_ids"] == ours.encode(ODD[0])


def test_ranks_give_the_ids_of_tiktoken(tiny: Tokenizer, tmp_path: Path) -> None:
    for name, pattern in (("r50k_base", openai_public.r50k_pat_str), ("cl100k_base", CL100K), ("o200k_base", O200K)):
        (folder := tmp_path / name).mkdir()
        ranks = tiny_ranks(tiny, folder / f"{name}.tiktoken")
        ours = Tokenizer.load(folder)
        theirs = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={"<|endoftext|>": 5000})
        assert [ours.encode(text) for text in prose()] == [theirs.encode_ordinary(text) for text in prose()]
        assert ours.vocab == max(ENCODINGS[name].special.values()) + 1
        assert ours.token_bytes(ours.end_of_text) == b"<|endoftext|>"


def test_the_special_ids_are_those_of_tiktoken() -> None:
    for name in ("cl100k_base", "o200k_base", "o200k_harmony"):
        source = openai_public.__dict__[name]
        openai_public.load_tiktoken_bpe, kept = (lambda *_, **__: {}), openai_public.load_tiktoken_bpe
        try:
            theirs = source()["special_tokens"]
            twice = {"<|reserved_200018|>"}  # which tiktoken lists beside <|endofprompt|>, with the same id
            assert {name: number for name, number in theirs.items() if name not in twice} == ENCODINGS[name].special
        finally:
            openai_public.load_tiktoken_bpe = kept


def test_an_unknown_encoding_is_refused_until_its_pattern_is_given(tiny: Tokenizer, tmp_path: Path) -> None:
    ranks = tiny_ranks(tiny, tmp_path / "mine.tiktoken")
    with pytest.raises(GenusError, match=r"mine\.tiktoken is not the name .* r50k_base"):
        Tokenizer.load(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"split_pattern": r"\d|\D+"}))
    theirs = tiktoken.Encoding("mine", pat_str=r"\d|\D+", mergeable_ranks=ranks, special_tokens={})
    assert Tokenizer.load(tmp_path).encode(ODD[1]) == theirs.encode_ordinary(ODD[1])


def published(name: str, pattern: str, shared_data: Path) -> tiktoken.Encoding:
    lines = (shared_data / "tok_openai" / f"{name}.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines)}
    return tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def test_cl100k_on_42_languages(shared_data: Path, tmp_path: Path) -> None:
    theirs = published("cl100k_base", CL100K, shared_data)
    ours = Tokenizer.load(copy(tmp_path, cl100k_base__tiktoken=shared_data / "tok_openai" / "cl100k_base.tiktoken"))
    for text in languages(shared_data) + ODD:
        ids = ours.encode(text)
        assert ids == theirs.encode_ordinary(text)
        assert ours.decode(ids) == text


def test_r50k_and_opt_have_the_same_words_in_another_order_on_42_languages(shared_data: Path, tmp_path: Path) -> None:
    files = shared_data / "tok_gpt2_opt"
    (tmp_path / "opt").mkdir()
    (tmp_path / "gpt2").mkdir()
    opt = Tokenizer.load(
        copy(tmp_path / "opt", vocab__json=files / "gpt2-vocab.json", merges__txt=files / "gpt2-merges.txt")
    )
    gpt2 = Tokenizer.load(copy(tmp_path / "gpt2", r50k_base__tiktoken=shared_data / "tok_openai" / "r50k_base.tiktoken"))
    assert (opt.vocab, opt.start, opt.end_of_text) == (50265, (2,), 2)
    assert opt.encode("Hello world") == [31414, 232]  # as published
    assert gpt2.encode("Hello world") == [15496, 995]
    theirs = published("r50k_base", openai_public.r50k_pat_str, shared_data)
    for text in languages(shared_data) + ODD:
        assert gpt2.encode(text) == theirs.encode_ordinary(text)
        assert [*map(opt.token_bytes, opt.encode(text))] == [*map(gpt2.token_bytes, gpt2.encode(text))]


def test_gpt1_gives_the_ids_of_transformers(shared_data: Path, tmp_path: Path) -> None:
    files = shared_data / "tok_gpt1"
    names = {"vocab__json": files / "encoder_bpe_40000.json", "merges__txt": files / "vocab_40000.bpe"}
    (tmp_path / "theirs").mkdir()
    theirs = transformers.OpenAIGPTTokenizer.from_pretrained(copy(tmp_path / "theirs", **names))
    shutil.copy(files / "encoder_bpe_40000.json", tmp_path)
    shutil.copy(files / "vocab_40000.bpe", tmp_path)
    ours, renamed = Tokenizer.load(tmp_path), Tokenizer.load(tmp_path / "theirs")
    assert (ours.vocab, ours.end_of_text, ours.start) == (40478, None, ())
    assert ours.sha256 == renamed.sha256
    for text in languages(shared_data)[::2] + ODD:
        assert ours.encode(text) == theirs(text, split_special_tokens=True)["input_ids"]
    assert ours.decode(ours.encode("Hello there, World")) == "hello there , world"


def test_neox_gives_the_ids_of_transformers(shared_data: Path, tmp_path: Path) -> None:
    copy(tmp_path, tokenizer__json=shared_data / "tok_pythia_20B" / "20B_tokenizer.json")
    ours = Tokenizer.load(tmp_path)
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    assert ours.start == ()
    for text in languages(shared_data)[::4] + ODD:
        assert ours.encode(text) == theirs(text, split_special_tokens=True)["input_ids"]
        assert ours.encode(text, specials=True) == theirs(text)["input_ids"]


@pytest.mark.parametrize(
    "options",
    [
        {**LLAMA, "vocab_size": 700},
        {**LLAMA, "vocab_size": 700, "add_dummy_prefix": False, "allow_whitespace_only_pieces": True},  # as in PaLM
        {"model_type": "bpe", "vocab_size": 500},
        {"model_type": "unigram", "vocab_size": 500},
        {"model_type": "unigram", "vocab_size": 700, "character_coverage": 0.99, **IDENTITY},
    ],
    ids=["llama", "palm", "bpe nfkc", "unigram nfkc", "unigram bytes"],
)
def test_pieces_give_the_ids_of_sentencepiece(options: dict[str, object], tmp_path: Path, request: object) -> None:
    theirs = pieces(tmp_path, **options)
    ours = Tokenizer.load(tmp_path)
    assert (ours.vocab, ours.start, ours.end_of_text) == (theirs.get_piece_size(), (1,), 2)
    for text in prose():
        ids, found = theirs.encode(text), ours.encode(text)
        if options["model_type"] == "unigram" and "<" in text:  # see below
            continue
        if options["model_type"] == "unigram" and found != ids:  # two cuts of one score: either is the best
            scores = [sum(map(theirs.get_score, each)) for each in (ids, found)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-4) and theirs.decode(found) == theirs.decode(ids), text
            continue
        assert found == ids, text
        if "byte_fallback" in options:
            assert ours.decode(ids) == theirs.decode(ids) == text


def test_llama_pieces_on_42_languages(shared_data: Path, tmp_path: Path) -> None:
    theirs = pieces(tmp_path, **LLAMA, vocab_size=700)
    ours = Tokenizer.load(tmp_path)
    for text in languages(shared_data):
        assert ours.encode(text) == theirs.encode(text)
        assert ours.decode(ours.encode(text)) == text


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_f17_special_pieces_in_text_are_text(kind: str, tmp_path: Path) -> None:
    """The library's unigram model would read "<s>" as id 1; SentencePiece does not, and neither do we."""
    theirs = pieces(tmp_path, model_type=kind, vocab_size=700, character_coverage=0.99, **IDENTITY)
    ours, text = Tokenizer.load(tmp_path), "a <s> b</s>c <unk> <0x41>"
    assert not {0, 1, 2, theirs.piece_to_id("<0x41>")} & set(ours.encode(text))
    assert ours.decode(ours.encode(text)) == text
    assert {1, 2} <= set(ours.encode(text, specials=True))


def test_a_start_of_text_is_what_the_config_says(tmp_path: Path) -> None:
    pieces(tmp_path, **LLAMA, vocab_size=700)
    assert Tokenizer.load(tmp_path).start == (1,)
    (tmp_path / "tokenizer_config.json").write_text('{"add_bos_token": false, "bos_token": "<s>"}')
    assert Tokenizer.load(tmp_path).start == ()
    (tmp_path / "tokenizer_config.json").write_text('{"add_bos_token": true, "bos_token": {"content": "</s>"}}')
    assert Tokenizer.load(tmp_path).start == (2,)


def test_pieces_stream_as_they_decode(tmp_path: Path) -> None:
    pieces(tmp_path, **LLAMA, vocab_size=700)
    ours = Tokenizer.load(tmp_path)
    stream = StreamDecoder(ours)
    ids = ours.encode("two words 🙂")
    assert "".join([*map(stream.add, ids), stream.flush()]) == " two words 🙂"


def test_a_damaged_pieces_file_is_named_wherever_it_is_cut(tmp_path: Path) -> None:
    pieces(tmp_path, model_type="bpe", vocab_size=500)
    path = tmp_path / "tokenizer.model"
    whole = path.read_bytes()
    for cut in [*range(40), *range(40, len(whole), 1997)]:
        path.write_bytes(whole[:cut])
        try:
            Tokenizer.load(tmp_path)  # a cut between two pieces is a smaller model
        except GenusError as error:
            assert str(path) in str(error)
    for content in (b"", b"\xff" * 400, b'{"model": 3}', whole[:100] + b"\xff" * 20 + whole[100:]):
        path.write_bytes(content)
        with pytest.raises(GenusError, match=r"tokenizer\.model is not a SentencePiece model"):
            Tokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vocab.json", '{"a": 1', r"vocab\.json is not whole JSON"),
        ("vocab.json", "[1]", r"vocab\.json does not map tokens to ids"),
        ("vocab.json", '{"a": "1"}', r"vocab\.json does not map tokens to ids"),
        ("vocab.json", '{"a": 4000000000}', r"vocab\.json does not map tokens to ids"),
        ("vocab.json", '{"a": -1}', r"vocab\.json does not map tokens to ids"),
        ("vocab.json", '{"a": 1, "b": 1}', r"vocab\.json gives two tokens one id"),
        ("merges.txt", "#version: 0.2\na b c\n", r"merges\.txt line 2 is not a pair"),
        ("merges.txt", "zz qq\n", r"merges\.txt does not belong to vocab\.json"),
        ("merges.txt", b"\xff\xfe", r"merges\.txt cannot be read"),
        ("tokenizer_config.json", "[]", r"tokenizer_config\.json is not a JSON object"),
        ("tokenizer_config.json", '{"genus_prepare": "none"}', "genus_prepare = 'none' is not a step"),
    ],
)
def test_damaged_merges_are_named(tiny: Tokenizer, tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    tiny_merges(tiny, tmp_path)
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(GenusError, match=message) as caught:
        Tokenizer.load(tmp_path)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("!!!! 3", "line 401 is not a token"),
        ("QUI= x", "line 401 is not a token"),
        ("QUI=", "line 401"),
        ("//8= 3", "one rank"),
    ],
)
def test_damaged_ranks_are_named(tiny: Tokenizer, tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "r50k_base.tiktoken"
    tiny_ranks(tiny, path)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(GenusError, match=rf"r50k_base\.tiktoken .*{message}"):
        Tokenizer.load(tmp_path)
    path.write_text("QQ== 0\n")
    with pytest.raises(GenusError, match="lacks the byte 0"):
        Tokenizer.load(tmp_path)


def test_tokenizer_json_goes_before_older_files_and_an_empty_folder_has_none(tiny: Tokenizer, tmp_path: Path) -> None:
    assert find_tokenizer(tmp_path) == []
    with pytest.raises(GenusError, match=r"tokenizer\.json is missing; .*vocab\.json with merges\.txt"):
        Tokenizer.load(tmp_path)
    tiny_merges(tiny, tmp_path)
    assert [path.name for path in find_tokenizer(tmp_path)] == ["vocab.json", "merges.txt"]
    tiny.save(tmp_path)
    (tmp_path / "merges.txt").write_text("damaged")
    assert Tokenizer.load(tmp_path).sha256 == tiny.sha256


def test_an_id_that_no_model_has_is_refused_before_memory_is_taken(tiny: Tokenizer) -> None:
    spec = json.loads(tiny._files["tokenizer.json"])
    spec["model"]["vocab"]["strange"] = 4_000_000_000
    with pytest.raises(GenusError, match="has the id 4000000000, which no model has"):
        Tokenizer({"tokenizer.json": json.dumps(spec).encode()})


def test_the_alphabet_is_that_of_the_library() -> None:
    from tokenizers.pre_tokenizers import ByteLevel

    assert set(CHARACTER_OF.values()) == set(ByteLevel.alphabet())
    assert [piece for piece, _ in ByteLevel(False, use_regex=False).pre_tokenize_str("é\x00 ")] == [
        "".join(CHARACTER_OF[byte] for byte in "é\x00 ".encode())
    ]
