"""Rollouts: the policy as it stands answers prompts, through the engine, and each answer is scored as a whole."""

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

from genus.align.encoding import answer_example, end_of_answer
from genus.core.errors import GenusError
from genus.core.progress import say
from genus.data.chats import read_prompts
from genus.data.comparisons import Prompt
from genus.data.encoding import encode_prompt
from genus.data.examples import Example
from genus.data.loader import shuffle_key
from genus.engine.engine import Engine
from genus.engine.model import Model
from genus.engine.request import Request
from genus.engine.sampling import Sampling
from genus.models.family import Family
from genus.models.heads import LanguageModel
from genus.models.lora import lora_parts, merge_lora
from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["Asked", "Episode", "encode_prompts", "find_prompts", "repetition", "roll_out", "told"]


class Asked(NamedTuple):
    """A prompt as token ids, and the token that ends an answer to it."""

    tokens: tuple[int, ...]
    end: int
    prompt: Prompt


class Episode(NamedTuple):
    """An answer: its tokens, with the one that ended it where it did end."""

    asked: Asked
    answer: tuple[int, ...]
    ended: bool

    @property
    def example(self) -> Example:
        """Prompt and answer, of which the answer is learned."""
        return answer_example(self.asked.tokens, self.answer)


def find_prompts(sources: Sequence[str]) -> list[Prompt]:
    """All prompts of files."""
    return [prompt for source in sources for prompt in read_prompts(Path(source))]


def encode_prompts(prompts: Sequence[Prompt], tokenizer: Tokenizer, most: int) -> list[Asked]:
    """As token ids. Those beyond `most` tokens are left out, and their number said. Raises GenusError when none is left."""
    found = [Asked(tuple(encode_prompt(tokenizer, prompt)), end_of_answer(tokenizer, prompt), prompt) for prompt in prompts]
    fitting = [asked for asked in found if len(asked.tokens) <= most]
    if prompts and not fitting:
        raise GenusError(f"all {len(prompts):,} prompts are longer than {most:,} tokens; choose fewer answer_tokens")
    if len(fitting) < len(found):
        say(f"left out: {len(found) - len(fitting):,} prompts longer than {most:,} tokens")
    return fitting


def roll_out(
    opened: tuple[LanguageModel, Family], asked: Sequence[Asked], *, most: int, temperature: float, seed: int, n: int = 1
) -> list[Episode]:
    """`n` answers of a model to each prompt, in order, up to `most` tokens each. The seed and the order settle which."""
    policy, family = opened
    training, network = policy.training, policy
    if any(True for _ in lora_parts(policy)):
        network = deepcopy(policy)
        merge_lora(network)
    room = sum(len(each.tokens) + n * (most + 32) for each in asked)
    engine = Engine(Model(network, family), tokens=room)
    numbers: dict[int, int] = {}
    for place, each in enumerate(asked):
        sampling = Sampling(temperature=temperature, seed=shuffle_key(seed, place) >> 1)
        request = Request(prompt=each.tokens, max_tokens=most, sampling=sampling, ends=frozenset((each.end,)), n=n)
        numbers[engine.add(request)] = place
    answers: dict[tuple[int, int], list[int]] = {}
    ended: set[tuple[int, int]] = set()
    while not engine.idle:
        for event in engine.step():
            if event.error:
                raise GenusError(event.error)
            key = numbers[event.request], event.choice
            answers.setdefault(key, []).extend(event.tokens)
            if event.finish == "stop":
                ended.add(key)
    policy.train(training)
    return [
        Episode(each, (*answers.get(key, ()), *((each.end,) if key in ended else ())), key in ended)
        for place, each in enumerate(asked)
        for key in ((place, choice) for choice in range(n))
    ]


def repetition(episodes: Sequence[Episode]) -> float:
    """Share of an answer's runs of four tokens that came before in it, in the mean over answers."""
    shares = []
    for episode in episodes:
        runs = Counter(zip(*(episode.answer[start:] for start in range(4)), strict=False))
        shares.append(1 - len(runs) / total if (total := sum(runs.values())) else 0.0)
    return sum(shares) / max(1, len(shares))


def told(tokenizer: Tokenizer, episode: Episode) -> str:
    """An episode for people to read."""
    prompt = episode.asked.prompt
    asked = prompt if isinstance(prompt, str) else prompt[-1]["content"]
    return f"{asked} → {tokenizer.decode(episode.answer)}"
