"""Task tuning: its loss written out, four forms learned, a run that resumes, and a folder that others open."""

import json
import math
import signal
import warnings
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from genus.cli.main import bind_stage
from genus.core.errors import GenusError, Stopped
from genus.core.files import read_json
from genus.models.attend import FastAttend
from genus.models.lora_files import merge_adapter
from genus.models.scorer import Scorer
from genus.models.weights import load_model, load_scorer
from genus.tasks.batches import read_scores, run_decoder, task_batch
from genus.tasks.classifier import Classifier, load_classifier
from genus.tasks.forms import FORMS, Record
from genus.tasks.marks import encode, mark
from genus.tokenizers.tokenizer import Tokenizer
from genus.train.journal import read_journal
from genus.train.recipe import Energy
from genus.train.task_recipe import TaskCourse, TaskOptim, TaskTuning
from genus.train.task_tuning import Ready, task_loss, tune_task
from genus.train.tune_recipe import Lora, TuneEvery
from tests.tasks.small import RECORDS, make_base, write_records

QUICK = {
    "batch": 8,
    "micro_batch": 4,
    "epochs": 60,
    "dropout": 0.0,
    "head_dropout": 0.0,
    "optim": TaskOptim(lr=3e-3, weight_decay=0.0),
    "schedule": TaskCourse(warmup=0.1, final=0.1),
    "every": TuneEvery(validate=0, checkpoint=5),
    "energy": Energy(count="off"),
    "tensorboard": "off",
}


@pytest.fixture(scope="module")
def base(tiny_shards, tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"), tiny_shards.parent / "tokenizer")


def recipe(base, folder, form="classification", records=None, **changes):
    train = write_records(folder / f"{form}.jsonl", records or RECORDS[form])
    return TaskTuning(**{**QUICK, "model": base, "train": train, "out": folder / "run", "form": form, **changes})


def judge(base, form="choice", outputs=1, language=True):
    model, _ = load_model(base)
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()}, assign=True)
    tokenizer, _ = mark(model, Tokenizer.load(base), 0)
    scorer = Scorer.of(model, outputs, language)
    scorer.score.weight.data.normal_(generator=torch.Generator().manual_seed(4))
    return Classifier(scorer, tokenizer, FORMS[form], ("a", "b", "c")[:outputs], False, 48)


def ready(judge, records, right):
    encoded = encode(judge.form, records, judge.tokenizer, judge.time)
    return Ready(task_batch(encoded, torch.device("cpu")), torch.tensor(right)), [each.sequences for each in encoded]


def hidden_of(judge, ids):
    """The last states of one sequence alone."""
    tokens = torch.from_numpy(ids)[None]
    return judge.scorer.decoder(tokens, torch.arange(len(ids))[None], FastAttend(judge.scorer.spec))[0]


CASES = {
    "entailment": ([Record(("the people", "no law")), Record(("peace", "the treasury reports"))], [2, 0]),
    "similarity": ([Record(("the people", "no law")), Record(("peace", "the treasury reports"))], [1, 0]),
    "choice": ([Record(("the people", ""), "", ("a", "no law", "peace")), Record(("law", ""), "", ("a", "plenty"))], [2, 0]),
}


@pytest.mark.parametrize("form", CASES)
def test_the_loss_is_the_paper_s_written_out(base, form, tmp_path):
    records, right = CASES[form]
    made = judge(base, form, 1 if form == "choice" else 3)
    batch, sequences = ready(made, records, right)
    expected, language = 0.0, 0.0
    for each, answer in zip(sequences, right, strict=True):
        states = [hidden_of(made, ids) for ids in each]
        last = torch.stack([state[-1] for state in states])
        vectors = last if form == "choice" else last.sum(0, keepdim=True)  # of both orders the sum
        scores = (vectors @ made.scorer.score.weight.T).flatten()
        expected += -scores.log_softmax(0)[answer]
        for ids, state in zip(each, states, strict=True):
            logits = made.scorer.head(state, made.scorer.decoder.embed.weight).logits()
            language += F.cross_entropy(logits[:-1], torch.from_numpy(ids[1:])) / len(each)
    scored = task_loss(made, recipe(base, tmp_path, lm_weight=0.25), batch)
    torch.testing.assert_close(scored.total, expected + 0.25 * language, atol=1e-4, rtol=1e-5)
    assert scored.weight == 2
    made.scorer.head = None
    torch.testing.assert_close(task_loss(made, recipe(base, tmp_path), batch).total, expected, atol=1e-4, rtol=1e-5)


