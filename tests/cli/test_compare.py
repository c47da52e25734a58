"""`genus compare`: the rows are the fields that differ, and no field is without a sentence."""

import dataclasses
import re
import typing
from dataclasses import replace
from types import UnionType

import pytest

from genus.cli import main as cli
from genus.cli.compare import differences
from genus.cli.explain import MEANINGS, fields_of
from genus.models import spec as parts
from genus.models.families import FAMILIES, family_named
from genus.models.spec import Rotary, Yarn

SIZES = {size: spec for name in FAMILIES for size, spec in family_named(name).sizes.items()}
SHAPE = {"parameters", "vocab", "context", "width", "depth", "attention.heads", "attention.head_dim", "mlp.hidden"}


def every_field() -> dict[str, object]:
    """Part.field -> its type, of every part that the spec's vocabulary has."""
    classes = [part for name in parts.__all__ if dataclasses.is_dataclass(part := getattr(parts, name))]
    assert parts.DecoderSpec in classes and parts.Strided in classes
    return {f"{part.__name__}.{name}": hint for part in classes for name, hint in typing.get_type_hints(part).items()}


def test_every_field_has_a_sentence_and_every_sentence_a_field():
    assert MEANINGS.keys() == every_field().keys()


@pytest.mark.parametrize("key, hint", every_field().items())
def test_every_choice_has_a_sentence(key, hint):
    """A literal's values, and the kinds of a part that may be several."""
    choices = set()
    if typing.get_origin(hint) is typing.Literal:
        choices = set(typing.get_args(hint))
    elif isinstance(hint, UnionType) and any(map(dataclasses.is_dataclass, typing.get_args(hint))):
        choices = {"None" if kind is type(None) else kind.__name__ for kind in typing.get_args(hint)}
    meaning = MEANINGS[key]
    assert (set(meaning) if isinstance(meaning, dict) else set()) == choices
    for sentence in meaning.values() if isinstance(meaning, dict) else [meaning]:
        assert sentence.endswith(".")
        assert sentence.count("arXiv") == len(re.findall(r"arXiv \d{4}\.\d{4,5}\b", sentence))


def rows(one: str, other: str) -> dict[str, tuple[str, str]]:
    return {row.path: (row.one, row.other) for row in differences(SIZES[one], SIZES[other])}


def test_opt_125m_and_its_odd_sibling():
    found = rows("opt-125m", "opt-350m")
    assert {path: pair for path, pair in found.items() if path not in SHAPE} == {
        "wiring": ("pre", "post"),
        "embed_dim": ("none", "512"),
    }
    assert found["parameters"] == ("125,239,296", "331,196,416")


def test_what_gpt2_and_llama_differ_in():
    assert {path: pair for path, pair in rows("gpt2", "llama-7b").items() if path not in SHAPE} == {
        "norm.kind": ("layer", "rms"),
        "norm.eps": ("1e-05", "1e-06"),
        "norm.bias": ("yes", "no"),
        "position": ("Learned", "Rotary"),
        "position.dim": ("-", "whole head"),
        "position.base": ("-", "10,000"),
        "position.pairs": ("-", "halves"),
        "attention.bias": ("yes", "no"),
        "attention.out_bias": ("yes", "no"),
        "mlp.activation": ("gelu_tanh", "silu"),
        "mlp.gated": ("no", "yes"),
        "mlp.bias": ("yes", "no"),
        "tied": ("yes", "no"),
    }


@pytest.mark.parametrize("one, other, path, pair", [
    ("gpt2", "gpt3-small", "attention.windows", ("all", "all, the last 256")),
    ("gpt3-small", "gpt-neo-125m", "attention.scale", ("head_dim ** -0.5", "1")),
    ("gpt-neo-125m", "gptj-6b", "position.dim", ("-", "64")),
    ("llama-7b", "llama2-70b", "attention.kv_heads", ("one a head", "8")),
    ("llama-7b", "gpt-oss-20b", "mlp", ("Mlp", "Experts")),
    ("llama-7b", "gpt-oss-20b", "position.stretch", ("none", "Yarn")),
    ("llama-7b", "gpt-oss-20b", "mlp.per_token", ("-", "4")),
    ("gpt2", "palm-8b", "head_scale", ("1", "0.015625")),
])  # fmt: skip
def test_values(one, other, path, pair):
    assert rows(one, other)[path] == pair
    assert rows(other, one)[path] == pair[::-1]


@pytest.mark.parametrize("size", SIZES)
def test_a_model_does_not_differ_from_itself(size):
    assert differences(SIZES[size], SIZES[size]) == []


def test_no_field_is_overlooked():
    """Each field changed alone is a row of its own."""
    spec = SIZES["gpt-oss-20b"]
    stretched = replace(spec, position=replace(spec.position, stretch=Yarn(fast=16.0)))
    assert [row.path for row in differences(spec, stretched)] == ["position.stretch.fast"]
    seen = 0
    for field in dataclasses.fields(spec.each_mlp):
        value = getattr(spec.each_mlp, field.name)
        changed = {"activation": "relu", "gated": False, "bias": False}.get(field.name) if field.name != "hidden" else 2881
        changed = changed if changed is not None else value + 1
        each = replace(spec.each_mlp, **{field.name: changed})
        paths = {row.path for row in differences(spec, replace(spec, mlp=replace(spec.mlp, each=each)))}
        assert paths - {"parameters"} == {f"mlp.{field.name}"}
        seen += 1
    assert seen == 6


def test_both_sides_of_a_choice_are_explained():
    (row,) = differences(
        replace(SIZES["llama-7b"], position=Rotary(dim=128, pairs="neighbours")), replace(SIZES["llama-7b"])
    )
    assert row.path == "position.pairs"
    assert [sentence.split(":")[0] for sentence in row.sentences] == ["neighbours", "halves"]


def test_an_experts_mlp_stands_where_a_sole_one_does():
    assert fields_of(SIZES["gpt-oss-20b"])["mlp.hidden"] == ("Mlp.hidden", 2880)
    assert fields_of(SIZES["gpt2"])["mlp.hidden"] == ("Mlp.hidden", 3072)


def test_the_command(capsys):
    assert cli._run(["compare", "gpt2", "llama"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0].split() == ["gpt2", "llama-7b"]
    assert "arXiv 1910.07467" in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 110
    assert cli._run(["compare", "gpt2", "gpt2"]) == 0
    assert "have the same spec" in capsys.readouterr().out
    assert cli._run(["compare", "gpt2", "lama"]) == 1
    assert "did you mean llama?" in capsys.readouterr().err
