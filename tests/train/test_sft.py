"""Fine-tuning on conversations: what is learned, packed as if alone, resumed to the bit, and the same loss as TRL's."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

from genus.core.errors import GenusError, Stopped
from genus.core.files import read_json
from genus.data.chats import Chat, read_chats
from genus.data.encoding import encode_prompt
from genus.data.examples import stack
from genus.engine.model import load
from genus.tokenizers.template import TEMPLATE_KEY
from genus.tokenizers.tokenizer import Tokenizer
from genus.train.losses import next_token
from genus.train.recipe import Optim
from genus.train.sft import encode_all, prepared, read_split, rows_of, sft
from genus.train.tune_recipe import Lora, TuneEvery
from genus.train.tuning import open_start, to_torch
from tests.train.test_trajectories import assert_same_end
from tests.train.tiny_chat import EIGHT, ask, make_base, sft_recipe, write
from tests.train.trl_losses import trls

CHATS = [Chat([{"role": "user", "content": "Who?"}], "we")]
CPU = torch.device("cpu")
MARKED = """\
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.role == "assistant" %}{% generation %}{{ message.content | trim }}<|im_end|>{% endgeneration %}
{%- else %}{{ message.content | trim }}<|im_end|>{% endif %}

{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""  # ours, as transformers and TRL want to be told what is learned


@pytest.fixture(scope="module", autouse=True)
def unmeasured():
    """The machine's speed is not of interest here, and takes seconds to measure."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("genus.train.machine._matmul_flops", lambda *_: 1e9)
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "chats.jsonl", EIGHT)


@pytest.fixture(scope="module")
def tuned(base, tmp_path_factory):
    """A model that knows EIGHT by heart."""
    folder = tmp_path_factory.mktemp("tuned")
    data = write(folder / "chats.jsonl", EIGHT)
    sft(sft_recipe(base, data, folder / "run", batch=8, micro_batch=8, epochs=100, dropout=0.0, optim=Optim(lr=1e-2)))
    return folder / "run"


def grades(network, packed):
    network.zero_grad()
    scored = next_token(network, to_torch(packed, CPU))
    (scored.total / scored.weight).backward()
    return float(scored.total.detach()) / scored.weight, [each.grad.clone() for each in network.parameters()]


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_packed_is_separate_in_loss_and_gradients(tmp_path, family):
    """Every token in its own conversation's place, blind to the others: GPT-2's places are learned, LLaMA's turned."""
    model = make_base(tmp_path / "model", family)
    records = [*EIGHT, ask("Who?", "the people of these states shall have", "?", "no")]
    recipe = sft_recipe(model, write(tmp_path / "chats.jsonl", records), tmp_path / "run")
    opened, _ = prepared(recipe, CHATS)
    examples = encode_all(opened.tokenizer, read_split(recipe)[0], 96, "refuse").examples
    rows = rows_of(examples, packing=True)
    assert len(rows) < len(examples) == sum(map(len, rows))
    loss, gradients = grades(opened.network, stack(rows))
    alone = [next_token(opened.network, to_torch(stack([[example]]), CPU)) for example in examples]
    assert loss == pytest.approx(float(sum(s.total for s in alone).detach()) / sum(s.weight for s in alone), rel=1e-6)
    _, wanted = grades(opened.network, stack(rows_of(examples, packing=False)))
    for ours, theirs in zip(gradients, wanted, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-7)


def test_packing_does_not_change_the_run(base, data, tmp_path):
    runs = [sft(sft_recipe(base, data, tmp_path / str(on), packing=on, dropout=0.0)) for on in (True, False)]
    for name, tensor in load_file(runs[0] / "model.safetensors").items():
        assert torch.allclose(tensor, load_file(runs[1] / "model.safetensors")[name], atol=2e-4), name


@pytest.mark.parametrize("lora", [Lora(), Lora(rank=2)], ids=["whole", "lora"])
def test_twenty_steps_are_ten_and_ten_resumed(base, data, tmp_path, monkeypatch, lora):
    """F50. Dropout is on, new rows were drawn, examples are packed."""
    from genus.train import run

    recipe = sft_recipe(base, data, tmp_path / "straight", lora=lora)  # 8 examples, 10 epochs, 4 a step
    sft(recipe)
    original = run._Run._record

    def record(self, step, spent):
        original(self, step, spent)
        if step.number == 10:
            signal.raise_signal(signal.SIGUSR1)

    with monkeypatch.context() as patched:
        patched.setattr(run._Run, "_record", record)
        with pytest.raises(Stopped, match="saved at step 10 of 20"):
            sft(replace(recipe, out=tmp_path / "resumed"))
    sft(replace(recipe, out=tmp_path / "resumed"))
    assert_same_end(tmp_path / "straight", tmp_path / "resumed")


def test_other_data_is_not_gone_on_with_silently(base, data, tmp_path):
    sft(sft_recipe(base, data, tmp_path / "run", epochs=1))
    write(data, EIGHT[:-1])
    with pytest.raises(GenusError, match=r"began otherwise \(data changed; data_sha256 changed\)"):
        sft(sft_recipe(base, data, tmp_path / "run", epochs=1))


def test_it_learns_eight_by_heart_and_ends_its_turns(tuned):
    """Greedy, by the engine and by transformers, from the folder alone; transformers ends by generation_config.json."""
    model = load(tuned / "model")
    network = transformers.AutoModelForCausalLM.from_pretrained(tuned / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tuned / "model")
    for record in EIGHT:
        question, answer = record["messages"]
        assert model.chat([question], 20, temperature=0) == answer["content"]
        ids = tokenizer.apply_chat_template([question], add_generation_prompt=True, return_tensors="pt")["input_ids"]
        said = network.generate(ids, max_new_tokens=20, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
        assert tokenizer.decode(said) == answer["content"] + "<|im_end|>"


def test_the_folder_says_what_it_was_made_of(tuned, base):
    card, config = (tuned / "model/README.md").read_text(), read_json(tuned / "model/config.json")
    tokenizer = Tokenizer.load(tuned / "model")
    assert config[TEMPLATE_KEY] == tokenizer.template_sha256
    assert f"| started from | {base} |" in card
    assert "| examples | 8 |" in card
    assert "epochs = 100" in card
    ends = read_json(tuned / "model/generation_config.json")["eos_token_id"]
    assert sorted(tokenizer.token_bytes(end) for end in ends) == [b"<|endoftext|>", b"<|im_end|>"]


def test_many_conversations_are_read_under_a_bar(base, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("genus.train.sft._MANY", 2)
    chats = read_chats(write(tmp_path / "chats.jsonl", EIGHT))
    tokenizer = prepared(sft_recipe(base, tmp_path, tmp_path), CHATS)[0].tokenizer
    assert len(encode_all(tokenizer, chats, 96, "refuse").examples) == 8
    assert "reading: 100%" in capsys.readouterr().err


def test_lora_learns_its_parts_and_the_new_tokens_alone(base, tmp_path):
    """The end of a turn is a new token: a model that cannot learn its row never stops."""
    texts = [
        {"prompt": question["content"], "answer": answer["content"]} for question, answer in (r["messages"] for r in EIGHT)
    ]
    words = write(tmp_path / "words.jsonl", texts)
    model = sft(
        sft_recipe(base, words, tmp_path / "base", dropout=0.0, epochs=80, batch=8, micro_batch=8, optim=Optim(lr=1e-2))
    )  # it knows what a token is
    data = write(tmp_path / "one.jsonl", EIGHT[:1])
    lora = Lora(rank=8, alpha=16, parts=("q", "v", "up", "down"))
    optim = Optim(lr=3e-2, weight_decay=0.1)
    made = sft(
        sft_recipe(model, data, tmp_path / "run", lora=lora, dropout=0.0, batch=1, micro_batch=1, epochs=80, optim=optim)
    )
    before, after = (load_file(folder / "model.safetensors") for folder in (model, made))
    changed = {name for name in before if not torch.equal(before[name], after[name][: len(before[name])])}
    assert {name.split(".", 3)[-1] for name in changed} == {"attn.c_attn.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"}
    assert len(after["transformer.wte.weight"]) == len(before["transformer.wte.weight"]) + 2
    drawn = prepared(sft_recipe(model, data, tmp_path / "other"), CHATS)[0].network.decoder.embed.weight[-2:]
    assert not torch.allclose(after["transformer.wte.weight"][-2:], drawn, atol=1e-3)
    assert load(made).chat(EIGHT[0]["messages"][:1], 20, temperature=0) == "the people"


def test_new_tokens_take_padding_rows_and_padding_stays(tmp_path):
    model = make_base(tmp_path / "model", padding=5)
    opened, tables = prepared(sft_recipe(model, tmp_path / "none", tmp_path / "run"), CHATS)
    before = open_start(model).network.decoder.embed.weight
    after = opened.network.decoder.embed.weight
    assert after.shape == before.shape
    assert list(tables.values()) == [range(288, 290)]
    assert torch.equal(before[:288], after[:288])
    assert torch.equal(before[290:], after[290:])
    assert (after[288:290] - before[:288].mean(0)).abs().max() < 0.5 * before.std()


def test_what_is_too_long_is_named_cut_or_left_out(base, tmp_path):
    records = [EIGHT[0], ask("Why?", "peace and plenty " * 20), ask("the people " * 60, "no")]
    data = write(tmp_path / "chats.jsonl", records)
    recipe = sft_recipe(base, data, tmp_path / "run")
    tokenizer, chats = prepared(recipe, CHATS)[0].tokenizer, read_split(recipe)[0]
    with pytest.raises(GenusError, match=r"chats.jsonl, line 2: [\d,]+ tokens are more than the 96 that fit"):
        sft(recipe)
    whole = encode_all(tokenizer, chats, 9999, "refuse").examples
    cut = encode_all(tokenizer, chats, 96, "cut")
    assert (cut.cut, cut.skipped) == (1, 1)  # of the third, nothing to learn is left
    assert [len(example.tokens) for example in cut.examples] == [len(whole[0].tokens), 96]
    assert cut.examples[1].learned.tolist() == whole[1].learned[:96].tolist()
    left = encode_all(tokenizer, chats, 96, "skip")
    assert (left.cut, left.skipped, len(left.examples)) == (0, 2, 1)


def test_the_numbers_of_the_data_are_said_before_training(base, tmp_path, capsys):
    """Counted by hand: 5 tokens of "ab" by 3 turns of one byte each, and what ChatML adds."""
    data = write(tmp_path / "chats.jsonl", [ask("a", "b"), ask("x" * 300, "b")])
    sft(sft_recipe(base, data, tmp_path / "run", epochs=1, too_long="skip"))
    tokenizer = Tokenizer.load(tmp_path / "run/model")
    written = tokenizer.encode("<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n", specials=True)
    said = capsys.readouterr().err
    assert f"1 examples, {len(written)} tokens, 2 of them learned" in said
    assert "0 cut (0.0%), 1 left out as too long; 0 examples held out" in said


def test_held_out_prompts_are_never_trained_on(base, tmp_path):
    records = [ask(f"Who is {number % 40}?", f"{number}") for number in range(200)]
    recipe = sft_recipe(base, write(tmp_path / "chats.jsonl", records), tmp_path / "run", held_out_share=0.25)
    train, held_out = read_split(recipe)
    assert len(train) + len(held_out) == 200
    prompts = [{chat.prompt[0]["content"] for chat in part} for part in (train, held_out)]
    assert not prompts[0] & prompts[1]
    assert 4 <= len(prompts[1]) <= 17  # of 40, 10 expected
    files = replace(recipe, held_out_share=0.0, held_out=(write(tmp_path / "other.jsonl", EIGHT),))
    assert [len(part) for part in read_split(files)] == [200, 8]


def test_held_out_loss_is_the_mean_over_learned_tokens(base, data, tmp_path):
    held_out = write(tmp_path / "held_out.jsonl", EIGHT[:3])
    recipe = sft_recipe(base, data, tmp_path / "run", epochs=1, held_out=(held_out,))
    opened, _ = prepared(recipe, CHATS)
    examples = encode_all(opened.tokenizer, read_chats(held_out), 96, "refuse").examples
    with torch.no_grad():
        scores = [next_token(opened.network.eval(), to_torch(stack([[each]]), CPU)) for each in examples]
    sft(recipe)
    first = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0])
    mean = float(sum(each.total for each in scores)) / sum(each.weight for each in scores)
    assert first["validation_loss"] == pytest.approx(mean, rel=1e-5)


def test_one_flag_of_a_table_keeps_the_others_as_tuning_wants_them(base, data, tmp_path):
    from genus.cli.main import bind_stage

    values = {"model": str(base), "train": [str(data)], "out": str(tmp_path), "optim": {"lr": 0.5}, "every": {"keep": 3}}
    recipe = bind_stage("sft", values, "here")[1]
    assert (recipe.optim.lr, recipe.optim.weight_decay, recipe.every.sample, recipe.epochs) == (0.5, 0.0, 0, 3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": ()}, "train names no file"),
        ({"held_out_share": 1.0}, "held_out_share = 1.0 must be from 0"),
        ({"held_out_share": 0.1, "held_out": (Path("a"),)}, "both say what is held out"),
        ({"max_tokens": 97}, "max_tokens = 97 is more than the model's context of 96"),
        ({"template": Path("none.jinja")}, "template: none.jinja cannot be read"),
    ],
)
def test_recipes_that_do_not_fit(base, data, tmp_path, changes, said):
    with pytest.raises(GenusError, match=said):
        sft(sft_recipe(base, data, tmp_path / "run", **changes))


