"""TRL's losses of one batch, to compare ours with: tests call `trls`; `main` runs in .venv-trl, where Genus is not."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PYTHON = Path(__file__).resolve().parents[2] / ".venv-trl/bin/python"


def trls(out: Path, *jobs: dict[str, Any]) -> list[dict[str, Any]]:
    """Of each job the loss, the gradient's norm, the token ids of each row, and how many of them count, without dropout.

    A job is {"stage": sft, reward or dpo, "model": a folder, "data": a file whose records are the batch} and, where wanted,
    "reference" (a folder), "template" (a chat template's text) and any field of TRL's configuration.
    """
    import pytest

    if not PYTHON.exists():
        pytest.skip(".venv-trl is absent; `make peers` installs TRL")
    command = [PYTHON, __file__, out, json.dumps(jobs, default=str)]
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(command, env=offline, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(out: str, jobs: str) -> None:
    print(json.dumps([_graded(job.pop("stage"), job.pop("model"), {**job, "output_dir": out}) for job in json.loads(jobs)]))


def _graded(stage: str, model: str, fields: dict[str, Any]) -> dict[str, Any]:
    import torch
    import trl
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    names = {"sft": "SFT", "reward": "Reward", "dpo": "DPO"}
    records = [json.loads(line) for line in Path(fields.pop("data")).read_text().splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = fields.pop("template", None)
    more = {}
    if reference := fields.pop("reference", ""):
        more["ref_model"] = AutoModelForCausalLM.from_pretrained(reference, dtype=torch.float32)
    config = getattr(trl, names[stage] + "Config")(
        per_device_train_batch_size=len(records), max_length=None, bf16=False, use_cpu=True, report_to="none",
        disable_tqdm=True, **fields)  # fmt: skip
    trainer = getattr(trl, names[stage] + "Trainer")(
        model, args=config, train_dataset=Dataset.from_list(records), processing_class=tokenizer, **more
    )
    batch = next(iter(trainer.get_train_dataloader()))
    real = batch["attention_mask"].bool()
    counted = batch["labels"] != -100 if stage == "sft" else batch.get("completion_mask", real)
    rows = [row[mask].tolist() for row, mask in zip(batch["input_ids"], real, strict=True)]
    trainer.model.eval()
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    norm = torch.nn.utils.get_total_norm([each.grad for each in trainer.model.parameters() if each.grad is not None])
    return {"loss": loss.item(), "norm": norm.item(), "rows": sorted(rows), "counted": int(counted.sum())}


if __name__ == "__main__":
    main(*sys.argv[1:])
