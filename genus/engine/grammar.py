"""Text that must be JSON of a schema, match a regular expression or follow a grammar: which tokens may come next.

llguidance does the work. It is a main dependency and not an extra, because it is 3 MB to download, needs nothing else,
and an API that promises JSON should not depend on what is installed; it is imported when a grammar is used. Not for choosing
among the tokens that are left (sample.py), nor for ending a text at a string (stops.py).
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

from genus.core.errors import GenusError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genus.tokenizers.tokenizer import Tokenizer

__all__ = ["Grammar", "GrammarState", "Grammars"]

_Kind = Literal["json_schema", "regex", "lark"]
_LONGEST = 2**16  # characters; with the library's own limits of states and symbols, what a grammar can cost
_KEPT = 32  # compiled grammars
_SAID = 300  # characters of the library's message
# Between the parts of JSON, as llama.cpp has it: without an end to it, small models write spaces until max_tokens.
_SPACES: Any = {"whitespace_pattern": r" |\n{1,2}[ \t]{0,20}"}


@dataclass(frozen=True)
class Grammar:
    """What a text must be. Whether `text` is a schema, an expression or a grammar shows when it is compiled."""

    kind: _Kind
    """A JSON schema, a regular expression (of Rust's crate `regex`) or a grammar in llguidance's form of Lark's."""
    text: str
    """The schema, the expression or the grammar."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(_Kind):
            raise GenusError(f"grammar.kind = {self.kind!r} is unknown; choose one of {', '.join(get_args(_Kind))}")
        if len(self.text) > _LONGEST:
            raise GenusError(f"grammar.text has {len(self.text):,} characters; give at most {_LONGEST:,}")


class Grammars:
    """The grammars of one tokenizer. Each is compiled once and the latest are kept, for all the requests that use them."""

    def __init__(self, tokenizer: "Tokenizer", rows: int) -> None:
        """`rows` are those of the model's logits, at least the tokenizer's: rows beyond it are never allowed.

        This takes 0.3 s for 50,000 tokens: make one for each model.
        """
        from llguidance import LLTokenizer, TokenizerWrapper

        self._rows = rows
        self._tokenizer = LLTokenizer(TokenizerWrapper(_Vocabulary(tokenizer, rows)), eos_token=_ends(tokenizer, rows))
        self._compiled = lru_cache(_KEPT)(self._compile)

    def start(self, grammar: Grammar) -> "GrammarState":
        """The state before the first token. Raises GenusError with what llguidance says of a grammar that it cannot use."""
        return GrammarState(self._compiled(grammar).deep_copy(), self._rows)

    def _compile(self, grammar: Grammar) -> Any:
        from llguidance import LLMatcher, LLParserLimits

        try:
            match grammar.kind:
                case "json_schema":  # read and written again, because the library pastes it into a larger text as it is
                    source = LLMatcher.grammar_from_json_schema(json.dumps(json.loads(grammar.text)), _SPACES)
                case "regex":
                    source = LLMatcher.grammar_from_regex(grammar.text)
                case _:
                    source = LLMatcher.grammar_from_lark(grammar.text)
        except (ValueError, RecursionError) as error:
            raise _refused(grammar, str(error)) from error
        limits = LLParserLimits(verbose_errors=False)  # its messages reach users, so without its inner state
        matcher = LLMatcher(self._tokenizer, source, log_level=0, limits=limits)
        if matcher.is_error():
            raise _refused(grammar, matcher.get_error())
        return matcher


class GrammarState:
    """Where one text stands in its grammar."""

    def __init__(self, matcher: Any, rows: int) -> None:
        self._matcher, self._rows = matcher, rows

    def mask(self) -> "NDArray[np.bool_]":
        """Which tokens may come next, (rows,): end tokens only where the text may end, none after an error.

        Text that is forced is allowed only as the tokenizer would write it.
        """
        import numpy as np

        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if self.error:
            return np.zeros(self._rows, bool)
        return np.unpackbits(bits, count=self._rows, bitorder="little").view(bool)

    def advance(self, token: int) -> None:
        """Count `token` as said. Raises GenusError for one that the mask does not hold."""
        if not self._matcher.consume_token(token):
            raise GenusError(
                f"token {token} does not fit the grammar ({_short(self.error)}); choose one that the mask holds"
            )

    def copy(self) -> "GrammarState":
        """The same place, to go on from apart: for a draft, or another choice."""
        return GrammarState(self._matcher.deep_copy(), self._rows)

    @property
    def may_end(self) -> bool:
        """Whether the text is complete as it stands."""
        return bool(self._matcher.is_accepting())

    @property
    def stopped(self) -> bool:
        """Whether nothing can follow: the text is complete, an end token was said, or there is an `error`."""
        return bool(self._matcher.is_stopped())

    @property
    def error(self) -> str:
        """Why the grammar cannot go on, such as a limit that it met; "" when it can."""
        return str(self._matcher.get_error())


class _Vocabulary:
    """The tokens in the form that llguidance reads."""

    def __init__(self, tokenizer: "Tokenizer", rows: int) -> None:
        ends = _ends(tokenizer, rows)
        self.tokens = [tokenizer.token_bytes(number) for number in range(max(rows, ends[0] + 1))]
        # what text can spell by other tokens only
        self.special_token_ids = [n for n, content in enumerate(self.tokens) if content and not tokenizer.visible_bytes(n)]
        self.eos_token_id, self.bos_token_id = ends[0], None
        self._tokenizer = tokenizer

    def __call__(self, text: str) -> list[int]:
        return self._tokenizer.encode(text)


def _ends(tokenizer: "Tokenizer", rows: int) -> list[int]:
    """The ids that end a text; for a tokenizer without any, one beyond the model's rows, which is never chosen."""
    return sorted(tokenizer.turn_ends) or [rows]


def _refused(grammar: Grammar, said: str) -> GenusError:
    kind = grammar.kind.replace("_", " ")
    return GenusError(f"the {kind} cannot be used as a grammar ({_short(said)}); correct it")


def _short(said: str) -> str:
    said = " ".join(said.split())
    return said if len(said) <= _SAID else f"{said[:_SAID]}..."
