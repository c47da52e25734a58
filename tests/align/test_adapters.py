"""LoRA in the stages that tune a policy: peft opens its adapter, and computes what the merged model does."""

import warnings

import pytest
import torch
from safetensors.torch import load_file

from genus.align import grpo
from genus.align.dpo import train_dpo
from genus.align.grpo import train_grpo
from genus.align.ppo import train_ppo
from genus.align.recipe import Dpo, Grpo, Ppo
from genus.engine.model import load
from genus.train.recipe import Optim
from genus.train.tune_recipe import Lora
from tests.align.small import QUIET, make_home

ROLLOUT = {"batch": 8, "minibatch": 4, "micro_batch": 4, "answer_tokens": 4, "episodes": 16}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("adapters"), "start", epochs=2)


def dpo_run(home, **fields):
    return train_dpo(Dpo(**fields, comparisons=(str(home / "comparisons.jsonl"),), batch=4))


def ppo_run(home, **fields):
    prompts = (str(home / "prompts.jsonl"),)
    return train_ppo(Ppo(**fields, **ROLLOUT, reward=home / "reward", prompts=prompts, untrusted=True))


def grpo_run(home, **fields):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(grpo, "is_right", lambda problem, said: len(said) % 2 == 0)  # a random model gets no sum right
        return train_grpo(Grpo(**fields, **ROLLOUT, group=4, held_out=2))


@pytest.mark.parametrize("run", [dpo_run, ppo_run, grpo_run])
def test_peft_computes_what_the_merged_model_does(home, tmp_path, run):
    peft = pytest.importorskip("peft", reason="peft is absent; pip install 'genus[test]' brings it")
    from transformers import AutoModelForCausalLM

    lora = Lora(rank=4, parts=("q", "v", "down"))
    merged = run(home, model=home / "start", out=tmp_path, lora=lora, **{**QUIET, "optim": Optim(lr=3e-2)})
    assert all(".layers." in name and ".lora_" in name for name in load_file(tmp_path / "adapter/adapter_model.safetensors"))
    start = AutoModelForCausalLM.from_pretrained(home / "start", dtype=torch.float32)
    tokens = torch.tensor([[5, 80, 12, 7, 44, 3, 91, 250]])
    with warnings.catch_warnings(), torch.no_grad():  # peft asks transformers by a name that will go
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        before = start(tokens).logits
        theirs = peft.PeftModel.from_pretrained(start, tmp_path / "adapter").eval()(tokens).logits
    assert float((theirs - before).abs().max()) > 0.05  # it has learned something
    torch.testing.assert_close(load(merged).logits(tokens), theirs, atol=1e-4, rtol=0)
