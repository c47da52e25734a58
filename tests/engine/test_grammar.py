"""Grammars: whatever the logits are, the text fits. Judged by json and jsonschema, by re, and by all texts of small ones."""

import json
import re

import jsonschema
import pytest
import torch

from genus.core.errors import GenusError
from genus.engine.grammar import Grammar, Grammars, GrammarState
from genus.engine.sample import NOTHING_LEFT, Row, choose
from genus.engine.sampling import Sampling
from genus.tokenizers.bytelevel import train
from genus.tokenizers.tokenizer import Tokenizer
from tests.train.tiny import WORDS

TEXTS = [*WORDS, *(json.dumps({"name": word, "year": 1790, "tags": ["war", "peace"]}) for word in WORDS)]
OURS = train(iter(TEXTS * 4), vocab=360)
ROWS = OURS.vocab + 5  # a model's table may be padded
END = OURS.end_of_text
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "year": {"type": "integer", "minimum": 1790, "maximum": 2025},
        "tags": {"type": "array", "items": {"enum": ["war", "peace", "\u00e9t\u00e9"]}, "maxItems": 3},
        "good": {"type": ["boolean", "null"]},
    },
    "required": ["name", "year"],
    "additionalProperties": False,
}
FORBIDS_SPACE = {"x-guidance": {"whitespace_flexible": False}}


@pytest.fixture(scope="module")
def grammars() -> Grammars:
    return Grammars(OURS, ROWS)


def random_text(state: GrammarState, seed: int, tokenizer: Tokenizer = OURS) -> str:
    """Tokens drawn from random logits under the grammar, until it ends; at each place the mask says when it may."""
    generator, said = torch.Generator().manual_seed(seed), []
    for position in range(400):
        if state.stopped:
            return tokenizer.decode(said)
        logits = 2 * torch.randn(1, ROWS, generator=generator)
        if tokenizer.end_of_text is not None:
            assert bool(state.mask()[tokenizer.end_of_text]) == state.may_end
        (token,) = choose(logits, [Row(Sampling(), seed, position=position, said=said, grammar=state)])
        state.advance(token)
        said.append(token)
    raise AssertionError(f"no end: {tokenizer.decode(said)}")


@pytest.mark.parametrize("seed", range(25))
def test_every_text_under_a_schema_parses_and_validates(grammars, seed):
    text = random_text(grammars.start(Grammar("json_schema", json.dumps(SCHEMA | FORBIDS_SPACE))), seed)
    jsonschema.validate(json.loads(text), SCHEMA)


def test_texts_under_a_schema_differ(grammars):
    grammar = Grammar("json_schema", json.dumps(SCHEMA | FORBIDS_SPACE))
    assert len({random_text(grammars.start(grammar), seed) for seed in range(10)}) == 10


@pytest.mark.parametrize("kind, text, pattern", [
    ("regex", "(yes|no) [0-9]{1,4}!?", "(yes|no) [0-9]{1,4}!?"),
    ("regex", "<\\|endoftext\\|>[a-f]+", "<\\|endoftext\\|>[a-f]+"),
    ("lark", 'start: "peace" (" and " thing)+\nthing: "war" | "plenty"', "peace( and (war|plenty))+"),
])  # fmt: skip
def test_every_text_under_an_expression_fits(grammars, kind, text, pattern):
    made = {random_text(grammars.start(Grammar(kind, text)), seed) for seed in range(12)}
    assert all(re.fullmatch(pattern, one) for one in made), made
    assert len(made) > 3


def test_the_mask_is_what_some_text_goes_on_with(grammars):
    """Of a language that can be written out: every token of the vocabulary, at every beginning."""
    texts = [f"{word} {digit}" for word in ("peace", "peaceful", "war") for digit in "0189"]
    start = grammars.start(Grammar("regex", "(peace(ful)?|war) [0189]"))
    forced = {"p": "eace", "peacef": "ul ", "war": " "}
    for beginning in ("", "p", "peace", "peacef", "war", "war ", "war 8"):
        state = start.copy()
        for token in OURS.encode(beginning):
            state.advance(token)
        ahead = {text.removeprefix(beginning) for text in texts if text.startswith(beginning)}
        spelled = {token: OURS.decode([token]) for token in range(ROWS)}
        expected = {token for token, said in spelled.items() if said and any(text.startswith(said) for text in ahead)}
        if beginning in texts:
            expected |= {END}
        elif beginning in forced:  # only as the tokenizer would write it
            expected = {OURS.encode(forced[beginning])[0]}
        assert state.may_end == (beginning in texts)
        assert set(state.mask().nonzero()[0]) == expected, beginning


def test_a_copy_goes_its_own_way(grammars):
    state = grammars.start(Grammar("regex", "ab|ac"))
    (a,), (b,), (c,) = map(OURS.encode, "abc")
    state.advance(a)
    other = state.copy()
    state.advance(b)
    assert (state.may_end, other.may_end) == (True, False)
    other.advance(c)
    assert other.may_end


