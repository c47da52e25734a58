"""The evaluate stage: how many bits a model needs for each byte of held-out text, beside references on the same text.

Bits per byte does not depend on the tokenizer, so models and other compressors can be compared; perplexity per token does.
"""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from genus.core.errors import GenusError
from genus.core.files import write_json
from genus.core.progress import progress, say
from genus.data.corpus import documents
from genus.engine.model import Model, load
from genus.evaluate.found import identity
from genus.evaluate.recipe import Evaluate
from genus.evaluate.references import references
from genus.train.logbook import entry

__all__ = ["bits_per_byte", "document_log_probs", "evaluate"]

_GROUP = 32  # documents scored together


def evaluate(config: Evaluate) -> dict[str, Any]:
    """Write config.out and return its content. The references learn from the corpus's training split."""
    if config.model is None or config.corpus is None:
        raise GenusError("bits per byte are of a model and a corpus; name both")
    texts = [document.text for document in documents(config.corpus, "validation")]
    folder = config.model if (config.model / "config.json").is_file() else config.model / "model"
    result: dict[str, Any] = {**bits_per_byte(load(folder), texts), "model": identity(folder)}
    say(f"held-out text: {result['bits_per_byte']:.3f} bits per byte, perplexity {result['perplexity']:.1f} per token")
    if config.references:
        training = (document.text for document in documents(config.corpus, "train"))
        result["references"] = dict(references(training, texts))
        say("on the same text: " + _sentence(result["references"]))
    write_json(config.out, result)
    told = f"{result['bits_per_byte']:.4f} bits per byte of {result['documents']:,} held-out documents, in {config.out.name}"
    entry(folder.resolve().parent, "evaluation", told)
    return result


def bits_per_byte(model: Model, texts: list[str]) -> dict[str, float]:
    """Bits for whole documents, their ends included, over the UTF-8 bytes of their text: see `document_log_probs`."""
    nats, tokens, done = 0.0, 0, 0
    size = sum(len(text.encode()) for text in texts)
    with progress("held-out text", size) as update:
        for first in range(0, len(texts), _GROUP):
            group = texts[first : first + _GROUP]
            for log_probs in document_log_probs(model, group):
                nats, tokens = nats - float(log_probs.double().sum()), tokens + len(log_probs)
            done += sum(len(text.encode()) for text in group)
            update(done, f"{nats / math.log(2) / done:.3f} bits per byte")
    return {
        "bits_per_byte": nats / math.log(2) / size,
        "perplexity": math.exp(nats / tokens),
        "bits": nats / math.log(2),
        "bytes": size,
        "tokens": tokens,
        "documents": len(texts),
    }


def document_log_probs(model: Model, texts: Sequence[str]) -> list[Tensor]:
    """log p of each token of whole documents and of their ends, in nats.

    Each document is read on its own, from what starts it (mostly the end of text) to the end of text; documents longer
    than the context in windows that overlap by half.
    """
    start = model.prompt_ids("")
    end = start[0] if model.tokenizer.end_of_text is None else model.tokenizer.end_of_text
    return model.score_tokens([[*start, *row, end] for row in model.tokenizer.encode_batch(texts)])


def _sentence(reference: dict[str, Any]) -> str:
    return f"byte 5-gram {reference['ngram_bpb']:.3f}, xz -9 {reference['xz_bpb']:.3f}"
