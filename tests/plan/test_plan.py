"""Plans against papers, PyTorch's own sharding, and each other; mistakes are named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed._tools.mem_tracker import MemTracker
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from genus.cli import main as cli
from genus.cli.models import describe
from genus.core.errors import GenusError
from genus.models.families import spec_of
from genus.models.heads import LanguageModel
from genus.plan.devices import Device, device_named
from genus.plan.layout import Job, Layout, layouts, memory_of, owned
from genus.plan.outlook import Planned, make_plan, outlook
from genus.plan.published import RUNS
from genus.plan.recipe import Plan
from genus.train.loop import Scored
from genus.train.losses import Tokens, next_token
from genus.train.optim import make_optimizer
from genus.train.recipe import Optim

GIB = Device(name="small", memory=1e9, flops={"bf16": 1e12}, link=1e10, node=4, network=1e9, watts=100)


def tiny_job(**changes: int) -> Job:
    spec = spec_of("llama", vocab=512, context=64, width=64, depth=4, heads=4)
    return Job(**{"spec": spec, "tokens": 1_000_000, "batch": 32, "context": 64, **changes})  # type: ignore[arg-type]


def published(name: str) -> tuple[Planned, Plan]:
    """A published run without the search and the trace, which its time does not need."""
    given = RUNS[name].plan
    spec = describe(name).spec
    job = Job(spec=spec, tokens=given.tokens or 0, batch=given.batch or 0, context=spec.context)
    device = device_named(given.machine or "")
    return Planned(job=job, device=device, count=given.count or 0, layout=Layout(), memory=None, step=1.0), given  # type: ignore[arg-type]


def test_opt_175b_did_what_its_paper_says():
    """4.30e23 FLOP, a third of 4/3 for what is computed twice; at 147 TFLOP/s of 312, 33 days of 1,024 GPUs."""
    plan, given = published("opt-175b")
    assert plan.job.flop * 4 / 3 == pytest.approx(4.30e23, rel=0.01)
    found = outlook(plan, 147 / 312 * 3 / 4, given)
    assert found.seconds / 86400 * 992 / 1024 == pytest.approx(33, rel=0.01)
    by_hand = 992 * 0.4 * found.seconds / 3600 * 1.09  # kW, hours, the building
    assert found.kwh == pytest.approx(by_hand)
    assert found.kg == pytest.approx(by_hand * 0.231)
    assert found.kg == pytest.approx(75_000, rel=0.1)


def test_palm_reached_its_speed_at_its_utilisation():
    plan, given = published("palm-540b")
    assert outlook(plan, 0.462, given).tokens_per_second == pytest.approx(238_300, rel=0.01)


def test_bloom_took_105_seconds_a_step():
    """Its 2,048 rows at 149 TFLOP/s, counting what is computed twice."""
    plan, given = published("bloom-176b")
    found = outlook(plan, 149 / 312 * 3 / 4, given)
    assert 2048 * 2048 / found.tokens_per_second == pytest.approx(105, rel=0.05)


@pytest.fixture
def eight_ranks():
    """PyTorch's process group of 8 that sends nothing."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    dist.init_process_group("fake", rank=0, world_size=8, store=FakeStore())
    yield
    dist.destroy_process_group()


def test_shares_are_those_of_fully_shard(eight_ranks):
    spec = tiny_job().spec
    with torch.device("meta"):
        model = LanguageModel(spec)
    mesh = init_device_mesh("cpu", (8,))
    for block in model.decoder.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    mine = sum(parameter.to_local().numel() for parameter in model.parameters())  # type: ignore[attr-defined]
    assert owned(spec, Layout(shard=8)) == mine


def test_shares_are_those_of_tensor_parallelism(eight_ranks):
    """Blocks split over 4, then all cut up: blocks over 2, the tables over 8."""
    spec = replace(tiny_job().spec, norm=replace(tiny_job().spec.norm, gain=False))
    with torch.device("meta"):
        model = LanguageModel(spec)
    mesh = init_device_mesh("cpu", (2, 4), mesh_dim_names=("shard", "tensor"))
    columns, rows = ColwiseParallel(), RowwiseParallel()
    plan = {"attention.q": columns, "attention.k": columns, "attention.v": columns, "attention.out": rows,
            "mlp.up": columns, "mlp.gate": columns, "mlp.down": rows}  # fmt: skip
    for block in model.decoder.blocks:
        parallelize_module(block, mesh["tensor"], plan)
        fully_shard(block, mesh=mesh["shard"])
    mine = sum(parameter.to_local().numel() for parameter in model.decoder.blocks.parameters())  # type: ignore[attr-defined]
    tables = spec.embedding_parameters / 8
    assert owned(spec, Layout(tensor=4, shard=2)) == mine + tables


