"""What may be asked, as JSON: the fields, their types and bounds. What a field means stands in OpenAI's reference, or here.

Types are strict: "5" is no number, true is no number. Fields that are not known are ignored, as clients send many.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from genus.core.errors import GenusError
from genus.engine.grammar import Grammar
from genus.engine.sampling import Sampling
from genus.retrieve.search import By
from genus.serve.errors import ApiError

__all__ = [
    "CandidatesBody", "ChatBody", "CompletionBody", "DetokenizeBody", "EmbeddingBody", "Prompt", "SamplingBody",
    "SearchBody", "TokenizeBody", "sampling_of",
]  # fmt: skip

_MOST_CHOICES = 128
Prompt = str | list[int] | list[str] | list[list[int]]
_Count = Annotated[int, Field(ge=1, le=_MOST_CHOICES)]
_Top = Annotated[int, Field(ge=0, le=20)]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, protected_namespaces=())

    model: str | None = None


class SamplingBody(_Body):
    """How tokens are chosen: OpenAI's fields, and those of Genus under Hugging Face's names."""

    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    typical_p: Annotated[float, Field(gt=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.1, le=10)] | None = None
    logit_bias: dict[str, float] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None


class StreamOptions(BaseModel):
    """What a stream tells beside the text."""

    model_config = ConfigDict(strict=True, extra="ignore")
    include_usage: bool | None = None


class _Generating(SamplingBody):
    max_tokens: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    n: _Count | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None


class CompletionBody(_Generating):
    """POST /v1/completions."""

    prompt: Prompt | None = None
    best_of: _Count | None = None
    echo: bool | None = None
    logprobs: _Top | None = None
    suffix: str | None = None
    return_token_ids: bool | None = None
    resumed: Annotated[int, Field(ge=0)] | None = None
    """So many of the prompt's last ids were said before with the same seed: sampling goes on as if without a break."""


class ChatBody(_Generating):
    """POST /v1/chat/completions. Messages are checked by serve.chat, which names the one that is wrong."""

    messages: list[Any]
    max_completion_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    logprobs: bool | None = None
    top_logprobs: _Top | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    chat_template: Any = None
    chat_template_kwargs: Any = None


class EmbeddingBody(_Body):
    """POST /v1/embeddings."""

    input: Prompt
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    pooling: Literal["mean", "last"] | None = None


class CandidatesBody(SamplingBody):
    """POST /v1/candidates: how the choice of the next token stands."""

    prompt: str | list[int]
    resumed: Annotated[int, Field(ge=0)] | None = None
    top: Annotated[int, Field(ge=1, le=1000)] | None = None


class TokenizeBody(_Body):
    """POST /tokenize: a text, or a chat as its template writes it."""

    prompt: str | None = None
    messages: list[Any] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None


class DetokenizeBody(_Body):
    """POST /detokenize."""

    tokens: list[int]


class SearchBody(_Body):
    """POST /v1/search. Conditions are checked by serve.search, which names the one that is wrong."""

    query: Annotated[str, Field(min_length=1, max_length=10_000)]
    count: Annotated[int, Field(ge=1, le=1000)] | None = None
    by: By | None = None
    where: dict[str, Any] | None = None


def sampling_of(body: SamplingBody, vocab: int, grammar: Grammar | None = None, stop: tuple[str, ...] = ()) -> Sampling:
    """The engine's words for it; `stop` joins its own. Raises ApiError naming the field that is out of range."""
    names = (
        "temperature",
        "top_p",
        "min_p",
        "typical_p",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "seed",
    )
    said = {name: value for name in names if (value := getattr(body, name)) is not None}
    asked = getattr(body, "stop", None)
    own = () if asked is None else (asked,) if isinstance(asked, str) else asked
    try:
        found = Sampling(
            **said,
            top_k=max(0, body.top_k or 0),
            stop=(*own, *stop),
            logit_bias={_token(name): bias for name, bias in (body.logit_bias or {}).items()},
            grammar=grammar,
        )
        found.check_vocab(vocab)
    except GenusError as error:
        raise ApiError(400, str(error), "invalid_value", str(error).split(" ")[0].split("[")[0]) from error
    return found


def _token(name: str) -> int:
    if not name.isascii() or not name.isdigit() or len(name) > 10:
        raise ApiError(400, f"logit_bias names {name[:20]!r}, which is not a token id", "invalid_value", "logit_bias")
    return int(name)
