"""`genus doctor`: each check, by a file or a model that breaks it; and a recipe in which nothing is wrong."""

import json
from pathlib import Path

import pytest
import tomli_w

from genus.align.recipe import Dpo, Reward
from genus.cli import main as cli
from genus.core.recipe import as_dict
from genus.evaluate.doctor import examine
from tests.train.tiny_chat import EIGHT, ask, make_base, sft_recipe, write

TURN = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|endoftext|>{% endfor %}"
OTHER = [ask("More of", "it"), ask("No more", "of it")]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("doctor") / "model")


@pytest.fixture
def diagnose(base, tmp_path):
    """The findings about a recipe on EIGHT with changes: check -> (level, text)."""

    def run(records=EIGHT, model=base, **changes):
        held_out = changes.pop("held_out", (write(tmp_path / "other.jsonl", OTHER),))
        data = write(tmp_path / "chats.jsonl", records)
        recipe = sft_recipe(model, data, tmp_path / "run", held_out=held_out, **changes)
        return {finding.check: (finding.level, finding.text) for finding in examine("sft", recipe)}

    return run


def level_and(found, check, text):
    level, said = found[check]
    assert text in said
    return level


CHECKS = {"records", "held out", "template", "start", "end", "padding", "length", "accumulation", "cache"}


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_nothing_is_wrong(diagnose, tmp_path, family):
    found = diagnose(model=make_base(tmp_path / family, family))
    assert set(found) == CHECKS
    assert {level for level, _ in found.values()} == {"ok"}


def test_records_that_cannot_be_used(diagnose):
    records = [*EIGHT, ask("Why?", " "), {"messages": [{"role": "sheep", "content": "Baa"}]}]
    said = "2 cannot be used, and correct them, or set wrong = skip; the first: "
    assert level_and(diagnose(records), "records", said) == "error"
    assert level_and(diagnose(records), "records", "line 9: messages[1].content is empty") == "error"
    assert level_and(diagnose(records, wrong="skip"), "records", "they are left out") == "warning"


def test_held_out_examples_that_are_trained_on(diagnose, tmp_path):
    same = [ask("WHO? ", "The  people")]
    held_out = (write(tmp_path / "held.jsonl", [*OTHER, *same]),)
    assert level_and(diagnose(held_out=held_out), "held out", "1 examples are trained on too, such as") == "error"
    held_out = (write(tmp_path / "held.jsonl", [*OTHER, ask("Who?", "nobody")]),)
    assert level_and(diagnose(held_out=held_out), "held out", "1 prompts are trained on too") == "warning"
    assert level_and(diagnose(held_out=()), "held out", "nothing is") == "warning"
    assert level_and(diagnose([*EIGHT, EIGHT[0]]), "duplicates", "1 of 9 repeat another") == "warning"


def test_a_template_without_a_generation_prompt(diagnose, tmp_path):
    (tmp_path / "own.jinja").write_text(TURN)
    found = diagnose(template=tmp_path / "own.jinja")
    assert level_and(found, "template", "has no generation prompt") == "error"
    assert set(found) == {"records", "held out", "template"}  # without tokens there is nothing more to say


def test_a_template_that_was_changed_since_tuning(diagnose, tmp_path):
    from genus.train.sft import sft

    recipe = sft_recipe(make_base(tmp_path / "fresh"), write(tmp_path / "one.jsonl", OTHER), tmp_path / "tuned", epochs=1)
    path = sft(recipe) / "chat_template.jinja"
    assert level_and(diagnose(model=tmp_path / "tuned"), "template", "says where an answer begins") == "ok"
    path.write_text(path.read_text().replace("Tools:", "Functions:"))
    assert level_and(diagnose(model=tmp_path / "tuned"), "template", "was changed since it was tuned") == "warning"


def test_tools_that_a_template_leaves_out(diagnose, tmp_path):
    records = [*EIGHT, ask("Time?", "noon") | {"tools": [{"name": "now"}]}]
    assert "tools" not in diagnose(records)  # ours writes them
    (tmp_path / "own.jinja").write_text(TURN + "{% if add_generation_prompt %}[assistant]{% endif %}")
    assert level_and(diagnose(records, template=tmp_path / "own.jinja"), "tools", "1 examples have tools") == "warning"


def test_answers_without_exact_tokens(diagnose, tmp_path):
    """A template that rewrites long chats: the short one that is tried on it shows nothing."""
    odd = "{% if messages | length > 2 %}{{ messages | length }}{% endif %}" + TURN
    (tmp_path / "odd.jinja").write_text(odd + "{% if add_generation_prompt %}[assistant]{% endif %}")
    found = diagnose([*EIGHT, ask("a", "b", "c", "d")], template=tmp_path / "odd.jinja")
    assert level_and(found, "tokens", "1 examples have no exact answer; ") == "error"
    assert level_and(found, "tokens", "line 9: turn 2: ") == "error"


def test_start_tokens(diagnose, tmp_path):
    model = make_base(tmp_path / "llama", "llama")
    chatml = TURN.replace("<|endoftext|>", "</s>") + "{% if add_generation_prompt %}[assistant]{% endif %}"
    (tmp_path / "double.jinja").write_text("<s>{{ bos_token }}" + chatml)
    found = diagnose(model=model, template=tmp_path / "double.jinja")
    assert level_and(found, "start", "8 examples begin with <s> twice") == "error"
    (tmp_path / "none.jinja").write_text(chatml)
    found = diagnose(model=model, template=tmp_path / "none.jinja")
    assert level_and(found, "start", "do not begin with <s>") == "warning"


