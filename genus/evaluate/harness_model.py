"""Genus as a model class of lm-evaluation-harness, in whose words its methods are named; only where that is installed."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from genus.core.errors import GenusError
from genus.engine.completions import complete
from genus.engine.model import Model
from genus.engine.request import Request as Asked
from genus.engine.sampling import Sampling
from genus.evaluate.incontext.encoding import start_of
from genus.evaluate.likelihood import Request, likelihoods

__all__ = ["HarnessModel"]

_MOST = 256  # tokens, where a task does not say: lm-evaluation-harness's own default


class HarnessModel(TemplateLM):
    """A model for `lm_eval.simple_evaluate(model=HarnessModel(genus.load(folder)), tasks=[...])`."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model
        self._prefix = _prefix(model)

    @property
    def eot_token_id(self) -> int:
        """The end of a text."""
        end = self.model.tokenizer.end_of_text
        return self._prefix if end is None else end

    @property
    def prefix_token_id(self) -> int:
        """What an empty context is: the beginning-of-text token that the tokenizer names, or else the end of another."""
        return self._prefix

    @property
    def max_length(self) -> int:
        """Tokens of context."""
        return self.model.spec.context

    @property
    def tokenizer_name(self) -> str:
        """What tells tokenizers apart."""
        return self.model.tokenizer.sha256

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_kwargs: Any) -> list[int]:
        """Token ids; after what the tokenizer starts texts with, unless that is refused."""
        start = [] if add_special_tokens is False else self.model.tokenizer.start
        return [*start, *self.model.tokenizer.encode(string)]

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The tokenizer's own."""
        return self.model.tokenizer.chat_template if chat_template else None

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A chat as the template writes it."""
        return self.model.tokenizer.render_chat(chat_history, add_generation_prompt)

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """log p of whole texts, in windows as lm-evaluation-harness cuts them."""
        windows, owners = [], []
        for number, request in enumerate(requests):
            ids = self.tok_encode(request.args[0])
            cut = get_rolling_token_windows(ids, self.prefix_token_id, self.max_length, context_len=1)
            mine = [(None, *make_disjoint_window(window)) for window in cut]
            windows += mine
            owners += [number] * len(mine)
        found = [0.0] * len(requests)
        for number, (total, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            found[number] += total
        return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """What the model says after each context, up to one of the request's strings."""
        asked = [self._asked(*request.args) for request in requests]
        found = [choice for (choice,) in complete(self.model.engine, asked)]
        for each in found:
            if each.error:
                raise GenusError(each.error)
        return [each.text for each in found]

    def _asked(self, context: str, options: dict[str, Any]) -> Asked:
        options = normalize_gen_kwargs(options, _MOST)
        most = int(options["max_gen_toks"])
        stops = handle_stop_sequences(options.get("until"), eos=None)
        sampled = bool(options.get("do_sample")) and float(options.get("temperature") or 0) > 0
        sampling = Sampling(temperature=float(options["temperature"]) if sampled else 0, seed=0)
        if sampled:
            limits = {name: options[name] for name in ("top_p", "top_k", "min_p") if options.get(name) is not None}
            sampling = replace(sampling, **limits)
        if (room := self.max_length - most) < 1:
            raise GenusError(f"{most} tokens to say leave no room in a context of {self.max_length}; lower max_gen_toks")
        ids = self.tok_encode(context)[-room:] or [self.prefix_token_id]
        sampling = replace(sampling, stop=tuple(stop for stop in stops if stop))
        return Asked(prompt=tuple(ids), max_tokens=most, sampling=sampling, ends=frozenset((self.eot_token_id,)))

    def _loglikelihood_tokens(self, requests: Sequence[Any], **_kwargs: Any) -> list[tuple[float, bool]]:
        asked = [Request(tuple(context) or (self._prefix,), tuple(said)) for _, context, said in requests]
        return [(each.total, each.greedy) for each in likelihoods(self.model.network, asked)]


def _prefix(model: Model) -> int:
    named = json.loads(model.tokenizer.files.get("tokenizer_config.json", b"{}")).get("bos_token")
    content = named.get("content") if isinstance(named, dict) else named
    found = model.tokenizer.id_of(content) if content else None
    return start_of(model.tokenizer)[0] if found is None else found
