"""`genus tune`"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from genus.train.task_recipe import TaskTuning

__all__ = ["tune"]


def tune(
    recipe: Path | None = None, /, *, config: Annotated[TaskTuning, Parameter(name="*")], restart: bool = False
) -> None:
    """Tune a model on a task, as GPT-1: classification, entailment, similarity or multiple choice; or as a judge of support.

    ```sh
    genus tune --model runs/demo/model --train reviews.jsonl --held-out more.jsonl --out runs/reviews
    genus tune --model models/smollm2 --form entailment --train rte.csv --out runs/rte --lora.rank 8 --optim.lr 5e-4
    genus tune --model runs/demo/model --train reviews.jsonl --out runs/scratch --from-scratch
    genus tune --form support --model models/smollm2 --train claims.jsonl --held-out more.jsonl --out runs/judge
    ```

    A record is a line of JSON such as {"text": "a fine film", "label": "positive"}, or a row of a CSV or TSV file with such
    columns. What was reached on the held-out records is in results.json. The model says what it thinks in Python:

    ```python
    import genus

    judge = genus.load_classifier("runs/reviews/model")
    judge.classify(["a fine film"])[0].label
    ```

    Parameters
    ----------
    recipe
        A TOML file of the fields below; flags win over it.
    restart
        Discard the run that the folder holds.
    """
    if config.form == "support":
        from genus.retrieve.verify.training import train_verifier

        train_verifier(config, restart)
    else:
        from genus.train.task_tuning import tune_task

        tune_task(config, restart)