def test_ends_that_are_never_learned(diagnose):
    long = [ask(f"{number}", "and plenty of it " * 20) for number in range(3)]
    found = diagnose(long, too_long="cut")
    assert level_and(found, "end", "no example teaches the model to end") == "error"
    assert level_and(found, "length", "3 of 3 examples (100.0%) are longer than 96 tokens; they are cut") == "warning"
    found = diagnose([*EIGHT, *long], too_long="cut")
    assert level_and(found, "end", "3 of 11 examples lose their end") == "warning"
    assert level_and(diagnose([*EIGHT, *long]), "length", "shorten them, or set too_long") == "error"


def test_an_end_that_fills_rows_up_elsewhere(diagnose, tmp_path):
    model = make_base(tmp_path / "padded")
    path = model / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": "<|endoftext|>"}))
    assert level_and(diagnose(model=model), "padding", "<|endoftext|> both ends and fills up") == "warning"


def test_a_batch_that_hides_ends(diagnose, monkeypatch):
    from genus.evaluate import checks

    def masking(rows):
        packed = stack(rows)
        packed.scored[packed.targets == 289] = False  # <|im_end|>
        return packed

    stack = checks.stack
    monkeypatch.setattr(checks, "stack", masking)
    assert level_and(diagnose(), "padding", "4 of the ends are lost") == "error"


def test_a_loss_whose_parts_do_not_add_up(diagnose, monkeypatch):
    """The mean of means, as trainers had it for years: short answers count for more."""
    from genus.evaluate import checks
    from genus.train.losses import next_token

    def mean(*given):
        total, weight, _ = next_token(*given)
        return total / weight, 1

    monkeypatch.setattr(checks, "next_token", mean)
    assert level_and(diagnose(), "accumulation", "set micro_batch = batch") == "error"


def test_a_cache_that_answers_otherwise(diagnose, monkeypatch):
    from genus.engine.model import Model

    generate = Model.generate
    monkeypatch.setattr(Model, "generate", lambda *a, **k: [token ^ 1 for token in generate(*a, **k)])
    assert level_and(diagnose(), "cache", "from the likeliest") == "error"


def test_the_command(base, tmp_path, capsys):
    data, other = write(tmp_path / "chats.jsonl", EIGHT), write(tmp_path / "other.jsonl", OTHER)
    recipe = tmp_path / "1-sft.toml"
    recipe.write_text(tomli_w.dumps(as_dict(sft_recipe(base, data, tmp_path / "run", held_out=(other,)))))
    assert cli._run(["doctor", str(recipe)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CHECKS)
    assert {line.split()[0] for line in lines} == {"ok"}
    write(data, [*EIGHT, ask("Why?", "")])
    assert cli._run(["doctor", str(recipe)]) == 1
    out, err = capsys.readouterr()
    assert "error   records: 1 cannot be used" in out
    assert err == f"genus doctor: {recipe}: 1 error; correct what is named above before training\n"
    assert cli._run(["doctor", str(recipe.rename(tmp_path / "what.toml"))]) == 1
    assert "does not say by its name which stage" in capsys.readouterr().err
    assert Path(tmp_path / "run").exists() is False


@pytest.mark.parametrize("kind", [Reward, Dpo])
def test_recipes_of_comparisons(base, tmp_path, kind):
    """Their files, their fields: and what contradicts itself in them."""
    ranked = [{"prompt": f"the {n}", "answers": ["people", "law", "no"], "ranks": [1, 2, 2]} for n in range(12)]
    recipe = kind(model=base, comparisons=(str(write(tmp_path / "pairs.jsonl", ranked)),), out=tmp_path / "run", share=0.3)
    found = {finding.check: (finding.level, finding.text) for finding in examine(kind.__name__.lower(), recipe)}
    assert set(found) == CHECKS
    assert {level for level, _ in found.values()} == {"ok"}
    write(tmp_path / "pairs.jsonl", [*ranked, {**ranked[0], "ranks": [1]}, {**ranked[0], "prompt": "law " * 90}])
    found = {finding.check: (finding.level, finding.text) for finding in examine(kind.__name__.lower(), recipe)}
    assert level_and(found, "records", "1 cannot be used") == "error"
    assert level_and(found, "records", "line 13: ranks has 1 for 3 answers") == "error"
    assert level_and(found, "length", "longer than 96 tokens; they are left out") == "warning"


@pytest.mark.parametrize("kind", [Reward, Dpo])
def test_turns_for_a_model_without_a_template(base, tmp_path, kind):
    """`genus sft` gives it one; these stages do not."""
    turns = [{"role": "user", "content": "Who?"}]
    ranked = [{"prompt": turns, "answers": ["people", "law"], "ranks": [1, 2]}]
    recipe = kind(model=base, comparisons=(str(write(tmp_path / "pairs.jsonl", ranked)),), out=tmp_path / "run", share=0.0)
    found = {finding.check: (finding.level, finding.text) for finding in examine(kind.__name__.lower(), recipe)}
    assert level_and(found, "template", "has no chat template") == "error"
