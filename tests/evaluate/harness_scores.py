"""lm-evaluation-harness on one model twice: through transformers, and through Genus. It runs in .venv-harness."""

import json
import sys
from pathlib import Path
from typing import Any

MEASURES = ("choices", "cloze", "rolling", "said")


def main(folder: str, tasks: str) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    import genus
    from genus.evaluate.harness_model import HarnessModel

    theirs = HFLM(pretrained=folder, device="cpu", dtype="float32", batch_size=4)
    found = []
    for model in (theirs, HarnessModel(genus.load(folder))):
        options: dict[str, Any] = {"num_fewshot": 1, "bootstrap_iters": 0, "task_manager": TaskManager(include_path=tasks)}
        results = simple_evaluate(model=model, tasks=list(MEASURES), **options)
        samples = {name: [each["resps"] for each in results["samples"][name]] for name in MEASURES}
        figures = {name: {key: value for key, value in results["results"][name].items() if not isinstance(value, str)}
                   for name in MEASURES}  # fmt: skip
        found.append({"samples": samples, "figures": figures})
    Path(tasks, "found.json").write_text(json.dumps(found, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