def test_choices_of_a_record_share_one_mask(base, tmp_path):
    """So two answers that read alike score alike, whatever is dropped; those of another record do not."""
    made = judge(base)
    records = [Record(("the people", ""), "", ("peace", "peace"))] * 2
    batch, _ = ready(made, records, [0, 0])
    made.scorer.train()
    torch.manual_seed(0)
    scores = read_scores(made.scorer, run_decoder(made.scorer, batch.batch), batch.batch, made.form, 0.5)
    torch.testing.assert_close(scores[:, 0], scores[:, 1], atol=1e-5, rtol=1e-5)
    assert abs(scores[0, 0] - scores[1, 0]) > 1e-3


def chance(records):
    """The loss where all labels, or all answers of a record, are as likely."""
    labels = len({record["label"] for record in records})
    return sum(math.log(len(record.get("answers", range(labels)))) for record in records) / len(records)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_overfits_eight_records(base, tmp_path, form):
    run = recipe(base, tmp_path, form, held_out=write_records(tmp_path / "same.jsonl", RECORDS[form]))
    folder = tune_task(run)
    results = read_json(run.out / "results.json")
    assert results["accuracy"] == 1.0
    assert results["validation_loss"] < 0.1
    first = read_journal(run.out / "metrics.jsonl")[0]
    assert first["task_loss"] == pytest.approx(chance(RECORDS[form]), abs=1e-4)  # a head of zeros knew nothing
    made = load_classifier(folder)
    said = [verdict.label for verdict in made.classify([{**each, "label": "?"} for each in RECORDS[form]])]
    assert said == [str(each["label"]) for each in RECORDS[form]]


def test_numbers_are_learned(base, tmp_path):
    records = [{**each, "label": n / 4} for n, each in enumerate(RECORDS["similarity"])]
    run = recipe(base, tmp_path, "similarity", records, labels="numbers", epochs=80)
    run = replace(run, held_out=run.train)
    folder = tune_task(run)
    results = read_json(run.out / "results.json")
    assert results["spearman"] > 0.95
    assert "accuracy" not in results
    (verdict,) = load_classifier(folder).classify([records[7]])
    assert float(verdict.label) == pytest.approx(7 / 4, abs=0.3)


def resumable(base, folder):
    records = [{"text": f"the {word} in {n}", "label": n % 3} for n in range(40) for word in ("law", "peace")]
    return recipe(base, folder, records=records, epochs=2, dropout=0.1, head_dropout=0.1, every=TuneEvery(checkpoint=10))


def test_ten_steps_and_ten_more_are_twenty(base, tmp_path, monkeypatch):
    (tmp_path / "cut").mkdir()
    whole, cut = resumable(base, tmp_path), resumable(base, tmp_path / "cut")
    tune_task(whole)
    from genus.train import run

    original = run._Run._record

    def record(self, step, spent):
        original(self, step, spent)
        if step.number == 10:
            signal.raise_signal(signal.SIGUSR1)

    with monkeypatch.context() as patch:
        patch.setattr(run._Run, "_record", record)
        with pytest.raises(Stopped, match="saved at step 10 of 20"):
            tune_task(cut)
    assert not (cut.out / "model").exists()
    tune_task(cut)
    for name in ("model.safetensors", "optimizer.safetensors"):
        paths = [each.out / "checkpoints" / "step-20" / name for each in (whole, cut)]
        assert paths[0].read_bytes() == paths[1].read_bytes(), name
    assert (whole.out / "model/model.safetensors").read_bytes() == (cut.out / "model/model.safetensors").read_bytes()
    steps = [[each["loss"] for each in read_journal(run.out / "metrics.jsonl")] for run in (whole, cut)]
    assert steps[0] == steps[1]
    assert len(steps[0]) == 20


