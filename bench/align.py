"""What alignment makes of the demo's model: wins by the judge, rewards, divergence, repetition, and what is forgotten of the
training text; of SFT, DPO and PPO as `genus demo` made them, and of PPO-ptx, which is trained here.

    python bench/align.py runs/demo
    python bench/align.py runs/seed0 runs/seed1 runs/seed2 --json

Each folder is one that `genus demo` made, best with its own seed (--set pretrain.seed=1). Wins are against the SFT model, on
200 prompts that none has seen; rewards are in deviations of the SFT model's on the same prompts, with its mean at 0;
divergence is in nats an answer from the SFT model; bits per byte are of the first five held-out documents. PPO-ptx has
PPO's recipe, and goes on with the training text meanwhile.
"""

import argparse
import json
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from genus.align.judge import judge
from genus.align.log_probs import answer_log_probs
from genus.align.ppo import train_ppo
from genus.align.recipe import Judge, Ppo
from genus.align.rollout import Episode, encode_prompts, find_prompts, repetition, roll_out
from genus.align.scoring import score_examples
from genus.cli.main import bind_stage
from genus.core.recipe import read_recipe
from genus.data.corpus import documents
from genus.data.examples import stack
from genus.engine.model import load
from genus.evaluate.perplexity import bits_per_byte
from genus.models.heads import LanguageModel
from genus.models.weights import load_scorer
from genus.train.recipe import Energy
from genus.train.tuning import open_start, to_torch

_PROMPTS, _TOKENS, _AT_ONCE = 200, 48, 25
_RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "demo" / "11-ppo.toml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demos", type=Path, nargs="+", help="folders that `genus demo` made")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {}
    for demo in options.demos:
        with tempfile.TemporaryDirectory() as folder:
            for name, told in measure(demo, Path(folder)).items():
                found.setdefault(name, []).append(told)
                print(f"{demo.name:8s} {name:8s} {_line(told)}", flush=True)
    for name, each in found.items():
        print(f"median   {name:8s} {_line({key: statistics.median(one[key] for one in each) for key in each[0]})}")
    if options.json:
        print(json.dumps(found))


def _line(told: dict[str, float]) -> str:
    return "  ".join(f"{key} {value:.4f}" for key, value in told.items())


def measure(demo: Path, home: Path) -> dict[str, dict[str, float]]:
    """Figures of the SFT model and of each way from it."""
    made = demo / "align"
    prompts = str(made / "instructions" / "held_out.jsonl")
    models = {name: made / name / "model" for name in ("sft", "dpo", "ppo")} | {"ppo-ptx": _with_text(demo, home)}
    wins = judge(Judge(models=tuple(models.values()), prompts=(prompts,), most=_PROMPTS, out=home / "wins.json"))
    texts = [document.text for document in documents(demo / "corpus", "validation")][:5]
    start, reward = open_start(models["sft"]), load_scorer(made / "reward" / "model")[0].eval()
    asked = encode_prompts(find_prompts([prompts])[:_PROMPTS], start.tokenizer, start.context - _TOKENS - 1)
    mean, deviation = 0.0, 1.0
    told = {}
    for name, folder in models.items():
        opened = open_start(folder)
        episodes = roll_out((opened.network.eval(), opened.family), asked, most=_TOKENS, temperature=1.0, seed=1)
        rewards = score_examples(reward, [episode.example for episode in episodes])
        if name == "sft":
            mean, deviation = float(rewards.mean()), float(rewards.std())
        told[name] = {key: wins[str(folder)][key] for key in ("win_rate", "win_rate_least", "win_rate_most", "score")}
        told[name] |= {
            "reward": (float(rewards.mean()) - mean) / deviation,
            "kl": divergence(opened.network, start.network, episodes),
            "repetition": repetition(episodes),
            "tokens": sum(len(episode.answer) for episode in episodes) / len(episodes),
            "bits_per_byte": bits_per_byte(load(folder), texts)["bits_per_byte"],
        }
    return told


def _with_text(demo: Path, home: Path) -> Path:
    """PPO-ptx's model."""
    made = demo / "align"
    recipe: Ppo = bind_stage("ppo", read_recipe(_RECIPE), _RECIPE.name)[1]
    recipe = replace(recipe, model=made / "sft" / "model", reward=made / "reward" / "model", out=home / "ptx")
    files = {"prompts": "train", "held_out": "held_out"}
    named: dict[str, Any] = {field: (str(made / "instructions" / f"{name}.jsonl"),) for field, name in files.items()}
    recipe = replace(recipe, **named, tensorboard="off", energy=Energy(count="off"))
    return train_ppo(replace(recipe, ptx=demo / "shards", ptx_weight=1.0, ptx_tokens=64))


@torch.no_grad()
def divergence(policy: LanguageModel, start: LanguageModel, episodes: list[Episode]) -> float:
    """Nats by which an answer of the policy is likelier by it than by the start model, in the mean."""
    total = 0.0
    for first in range(0, len(episodes), _AT_ONCE):
        tokens = to_torch(stack([[each.example] for each in episodes[first : first + _AT_ONCE]]), torch.device("cpu"))
        total += float((answer_log_probs(policy, tokens).log_probs - answer_log_probs(start, tokens).log_probs).sum())
    return total / len(episodes)


if __name__ == "__main__":
    main()
