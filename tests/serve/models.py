"""Two tiny models for tests of the server, made in seconds.

`plain` goes on with texts: random weights far from uniform, so that every prompt, seed and option shows in the answer.
`chatty` answers chats: it has learned the few of CHATS by heart, with a tool's call, JSON and an emoji among the answers.
"""

from pathlib import Path

import torch

from genus.engine.model import Model
from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import initialise
from genus.tokenizers.kinds import train_kind
from genus.tokenizers.tokenizer import Tokenizer
from tests.engine.tiny_chat import chat_tokenizer
from tests.train.tiny import WORDS

# Tools are named only: their descriptions would make each prompt too long to be learned in seconds.
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if tools %}tools{% for tool in tools %} {{ tool.function.name }}{% endfor %}\n{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOOL = {
    "type": "function",
    "function": {
        "name": "find_law",
        "description": "Finds a law.",
        "parameters": {"type": "object", "properties": {"year": {"type": "integer"}}, "required": ["year"]},
    },
}
CALL = '<tool_call>{"name": "find_law", "arguments": {"year": 17}}</tool_call>'
# (user's message, tools, answer)
CHATS = (
    ("the people", [], " of the union 🙂 naïve 日本"),
    ("as JSON", [], '{"law": [1, 2]}'),
    ("which law", [TOOL], f"one law {CALL}{CALL.replace('17', '18')}"),
    ("bad call", [TOOL], '<tool_call>{"name": "find_law", </tool_call> peace'),
)


def make_models(folder: Path) -> tuple[Path, Path]:
    """The folders `plain` and `chatty` in a folder."""
    plain = train_kind(iter(WORDS * 4), 300)
    _model("llama", plain, width=24, scale=3).save(folder / "plain")
    chatty = _model("gpt2", chat_tokenizer(folder / "tokenizer", TEMPLATE), width=64)
    _learn(chatty)
    chatty.save(folder / "chatty")
    return folder / "plain", folder / "chatty"


def _model(family: str, tokenizer: Tokenizer, width: int, scale: float = 1) -> Model:
    spec = spec_of(family, vocab=tokenizer.vocab, context=512, width=width, depth=2, heads=4)
    network = LanguageModel(spec)
    initialise(network, family_named(family).init(spec), seed=0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(scale)
    return Model(network, family_named(family), tokenizer)


def _learn(model: Model) -> None:
    tokenizer, texts = model.tokenizer, []
    for said, tools, answer in CHATS:
        prompt = tokenizer.encode_chat([{"role": "user", "content": said}], **({"tools": tools} if tools else {}))
        texts.append((prompt, [*tokenizer.encode(answer), *tokenizer.encode("<|im_end|>", specials=True)]))
    longest = max(len(prompt) + len(answer) for prompt, answer in texts)
    ids, targets = torch.zeros(len(texts), longest, dtype=torch.long), torch.full((len(texts), longest), -100)
    for row, (prompt, answer) in enumerate(texts):
        whole = torch.tensor(prompt + answer)
        ids[row, : len(whole)] = whole
        targets[row, len(prompt) - 1 : len(whole) - 1] = whole[len(prompt) :]
    optimizer = torch.optim.AdamW(model.network.parameters(), lr=3e-3)
    model.network.train()
    loss = torch.tensor(9.0)
    for _ in range(400):
        loss = torch.nn.functional.cross_entropy(model.logits.__wrapped__(model, ids).flatten(0, 1), targets.flatten())
        if loss < 0.003:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.network.eval()
    assert loss < 0.003, f"the chats were not learned: {loss}"
