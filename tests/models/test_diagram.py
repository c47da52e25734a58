"""The drawing is true: followed line by line as a program, it computes what the model does."""

import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genus.models.attend import FastAttend
from genus.models.diagram import draw, in_words
from genus.models.families import FAMILIES, family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.parts.position import rotation
from genus.models.spec import Learned, Rotary, Strided

SMALL = {
    name: spec_of(name, vocab=40, context=16, width=24, depth=2, heads=3, head_dim=8, window=5, experts=4)
    for name in FAMILIES
}
SMALL["opt-350m"] = replace(SMALL["opt"], wiring="post", embed_dim=10)
PUBLISHED = {size: spec for name in FAMILIES for size, spec in family_named(name).sizes.items()}


class Follow:
    """A reader of the drawing who owns the model's modules, and knows of their order only what is drawn."""

    def __init__(self, model: LanguageModel, tokens: Tensor) -> None:
        self.model, self.tokens, self.positions = model, tokens, torch.arange(tokens.shape[1])[None]
        self.attend = FastAttend(model.spec)
        position = model.spec.position
        self.turn = rotation(position, self.positions) if isinstance(position, Rotary) else None

    def logits(self, drawing: str) -> Tensor:
        above, _, rest = drawing.partition("┌─┼")
        border, _, rest = rest.partition("\n")
        inside, _, below = rest.partition("└─┼")
        x = torch.empty(0)
        for line in stations(above):
            x = self.entry(line, x)
        assert int(re.findall(r"block × (\d+)", border)[0]) == len(self.model.decoder.blocks)
        lines = [line[2:-1].strip() for line in inside.splitlines()]
        for block in self.model.decoder.blocks:
            x = self.block(lines, block, x)
        for line in stations(below.partition("\n")[2].partition("\n\n")[0]):
            x = self.exit(line, x)
        return x

    def entry(self, line: str, x: Tensor) -> Tensor:
        decoder = self.model.decoder
        match line.split(maxsplit=1)[0]:
            case "tokens":
                return self.tokens
            case "embedding,":
                return decoder.embed(x)
            case "map":
                return decoder.project(x)
            case "⊕":
                position = self.model.spec.position
                assert isinstance(position, Learned) and line.startswith("⊕ ◄─ position")
                return x + decoder.position.weight[position.offset :][self.positions]
            case "LayerNorm" | "RMSNorm":
                return decoder.embed_norm(x)
        raise AssertionError(line)

    def block(self, lines: list[str], block: nn.Module, x: Tensor) -> Tensor:
        norms, normed, branches = [block.attention_norm, block.mlp_norm], x, []
        parts = {"attention": lambda x: block.attention(x, self.turn, self.attend), "MLP": block.mlp, "experts": block.mlp}
        for line in lines:
            words = re.findall(r"\w+", line)
            if line.startswith("⊕"):
                x = x + sum(branches)
                branches = []
            elif words == ["LayerNorm"]:
                x = norms.pop(0)(x)
            else:
                assert line[-1] in "┐┤"
                if words[0] in ("LayerNorm", "RMSNorm"):
                    normed = norms.pop(0)(x)
                elif "└" not in line:  # not a fork of what was normed for another part
                    normed = x
                branches.append(parts[words[-1]](normed))
        assert not branches
        return x

    def exit(self, line: str, x: Tensor) -> Tensor:
        head, decoder = self.model.head, self.model.decoder
        match line.split(maxsplit=1)[0].strip(":,"):
            case "LayerNorm" | "RMSNorm":
                assert not isinstance(decoder.norm, nn.Identity)
                return decoder.norm(x)
            case "map":
                return head.project(x)
            case "head":
                x = F.linear(
                    x, decoder.embed.weight if "(tied)" in line else head.weight, head.bias if "bias" in line else None
                )
                scale = re.findall(r"times (\S+)", line)
                return x * float(scale[0]) if scale else x
            case "logits":
                return x
        raise AssertionError(line)


def stations(text: str) -> list[str]:
    """What stands on the stream, without the stream."""
    return [line.strip() for line in text.splitlines() if line.strip(" │")]


@pytest.mark.parametrize("name", SMALL)
def test_followed_it_gives_the_models_logits(name):
    spec = SMALL[name]
    model = LanguageModel(spec).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator)
    tokens = torch.randint(spec.vocab, (2, 9), generator=generator)
    with torch.no_grad():
        expected = model(tokens, torch.arange(9)[None], FastAttend(spec))
        followed = Follow(model, tokens).logits(draw(spec))
    torch.testing.assert_close(followed, expected, rtol=1e-3, atol=1e-4)  # a scale is drawn with four digits


@pytest.mark.parametrize("size", PUBLISHED)
def test_it_fits_sixty_columns(size):
    lines = draw(PUBLISHED[size]).splitlines()
    assert max(map(len, lines)) <= 60
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("size, part, words", [
    ("llama2-70b", "attention", "64 heads of 128, sharing 8 of keys and values, no biases"),
    ("llama2-70b", "MLP", "8,192 → 2 × 28,672 → 8,192, gated SiLU, no biases"),
    ("llama3.1-8b", "positions", 
     "rotary, whole heads, halves turn together, base 500,000, stretched 8 times (Llama 3.1's way)"),
    ("gpt-neo-125m", "attention",
     "12 heads of 64, scores times 1, biases in out only; layers see in turn: all, the last 256"),
    ("gptj-6b", "positions", "rotary, 64 of a head's 256, neighbours turn together, base 10,000"),
    ("gptj-6b", "head", "a table of its own, with bias"),
    ("galactica-mini", "norm", "LayerNorm, eps 1e-05, nothing learned"),
    ("bloom-560m", "positions", "none; scores fall with distance, a slope for each head (ALiBi)"),
    ("palm-8b", "head", "the embedding's table (tied), times 0.01562"),
    ("gpt-oss-20b", "experts", "4 of 32 for each token, each 2,880 → 2 × 2,880 → 2,880, gated quick GELU cut off at 7 "
     "with +1 on the ungated half, biases"),
])  # fmt: skip
def test_parts_in_words(size, part, words):
    assert in_words(PUBLISHED[size])[part] == words


def test_strides_in_words():
    spec = spec_of("gpt3", vocab=40, context=16, width=24, depth=2, heads=3, window=4, stride=4)
    assert Strided(stride=4) in spec.attention.windows
    assert in_words(spec)["attention"].endswith("layers see in turn: the last 4, every 4th back")
