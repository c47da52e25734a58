"""TRL's loss and gradient of one batch of conversations, as JSON: run in .venv-trl by test_sft.py, never imported.

Arguments: model folder, .jsonl of {"messages"}, a file with the template in which {% generation %} marks what is learned.
"""

import json
import sys
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer


def main(model: str, data: str, template: str, out: str) -> None:
    records = [json.loads(line) for line in Path(data).read_text().splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = Path(template).read_text()
    tokenizer.pad_token = tokenizer.eos_token = "<|endoftext|>"
    config = SFTConfig(output_dir=out, assistant_only_loss=True, per_device_train_batch_size=len(records), report_to="none",
                       bf16=False, use_cpu=True, model_init_kwargs={"dtype": "float32"},
                       max_length=None, disable_tqdm=True)  # fmt: skip
    trainer = SFTTrainer(model, config, train_dataset=Dataset.from_list(records), processing_class=tokenizer)
    batch = next(iter(trainer.get_train_dataloader()))
    count = int((batch["labels"][:, 1:] != -100).sum())
    trainer.model.eval()
    loss = trainer.compute_loss(trainer.model, batch, num_items_in_batch=torch.tensor(count))
    loss.backward()
    norm = torch.nn.utils.get_total_norm([each.grad for each in trainer.model.parameters() if each.grad is not None])
    print(json.dumps({"loss": loss.item(), "learned": count, "norm": norm.item()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
