"""`genus models`: every size, numbers checked by hand, folders, and names that are nearly right."""

import json

import pytest
import torch

from genus.cli import main as cli
from genus.cli.models import size_rows
from genus.cli.tables import aligned, markdown
from genus.core.files import write_json
from genus.models.families import FAMILIES, family_named
from genus.models.weights import config_of


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli._run(["models", *arguments]) == 0
    return capsys.readouterr().out


def facts(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    return json.loads(said(capsys, *arguments, "--json").splitlines()[-1])


def test_the_list_has_every_size_with_its_count(capsys):
    text = said(capsys)
    places = []
    for name in FAMILIES:
        family = family_named(name)
        places.append(text.index(f"\n{family.title}: {name}\n"))
        for size, spec in family.sizes.items():
            (line,) = (line for line in text.splitlines() if line.split()[:1] == [size] and "," in line)
            assert line.split()[1] == f"{spec.parameters:,}"
    assert places == sorted(places)
    years = [int(family_named(name).title[-5:-1]) for name in FAMILIES]
    assert years == sorted(years)


def test_opt_175b_by_hand(capsys):
    text = " ".join(said(capsys, "opt-175b").split())
    for part in (
        "174,604,468,224",
        "698.4 GB in fp32, 349.2 GB in bf16",
        "2,793.7 GB with AdamW",
        "4,718,592 bytes a token in bf16, 9.7 GB for all 2,048",  # 2 * 96 layers * 12,288 * 2 bytes
        "96 blocks of width 12,288",
        "GPT-3's sizes, in the open",
        "opt-125m, opt-350m",
    ):
        assert part in text


def test_facts_by_hand(capsys):
    found = facts(capsys, "llama2-70b")
    assert (found["name"], found["family"], found["parameters"]) == ("llama2-70b", "llama", 68_976_648_192)
    assert found["bytes"] == {
        "weights_fp32": 275_906_592_768,
        "weights_bf16": 137_953_296_384,
        "training_adamw_fp32": 1_103_626_371_072,
        "cache_token_bf16": 327_680,
        "cache_context_bf16": 1_342_177_280,
    }
    table = 32000 * 8192
    forward = 2 * (68_976_648_192 - table) + 4 * 80 * 8192 * 4096  # of the two tables one is only looked up
    assert found["flop"]["generating_last_token"] == forward
    assert found["flop"]["training_token"] == 3 * forward
    assert found["spec"]["attention.kv_heads"] == 8
    assert found["spec"]["position"] == "Rotary"


def test_experts_that_a_token_does_not_meet(capsys):
    found = facts(capsys, "gpt-oss-20b")
    each = 3 * 2880 * 2880 + 3 * 2880
    assert found["parameters"] - found["active_parameters"] == 24 * 28 * each
    assert "of which a token meets 4,187,440,704" in said(capsys, "gpt-oss-20b")
    assert "(a band keeps only itself)" in " ".join(said(capsys, "gpt-oss-20b").split())


def test_a_family_is_listed_and_a_name_of_both_is_the_size(capsys):
    text = said(capsys, "opt")
    assert "ReLU" in text and "opt-66b" in text and "bloom" not in text
    assert set(facts(capsys, "opt")["opt"]) == set(family_named("opt").sizes)
    assert facts(capsys)["gpt1"]["gpt1"]["parameters"] == 116_534_784
    assert facts(capsys, "gpt2")["name"] == facts(capsys, "GPT2")["name"] == "gpt2"


def test_a_folder(capsys, tmp_path):
    family = family_named("gpt_neo")
    spec = family.sizes["gpt-neo-125m"]
    write_json(tmp_path / "config.json", config_of(spec, family, torch.float32))
    of_folder, of_size = facts(capsys, str(tmp_path)), facts(capsys, "gpt-neo-125m")
    assert of_folder.pop("name") == str(tmp_path)
    assert of_size.pop("name") == "gpt-neo-125m"
    assert of_folder == of_size
    assert "Other sizes" in said(capsys, str(tmp_path))


def test_a_diagram(capsys):
    assert said(capsys, "gptj", "--diagram") == said(capsys, "gptj-6b", "--diagram")
    assert "block × 28" in said(capsys, "gptj", "--diagram")


@pytest.mark.parametrize("arguments, expected", [
    (("opt-175",), "did you mean opt-175b?"),
    (("lama",), "did you mean llama?"),
    (("gpt_neox20b",), "did you mean gpt-neox-20b?"),
    (("zzzz",), "`genus models` lists them"),
    (("runs/missing/model",), "not a folder that exists"),
    (("--diagram",), "name it, such as"),
])  # fmt: skip
def test_names_that_are_not_there(capsys, arguments, expected):
    assert cli._run(["models", *arguments]) == 1
    error = capsys.readouterr().err.strip()
    assert expected in error
    assert "\n" not in error


def test_tables():
    rows = [("size", "n"), ("a", "1,000"), ("long", "2")]
    assert aligned(rows) == ["size      n", "a     1,000", "long      2"]
    assert aligned(rows, left=2) == ["size  n", "a     1,000", "long  2"]
    assert markdown(rows) == "| size | n |\n| --- | ---: |\n| a | 1,000 |\n| long | 2 |"


def test_a_column_that_says_nothing_is_left_out():
    assert size_rows(family_named("gpt2").sizes)[0] == ["size", "parameters", "width", "depth", "heads", "context"]
    assert "kv heads" in size_rows(family_named("llama").sizes)[0]
    assert "active" in size_rows(family_named("gpt_oss").sizes)[0]
