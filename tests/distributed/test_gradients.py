"""One step of a model that is cut up, beside the same model in one piece: loss, every gradient, and their norm."""

import re
from pathlib import Path

import pytest

from genus.models.weights import empty_model
from genus.parallel.plan import placements
from tests.distributed.conftest import run_jobs
from tests.distributed.worker import spec_of

pytestmark = pytest.mark.xdist_group("distributed")

LAYOUTS = {
    "shard-2": {"shard": 2},
    "tensor-2": {"tensor": 2},
    "replicate-2-shard-2": {"replicate": 2, "shard": 2},
    "shard-2-tensor-2": {"shard": 2, "tensor": 2, "checkpointing": "full"},
    "replicate-2-tensor-2": {"replicate": 2, "tensor": 2},
}
FAMILIES = {  # what each has that others have not
    "llama": ["shard-2", "tensor-2", "replicate-2-shard-2", "shard-2-tensor-2", "replicate-2-tensor-2"],
    "gpt1": ["tensor-2"],  # the norm after
    "gpt2": ["tensor-2"],  # biases, learned positions, a tied table
    "opt": ["tensor-2"],  # positions with an offset
    "bloom": ["shard-2-tensor-2"],  # ALiBi, a norm on the embedding
    "gpt_neo": ["shard-2-tensor-2"],  # bands
    "gptj": ["tensor-2"],  # one norm for both, a head with bias
    "gpt_neox": ["tensor-2"],  # attention and MLP side by side
    "palm": ["shard-2-tensor-2"],  # one head of keys and values, kept whole
    "sinks": ["tensor-2"],
    "modern": ["shard-2-tensor-2"],  # norms on queries and keys
    "gpt_oss": ["shard-2"],  # experts, and the loss that balances them
}
CASES = [(family, layout) for family, layouts in FAMILIES.items() for layout in layouts]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    jobs = [
        {
            "name": f"{family}-{layout}",
            "kind": "gradients",
            "family": family,
            "parallel": LAYOUTS[layout],
            "world": 4 if layout.count("2") == 2 else 2,
        }
        for family, layout in CASES
    ]
    folder: Path = tmp_path_factory.mktemp("gradients") / "jobs"
    return {name: ranks[0] for name, ranks in run_jobs(folder, jobs).items()}


@pytest.mark.parametrize(("family", "layout"), CASES)
def test_the_first_rank_holds_what_the_plan_says(found, family, layout):
    spec, _ = spec_of(family)
    ways = {"shard": LAYOUTS[layout].get("shard", 1), "tensor": LAYOUTS[layout].get("tensor", 1)}
    plan = placements(spec)
    for name, parameter in empty_model(spec).named_parameters():
        shape = list(parameter.shape)
        for axis, dim in plan[re.sub(r"blocks\.\d+", "blocks.{i}", name)]:
            shape[dim] = -(-shape[dim] // ways[axis])  # what does not divide leaves the first a little more
        assert found[f"{family}-{layout}"]["shapes"][name] == shape, name


@pytest.mark.parametrize(("family", "layout"), CASES)
def test_gradients_are_those_of_one_process(found, family, layout):
    """In fp32 the parts are added in another order; 2e-5 of the largest gradient of each parameter is allowed."""
    job = found[f"{family}-{layout}"]
    assert job["weight"] == [8 * 32, 8 * 32]
    assert job["loss"][0] == pytest.approx(job["loss"][1], rel=2e-6)
    assert job["norm"][0] == pytest.approx(job["norm"][1], rel=2e-6)
    worst = max(job["errors"], key=job["errors"].get)
    assert job["errors"][worst] < 2e-5, worst
    assert job["restored"]
