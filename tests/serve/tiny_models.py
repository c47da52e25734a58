"""Model folders for servers: small, with weights of a scale at which the likeliest token is clearly so."""

import json
from pathlib import Path

import torch

from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.weights import save_model
from genus.tokenizers.bytelevel import train
from tests.train.tiny import WORDS

CONTEXT = 256
_TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def make_folder(folder: Path, family: str) -> Path:
    """A random model of a family in a new folder. Heads of 32 are the smallest that vLLM's CPU kernels know."""
    tokenizer = train(iter([f"{words}, 12 times: {{}}" for words in WORDS]), 288)
    model = LanguageModel(spec_of(family, vocab=tokenizer.vocab, context=CONTEXT, width=64, depth=2, heads=2)).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mean = 1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0
            parameter.normal_(mean, 0.2, generator=generator)
    folder.mkdir(parents=True)
    save_model(folder, model, family_named(family), end_of_text=tokenizer.end_of_text)
    tokenizer.save(folder)
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"chat_template": _TEMPLATE}))
    return folder
