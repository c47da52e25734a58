"""`genus doctor` on stages whose answers are yet to be written: PPO, by its prompts and reward model; GRPO, by its sums."""

import pytest
import tomli_w
import torch
from safetensors.torch import load_file, save_file

from genus.align.recipe import Grpo, Ppo
from genus.cli import main as cli
from genus.core.files import write_json
from genus.engine.model import Model
from genus.evaluate import doctor
from genus.evaluate.doctor import examine
from genus.models.scorer import Scorer
from genus.models.weights import load_model, save_scorer
from genus.tokenizers.tokenizer import Tokenizer
from tests.train.tiny_chat import make_base, write

TURNS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}"
OPENING = "{% if add_generation_prompt %}[assistant]{% endif %}"
PROMPTS = [{"prompt": f"say {number}"} for number in range(12)]
CHATS = [{"prompt": [{"role": "user", "content": f"Who is {number}?"}]} for number in range(24)]
COMPUTED = {"padding", "length", "accumulation", "cache"}
CHECKS = {"gate", "held out", "template", "start", "end", "reward", *COMPUTED}


def make_pair(folder):
    """A model, and a reward model on it, drawn anew."""
    base = make_base(folder / "model", "llama")
    network, family = load_model(base)
    scorer = Scorer.of(network, 1)
    with torch.no_grad():
        scorer.score.weight.normal_(generator=torch.Generator().manual_seed(0))
    (folder / "reward").mkdir()
    save_scorer(folder / "reward", scorer, family, ("reward",), {"pad": 0})
    Tokenizer.load(base).save(folder / "reward")
    write_json(folder / "reward" / "gate.json", {"passed": True})
    return folder


def give(folder, template):
    Tokenizer.load(folder).with_template(template).save(folder)


@pytest.fixture
def home(tmp_path):
    return make_pair(tmp_path)


def findings(stage, recipe):
    return {finding.check: (finding.level, finding.text) for finding in examine(stage, recipe)}


def ppo(home, records=PROMPTS, **changes):
    prompts = (str(write(home / "prompts.jsonl", records)),)
    fields = {"model": home / "model", "reward": home / "reward", "prompts": prompts, "out": home / "run"}
    return Ppo(**{**fields, "answer_tokens": 48, "share": 0.25, **changes})


def diagnose(home, *given, **changes):
    return findings("ppo", ppo(home, *given, **changes))


def level_and(found, check, text):
    level, said = found[check]
    assert text in said
    return level


@pytest.mark.parametrize("records", [PROMPTS, CHATS], ids=["texts", "turns"])
def test_nothing_is_wrong(home, records):
    for name in ("model", "reward"):
        give(home / name, "<s>" + TURNS + OPENING)
    found = diagnose(home, records)
    assert {check: said for check, said in found.items() if said[0] != "ok"} == {}
    assert set(found) == CHECKS
    assert level_and(found, "start", "<s> once") == "ok"


def test_a_gate_that_was_not_passed(home):
    write_json(home / "reward" / "gate.json", {"passed": False})
    found = diagnose(home)
    assert level_and(found, "gate", "did not pass its gate") == "error"
    assert set(found) == CHECKS  # the rest is examined all the same
    assert level_and(diagnose(home, untrusted=True), "gate", "did not pass its gate") == "warning"
    (home / "reward" / "gate.json").unlink()
    assert level_and(diagnose(home), "gate", "has no gate.json") == "error"


def test_what_ppo_refuses_is_said_in_its_words(home, tmp_path):
    def said(*given, **changes):
        found = diagnose(home, *given, **changes)
        assert set(found) == {"gate", "recipe"}
        assert found["recipe"][0] == "error"
        return found["recipe"][1]

    assert "leaves no room for a prompt" in said(answer_tokens=95)
    assert "all 12 prompts are longer than" in said([{"prompt": "no " * 60}] * 12)
    assert "prompts.jsonl, line 2: prompt" in said([PROMPTS[0], {"prompt": ""}])
    assert "there is no prompt to learn from" in said(PROMPTS[:2], share=0.999)
    assert "has no chat template" in said(CHATS)
    give(home / "model", "<s>" + TURNS)
    assert "has no generation prompt" in said(CHATS)
    path = home / "reward" / "tokenizer.json"
    path.write_text(path.read_text().replace("<unk>", "<other>"))
    assert "has another tokenizer than" in said()


def test_a_reward_model_that_was_trained_on_another_template(home):
    give(home / "model", "<s>" + TURNS + OPENING)
    found = diagnose(home, CHATS)
    assert level_and(found, "reward's template", "has another chat template than") == "error"
    assert "reward's template" not in diagnose(home, PROMPTS)  # texts go through none


