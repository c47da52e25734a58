"""`genus evaluate`"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.core.errors import GenusError
from genus.evaluate.recipe import Evaluate

__all__ = ["evaluate"]


_Names = Annotated[tuple[str, ...], Parameter(consume_multiple=True)]


@dataclass(frozen=True, kw_only=True)
class _Flags(Evaluate):
    """Of names several may follow a flag."""

    tasks: _Names = ()
    harness: _Names = ()
    probes: _Names = ()


def evaluate(model: Path | None = None, /, *, config: Annotated[_Flags, Parameter(name="*")]) -> None:
    """Measure bits per byte and perplexity on held-out text, beside a byte 5-gram model and xz on the same text; or how well
    a model does tasks, shown a few examples of each or none.

    ```sh
    genus evaluate --model runs/demo/model --corpus runs/demo/corpus --out evaluation.json
    genus evaluate models/smollm2 --tasks copa piqa --data tasks --shots 4 --limit 100 --out runs/smollm2-tasks
    genus evaluate models/smollm2 --tasks questions.jsonl --out runs/questions
    genus evaluate models/smollm2 --harness hellaswag --limit 100 --out runs/harness
    genus evaluate models/smollm2 --probes crows_pairs stereoset --data sets --out runs/bias
    genus evaluate runs/demo --every-checkpoint --tasks copa --data tasks --corpus runs/demo/corpus --out runs/demo/growth
    ```

    The folder of tasks gets results.json, and NAME.jsonl with the prompt, the scores and the choice for each item. Tasks
    that come along: docs/evaluate.md. Probes of bias, toxicity, truth, loops and memory: docs/probes.md.

    Parameters
    ----------
    model
        The model's folder, as --model; or a TOML file of the fields below, over which flags win.
    """
    config = config if model is None else replace(config, model=model)
    chosen = [name for name in ("tasks", "harness", "probes") if getattr(config, name)]
    if config.every_checkpoint:
        _on_checkpoints(config)
        return
    if config.corpus and not config.probes:  # which may be of its training text
        chosen.append("corpus")
    if config.model is None or len(chosen) != 1:
        raise GenusError("name a model, and one of --corpus, --tasks, --harness and --probes: what it is measured on")
    if chosen == ["corpus"]:
        from genus.evaluate.perplexity import evaluate as on_corpus

        on_corpus(config)
    else:
        _on_tasks(config)


def _on_checkpoints(config: Evaluate) -> None:
    from genus.cli.export import recipe_of
    from genus.cli.tables import aligned
    from genus.core.progress import say

    if config.model is None or config.harness or config.probes or not (config.tasks or config.corpus):
        raise GenusError("--every-checkpoint needs the folder of a run, and --tasks or --corpus or both")
    recipe = recipe_of(config.model)
    from genus.evaluate.growth import evaluate_growth, growth_table

    print("\n".join(aligned(growth_table(evaluate_growth(config, recipe)))))
    say(f"the curves: {config.out / 'growth.html'}")


def _on_tasks(config: Evaluate) -> None:
    from genus.cli.tables import aligned
    from genus.core.progress import say

    if config.probes:
        from genus.evaluate.probing import evaluate_probes as run
        from genus.evaluate.probing import probe_table as table
    elif config.tasks:
        from genus.evaluate.incontext.stage import evaluate_tasks as run
        from genus.evaluate.incontext.stage import table
    else:
        from genus.evaluate.harness import evaluate_harness as run
        from genus.evaluate.harness import table
    print("\n".join(aligned(table(run(config)))))
    say(f"each item with its prompt and scores: {config.out}")