def test_a_token_outside_the_grammar_is_refused_and_ends_it(grammars):
    state = grammars.start(Grammar("regex", "ab"))
    with pytest.raises(GenusError, match="does not fit the grammar"):
        state.advance(OURS.encode("z")[0])
    assert state.error
    assert not state.mask().any()
    assert choose(torch.zeros(1, ROWS), [Row(Sampling(), 1, grammar=state)]) == [NOTHING_LEFT]


def test_special_tokens_are_no_text(tmp_path):
    """What reads like one is spelled by other tokens; the id itself would forge a turn."""
    OURS.save(tmp_path)
    spec = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    spec["added_tokens"].append({**spec["added_tokens"][0], "id": OURS.vocab, "content": "<|im_start|>"})
    chatty = Tokenizer({"tokenizer.json": json.dumps(spec).encode()})
    assert (chatty.token_bytes(OURS.vocab), chatty.visible_bytes(OURS.vocab)) == (b"<|im_start|>", b"")
    grammars = Grammars(chatty, ROWS)
    for grammar in (
        Grammar("regex", "(<\\|im_start\\|>|a)+"),
        Grammar("json_schema", '{"type": "string", "maxLength": 40}'),
    ):
        state = grammars.start(grammar)
        for token in chatty.encode("<" if grammar.kind == "regex" else '"<|'):
            assert not state.mask()[OURS.vocab]
            state.advance(token)
        assert not state.mask()[OURS.vocab]
    assert random_text(grammars.start(Grammar("regex", "<\\|im_start\\|>[a-f]{3}")), 1, chatty).startswith("<|im_start|>")


def test_a_tokenizer_without_an_end_stops_where_nothing_can_follow(tmp_path):
    OURS.save(tmp_path)
    spec = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    spec["added_tokens"] = []
    spec["model"]["vocab"].pop("<|endoftext|>", None)
    endless = Tokenizer({"tokenizer.json": json.dumps(spec).encode()})
    assert endless.end_of_text is None
    state = Grammars(endless, ROWS).start(Grammar("regex", "(war|peace)!"))
    assert random_text(state, 3, endless) in ("war!", "peace!")


DEEP = '{"items":' * 800 + "{}" + "}" * 800


@pytest.mark.parametrize("kind, text, said", [
    ("json_schema", '{"type": "strng"}', "strng"), ("json_schema", "{", "Expecting"), ("json_schema", "[1]", ""),
    ("json_schema", "3", ""), ("json_schema", DEEP, ""), ("json_schema", "[" * 60_000, "recursion"),
    ("json_schema", '{"$ref": "http://169.254.169.254/x"}', ""), ("json_schema", '{"type": "string", "pattern": "((("}', ""),
    ("json_schema", '{"type": "string", "minLength": 3, "maxLength": 1}', ""),
    ("json_schema", '{"type": "integer", "minimum": 5, "maximum": 1}', ""),
    ("json_schema", '{"not": {"type": "string"}}', "not"), ("regex", "(((", ""),
    ("lark", "start: missing", "missing"), ("lark", "start: (", ""),
], ids=lambda value: str(value)[:30])  # fmt: skip
def test_f20_what_cannot_be_a_grammar_is_named(grammars, kind, text, said):
    with pytest.raises(GenusError, match=f"cannot be used as a grammar.*{said}") as caught:
        grammars.start(Grammar(kind, text))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("kind, text", [
    ("json_schema", '{"type": "string", "maxLength": 1000000000}'), ("regex", "a{1000000000}"),
    ("json_schema", '{"type": "array", "items": {}, "maxItems": 18446744073709551615}'),
    ("json_schema", '{"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}'),
])  # fmt: skip
def test_f20_without_bounds_it_is_answered(grammars, kind, text):
    """Refused or compiled, but soon, and without an exception of another kind."""
    try:
        assert grammars.start(Grammar(kind, text)).mask().shape == (ROWS,)
    except GenusError as error:
        assert "cannot be used as a grammar" in str(error)


def test_f20_a_schema_too_long_is_refused_at_once():
    with pytest.raises(GenusError, match="at most 65,536"):
        Grammar("json_schema", json.dumps({"enum": [f"word{number}" for number in range(50_000)]}))
    with pytest.raises(GenusError, match="choose one of json_schema, regex, lark"):
        Grammar("gbnf", "x")


def test_f21_many_grammars_do_not_pile_up(grammars):
    for number in range(100):
        grammars.start(Grammar("regex", f"a{number}b"))
    assert grammars._compiled.cache_info().currsize <= 32


@pytest.mark.parametrize("seed", range(8))
def test_space_between_the_parts_of_json_has_an_end(grammars, seed):
    """Without one, a model that likes spaces writes them until max_tokens."""
    state, spaces = grammars.start(Grammar("json_schema", json.dumps(SCHEMA))), OURS.encode(" \n\t")
    generator, said = torch.Generator().manual_seed(seed), []
    while not state.stopped:
        logits = 2 * torch.randn(1, ROWS, generator=generator)
        logits[:, spaces] += 9
        (token,) = choose(logits, [Row(Sampling(), seed, position=len(said), said=said, grammar=state)])
        state.advance(token)
        said.append(token)
        assert len(said) < 1000
    jsonschema.validate(json.loads(OURS.decode(said)), SCHEMA)