def test_prompts_that_are_held_out_and_trained_on(home):
    held_out = (str(write(home / "held.jsonl", [{"prompt": " SAY  3"}, {"prompt": "tell"}])),)
    found = diagnose(home, held_out=held_out)
    assert level_and(found, "held out", "1 examples are trained on too, such as ' SAY  3', which is 'say 3'") == "error"
    found = diagnose(home, [*PROMPTS, *PROMPTS], share=0.5)  # the split is by prompt
    assert level_and(found, "held out", "none of") == "ok"
    found = diagnose(home, [*PROMPTS, PROMPTS[0]], share=0.0)
    assert level_and(found, "duplicates", "1 of 13 repeat another") == "warning"
    assert level_and(found, "held out", "nothing is") == "warning"


def test_prompts_that_are_left_out(home):
    long = [{"prompt": "and so on " * 12}, {"prompt": "no " * 90}]
    found = diagnose(home, [*PROMPTS, *long])
    assert level_and(found, "length", "2 of 14 examples (14.3%) are longer than 48 tokens; they are left out") == "warning"


def test_prompts_that_begin_twice(home):
    for name in ("model", "reward"):
        give(home / name, "<s>{{ bos_token }}" + TURNS + OPENING)
    assert level_and(diagnose(home, CHATS), "start", "24 examples begin with <s> twice") == "error"


def test_answers_that_do_not_end(home):
    found = diagnose(home, answer_tokens=1)
    assert level_and(found, "end", "answers tried end with </s> within 1 tokens") == "warning"


@pytest.mark.parametrize(("change", "text"), [(1e38, "not finite"), (0.0, "all are alike")])
def test_rewards_that_teach_nothing(home, change, text):
    path = home / "reward" / "model.safetensors"
    weights = load_file(path)
    weights["score.weight"] *= change
    save_file(weights, path)
    assert level_and(diagnose(home), "reward", text) == "error"


def test_a_cache_that_answers_otherwise(home, monkeypatch):
    generate = Model.generate
    monkeypatch.setattr(Model, "generate", lambda *a, **k: [token ^ 1 for token in generate(*a, **k)])
    assert level_and(diagnose(home), "cache", "from the likeliest") == "error"


def sums(home, **changes):
    return findings("grpo", Grpo(**{"model": home / "model", "out": home / "run", "answer_tokens": 16, **changes}))


def test_sums(home, monkeypatch):
    monkeypatch.setattr(doctor, "_ANSWERED", 64)  # so many that one ends
    few = sums(home, episodes=64, held_out=20, kinds=("add4", "multiply2"))
    assert set(few) == {"held out", "start", "answers", "end", "reward", *COMPUTED}
    assert {check for check, (level, _) in few.items() if level != "ok"} == {"reward"}
    assert level_and(few, "reward", "answers tried are right; groups that are all wrong teach nothing") == "warning"
    monkeypatch.setattr(doctor, "is_right", lambda problem, said: True)
    assert level_and(sums(home, episodes=64), "reward", "8 of 8 answers tried are right") == "ok"  # in groups of 8


def test_held_out_sums_that_are_trained_on(home):
    """There are 100 sums of two digits; 1,024 draws miss one of them with probability 1e-4 each."""
    found = sums(home, kinds=("add1",), held_out=50)
    assert level_and(found, "held out", "50 of 50 sums are asked in training too") == "warning"


def test_answers_that_cannot_be_said(home):
    found = sums(home, kinds=("add4",), answer_tokens=2)
    assert level_and(found, "answers", "right ones are not said in 2 tokens, such as ") == "error"


def test_a_context_too_short_for_a_sum(home):
    assert level_and(sums(home, answer_tokens=80), "recipe", "all 200 prompts are longer than 15 tokens") == "error"
    found = sums(home, kinds=("add1", "add5"), answer_tokens=68)
    assert level_and(found, "recipe", "context of 96 tokens is too short for some sums") == "error"


def test_the_command(home, tmp_path, capsys):
    recipe = tmp_path / "5-ppo.toml"
    chosen = ppo(home)
    folders = {name: str(getattr(chosen, name)) for name in ("model", "reward", "out")}
    recipe.write_text(tomli_w.dumps({**folders, "prompts": chosen.prompts, "answer_tokens": 48, "share": 0.25}))
    assert cli._run(["doctor", str(recipe)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(CHECKS)
    (home / "reward" / "gate.json").unlink()
    assert cli._run(["doctor", str(recipe)]) == 1
    assert "error   gate: " in capsys.readouterr().out
    assert not (home / "run").exists()
