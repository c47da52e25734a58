"""What a model makes of some items of a task: a row for each, with the prompt, the scores and the choice."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from genus.core.errors import GenusError
from genus.engine.completions import beam_search, complete
from genus.engine.model import Model
from genus.engine.request import Request
from genus.engine.sampling import Sampling
from genus.evaluate.incontext.encoding import encode_pairs, start_of
from genus.evaluate.incontext.measures import best, choice_scores, said_well
from genus.evaluate.incontext.prompts import Prompt
from genus.evaluate.incontext.summary import Row
from genus.evaluate.incontext.task import Task
from genus.evaluate.likelihood import Likelihood, likelihoods
from genus.evaluate.perplexity import document_log_probs

__all__ = ["measure"]

_GNMT = 5  # arXiv 1609.08144, equation 14


def measure(model: Model, task: Task, prompts: Sequence[Prompt]) -> list[Row]:
    """One row for each prompt, in order."""
    if task.kind == "free":
        return _said(model, task, prompts)
    if task.kind == "text":
        return _read(model, prompts)
    return _likely(model, task, prompts)


def _likely(model: Model, task: Task, prompts: Sequence[Prompt]) -> list[Row]:
    """Choice, partial and cloze: all pairs of all items are read at once."""
    alone = task.kind == "choice" and task.rule == "unconditional"
    pairs = [pair for prompt in prompts for pair in prompt.pairs]
    encoded = encode_pairs(model.tokenizer, pairs)
    others = list(dict.fromkeys((task.unconditional, said) for _, said in pairs)) if alone else []
    requests = [each.request for each in [*encoded, *encode_pairs(model.tokenizer, others)]]
    found = likelihoods(model.network, requests, title=None)
    unconditional = {said: each.total for (_, said), each in zip(others, found[len(pairs) :], strict=True)}
    rows, first = [], 0
    for prompt in prompts:
        after = first + len(prompt.pairs)
        mine, merged = found[first:after], any(each.merged for each in encoded[first:after])
        row = {**_shown(prompt), "cut": max(each.cut for each in mine), "merged": merged}
        rows.append(row | (_cloze(mine[0]) if task.kind == "cloze" else _chosen(task, prompt, mine, unconditional)))
        first = after
    return rows


def _shown(prompt: Prompt) -> Row:
    contexts = {"prompt": prompt.contexts[0]} if len(prompt.contexts) == 1 else {"prompts": list(prompt.contexts)}
    return {"place": prompt.place, **contexts, "completions": list(prompt.completions), "examples": list(prompt.shown)}


def _cloze(found: Likelihood) -> Row:
    return {"nats": found.total, "tokens": len(found.nats), "right": found.greedy}


def _chosen(task: Task, prompt: Prompt, found: Sequence[Likelihood], unconditional: dict[str, float]) -> Row:
    """Partial scoring sums: what is said is the same after each context."""
    nats, tokens = [each.total for each in found], [len(each.nats) for each in found]
    row: Row = {"nats": nats, "tokens": tokens, "gold": prompt.gold}
    if task.kind == "partial":
        choice = best(nats)
    else:
        sizes = [max(1, len(said.strip().encode())) for said in prompt.completions]
        alone = [unconditional[said] for said in prompt.completions] if unconditional else None
        scores = choice_scores(nats, tokens, sizes, alone)
        row["by_rule"] = {rule: best(each) for rule, each in scores.items()}
        row["scores"], choice = scores[task.rule], row["by_rule"][task.rule]
    return {**row, "choice": choice, "right": choice == prompt.gold}


def _said(model: Model, task: Task, prompts: Sequence[Prompt]) -> list[Row]:
    """Generated up to a stop string, an end of text or the most tokens; the beginning of a long prompt is cut."""
    room = model.spec.context - task.most
    if room < 1:
        raise GenusError(
            f"task {task.name}: most = {task.most} leaves no room in a context of {model.spec.context}; lower it"
        )
    contexts = [prompt.contexts[0].rstrip() for prompt in prompts]
    start = start_of(model.tokenizer)
    ids = [[*model.tokenizer.start, *each] or start for each in model.tokenizer.encode_batch(contexts)]
    end = model.tokenizer.end_of_text
    greedy = Sampling(temperature=0, stop=task.stop)
    asked = [
        Request(
            prompt=tuple(each[-room:]), max_tokens=task.most, sampling=greedy, ends=frozenset(() if end is None else (end,))
        )
        for each in ids
    ]
    texts = _beams(model, task, asked) if task.beams > 1 else _greedy(model, asked)
    rows = []
    for prompt, each, said in zip(prompts, ids, texts, strict=True):
        kept: Row = {"prompt": prompt.contexts[0], "examples": list(prompt.shown), "answers": list(prompt.answers)}
        cut = {"cut": max(0, len(each) - room), "said": said}
        rows.append({"place": prompt.place, **kept, **cut, **said_well(task.measure, said, prompt.answers)})
    return rows


def _greedy(model: Model, asked: Sequence[Request]) -> list[str]:
    found = [choice for (choice,) in complete(model.engine, asked)]
    for each in found:
        if each.error:
            raise GenusError(each.error)
    return [each.text for each in found]


def _beams(model: Model, task: Task, asked: Sequence[Request]) -> list[str]:
    """A token that begins with a stop string ends a beam."""
    stops = [stop.encode() for stop in task.stop]
    tokenizer = model.tokenizer
    ends = {token for token in range(tokenizer.vocab) if any(map(tokenizer.token_bytes(token).startswith, stops))}
    found = []
    for each in asked:
        request = replace(each, ends=each.ends | ends, sampling=Sampling(temperature=0))
        (text, *_) = [best.text for best in beam_search(model.engine, request, task.beams, task.length_penalty, _GNMT)]
        found.append(min((text.partition(stop)[0] for stop in task.stop), key=len, default=text))
    return found


def _read(model: Model, prompts: Sequence[Prompt]) -> list[Row]:
    texts = [prompt.contexts[0] for prompt in prompts]
    found: list[Any] = document_log_probs(model, texts)
    return [
        {
            "place": prompt.place,
            "prompt": text,
            "nats": float(nats.double().sum()),
            "tokens": len(nats),
            "bytes": len(prompt.answers[0].encode()),
            "words": len(prompt.answers[0].split()),
        }
        for prompt, text, nats in zip(prompts, texts, found, strict=True)
    ]
