"""What a labeller is asked about each answer, and what is kept of it: InstructGPT's questions (section 3.4, table 3)."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from genus.core.errors import GenusError
from genus.data.turns import Prompt

__all__ = [
    "FLAGS", "LONGEST", "LONGEST_COMMENT", "MOST", "Kind", "Ranking", "Task", "Thumb", "check_prompt", "check_ranking",
    "check_task", "check_text", "digest_of",
]  # fmt: skip

MOST = 9  # answers of a task, as InstructGPT's labellers had at most
LONGEST = 100_000  # characters of a prompt or an answer
LONGEST_COMMENT = 10_000

FLAGS = {
    "fails_task": "Fails to follow the instruction",
    "inappropriate": "Inappropriate for a customer assistant",
    "hallucination": "Hallucination",
    "satisfies_constraint": "Satisfies the constraint in the instruction",
    "sexual": "Sexual content",
    "violent": "Violent content",
    "encourages_harm": "Encourages violence, abuse, terrorism or self-harm, or fails to discourage it",
    "denigrates": "Denigrates a protected class",
    "harmful_advice": "Gives harmful advice",
    "opinion": "Expresses an opinion",
    "moral_judgment": "Expresses a moral judgment",
}

_ROLES = ("system", "developer", "user", "assistant", "tool")

Kind = Literal["rank", "preference"]


class Task(NamedTuple):
    """A prompt and two or more answers to it. `sources` say who wrote each; no labeller sees them."""

    prompt: Prompt
    answers: tuple[str, ...]
    sources: tuple[str, ...] = ()
    kind: Kind = "rank"
    id: int = 0
    guideline: str | None = None

    @property
    def digest(self) -> str:
        """Equal for the same prompt with the same answers, in whatever order."""
        return digest_of(self.prompt, sorted(self.answers))


class Ranking(NamedTuple):
    """What one labeller said of one task: for each answer its rank (1 the best, equal ranks tie), 1-7 overall, flags."""

    task: int
    labeller: str
    ranks: tuple[int | None, ...]
    overall: tuple[int | None, ...] = ()
    flags: tuple[tuple[str, ...], ...] = ()
    comment: str = ""
    seconds: float = 0.0
    skipped: bool = False
    submitted: bool = False
    guideline: str | None = None
    created: float = 0.0


class Thumb(NamedTuple):
    """A thumb up (1) or down (-1) for an answer, from the playground; 0 takes it back."""

    prompt: Prompt
    answer: str
    source: str
    thumb: int
    labeller: str


def digest_of(*parts: Any) -> str:
    """One digest for values of JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def check_text(name: str, text: Any, longest: int = LONGEST, empty: bool = False) -> str:
    """A text that every database can hold. Raises GenusError naming the field."""
    if not isinstance(text, str):
        raise GenusError(f"{name} is not a text; give a string")
    if not empty and not text.strip():
        raise GenusError(f"{name} is empty; write something")
    if len(text) > longest:
        raise GenusError(f"{name} has {len(text):,} characters, and {longest:,} are the most; shorten it")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise GenusError(f"{name} holds a character that is no text (NUL, or half of a pair); take it out")
    return text


def check_prompt(prompt: Any) -> Prompt:
    """A text, or turns of a chat the last of which is the user's. Raises GenusError naming the field."""
    if isinstance(prompt, str):
        return check_text("prompt", prompt)
    if not isinstance(prompt, list | tuple) or not prompt:
        raise GenusError("prompt is neither a text nor a list of messages; give one of them")
    for number, message in enumerate(prompt):
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise GenusError(f'prompt[{number}] is not {{"role": …, "content": …}}; write it so')
        if message["role"] not in _ROLES:
            raise GenusError(f"prompt[{number}].role is none of {', '.join(_ROLES)}; correct it")
        check_text(f"prompt[{number}].content", message["content"])
    if prompt[-1]["role"] not in ("user", "tool"):
        raise GenusError(
            f"prompt[{len(prompt) - 1}].role is {prompt[-1]['role']}, and the last turn is the user's; correct it"
        )
    return prompt


def check_task(task: Task) -> None:
    """Raise GenusError for a task that nobody can rank, naming the field."""
    check_prompt(task.prompt)
    if not 2 <= len(task.answers) <= MOST:
        raise GenusError(f"answers has {len(task.answers)} entries, and a ranking needs 2 to {MOST}; correct it")
    for number, text in enumerate(task.answers):
        check_text(f"answers[{number}]", text)
        if text in task.answers[:number]:
            raise GenusError(f"answers[{number}] repeats answers[{task.answers.index(text)}]; give each answer once")
    if task.sources and len(task.sources) != len(task.answers):
        raise GenusError(f"sources has {len(task.sources)} entries for {len(task.answers)} answers; give one for each")


def check_ranking(ranking: Ranking, answers: int) -> None:
    """Raise GenusError for a ranking that does not fit a task of so many answers."""
    for name, values in (("ranks", ranking.ranks), ("overall", ranking.overall), ("flags", ranking.flags)):
        if len(values) != answers:
            raise GenusError(f"{name} has {len(values)} entries and the task {answers} answers; give one for each")
    if any(rank is not None and not 1 <= rank <= answers for rank in ranking.ranks):
        raise GenusError(f"ranks go from 1 to {answers}; correct them")
    if any(each is not None and not 1 <= each <= 7 for each in ranking.overall):
        raise GenusError("overall goes from 1 to 7; correct it")
    for flags in ranking.flags:
        if unknown := sorted(set(flags) - FLAGS.keys()):
            raise GenusError(f"{unknown[0][:40]!r} is no flag; choose from {', '.join(FLAGS)}")
    if ranking.submitted and ranking.skipped:
        raise GenusError("a task is submitted or skipped, not both; choose one")
    if ranking.submitted:
        _check_whole(ranking.ranks)
    check_text("comment", ranking.comment, LONGEST_COMMENT, empty=True)
    check_text("labeller", ranking.labeller, 100)


def _check_whole(ranks: Sequence[int | None]) -> None:
    """Every answer has one, from 1 without a gap, so that one ranking is written one way."""
    given = {rank for rank in ranks if rank is not None}
    if None in ranks:
        raise GenusError("an answer has no rank yet; rank every answer once, then submit, or skip the task")
    if given != set(range(1, len(given) + 1)):
        raise GenusError(f"ranks {sorted(given)} leave a gap; the best is 1, the next 2, and equal ones tie")
