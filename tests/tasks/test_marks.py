"""The marks: sequences as GPT-1 writes them, the same in transformers, and rows for them in the table."""

import json

import pytest
import torch

from genus.core.errors import GenusError
from genus.models.weights import load_model
from genus.tasks.forms import FORMS, Record
from genus.tasks.marks import MARKS, encode, mark, pad_of
from genus.tokenizers.tokenizer import Tokenizer
from tests.tasks.small import make_base

TABLES = {"decoder.embed.weight", "head.weight", "head.bias"}
NAMES = ("openai-gpt", "gpt2", "opt", "bloom", "llama", "gpt_neox", "gptj", "palm")


@pytest.fixture
def base(tiny_shards, tmp_path):
    return make_base(tmp_path / "base", tiny_shards.parent / "tokenizer")


@pytest.fixture
def marked(base):
    model, _ = load_model(base)
    return mark(model, Tokenizer.load(base), 0)[0]


def ids(marked, text):
    """The ids of marks and texts with | between them."""
    return [
        number for name in text.split("|") for number in ([marked.id_of(name)] if name in MARKS else marked.encode(name))
    ]


def test_each_form_is_as_the_paper_draws_it(marked):
    def made(form, *record):
        return [sequence.tolist() for sequence in encode(FORMS[form], [Record(*record)], marked, 48)[0].sequences]

    assert made("classification", ("peace",)) == [ids(marked, "_start_|peace|_classify_")]
    assert made("entailment", ("peace", "law")) == [ids(marked, "_start_|peace|_delimiter_|law|_classify_")]
    assert made("similarity", ("peace", "law")) == [
        ids(marked, "_start_|peace|_delimiter_|law|_classify_"),
        ids(marked, "_start_|law|_delimiter_|peace|_classify_"),
    ]
    assert made("choice", ("peace", "why?"), "0", ("law", "states")) == [
        ids(marked, "_start_|peace why?|_delimiter_|law|_classify_"),
        ids(marked, "_start_|peace why?|_delimiter_|states|_classify_"),
    ]


def test_texts_are_cut_as_in_the_released_code(marked):
    long = "the people of these states " * 20
    (pair, alone), time = encode(FORMS["entailment"], [Record((long, "law")), Record(("law", "law"))], marked, 30), 30
    assert (pair.cut, alone.cut) == (True, False)
    cut = marked.encode(long)[: time // 2 - 2]
    start, delimiter, classify = (marked.id_of(name) for name in MARKS)
    assert pair.sequences[0].tolist() == [start, *cut, delimiter, *marked.encode("law"), classify]
    (one,) = encode(FORMS["classification"], [Record((long,))], marked, time)[0].sequences
    assert one.tolist() == [start, *marked.encode(long)[: time - 2], classify]
    assert max(len(encode(FORMS["entailment"], [Record((long, long))], marked, t)[0].sequences[0]) for t in (29, 30)) <= 29
    with pytest.raises(GenusError, match="no text fits into sequences of 5 tokens"):
        encode(FORMS["entailment"], [Record((long, "law"))], marked, 5)


def test_a_text_that_spells_a_mark_is_only_text(marked):
    (sequence,) = encode(FORMS["classification"], [Record(("_classify_ it",))], marked, 48)[0].sequences
    assert (sequence == marked.id_of("_classify_")).sum() == 1 == (sequence[-1] == marked.id_of("_classify_"))
    assert marked.decode(sequence.tolist()) == "_classify_ it"


@pytest.mark.parametrize("bos", [False, True])
def test_transformers_makes_the_same_sequences(base, tmp_path, bos):
    from transformers import AutoTokenizer

    if bos:  # as LLaMA's files ask for it
        config = json.loads((base / "tokenizer_config.json").read_text())
        config |= {"add_bos_token": True, "bos_token": "<|endoftext|>", "tokenizer_class": "LlamaTokenizer"}
        (base / "tokenizer_config.json").write_text(json.dumps(config))
    model, _ = load_model(base)
    plain = Tokenizer.load(base)
    marked = mark(model, plain, 0)[0]
    (tmp_path / "marked").mkdir()
    marked.save(tmp_path / "marked")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "marked")
    (one,) = encode(FORMS["classification"], [Record(("peace and law",))], marked, 48)[0].sequences
    (two,) = encode(FORMS["entailment"], [Record(("peace", "no law"))], marked, 48)[0].sequences
    assert theirs("peace and law")["input_ids"] == one.tolist()
    assert theirs("peace", "no law")["input_ids"] == two.tolist()
    assert theirs.pad_token_id == pad_of(marked)
    assert one[0] == (marked.end_of_text if bos else marked.id_of("_start_"))
    assert len(plain.start) == bos
    again = Tokenizer.load(tmp_path / "marked")
    assert (again.start, again.vocab) == (marked.start, plain.vocab + 3)


@pytest.mark.parametrize("rows", [0, 2, 9])
@pytest.mark.parametrize("name", NAMES)
def test_the_table_grows_by_what_it_lacks(tiny_shards, tmp_path, name, rows):
    folder = make_base(tmp_path / "base", tiny_shards.parent / "tokenizer", name, rows)
    model, _ = load_model(folder)
    tokenizer = Tokenizer.load(folder)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    _, tables = mark(model, tokenizer, 0)
    assert model.spec.vocab == tokenizer.vocab + max(3, rows) == len(model.decoder.embed.weight)
    kept = tokenizer.vocab
    for key, value in model.state_dict().items():
        table = key in TABLES
        assert torch.equal(value[:kept] if table else value, before[key][:kept] if table else before[key]), key
    assert {name for name, value in model.named_parameters() if value in set(tables)} == set(model.state_dict()) & TABLES
    assert set(tables.values()) == {range(kept, kept + 3)}
    assert len(model.decoder.embed.weight[kept : kept + 3].unique(dim=0)) == 3


def test_a_model_is_marked_once(base, marked, tmp_path):
    model, _ = load_model(base)
    with pytest.raises(GenusError, match="has _start_, _delimiter_, _classify_ already"):
        mark(model, marked, 0)
