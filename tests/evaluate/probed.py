"""A tiny random model with a tokenizer of bytes and a few words, for probes."""

from genus.engine.model import Model
from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.initialise import Init, initialise
from genus.tokenizers.bytelevel import train
from tests.train.tiny import WORDS


def tiny_model(context: int = 256) -> Model:
    """Its log-likelihoods differ, and mean nothing."""
    spec = spec_of("llama", vocab=300, context=context, width=24, depth=2, heads=3)
    network = LanguageModel(spec)
    initialise(network, Init(matrix=0.3, residual=0.3, embed=0.5), seed=0)
    return Model(network, family_named("llama"), train(iter(WORDS * 4), vocab=300))
