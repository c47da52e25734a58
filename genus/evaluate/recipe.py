"""What a user chooses of the evaluate and report stages. Light: their --help loads nothing heavy."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Evaluate", "Report"]


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure a model on held-out text, or on tasks."""

    model: Path | None = None
    """The model's folder."""
    corpus: Path | None = None
    """The corpus whose validation split is read."""
    out: Path
    """With a corpus the JSON file to write, with tasks the folder."""
    references: bool = True
    """Measure a byte 5-gram model and xz -9 on the same text too."""
    tasks: tuple[str, ...] = ()
    """Tasks by name, a task's .toml, or a .jsonl of your own records, or of programs in HumanEval's form."""
    harness: tuple[str, ...] = ()
    """Tasks of lm-evaluation-harness, which must be installed; `data` may be a folder of YAML files of your own."""
    probes: tuple[str, ...] = ()
    """Probes of bias, toxicity, truth, loops and memory by name; those of training text need `corpus` too."""
    data: Path | None = None
    """The folder that holds the tasks' files, or what the probes read."""
    shots: int = 0
    """Examples that are shown before each item, drawn for it by the seed."""
    limit: int | None = None
    """Of each task its first items, so many."""
    samples: int = 1
    """Programs that are written for each problem; pass@10 needs 10."""
    temperature: float = 0.2
    """At which programs are drawn; many samples want more, such as 0.8."""
    every_checkpoint: bool = False
    """Ask the tasks, and the corpus where one is named, of each kept checkpoint of the run, and draw how the scores grow."""
    seed: int = 0
    """Draws examples, programs and intervals."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Describe a run on one page, and fill in its model cards; or set evaluations of several sizes side by side."""

    run: Path | None = None
    """Folder of the run, with corpus/, shards/ and evaluation.json in it."""
    out: Path
    """The HTML file to write."""
    evaluations: tuple[Path, ...] = ()
    """Folders of evaluations that lie outside the run."""
    sizes: tuple[Path, ...] = ()
    """In place of a run, folders of evaluations of models of several sizes: scores against parameters."""
