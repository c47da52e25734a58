"""What PPO, PPO-ptx and DPO make of the demo's model, over several seeds: rewards, divergence, wins by the judge, and what
they forget of their training text.

    python bench/align.py runs/align
    python bench/align.py runs/align --demo runs/demo --seeds 1 --json

Needs what `genus demo` and `genus run recipes/align` made. Each seed draws the order of the prompts and comparisons, and the
answers. Wins are against the SFT model on prompts that none has seen.
"""

import argparse
import dataclasses
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from genus.align.dpo import train_dpo
from genus.align.judge import judge
from genus.align.ppo import train_ppo
from genus.align.recipe import Dpo, DpoOptim, Judge, Ppo, PpoEvery, PpoOptim
from genus.data.corpus import documents
from genus.engine.model import load
from genus.evaluate.perplexity import bits_per_byte
from genus.train.journal import read_journal
from genus.train.recipe import Energy

_TOLD = ("win_rate", "win_rate_least", "score", "deviation", "repetition", "tokens")
_QUIET: dict[str, Any] = {"tensorboard": "off", "energy": Energy(count="off"), "precision": "fp32"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("made", type=Path, help="the folder that `genus run recipes/align` made")
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"), help="that of the demo (default runs/demo)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds (default 3)")
    parser.add_argument("--episodes", type=int, default=2560, help="answers that PPO learns from (default 2560)")
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
    made, start = options.made, options.made / "sft" / "model"
    held_out = (str(made / "instructions" / "held_out.jsonl"),)
    ppo = Ppo(
        model=start,
        reward=made / "reward" / "model",
        prompts=(str(made / "instructions" / "train.jsonl"),),
        held_out=held_out,
        out=home / "ppo",
        episodes=options.episodes,
        kl=0.3,
        micro_batch=32,
        optim=PpoOptim(lr=3e-4),
        every=PpoEvery(validate=0, sample=0, checkpoint=0),
        seed=seed,
        **_QUIET,
    )
    dpo = Dpo(
        model=start,
        out=home / "dpo",
        comparisons=(str(made / "comparisons.jsonl"),),
        batch=32,
        micro_batch=16,
        optim=DpoOptim(lr=1e-4),
        seed=seed,
        **_QUIET,
    )
    models = {"sft": start, "ppo": train_ppo(ppo), "dpo": train_dpo(dpo)}
    models["ppo-ptx"] = train_ppo(dataclasses.replace(ppo, out=home / "ptx", ptx=options.demo / "shards", ptx_weight=1.0))
    wins = judge(Judge(models=tuple(models.values()), prompts=held_out, most=200, out=home / "wins.json", seed=seed))
    texts = [document.text for document in documents(options.demo / "corpus", "validation")][:4]
    told = {}
    for name, folder in models.items():
        figures = wins[str(folder)]
        told[name] = {
            key: figures[key] for key in ("win_rate", "win_rate_least", "score", "deviation", "repetition", "tokens")
        }
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
