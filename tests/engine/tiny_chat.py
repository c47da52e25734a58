"""Tiny random models of a small tokenizer of chats: their answers follow the form of a chat, and mean nothing."""

from pathlib import Path

import tokenizers
import torch

from genus.engine.model import Model
from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.tokenizers.kinds import train_kind
from genus.tokenizers.tokenizer import Tokenizer
from tests.train.tiny import WORDS

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def chat_tokenizer(folder: Path, template: str = TEMPLATE) -> Tokenizer:
    """A tokenizer with the signs of turns and a template, saved in a folder."""
    train_kind(iter(WORDS * 4), 300).save(folder)
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    backend.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(template)
    return Tokenizer.load(folder)


def tiny_model(tokenizer: Tokenizer, context: int = 128) -> Model:
    spec = spec_of("gpt2", vocab=tokenizer.vocab, context=context, width=24, depth=2, heads=3)
    network = LanguageModel(spec)
    initialise(network, family_named("gpt2").init(spec), seed=0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)  # far from uniform, so that another prompt gives another answer
    return Model(network, family_named("gpt2"), tokenizer)
