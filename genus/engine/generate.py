"""Token by token generation over the cache, and log-probabilities of given tokens."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from genus.core.errors import GenusError
from genus.engine.cache import CachedAttend
from genus.engine.grammar import GrammarState
from genus.engine.sample import NOT_FINITE, NOTHING_LEFT, Row, choose
from genus.engine.sampling import Sampling
from genus.models.attend import FastAttend
from genus.models.heads import LanguageModel

__all__ = ["check_tokens", "generate_tokens", "token_log_probs"]

_WINDOWS = 16  # scored side by side
_NO_TOKEN = {
    NOT_FINITE: "the model's logits are not finite; its weights are damaged, so take an earlier checkpoint",
    NOTHING_LEFT: "no token is allowed here by what sampling rules out; loosen allowed, no_repeat_ngram or grammar",
}


def generate_tokens(
    model: LanguageModel,
    prompt: Sequence[int],
    max_tokens: int,
    sampling: Sampling,
    grammar: GrammarState | None = None,
) -> Iterator[int]:
    """New tokens after `prompt`, one at a time. Raises GenusError at once when the two do not fit the context.

    `grammar` is the state that `sampling.grammar` starts from.
    """
    spec = model.spec
    check_tokens(model, prompt)
    sampling.check_vocab(spec.vocab)
    if max_tokens < 1 or len(prompt) + max_tokens > spec.context:
        raise GenusError(
            f"a prompt of {len(prompt)} tokens and max_tokens = {max_tokens} do not fit the context of {spec.context}; "
            f"choose max_tokens from 1 to {max(1, spec.context - len(prompt))}, or a shorter prompt"
        )
    return _generate(model, max_tokens, Row(sampling, sampling.draw_seed(), prompt=prompt, grammar=grammar))


@torch.inference_mode()
def _step(model: LanguageModel, tokens: Sequence[int], attend: CachedAttend) -> Tensor:
    """Read `tokens` after what the cache holds; logits (vocab,) for what follows."""
    device = model.decoder.embed.weight.device
    read = torch.tensor([tokens], device=device)
    positions = torch.arange(attend.length, attend.length + len(tokens), device=device)[None]
    hidden = model.decoder(read, positions, attend)
    attend.advance(len(tokens))
    return model.logits(hidden[0, -1])


def _generate(model: LanguageModel, max_tokens: int, row: Row) -> Iterator[int]:
    with torch.inference_mode():
        attend = CachedAttend(model.spec, 1, len(row.prompt) + max_tokens, model.decoder.embed.weight)
    said: list[int] = []
    logits = _step(model, row.prompt, attend)
    while True:
        token = choose(logits[None], [row._replace(position=len(said), said=said)])[0]
        if token < 0:
            raise GenusError(_NO_TOKEN[token])
        yield token
        said.append(token)
        if row.grammar is not None:
            row.grammar.advance(token)
        if len(said) == max_tokens or (row.grammar is not None and row.grammar.stopped):
            return
        logits = _step(model, [token], attend)


@torch.inference_mode()
def token_log_probs(model: LanguageModel, texts: Sequence[Sequence[int]]) -> list[Tensor]:
    """For each text of n tokens, n - 1 log-probabilities: of each token after its first, given those before it.

    A text longer than the context is read in windows that overlap by half, so that every token after the first window
    has at least half a context before it; each token is scored once.
    """
    windows = [window for number, text in enumerate(texts) for window in _windows(number, len(text), model.spec.context)]
    windows.sort(key=lambda window: window[2] - window[1])  # rows of one batch are about as long
    scores = [torch.empty(len(text) - 1) for text in texts]
    for first in range(0, len(windows), _WINDOWS):
        batch = windows[first : first + _WINDOWS]
        found = _score([texts[number][start : end + 1] for number, start, end, _ in batch], model)
        for (number, start, end, scored), row in zip(batch, found, strict=True):
            scores[number][scored:end] = row[scored - start : end - start]
    return scores


def _windows(number: int, length: int, context: int) -> Iterator[tuple[int, int, int, int]]:
    """(text, start, end, scored): read tokens start .. end - 1, count the predictions from `scored` on."""
    start = scored = 0
    while scored < length - 1:
        end = min(start + context, length - 1)
        yield number, start, end, scored
        scored, start = end, end - context // 2


def _score(rows: list[Sequence[int]], model: LanguageModel) -> Tensor:
    """log p of each token given those before it in its row, (rows, longest - 1); beyond a row's end, noise."""
    device = model.decoder.embed.weight.device
    longest = max(map(len, rows))
    tokens = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
    positions = torch.arange(longest - 1, device=device).expand(len(rows), -1)
    logits = model(tokens[:, :-1], positions, FastAttend(model.spec)).float()
    targets = tokens[:, 1:, None]
    return (logits.gather(-1, targets)[..., 0] - logits.logsumexp(-1)).cpu()


def check_tokens(model: LanguageModel, tokens: Sequence[int]) -> None:
    """Raise GenusError for an empty prompt or an id outside the vocabulary, naming its index."""
    if not tokens:
        raise GenusError("the prompt is empty; give at least one token")
    for index, token in enumerate(tokens):
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < model.spec.vocab:
            raise GenusError(f"prompt[{index}] = {token!r} is not a token id; ids go from 0 to {model.spec.vocab - 1}")
