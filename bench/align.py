"""What PPO, PPO-ptx and DPO make of the demo's model, over several seeds: rewards, divergence, wins by the judge, and what
they forget of their training text. The settings are those of recipes/demo.

    python bench/align.py runs/demo
    python bench/align.py runs/demo --seeds 1 --json

Needs what `genus demo` made. Each seed draws the order of the prompts and comparisons, and the
answers. Wins are against the SFT model on prompts that none has seen.
"""

import argparse
import json
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from genus.align.dpo import train_dpo
from genus.align.judge import judge
from genus.align.ppo import train_ppo
from genus.align.recipe import Dpo, Judge, Ppo
from genus.cli.main import bind_stage
from genus.core.recipe import read_recipe
from genus.data.corpus import documents
from genus.engine.model import load
from genus.evaluate.perplexity import bits_per_byte
from genus.train.journal import read_journal
from genus.train.recipe import Energy

_TOLD = ("win_rate", "win_rate_least", "score", "deviation", "repetition", "tokens")
_QUIET: dict[str, Any] = {"tensorboard": "off", "energy": Energy(count="off"), "precision": "fp32"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="the folder that `genus demo` made")
    parser.add_argument("--seeds", type=int, default=3, help="seeds (default 3)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {}
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            for name, told in _turn(options, Path(folder), seed).items():
                found.setdefault(name, []).append(told)
                print(f"seed {seed} {name:8s} " + "  ".join(f"{key} {value:.3f}" for key, value in told.items()))
    print("medians over seeds")
    for name, each in found.items():
        keys = each[0].keys()
        print(f"       {name:8s} " + "  ".join(f"{key} {statistics.median(one[key] for one in each):.3f}" for key in keys))
    if options.json:
        print(json.dumps(found))


def _turn(options: argparse.Namespace, home: Path, seed: int) -> dict[str, dict[str, float]]:
    """Figures of the SFT model and of each way from it."""
    made = options.demo / "align"
    start = made / "sft" / "model"
    held_out = (str(made / "instructions" / "held_out.jsonl"),)
    folder = Path(__file__).resolve().parents[1] / "recipes" / "demo"
    files = {"prompts": (str(made / "instructions" / "train.jsonl"),), "held_out": held_out}
    never: dict[str, Any] = {"validate": 0, "sample": 0, "checkpoint": 0}
    ppo: Ppo = bind_stage("ppo", read_recipe(folder / "11-ppo.toml"), "11-ppo.toml")[1]
    ppo = replace(ppo, model=start, reward=made / "reward" / "model", out=home / "ppo", seed=seed, **files, **_QUIET)
    ppo = replace(ppo, every=replace(ppo.every, **never))
    dpo: Dpo = bind_stage("dpo", read_recipe(folder / "10-dpo.toml"), "10-dpo.toml")[1]
    dpo = replace(dpo, model=start, comparisons=(str(made / "comparisons.jsonl"),), out=home / "dpo", seed=seed, **_QUIET)
    mixed = replace(ppo, out=home / "ptx", ptx=options.demo / "shards", ptx_weight=1.0, ptx_tokens=64)
    models = {"sft": start, "dpo": train_dpo(dpo), "ppo": train_ppo(ppo), "ppo-ptx": train_ppo(mixed)}
    wins = judge(Judge(models=tuple(models.values()), prompts=held_out, most=200, out=home / "wins.json", seed=seed))
    texts = [document.text for document in documents(options.demo / "corpus", "validation")][:4]
    told = {}
    for name, folder in models.items():
        figures = wins[str(folder)]
        told[name] = {key: figures[key] for key in _TOLD}
        told[name]["bits_per_byte"] = bits_per_byte(load(folder), texts)["bits_per_byte"]
    for name, run in (("ppo", "ppo"), ("ppo-ptx", "ptx")):
        records = [each for each in read_journal(home / run / "metrics.jsonl") if "validation_reward" in each]
        told[name] |= {"reward_before": records[0]["validation_reward"], "reward": records[-1]["validation_reward"]}
        told[name] |= {"reward_deviation": _deviation(home / run), "kl": records[-1]["validation_kl"]}
    return told


def _deviation(run: Path) -> float:
    """Of the start model's rewards, in which the reward model's scale is measured."""
    newest = max((run / "checkpoints").glob("step-*"), key=lambda path: int(path.name.removeprefix("step-")))
    gain: float = json.loads((newest / "state.json").read_text())["extra"]["more"]["gain"]
    return 1 / gain


if __name__ == "__main__":
    main()