def test_other_records_are_no_way_to_go_on(base, tmp_path):
    run = recipe(base, tmp_path, epochs=2)
    tune_task(run)
    write_records(run.train, RECORDS["classification"][::-1])
    with pytest.raises(GenusError, match="records changed"):
        tune_task(run)


@pytest.mark.parametrize("form", ["classification", "similarity"])
def test_transformers_reads_the_same_labels(base, tmp_path, form):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tune_task(recipe(base, tmp_path, form, epochs=5))
    made = load_classifier(folder)
    theirs = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = ["peace", "the people of these states", "no law"]
    pairs = [(text, "the surplus") for text in texts]
    named = texts if form == "classification" else [dict(zip(("first", "second"), pair, strict=True)) for pair in pairs]
    records = [made.form.record({made.form.fields[0]: each} if isinstance(each, str) else each, "", False) for each in named]
    with torch.no_grad():
        if form == "classification":
            logits = theirs(**tokenizer(texts, padding=True, return_tensors="pt")).logits
        else:
            orders = [pairs, [pair[::-1] for pair in pairs]]
            logits = sum(theirs(**tokenizer(order, padding=True, return_tensors="pt")).logits for order in orders)
    torch.testing.assert_close(torch.stack(made.scores(records)), logits, atol=1e-5, rtol=1e-4)
    names = tuple(theirs.config.id2label[number] for number in range(2))
    assert names == made.labels == tuple(sorted({each["label"] for each in RECORDS[form]}))


def test_lora_leaves_the_model_alone_and_its_adapter_makes_the_result(base, tmp_path):
    run = recipe(base, tmp_path, lora=Lora(rank=4, parts=("q", "v", "down")), epochs=10)
    folder = tune_task(run)
    result, family, _ = load_scorer(folder)
    again = judge(base, "classification", 2, language=False).scorer
    with torch.no_grad():
        again.decoder.embed.weight[-3:] = 7.0  # the adapter brings its own
    merge_adapter(again, family, run.out / "adapter")
    changed = set()
    before = dict(load_model(base)[0].named_parameters())
    for (name, ours), (_, theirs) in zip(again.named_parameters(), result.named_parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5, msg=name)
        if name in before and "embed" not in name and not torch.equal(theirs, before[name]):
            changed.add(name.rpartition(".blocks.")[2].partition(".")[2])
    assert changed == {"attention.q.weight", "attention.v.weight", "mlp.down.weight"}


def test_peft_puts_the_adapter_on_the_base(base, tmp_path):
    peft = pytest.importorskip("peft", reason="peft is absent; pip install 'genus[test]' brings it")
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    run = recipe(base, tmp_path, lora=Lora(rank=4), epochs=10)
    made, tokenizer = load_classifier(tune_task(run)), AutoTokenizer.from_pretrained(run.out / "model")
    theirs = AutoModelForSequenceClassification.from_pretrained(base, num_labels=2, dtype=torch.float32)
    theirs.resize_token_embeddings(made.scorer.spec.vocab, mean_resizing=False)
    with warnings.catch_warnings():  # peft asks transformers by a name that will go
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        theirs = peft.PeftModel.from_pretrained(theirs, run.out / "adapter").eval()
    texts = [each["text"] for each in RECORDS["classification"]]
    with torch.no_grad():
        logits = torch.cat([theirs(**tokenizer(text, return_tensors="pt")).logits for text in texts])
    records = [Record((text,)) for text in texts]
    torch.testing.assert_close(torch.stack(made.scores(records)), logits, atol=1e-4, rtol=0)


def test_from_scratch_takes_nothing_of_the_model(base, tiny_shards, tmp_path):
    """Another model of the same shape gives the same result."""
    other = make_base(tmp_path / "other", tiny_shards.parent / "tokenizer", seed=2)
    ends = []
    for name, start, scratch in (("a", base, True), ("b", other, True), ("c", base, False), ("d", other, False)):
        (tmp_path / name).mkdir()
        folder = tune_task(recipe(start, tmp_path / name, epochs=2, from_scratch=scratch))
        ends.append((folder / "model.safetensors").read_bytes())
    assert ends[0] == ends[1]
    assert len(set(ends)) == 3


