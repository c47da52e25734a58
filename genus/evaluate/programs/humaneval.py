"""HumanEval's form (Chen et al. 2021, arXiv 2107.03374): a model writes the rest of a function, and tests run it.

Records are JSON objects of the user's own file: task_id, prompt, entry_point, test, and perhaps canonical_solution.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import comb
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.core.files import sha256
from genus.core.progress import progress
from genus.core.recipe import as_dict
from genus.data.records import Record, read_all
from genus.engine.completions import complete
from genus.engine.model import Model
from genus.engine.request import Request
from genus.engine.sampling import Sampling
from genus.evaluate.estimates import mean, share
from genus.evaluate.programs.running import Limits, check_lock, run_all
from genus.tokenizers.tokenizer import Tokenizer

__all__ = [
    "PROBLEM",
    "STOPS",
    "Asked",
    "Problem",
    "Programs",
    "humaneval",
    "judge",
    "pass_at_k",
    "read_problems",
    "summary",
    "write",
]

PROBLEM = ("task_id", "prompt", "entry_point", "test")
"""The fields that a record has."""
STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint", "\n```")
"""What ends a function: the paper's, and the end of a block of code, which models of chats write and no function has."""
_TOGETHER = 64  # problems that are written before they are judged
Row = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """A function to write: `prompt` is its head, and `test` defines `check`, which takes it by its name.

    Blanks that end a prompt are not part of it but of what follows: many tokenizers have one token for a line break and an
    indent, and a model that is shown the break alone takes it for the end of the code.
    """

    name: str
    prompt: str
    entry_point: str
    test: str
    place: str
    solution: str | None = None

    def program(self, completion: str) -> str:
        """The Python program that comes to its end if the completion is right."""
        return f"{self.prompt}{completion}\n{self.test}\ncheck({self.entry_point})"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How completions are drawn and run: as in the paper, whose temperature for pass@100 is 0.8."""

    samples: int = 1
    temperature: float = 0.2
    top_p: float = 0.95
    max_tokens: int = 512
    """Of a completion; never more than half the context."""
    seed: int = 0
    limits: Limits = Limits()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        if self.samples < 1 or self.max_tokens < 1:
            raise GenusError(f"samples = {self.samples} and max_tokens = {self.max_tokens} must be at least 1; correct it")
        if self.sampling(0).greedy and self.samples > 1:
            raise GenusError(f"{self.samples} samples at temperature 0 are one and the same; raise it, or ask for 1")

    def sampling(self, place: int) -> Sampling:
        """Of the problem at that place; its samples differ by their number."""
        return Sampling(temperature=self.temperature, top_p=self.top_p, stop=STOPS, seed=self.seed + place)


def humaneval(model: Model, path: Path, asked: Asked = Asked()) -> dict[str, Any]:
    """Figures of a file of problems, with a row for each. Raises GenusError, before anything is written, for a bad file or
    where programs cannot be locked in.
    """
    programs = Programs.read(path, asked)
    check_lock()
    rows: list[Row] = []
    with progress(programs.name, len(programs)) as update:
        while len(rows) < len(programs):
            rows += programs.measure(model, range(len(rows), min(len(programs), len(rows) + _TOGETHER)))
            update(len(rows), "")
    return {"settings": programs.settings, **programs.summary(rows, asked.seed), "rows": rows}


@dataclass(frozen=True)
class Programs:
    """A file of problems, and how it is asked. `files` is its SHA-256."""

    name: str
    problems: Sequence[Problem]
    asked: Asked
    files: dict[str, str]

    @classmethod
    def read(cls, path: Path, asked: Asked) -> "Programs":
        """Raises as read_problems."""
        return cls(path.name.split(".")[0], read_problems(path), asked, {path.name: sha256(path)})

    @property
    def settings(self) -> dict[str, Any]:
        """What its rows depend on, but for the model."""
        return {"task": {"kind": "program", "form": "json", **as_dict(self.asked)}, "files": self.files, "shots": 0}

    def __len__(self) -> int:
        return len(self.problems)

    def check(self, tokenizer: Tokenizer) -> None:
        """Raise GenusError where programs cannot be locked in. Any tokenizer can write them."""
        del tokenizer
        check_lock()

    def measure(self, model: Model, places: range) -> list[Row]:
        """A row for each of these problems, see `judge`; and how many tokens of its prompt did not fit the context."""
        some = self.problems[places.start : places.stop]
        completions, cuts = write(model, some, self.asked, places.start)
        rows = judge(some, completions, self.asked.limits)
        return [row | {"cut": cut} for row, cut in zip(rows, cuts, strict=True)]

    def summary(self, rows: Sequence[Row], seed: int = 0) -> dict[str, Any]:
        """See `summary`."""
        return summary(rows, seed)


def read_problems(path: Path) -> list[Problem]:
    """All problems of a .jsonl file, gzipped or not. Raises GenusError naming the line and the field."""
    problems = read_all(path, lambda record: [_problem(record)])
    twice = [name for name, count in Counter(problem.name for problem in problems).items() if count > 1]
    if twice:
        raise GenusError(f"{path}: the task_id {twice[0]} is given twice; leave one out")
    return problems


def _problem(record: Record) -> Problem:
    name, prompt, entry_point, test = map(record.text, PROBLEM)
    if not entry_point.isidentifier():
        raise record.wrong("entry_point", f"is {entry_point!r}; give the name of the function")
    stem = prompt.rstrip()
    solution = record.text("canonical_solution", "")
    return Problem(name, stem, entry_point, test, record.place, prompt[len(stem) :] + solution if solution else None)


def write(model: Model, problems: Sequence[Problem], asked: Asked, first: int = 0) -> tuple[list[list[str]], list[int]]:
    """The completions of each problem, and how many tokens at the beginning of its prompt did not fit the context.

    `first` is the place of the first among all problems.
    """
    most = min(asked.max_tokens, model.spec.context // 2)
    room = model.spec.context - most
    end = model.tokenizer.end_of_text
    prompts = [model.prompt_ids(problem.prompt) for problem in problems]
    requests = [
        Request(
            prompt=tuple(ids[-room:]),
            max_tokens=most,
            sampling=asked.sampling(place),
            n=asked.samples,
            ends=frozenset(() if end is None else (end,)),
        )
        for place, ids in enumerate(prompts, first)
    ]
    found = complete(model.engine, requests)
    for error in (choice.error for choices in found for choice in choices if choice.error):
        raise GenusError(error)
    return [[choice.text for choice in choices] for choices in found], [max(0, len(ids) - room) for ids in prompts]


def judge(problems: Sequence[Problem], completions: Sequence[Sequence[str]], limits: Limits) -> list[Row]:
    """A row for each problem: its completions, and of each the verdict, the end of what it printed, and the seconds."""
    pairs = list(zip(problems, completions, strict=True))
    outcomes = iter(run_all([problem.program(each) for problem, some in pairs for each in some], limits))
    rows = []
    for problem, some in pairs:
        mine = [asdict(next(outcomes)) for _ in some]
        passed = sum(each["verdict"] == "passed" for each in mine)
        row = {"place": problem.place, "task_id": problem.name, "prompt": problem.prompt}
        counts = {"samples": len(mine), "passed": passed, "right": passed / len(mine)}
        rows.append({**row, "completions": list(some), "outcomes": mine, **counts})
    return rows


def summary(rows: Sequence[Row], seed: int = 0) -> dict[str, Any]:
    """pass@1, @10 and @100, as far as there are samples, with 95% intervals by the bootstrap over problems (of one sample
    each also Wilson's); how many programs ended in which way, and how many prompts were cut.
    """
    least = min(row["samples"] for row in rows)
    figures: dict[str, dict[str, Any]] = {}
    for k in (1, 10, 100):
        if k <= least:
            found = mean([pass_at_k(row["samples"], row["passed"], k) for row in rows], seed)
            figures[f"pass@{k}"] = {"value": found.value, "bootstrap": [found.low, found.high], "count": found.count}
    if all(row["samples"] == 1 for row in rows):
        found = share(sum(row["passed"] for row in rows), len(rows))
        figures["pass@1"]["wilson"] = [found.low, found.high]
    verdicts = Counter(outcome["verdict"] for row in rows for outcome in row["outcomes"])
    cut = sum(bool(row.get("cut")) for row in rows)
    return {"main": "pass@1", "figures": figures, "items": len(rows), "verdicts": dict(verdicts), "cut": cut}


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """The chance that one of k programs is right, drawn from n samples of which c passed: 1 - C(n-c, k) / C(n, k), which has
    no bias (section 2.1, equation 1). In whole numbers, so that nothing is lost.
    """
    if not 0 <= passed <= samples or not 1 <= k <= samples:
        raise GenusError(f"pass@{k} of {passed} in {samples} samples is not defined; draw at least k samples")
    return (comb(samples, k) - comb(samples - passed, k)) / comb(samples, k)
