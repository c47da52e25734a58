"""A decoder that gives scores where a token head would give logits: classes of a text, the reward or value of an answer.

A model folder of one is what transformers opens as ...ForSequenceClassification.
"""

import torch
from torch import Tensor, nn

from genus.models.attend import Attend
from genus.models.decoder import Decoder
from genus.models.heads import LanguageModel, ScoreHead, TokenHead
from genus.models.spec import DecoderSpec

__all__ = ["Scorer"]


class Scorer(nn.Module):
    """tokens, positions (batch, time) -> scores (batch, time, outputs), or (marked, outputs) of the places `only` marks.

    `language` keeps a token head beside it, for a loss of both. `shift` is added to a score: a reward's zero point.
    """

    def __init__(self, spec: DecoderSpec, outputs: int, language: bool = False) -> None:
        super().__init__()
        self.spec, self.shift = spec, 0.0
        self.decoder = Decoder(spec)
        self.score = ScoreHead(spec.width, outputs)
        self.head = TokenHead(spec) if language else None

    @classmethod
    def of(cls, model: LanguageModel, outputs: int, language: bool = False) -> "Scorer":
        """On the decoder of a language model, which the two then share; the scores are zero."""
        with torch.device("meta"):
            made = cls(model.spec, outputs, language)
        made.decoder = model.decoder
        made.score = ScoreHead(model.spec.width, outputs).to(model.decoder.embed.weight.device)
        made.head = model.head if language else None
        return made

    @property
    def outputs(self) -> int:
        """Scores of a place."""
        return self.score.weight.shape[0]

    def forward(self, tokens: Tensor, positions: Tensor, attend: Attend, only: Tensor | None = None) -> Tensor:
        scores: Tensor = self.score(self.decoder(tokens, positions, attend, only))
        return scores + self.shift