def test_text_prompts_are_gone_on_with(base, tmp_path):
    data = write(tmp_path / "texts.jsonl", [{"prompt": "2 + 2 =", "answer": " 4"}] * 4)
    sft(sft_recipe(base, data, tmp_path / "run", epochs=40, dropout=0.0))
    model = load(tmp_path / "run/model")
    assert model.tokenizer.chat_template is None
    assert encode_prompt(model.tokenizer, "2 + 2 =") == model.prompt_ids("2 + 2 =")
    assert model.generate("2 + 2 =", 8, temperature=0) == " 4"


def test_samples_are_answers_to_what_is_held_out(base, data, tmp_path):
    from genus.cli.sft import _sample

    asked: list[Chat] = []
    recipe = sft_recipe(base, data, tmp_path / "run", epochs=100, batch=8, micro_batch=8, dropout=0.0, optim=Optim(lr=1e-2))
    sft(replace(recipe, every=TuneEvery(validate=0, checkpoint=0)), lambda *given: asked.append(given[1]) or _sample(*given))
    lines = (tmp_path / "run/samples.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 100]
    assert json.loads(lines[-1])["text"] == EIGHT[0]["messages"][1]["content"]
    assert asked[0].prompt == EIGHT[0]["messages"][:1]


def test_loss_and_gradient_are_trls(tuned, tmp_path):
    """TRL tokenises, masks and computes by itself; of its template, {% generation %} is ours."""
    data = write(tmp_path / "chats.jsonl", [*EIGHT[:3], ask("Who?", "the people", "No?", "we", "?", "no law")])
    job = {"stage": "sft", "model": tuned / "model", "data": data, "template": MARKED, "assistant_only_loss": True}
    (theirs,) = trls(tmp_path / "trl", job)
    opened = open_start(tuned / "model")
    examples = encode_all(opened.tokenizer, read_chats(data), 96, "refuse").examples
    loss, gradients = grades(opened.network, stack(rows_of(examples, packing=True)))
    assert sorted(example.tokens.tolist() for example in examples) == theirs["rows"]
    assert sum(int(example.learned.sum()) for example in examples) == theirs["counted"]
    assert loss == pytest.approx(theirs["loss"], abs=1e-5)
    assert float(torch.nn.utils.get_total_norm(gradients)) == pytest.approx(theirs["norm"], rel=1e-5)
