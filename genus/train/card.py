"""The model card: what a model folder says of itself, from what is known when it is written."""

from collections.abc import Mapping
from typing import Any

import tomli_w

from genus.core.recipe import as_dict
from genus.data.mixture import wanted
from genus.models.family import Family
from genus.models.registered import ARCHITECTURE
from genus.models.spec import DecoderSpec
from genus.train.energy import energy_text, read_energy
from genus.train.recipe import Pretrain
from genus.train.tune_recipe import Tuning
from genus.train.tuning import Opened

__all__ = ["FIGURES", "model_card", "tuned_card"]

FIGURES = ("<!-- genus:figures -->", "<!-- /genus:figures -->")  # genus report writes what lies between anew
_CARD = """---
library_name: genus
pipeline_tag: text-generation
tags: [{family}]
---

# A {title} model of {parameters:,} parameters

Pretrained from random weights by next-token prediction. A base model: it goes on with a text as its training text would,
and has learned neither to answer nor to decline. It repeats what that text says, true or not.

Made with Genus. The folder opens in Genus, and in transformers {opens}.

{begin}
| | |
| --- | --- |
| text to learn from | {documents:,} documents, {bytes:,} bytes, {tokens:,} tokens of a vocabulary of {vocab:,} |
| context | {context:,} tokens |
| width, depth, heads | {width}, {depth}, {heads} |
| corpus manifest, SHA-256 | {corpus} |
| tokenizer, SHA-256 | {tokenizer} |
| energy | {energy} |
{end}

## Recipe

```toml
{recipe}```
"""
_TUNED_CARD = """---
library_name: genus
pipeline_tag: {task}
tags: [{family}]
---

# A tuned {title} model

{what}

Made with Genus. The folder opens in Genus, and in transformers {opens}.

{begin}
| | |
| --- | --- |
| started from | {start} |
| its weights, SHA-256 | {digest} |
| tokenizer, SHA-256 | {tokenizer} |
{notes}
| energy | {energy} |
{end}

## Recipe

```toml
{recipe}```
"""
_AFTER = "after `from genus.models.registered import register; register()`"


def model_card(recipe: Pretrain, spec: DecoderSpec, family: Family, shards: dict[str, Any]) -> str:
    """The card of a freshly pretrained model, in Markdown with the front matter that model hubs read."""
    train = _read(recipe, shards["splits"]["train"])
    return _CARD.format(
        family=family.model_type,
        title=family.title,
        opens=_AFTER if family.architecture == ARCHITECTURE else "as it is",
        parameters=spec.parameters,
        documents=train["documents"],
        bytes=train["bytes"],
        tokens=train["tokens"],
        vocab=shards["vocab"],
        context=spec.context,
        width=spec.width,
        depth=spec.depth,
        heads=spec.attention.heads,
        corpus=shards["corpus_sha256"],
        tokenizer=shards["tokenizer_sha256"],
        energy=energy_text(read_energy(recipe.out)),
        begin=FIGURES[0],
        end=FIGURES[1],
        recipe=tomli_w.dumps(as_dict(recipe)),
    )


def _read(recipe: Pretrain, train: Mapping[str, Any]) -> dict[str, int]:
    """Documents, bytes and tokens of what a model learned from: a mixture may leave sources out."""
    parts = [train]
    if recipe.mixture is not None:
        parts = [train["sources"][name] for name, value in wanted(recipe.mixture, train["sources"])[1].items() if value]
    return {what: sum(part[what] for part in parts) for what in ("documents", "bytes", "tokens")}


def tuned_card(recipe: Tuning, opened: Opened, what: str, notes: Mapping[str, Any], task: str = "text-generation") -> str:
    """The card of a model that was tuned from another. `what` says what it does; `notes` are of its data."""
    family = opened.family
    return _TUNED_CARD.format(
        task=task,
        family=family.model_type,
        title=family.title,
        what=what,
        opens=_AFTER if family.architecture == ARCHITECTURE else "as it is",
        start=recipe.model,
        digest=opened.digest,
        tokenizer=opened.tokenizer.sha256,
        notes="\n".join(
            f"| {name} | {f'{value:,}' if isinstance(value, int) else value} |" for name, value in notes.items()
        ),
        energy=energy_text(read_energy(recipe.out)),
        begin=FIGURES[0],
        end=FIGURES[1],
        recipe=tomli_w.dumps(as_dict(recipe)),
    )
