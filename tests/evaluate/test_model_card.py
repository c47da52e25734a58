"""A model card says what the files that it names say, keeps what a person wrote, and promises nothing that is not there."""

import json
import re
import shutil
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

from genus.core.errors import GenusError
from genus.core.files import read_json, write_json
from genus.core.progress import set_quiet
from genus.evaluate.incontext.stage import evaluate_tasks
from genus.evaluate.perplexity import evaluate
from genus.evaluate.probing import evaluate_probes
from genus.evaluate.recipe import Evaluate, Report
from genus.evaluate.report import report
from genus.train.pretrain import pretrain
from genus.train.recipe import Every, ModelRecipe
from genus.train.sft import sft
from tests.train.tiny import tiny_recipe
from tests.train.tiny_chat import EIGHT, sft_recipe, write

ROW = re.compile(r"^\| (?P<cells>.*) \| \[[^]]*\]\((?P<link>[^)]*)\) `(?P<entry>[^`]*)`.*\|$", re.MULTILINE)
NUMBER = re.compile(r"(?<![\w.~/-])-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.%-]*[A-Za-z])")


@pytest.fixture(scope="module")
def made(tiny_shards, tmp_path_factory):
    """A run with its corpus and shards in it, energy, evaluations, and a model tuned from it."""
    set_quiet(True)
    run = tmp_path_factory.mktemp("card") / "run"
    for part in ("corpus", "shards"):
        shutil.copytree(tiny_shards.parent / part, run / part)
    model = ModelRecipe(family="llama", context=96, width=24, depth=2, heads=3)
    pretrain(tiny_recipe(run / "shards", run, every=Every(validate=10, sample=0, checkpoint=10), model=model))
    write_json(run / "energy.json", {"kwh": 0.125, "measured_kwh": 0.05, "co2_kg": None, "seconds": 61.5, "how": {}})
    pairs = [{"query": "the people of", "choices": ["these states", "zebras"], "gold": i % 2} for i in range(6)]
    (run / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    evaluate(Evaluate(model=run / "model", corpus=run / "corpus", out=run / "evaluation.json"))
    evaluate_tasks(Evaluate(model=run / "model", tasks=(str(run / "pairs.jsonl"),), out=run / "asked"))
    evaluate_probes(Evaluate(model=run / "model", probes=("occupations",), limit=12, out=run / "probed"))
    sft(sft_recipe(run / "model", write(run / "chats.jsonl", EIGHT), run / "align" / "sft"))
    set_quiet(False)
    return run


@pytest.fixture
def run(made, tmp_path):
    shutil.copytree(made, tmp_path / "run")  # times are kept: they tell what is older than the weights
    return tmp_path / "run"


def fill(run, **more):
    report(Report(run=run, out=run / "report.html", **more))
    return (run / "model/README.md").read_text()


def looked_up(card: Path, link: str, entry: str):
    """What stands in a file at an entry: of JSON and TOML what the pointer leads to, of a log the line."""
    file = (card.parent / unquote(link)).resolve()
    assert file.is_file(), file
    text = file.read_text()
    if file.suffix == ".md":
        return next(line for line in text.splitlines() if entry in line or entry == "whole file")
    if line := re.match(r"line (\d+) ", entry):
        text, entry = text.splitlines()[int(line[1]) - 1], entry[line.end() :]
    found = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    for escaped in entry.split("/")[1:]:
        key = escaped.replace("~1", "/").replace("~0", "~")
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


def leaves(found):
    if isinstance(found, dict | list):
        return [leaf for each in (found.values() if isinstance(found, dict) else found) for leaf in leaves(each)]
    return [found]


def numbers(text):
    return [float(each.replace(",", "")) for each in NUMBER.findall(text)]


def check_numbers(card: Path):
    """Each number is in the entry that its row names, and none stands outside of such rows. Gives how many there were."""
    text, seen = re.sub(r"```toml.*?```", "", card.read_text(), flags=re.DOTALL), []
    for row in ROW.finditer(text):
        found = looked_up(card, row["link"], row["entry"])
        value = row["cells"].split(" | ")[1:]
        known = [leaf for leaf in leaves(found) if isinstance(leaf, int | float)]
        for cell in value:
            if re.fullmatch(r"-?[\d,.]+(e-?\d+)?", cell):
                number = float(cell.replace(",", ""))
                assert any(float(f"{leaf:.4g}") == number or leaf == number for leaf in known), row[0]
                seen.append(number)
            elif isinstance(found, str):
                assert cell.replace("\\|", "|") in found or found.endswith(cell) or row["entry"] == "whole file"
    prose = re.sub(r"<!--.*?-->|\(2023\)|SHA-256|95%|^\|.*\|$", "", text, flags=re.MULTILINE)
    for number in numbers(prose):
        assert number in seen, number
    return len(seen)


def test_every_number_is_in_the_file_that_the_card_names(run):
    card = fill(run)
    assert check_numbers(run / "model/README.md") > 30
    assert check_numbers(run / "align/sft/model/README.md") >= 10
    bits = read_json(run / "evaluation.json")["bits_per_byte"]
    accuracy = read_json(run / "asked/results.json")["tasks"]["pairs"]["figures"]["accuracy"]["value"]
    assert f"| bits per byte | {bits:.4g} | [evaluation.json](../evaluation.json) `/bits_per_byte` |" in card
    assert f"| pairs | accuracy | 0 | 6 | {accuracy:.4g} |" in card and "[items](../asked/pairs.jsonl)" in card
    assert "| energy, kWh | 0.125 |" in card and "occupations" in card
    assert "asked" not in (run / "align/sft/model/README.md").read_text()  # those are of the other model


def test_what_a_person_wrote_stays_and_nothing_changes_twice(run):
    card, path = fill(run), run / "model/README.md"
    mine = "For our archive, {not} for \\1 others.\n\nAsk us first."
    start = card.index("_To fill in: who")
    card = card[:start] + mine + card[card.index("\n<!-- /yours:intended-use -->") :]
    path.write_text(card.replace("Made with Genus.", "Made with Genus, by us."))
    write_json(run / "evaluation.json", read_json(run / "evaluation.json") | {"bits_per_byte": 7.125})
    once = fill(run)
    assert mine in once and "Made with Genus, by us." in once and "_To fill in: what is known" in once
    assert "| bits per byte | 7.125 |" in once
    written = path.stat().st_mtime_ns
    assert fill(run) == once and path.stat().st_mtime_ns == written
    assert once.count("## Limits") == once.count("| bits per byte |") == 1


def test_what_is_missing_is_not_promised(run):
    for name in ("evaluation.json", "energy.json", "logbook.md"):
        (run / name).unlink()
    for name in ("corpus", "asked", "probed"):
        shutil.rmtree(run / name)
    card = fill(run)
    for word in ("held-out text, fewer", "energy", "kWh", "tasks and probes", "corpus/", "logbook", "| documents"):
        assert word not in card.partition("## Recipe")[0], word
    assert "| tokens to learn from |" in card and check_numbers(run / "model/README.md") > 5


def test_what_was_measured_of_other_weights_is_left_out(run):
    weights = run / "model/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x00\x80\x3f")
    card = fill(run)
    assert "pairs" not in card and "occupations" not in card and "| bits per byte |" not in card