@pytest.mark.parametrize(("vocab", "depth"), [(1024, 3), (1024, 5), (128, 4)])
def test_a_rank_holds_what_pytorch_counts(eight_ranks, vocab, depth):
    """A step of the real model under fully_shard, counted by PyTorch's own tracker, at its fullest moment."""
    spec = spec_of("gpt2", vocab=vocab, context=128, width=96, depth=depth, heads=6)
    with torch.device("meta"):
        objective = Objective(LanguageModel(spec).train())
    mesh = init_device_mesh("cpu", (8,))
    for block in objective.model.decoder.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(objective, mesh=mesh)
    objective.to_empty(device="cpu")
    for parameter in objective.parameters():
        torch.nn.init.zeros_(parameter.to_local())  # type: ignore[attr-defined]
    optimizer = make_optimizer(objective, Optim())
    tokens = torch.zeros((2, 128), dtype=torch.long)
    tracker = MemTracker()
    tracker.track_external(objective, optimizer)
    with tracker:
        for _ in range(2):
            tracker.reset_mod_stats()
            objective(Tokens(tokens, tokens, tokens)).total.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    counted = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]
    job = Job(spec=spec, tokens=1, batch=16, context=128, bf16=False)
    assert memory_of(job, Layout(shard=8, micro_batch=2), cpu=True).total == pytest.approx(counted, rel=0.02)