@pytest.mark.parametrize(
    ("records", "changes", "message"),
    [
        ([{"text": "a", "label": n} for n in range(9)], {}, "9 different labels in 9 records, which are no classes"),
        ([{"text": "a", "label": "x"}] * 4, {}, "1 different labels in 4 records"),
        ([{"text": "a", "label": "x"}] * 4, {"labels": "numbers"}, "jsonl, line 1: label = 'x' is not a number"),
    ],
)
def test_labels_that_do_not_fit_are_named(base, tmp_path, records, changes, message):
    with pytest.raises(GenusError, match=message):
        tune_task(recipe(base, tmp_path, records=records, **changes))


def test_a_held_out_label_that_was_never_learned_is_named(base, tmp_path):
    other = write_records(tmp_path / "other.jsonl", [*RECORDS["classification"], {"text": "a", "label": "new"}])
    with pytest.raises(GenusError, match=r"other.jsonl, line 9: label = 'new' is none of even, odd"):
        tune_task(recipe(base, tmp_path, held_out=other))


@pytest.mark.parametrize(
    "changes",
    [{"lm_weight": -1.0}, {"head_dropout": 1.0}, {"labels": "numbers", "form": "choice"},
     {"from_scratch": True, "lora": Lora(rank=2)}],
)  # fmt: skip
def test_recipes_that_cannot_be(changes, tmp_path):
    with pytest.raises(GenusError):
        TaskTuning(model=tmp_path, out=tmp_path, train=tmp_path / "a.jsonl", **changes)


def test_the_defaults_are_the_paper_s(tmp_path):
    made = TaskTuning(model=tmp_path, out=tmp_path, train=tmp_path / "a.jsonl")
    assert (made.optim.lr, made.optim.betas, made.optim.eps, made.optim.weight_decay) == (6.25e-5, (0.9, 0.999), 1e-8, 0.01)
    assert (made.batch, made.epochs, made.lm_weight, made.optim.clip) == (32, 3, 0.5, 1.0)
    assert (made.dropout, made.head_dropout) == (0.1, 0.1)
    assert made.schedule == TaskCourse(warmup=0.002, decay="linear", final=0.0)


def test_what_a_table_leaves_out_stays_the_paper_s():
    paths = {"model": "m", "out": "o", "train": "t"}
    _, config = bind_stage(
        "tune", {**paths, "optim": {"lr": 1e-3}, "schedule": {"warmup": 0.1}, "every": {"keep": 3}}, "a.toml"
    )
    assert config.optim == TaskOptim(lr=1e-3)
    assert config.schedule == TaskCourse(warmup=0.1)
    assert (config.every.keep, config.every.sample) == (3, 0)


def test_the_command_tunes_and_the_package_reads_what_it_made(base, tmp_path, monkeypatch, capsys):
    import genus
    from genus.cli import main

    made = recipe(base, tmp_path, epochs=40)
    arguments = ["tune", "--model", base, "--train", made.train, "--held-out", made.train, "--out", made.out]
    arguments += [
        "--batch",
        8,
        "--micro-batch",
        4,
        "--epochs",
        40,
        "--optim.lr",
        "3e-3",
        "--energy.count",
        "off",
        "--dropout",
        0,
    ]
    monkeypatch.setattr("sys.argv", ["genus", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 0, capsys.readouterr().err
    verdict = genus.load_classifier(made.out).classify([RECORDS["classification"][1]["text"]])[0]
    assert verdict.label == "odd"
    assert sum(verdict.shares.values()) == pytest.approx(1.0)
    assert json.loads((made.out / "results.json").read_text())["held_out"] == 8


def test_a_model_of_another_kind_is_no_classifier(base, tmp_path):
    from genus.models.families import family_of
    from genus.models.weights import save_scorer

    with pytest.raises(GenusError, match="holds no scores of texts"):
        load_classifier(base)
    scorer = judge(base, "classification", 1, language=False).scorer
    (tmp_path / "reward").mkdir()
    save_scorer(tmp_path / "reward", scorer, family_of("llama"), ("reward",), {"pad": 0})
    with pytest.raises(GenusError, match="was tuned on no task"):
        load_classifier(tmp_path / "reward")
