"""PPO beside a plain loop of transformers: the same model, reward model, prompts, batch and arithmetic, in turns.

    python bench/ppo.py runs/demo/align/sft/model runs/demo/align/reward/model runs/demo/align/instructions/train.jsonl
    python bench/ppo.py models/smollm2 runs/reward/model prompts.jsonl --batch 16 --minibatch 16 --json

Both write `batch` answers of up to `tokens` tokens, score them, read them by policy, start model and value network, and take
one AdamW step on policy and value for each minibatch. transformers' loop is what one writes first: `generate` on a padded
batch, then forward and backward. Answers differ, as their random numbers do; both stop where an answer ends.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from genus.align.recipe import Ppo, PpoEvery
from genus.align.rollout import encode_prompts, find_prompts
from genus.train.journal import read_journal
from genus.train.recipe import Energy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model folder to start from")
    parser.add_argument("reward", type=Path, help="a reward model that started from it")
    parser.add_argument("prompts", help="a file of prompts")
    parser.add_argument("--batch", type=int, default=64, help="answers of a rollout (default 64)")
    parser.add_argument("--minibatch", type=int, default=32, help="answers of a step (default 32)")
    parser.add_argument("--tokens", type=int, default=48, help="the longest answer (default 48)")
    parser.add_argument("--rounds", type=int, default=5, help="rollouts of each side (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    peer, turns = _Peer(options), []
    for number in range(options.rounds + 1):  # the first warms both up
        turns.append((ours(options), peer.rollout(number)))
        print(f"round {number} of {options.rounds}", file=sys.stderr)
    found = told(options, turns[1:])
    if options.json:
        print(json.dumps(found))


def told(options: argparse.Namespace, turns: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, Any]:
    """Print medians and ratios; all of it."""
    steps = options.batch // options.minibatch
    names = ("answering", "scoring", "learning")
    medians = [{name: statistics.median(turn[side][name] for turn in turns) for name in names} for side in (0, 1)]
    speeds = [[steps / sum(turn[side].values()) for turn in turns] for side in (0, 1)]
    ratio = statistics.median(mine / theirs for mine, theirs in zip(*speeds, strict=True))
    print(
        f"{options.batch} answers of up to {options.tokens} tokens, {steps} steps, {torch.get_num_threads()} threads, fp32"
    )
    print("               steps/s   answering   scoring   learning (seconds a rollout)")
    for name, speed, seconds in zip(("genus", "transformers"), speeds, medians, strict=True):
        print(f"{name:12s} {statistics.median(speed):9.3f} " + "".join(f"{seconds[each]:11.2f}" for each in names))
    print(f"genus is {ratio:.2f} times as fast (at least 2)")
    return {"ratio": ratio, "genus": medians[0], "transformers": medians[1], "steps_per_second": speeds}


def ours(options: argparse.Namespace) -> dict[str, float]:
    """Seconds of the second of two rollouts."""
    from genus.align.ppo import train_ppo

    with tempfile.TemporaryDirectory() as folder:
        every = PpoEvery(validate=0, sample=0, checkpoint=0)
        sizes = {"batch": options.batch, "minibatch": options.minibatch, "micro_batch": min(16, options.minibatch)}
        recipe = Ppo(
            model=options.model,
            reward=options.reward,
            prompts=(options.prompts,),
            out=Path(folder) / "run",
            episodes=2 * options.batch,
            answer_tokens=options.tokens,
            share=0.0,
            normalise=False,
            untrusted=True,
            precision="fp32",
            tensorboard="off",
            energy=Energy(count="off"),
            every=every,
            **sizes,
        )
        train_ppo(recipe)
        records = [each for each in read_journal(Path(folder) / "run" / "metrics.jsonl") if "loss" in each]
    half = len(records) // 2
    whole = records[-1]["seconds"] - records[half - 1]["seconds"]
    parts = {"answering": records[-1]["answering_seconds"], "scoring": records[-1]["scoring_seconds"]}
    return {**parts, "learning": whole - sum(parts.values())}


class _Peer:
    """The plain loop."""

    def __init__(self, options: argparse.Namespace) -> None:
        from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

        from genus.tokenizers.tokenizer import Tokenizer

        def language() -> Any:
            return AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)

        def scores() -> Any:
            return AutoModelForSequenceClassification.from_pretrained(options.reward, dtype=torch.float32)

        self.options, self.policy, self.reference, self.reward, self.value = (
            options,
            language(),
            language(),
            scores(),
            scores(),
        )
        for frozen in (self.reference, self.reward):
            frozen.requires_grad_(False).eval()
        tokenizer = Tokenizer.load(options.model)
        room = self.policy.config.max_position_embeddings - options.tokens - 1
        self.asked = encode_prompts(find_prompts([options.prompts]), tokenizer, room)
        learned = [*self.policy.parameters(), *self.value.parameters()]
        self.optimizer = torch.optim.AdamW(learned, lr=1e-5, weight_decay=0.0, fused=True)

    def rollout(self, number: int) -> dict[str, float]:
        """Seconds of one rollout."""
        options, began = self.options, time.perf_counter()
        places = range(number * options.batch, (number + 1) * options.batch)
        asked = [self.asked[place % len(self.asked)] for place in places]
        ids, start = self._answer(asked)
        answered = time.perf_counter()
        mask = torch.ones_like(ids)
        for row, each in enumerate(asked):
            mask[row, : start - len(each.tokens)] = 0
        ends = ids[:, start:] == asked[0].end
        said = torch.cat([torch.ones_like(ends[:, :1]), ends.cumsum(1)[:, :-1] == 0], 1)  # up to and with the end
        with torch.no_grad():
            self.reward(ids, attention_mask=mask)
            old = self._log_probs(self.policy, ids, mask, start)
            self._log_probs(self.reference, ids, mask, start)
            self._values(ids, mask, start)
        scored = time.perf_counter()
        for first in range(0, options.batch, options.minibatch):
            some = slice(first, first + options.minibatch)
            ratio = (self._log_probs(self.policy, ids[some], mask[some], start) - old[some]).exp()
            loss = torch.maximum(-ratio, -ratio.clamp(0.8, 1.2))[said[some]].mean()
            loss = loss + 0.1 * self._values(ids[some], mask[some], start)[said[some]].square().mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return {"answering": answered - began, "scoring": scored - answered, "learning": time.perf_counter() - scored}

    @torch.no_grad()
    def _answer(self, asked: list[Any]) -> tuple[torch.Tensor, int]:
        start = max(len(each.tokens) for each in asked)
        ids = torch.tensor([[0] * (start - len(each.tokens)) + list(each.tokens) for each in asked])
        mask = torch.tensor([[0] * (start - len(each.tokens)) + [1] * len(each.tokens) for each in asked])
        how = {"do_sample": True, "temperature": 1.0, "top_k": 0, "max_new_tokens": self.options.tokens}
        found = self.policy.generate(ids, attention_mask=mask, eos_token_id=asked[0].end, pad_token_id=0, **how)
        return found, start

    def _log_probs(self, model: Any, ids: torch.Tensor, mask: torch.Tensor, start: int) -> torch.Tensor:
        logits = model(ids, attention_mask=mask).logits[:, start - 1 : -1].float()
        return torch.log_softmax(logits, -1).gather(2, ids[:, start:, None])[..., 0]

    def _values(self, ids: torch.Tensor, mask: torch.Tensor, start: int) -> torch.Tensor:
        hidden = self.value.base_model(ids, attention_mask=mask).last_hidden_state[:, start - 1 : -1]
        return self.value.score(hidden)[..., 0].float()


if __name__ == "__main__":
    main()