def test_text_that_the_run_did_not_read_is_left_out(run):
    write_json(run / "corpus/manifest.json", read_json(run / "corpus/manifest.json") | {"source": "other"})
    card = fill(run)
    assert "other" not in re.findall(r"\| source of the text \| (.*?) \|", card) and "held out: bytes" not in card


def test_evaluations_elsewhere_are_named(run, tmp_path):
    (run / "asked").rename(tmp_path / "asked")
    assert "pairs" not in fill(run)
    assert "[items](../../asked/pairs.jsonl)" in fill(run, evaluations=(tmp_path / "asked",))
    with pytest.raises(GenusError, match="holds no figures"):
        fill(run, evaluations=(tmp_path / "none",))


@pytest.mark.parametrize("mark", ["<!-- /genus:figures -->", "<!-- genus:owner -->", "<!-- /yours:limits -->"])
def test_a_torn_card_is_named_and_nothing_is_written(run, mark):
    path = run / "model/README.md"
    path.write_text(fill(run).replace(mark, ""))
    (run / "report.html").unlink()
    before = path.read_text()
    with pytest.raises(GenusError, match=r"README\.md must have"):
        fill(run)
    assert path.read_text() == before and not (run / "report.html").exists()


def test_a_lost_place_is_named(run):
    path = run / "model/README.md"
    path.write_text(re.sub(r"<!-- /?yours:limits.*?-->\n", "", fill(run)))
    with pytest.raises(GenusError, match="has lost the line"):
        fill(run)


def test_the_page_shows_scores_with_links(run):
    fill(run)
    page = (run / "report.html").read_text()
    assert '<a href="asked/pairs.jsonl">pairs</a>' in page and "On tasks and probes" in page
    assert "GPT-3 175B -1.110 (GPT-3, arXiv 2005.14165)" in page and "another model; " in page


def test_a_filled_card_makes_no_stage_run_again(run):
    from genus.cli.run import _fingerprint

    before = _fingerprint(run / "model", run / "x")
    fill(run)
    assert _fingerprint(run / "model", run / "x") == before
    (run / "model/config.json").write_text((run / "model/config.json").read_text() + " ")
    assert _fingerprint(run / "model", run / "x") != before