class Objective(torch.nn.Module):
    """The loss with the model, as one module to shard."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Tokens) -> Scored:
        return next_token(self.model, batch)


def test_every_layout_uses_every_device_and_row():
    job = tiny_job()
    found = list(layouts(job, 8, Plan()))
    assert len(set(found)) == len(found)
    assert {layout.tensor for layout in found} == {1, 2, 4}  # 4 heads
    for layout in found:
        assert layout.tensor * layout.shard * layout.replicate == 8
        assert job.batch % (layout.shard * layout.replicate * layout.micro_batch) == 0


def test_more_memory_is_never_slower():
    steps = [make_plan(tiny_job(), replace(GIB, memory=memory), 4, Plan()).step for memory in (4e6, 8e6, 16e6, 1e9)]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] > steps[-1]


def test_what_cannot_fit_is_refused_with_what_would():
    scarce = replace(GIB, memory=2e6)
    with pytest.raises(GenusError, match=r"does not fit.*--count \d+ .*would do") as error:
        make_plan(tiny_job(), scarce, 1, Plan())
    words = str(error.value).split()
    count = int(words[words.index("--count") + 1])
    found = make_plan(tiny_job(), scarce, count, Plan(micro_batch=1, checkpointing="full"))
    assert found.memory.total <= 2e6


def test_what_no_number_of_devices_can_hold():
    with pytest.raises(GenusError, match="choose a smaller model"):
        make_plan(tiny_job(), replace(GIB, memory=1e4), 4, Plan())


@pytest.mark.parametrize(("fixed", "expected"), [
    (Plan(tensor=3), "tensor = 3 does not divide model.heads = 4"),
    (Plan(shard=3), "does not divide 8 devices"),
    (Plan(tensor=1, micro_batch=5), "fix less"),
])  # fmt: skip
def test_layouts_that_cannot_be(fixed, expected):
    with pytest.raises(GenusError, match=expected):
        make_plan(tiny_job(), GIB, 6 if fixed.tensor == 3 else 8, fixed)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli._run(["plan", *arguments])
    captured = capsys.readouterr()
    return code, captured.out if code == 0 else captured.err


@pytest.mark.parametrize(("arguments", "expected"), [
    (("opt-125m", "--tokens", "9", "--batch", "8", "--machine", "a100-80g"), "did you mean a100-80gb?"),
    (("opt-125m", "--tokens", "9", "--batch", "8", "--machine", "h100", "--count", "0"), "--count 0 should be above 0"),
    (("opt-125m", "--batch", "8", "--machine", "h100"), "how many tokens"),
    (("opt-125n", "--machine", "h100"), "did you mean opt-125m?"),
    (("opt-125m", "--tokens", "9", "--batch", "8", "--utilisation", "40"), "a share of at most 1"),
    (("opt-125m", "--tokens", "9", "--batch", "8", "--machine", "h100", "--count", "3"), "multiple of 3"),
])  # fmt: skip
def test_mistakes_are_named(capsys, arguments, expected):
    code, text = said(capsys, *arguments)
    assert (code, text.count("\n")) == (1, 1)
    assert expected in text


def test_a_recipe_without_its_shards(capsys, tmp_path):
    path = tmp_path / "pretrain.toml"
    path.write_text('shards = "nowhere"\nout = "o"\ntokens = 8192\nbatch = 8\n[model]\nwidth = 48\ndepth = 2\nheads = 4\n')
    code, text = said(capsys, str(path), "--machine", "h100")
    assert code == 1
    assert "add --vocab" in text
    code, text = said(capsys, str(path), "--machine", "h100", "--vocab", "512", "--json")
    found = json.loads(text)
    spec = spec_of("gpt2", vocab=512, context=256, width=48, depth=2, heads=4)
    assert (found["parameters"], found["steps"]) == (spec.parameters, 4)
    assert found["flop"] == 8192 * spec.training_flop(256)
    assert found["layout"]["micro_batch"] == 8
    assert found["memory"]["total"] == sum(value for name, value in found["memory"].items() if name != "total")


def test_what_a_recipe_chose_is_not_searched(capsys, tmp_path):
    path = tmp_path / "pretrain.toml"
    path.write_text(
        'shards = "nowhere"\nout = "o"\ntokens = 8192\nbatch = 8\n[model]\nwidth = 48\ndepth = 2\nheads = 4\n'
        '[parallel]\ntensor = 2\nreplicate = 2\ncheckpointing = "full"\n[optim]\nkind = "muon"\n'
    )
    given = [str(path), "--machine", "h100", "--vocab", "512", "--json", "--count"]
    layout = json.loads(said(capsys, *given, "8")[1])["layout"]
    assert (layout["tensor"], layout["shard"], layout["replicate"], layout["checkpointing"]) == (2, 2, 2, "full")
    code, text = said(capsys, *given, "2")
    assert (code, "does not divide 2 devices" in text) == (1, True)


def test_machines_of_your_own(tmp_path):
    path = tmp_path / "machines.toml"
    path.write_text(
        "[mine]\nmemory = 10\nflops = { bf16 = 5 }\nwatts = 50\nprice = 2\n[h100]\nmemory = 94\nflops = { bf16 = 800 }"
    )
    mine = device_named("mine", path)
    assert (mine.memory, mine.peak("bf16"), mine.price, mine.node) == (1e10, 5e12, 2.0, 1)
    assert device_named("h100", path).memory == 94e9
    assert device_named("h100").memory == 80e9
    plan = make_plan(tiny_job(), mine, 2, Plan())
    found = outlook(plan, 0.5, Plan())
    assert found.cost == pytest.approx(2 * found.seconds / 3600 * 2)
    with pytest.raises(GenusError, match=r"mine has no flops\.fp32"):
        mine.peak("fp32")


@pytest.mark.parametrize(("text", "expected"), [
    ("[mine]\nmemory = 0\nflops = { bf16 = 5 }", "mine.memory = 0.* should be a number above 0"),
    ("[mine]\nflops = { bf16 = 5 }", "mine.memory = None"),
    ("[mine]\nmemory = 4", "mine.flops should be a table"),
    ("[mine]\nmemory = 4\nflops = { bf16 = 5 }\nram = 3", "the field ram"),
    ("mine = 4", "should be a table"),
    ("[mine", "is not TOML"),
])  # fmt: skip
def test_mistakes_in_a_machines_file(tmp_path: Path, text, expected):
    path = tmp_path / "machines.toml"
    path.write_text(text)
    with pytest.raises(GenusError, match=expected):
        device_named("mine", path)
