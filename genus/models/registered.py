"""Families that transformers has no class for: after `register()` its AutoModelForCausalLM opens their folders too.

from genus.models.registered import register
register()
model = transformers.AutoModelForCausalLM.from_pretrained("runs/palm/model")
"""

from typing import Any

import torch
from torch import Tensor

from genus.core.errors import GenusError
from genus.models.attend import FastAttend
from genus.models.decoder import Decoder
from genus.models.families import FAMILIES, family_named
from genus.models.family import Family, HfConfig
from genus.models.heads import TokenHead

__all__ = ["ARCHITECTURE", "register"]

ARCHITECTURE = "GenusForCausalLM"


def register() -> None:
    """Tell transformers of these families, once or more often. Raises GenusError where transformers is not installed."""
    try:
        from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig
    except ImportError as error:
        raise GenusError("transformers is not installed; pip install 'genus[verify]'") from error
    for family in map(family_named, FAMILIES):
        if family.architecture == ARCHITECTURE:
            config = type(ARCHITECTURE + "Config", (PretrainedConfig,), {"model_type": family.model_type})
            AutoConfig.register(family.model_type, config, exist_ok=True)
            AutoModelForCausalLM.register(config, _model_class(family, config), exist_ok=True)


def _model_class(family: Family, config: type) -> type:
    """The family's model as transformers wants it. It has no cache: to generate fast, use Genus's engine."""
    from transformers import GenerationMixin, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutput

    class GenusForCausalLM(PreTrainedModel, GenerationMixin):
        config_class = config
        _no_split_modules = ["Block"]  # noqa: RUF012 - as transformers declares it

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            spec = family.spec_from_hf(HfConfig(config.to_dict(), "config"))
            self.decoder, self.head, self.spec = Decoder(spec), TokenHead(spec), spec
            self.post_init()

        def get_input_embeddings(self) -> torch.nn.Module:
            return self.decoder.embed

        def get_output_embeddings(self) -> None:
            """None: a tied head holds no copy of the table that could drift from it."""

        def prepare_inputs_for_generation(self, input_ids: Any, *_: Any, **kwargs: Any) -> dict[str, Any]:
            """The whole text each time: there is no cache."""
            return {"input_ids": input_ids, "attention_mask": kwargs.get("attention_mask")}

        def forward(
            self, input_ids: Tensor, attention_mask: Tensor | None = None, labels: Tensor | None = None, **_: Any
        ) -> CausalLMOutput:
            """input_ids (batch, time); padding is where attention_mask is 0, on either side."""
            mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask.to(input_ids.dtype)
            positions = (mask.cumsum(-1) - 1).clamp(min=0)
            hidden = self.decoder(input_ids, positions, FastAttend(self.spec, None if mask.all() else mask))
            logits = self.head(hidden, self.decoder.embed.weight).logits()
            loss = None if labels is None else self.loss_function(logits, labels, self.spec.vocab)
            return CausalLMOutput(loss=loss, logits=logits)

    return GenusForCausalLM
