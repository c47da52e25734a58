"""Answers of a model to prompts, as tasks for labellers: sampled at temperature 1, as InstructGPT's were."""

from collections.abc import Iterator, Sequence

from genus.align.rankings import LONGEST, MOST, Task
from genus.core.errors import GenusError
from genus.data.comparisons import Prompt
from genus.engine.engine import Engine
from genus.engine.model import Model
from genus.engine.request import Request
from genus.engine.sampling import Sampling

__all__ = ["sample"]

_DRAWS = 4  # of so many answers as are wanted: a model that repeats itself is asked again, and then let go


def sample(model: Model, name: str, prompts: Sequence[Prompt], answers: int, max_tokens: int) -> Iterator[Task | GenusError]:
    """A task for each prompt, `answers` different texts by the model called `name`; or why there is none.

    The same model, prompt and numbers give the same texts. A text that is empty, or was drawn before, is left out.
    """
    if not 2 <= answers <= MOST:
        raise GenusError(f"answers = {answers} cannot be ranked; choose from 2 to {MOST}")
    if not 1 <= max_tokens < model.spec.context:
        raise GenusError(f"max_tokens = {max_tokens} leaves no room; choose from 1 to {model.spec.context - 1}")
    for number, prompt in enumerate(prompts, 1):
        try:
            found = _drawn(model, prompt, answers, max_tokens)
        except GenusError as error:
            yield GenusError(f"prompt {number}: {error}")
            continue
        if len(found) < 2:
            yield GenusError(f"prompt {number}: {name} gave fewer than two different answers; it is left out")
            continue
        yield Task(prompt, tuple(found), (name,) * len(found))


def _drawn(model: Model, prompt: Prompt, answers: int, max_tokens: int) -> list[str]:
    chat = not isinstance(prompt, str)
    ids = model.tokenizer.encode_chat(prompt) if chat else model.prompt_ids(prompt)  # type: ignore[arg-type]
    end = model.tokenizer.end_of_text
    ends = frozenset(model.tokenizer.turn_ends) if chat else frozenset(() if end is None else (end,))
    found: dict[str, None] = {}
    for draw in range(_DRAWS):
        sampling = Sampling(temperature=1.0, seed=draw)
        request = Request(prompt=tuple(ids), max_tokens=max_tokens, sampling=sampling, n=answers, ends=ends)
        for text in _texts(model.engine, request):
            if text.strip() and len(text) <= LONGEST and "\0" not in text:
                found.setdefault(text)
        if len(found) >= answers:
            break
    return list(found)[:answers]


def _texts(engine: Engine, request: Request) -> list[str]:
    texts = [""] * request.n
    for event in engine.stream(request):
        if event.error:
            raise GenusError(event.error)
        texts[event.choice] += event.text
    return texts
