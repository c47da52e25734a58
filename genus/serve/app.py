"""The application: which path leads to what. Everything passes guard.Guard first."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import FastAPI
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from genus.retrieve.answer.answer import Mode
from genus.serve import embeddings, tokens
from genus.serve.chat import chat
from genus.serve.cited import cited_chat, cited_models, is_cited
from genus.serve.completions import completions
from genus.serve.errors import ApiError
from genus.serve.guard import error_response
from genus.serve.models import Served
from genus.serve.runs import Runs
from genus.serve.schema import (
    CandidatesBody,
    ChatBody,
    CompletionBody,
    DetokenizeBody,
    EmbeddingBody,
    SearchBody,
    TokenizeBody,
)
from genus.serve.search import search
from genus.serve.site import Site
from genus.serve.state import State

if TYPE_CHECKING:
    from genus.serve.feedback import Desk

__all__ = ["make_app"]

Body = TypeVar("Body", bound=BaseModel)
_Post = tuple[str, type[BaseModel], Callable[[Request, Any], Awaitable[Any]]]


def make_app(state: State, site: Site, runs: Runs, desk: "Desk | None" = None) -> FastAPI:
    """All endpoints over one state; with a desk, those of labellers too."""
    app = FastAPI(title="Genus", docs_url=None, redoc_url=None, redirect_slashes=False, openapi_url="/openapi.json")
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)
    _add_posts(app, _posts(state))
    _add_models(app, state)
    _add_health(app, state)
    for path in site.files:
        app.add_api_route(path, site.answer, include_in_schema=False)
    app.add_api_route("/genus/runs", lambda: {"data": runs.listed()}, name="runs")
    app.add_api_route("/genus/runs/{run}", runs.told, name="run")
    _add_feedback(app, desk)
    return app


def _posts(state: State) -> list[_Post]:
    return [
        ("/v1/completions", CompletionBody, lambda http, body: completions(http, state, body)),
        ("/v1/chat/completions", ChatBody, lambda http, body: _chat(http, state, body)),
        ("/v1/embeddings", EmbeddingBody, lambda http, body: embeddings.embeddings(http, state, body)),
        ("/v1/search", SearchBody, lambda http, body: search(http, state, body)),
        ("/v1/candidates", CandidatesBody, lambda http, body: tokens.candidates(http, state, body)),
        ("/v1/tokenize", TokenizeBody, lambda _, body: tokens.tokenize(state, body)),
        ("/v1/detokenize", DetokenizeBody, lambda _, body: tokens.detokenize(state, body)),
    ]


async def _chat(http: Request, state: State, body: ChatBody) -> Response:
    return await (cited_chat if is_cited(state, body.model) else chat)(http, state, body)


def _add_posts(app: FastAPI, posts: Sequence[_Post]) -> None:
    for path, kind, endpoint in posts:
        content = {"application/json": {"schema": _schema(kind)}}
        for alias in dict.fromkeys((path, path.removeprefix("/v1"))):
            app.add_api_route(
                alias,
                _endpoint(kind, endpoint),
                methods=["POST"],
                name=alias,
                response_model=None,
                openapi_extra={"requestBody": {"content": content, "required": True}},
            )


def _add_feedback(app: FastAPI, desk: "Desk | None") -> None:
    """What labellers see and say. Where there is no store, the pages are told so."""
    if desk is None:
        app.add_api_route("/genus/feedback", lambda: {"open": False}, name="feedback")
        return
    for path, endpoint in desk.gets:
        app.add_api_route(path, endpoint, name=path)
    _add_posts(app, desk.posts)


def _schema(kind: type[BaseModel]) -> dict[str, Any]:
    """A body's schema with nothing to look up: pydantic's references mean its own root, and not that of openapi.json."""
    said = kind.model_json_schema()
    parts = said.pop("$defs", {})

    def put_in(value: Any) -> Any:
        if isinstance(value, list):
            return [put_in(each) for each in value]
        if not isinstance(value, dict):
            return value
        name = str(value.get("$ref", "")).rpartition("/")[2]
        return put_in(parts[name]) if name else {key: put_in(each) for key, each in value.items()}

    inlined: dict[str, Any] = put_in(said)
    return inlined


def _add_models(app: FastAPI, state: State) -> None:
    async def listed() -> dict[str, Any]:
        own = [_described(served) for served in state.models.served.values()]
        return {"object": "list", "data": own + [_cited(name, mode) for name, mode in cited_models(state).items()]}

    async def one(name: str) -> dict[str, Any]:
        mode = cited_models(state).get(name)
        return _described(state.models.find(name)) if mode is None else _cited(name, mode)

    async def info(model: str | None = None) -> dict[str, Any]:
        return tokens.tokenizer_info(state, model)

    for prefix in ("/v1", ""):
        app.add_api_route(f"{prefix}/models", listed)
        app.add_api_route(f"{prefix}/models/{{name:path}}", one)
        app.add_api_route(f"{prefix}/tokenizer_info", info)


def _add_health(app: FastAPI, state: State) -> None:
    async def health() -> Response:
        """Whether the server lives: 503 while an engine that died is not back."""
        return JSONResponse({"status": "dead"}, 503) if state.models.dead else JSONResponse({"status": "ok"})

    async def ready() -> Response:
        """Whether requests are taken and a model is loaded."""
        there = state.models.ready and not state.draining
        return JSONResponse({"status": "ready" if there else "not ready"}, 200 if there else 503)

    async def metrics() -> Response:
        engines = {served.name: served.engine.figures for served in state.models.served.values() if served.engine}
        return PlainTextResponse(state.measures.text(engines), media_type="text/plain; version=0.0.4")

    app.add_api_route("/health", health)
    app.add_api_route("/ready", ready)
    app.add_api_route("/metrics", metrics)


def _endpoint(kind: type[BaseModel], endpoint: Callable[[Request, Any], Awaitable[Any]]) -> Callable[..., Any]:
    async def called(http: Request) -> Any:
        said = await endpoint(http, await _read(http, kind))
        return said if isinstance(said, Response) else JSONResponse(said)

    return called


async def _read(http: Request, kind: type[Body]) -> Body:
    """The body, checked. Raises ApiError naming the first field that is wrong."""
    try:
        said = from_json(await http.body(), allow_inf_nan=False)
    except ValueError as error:
        raise ApiError(400, f"the body is not JSON ({str(error)[:120]})", "invalid_json") from error
    if not isinstance(said, dict):
        raise ApiError(400, "the body is not a JSON object", "invalid_json")
    http.state.log["ignored"] = sorted(name for name in said if name not in kind.model_fields)
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = str(first["loc"][0]) if first["loc"] else None
        raise ApiError(400, f"{field}: {first['msg']}", "invalid_value", field) from error


def _described(served: Served) -> dict[str, Any]:
    """A model as /v1/models lists it; its numbers are known once it is loaded."""
    about: dict[str, Any] = {"loaded": served.ready, "chat": served.tokenizer.chat_template is not None}
    if served.engine is not None and served.ready:
        about |= served.engine.described._asdict()
    return {"id": served.name, "object": "model", "created": _STARTED, "owned_by": "genus", "genus": about}


def _cited(name: str, mode: Mode) -> dict[str, Any]:
    """A model that answers from the index, as it is listed."""
    about = {"loaded": True, "chat": True, "answers": mode}
    return {"id": name, "object": "model", "created": _STARTED, "owned_by": "genus", "genus": about}


def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_response(error)


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    return error_response(ApiError(error.status_code, str(error.detail), codes.get(error.status_code)))


def _unforeseen(http: Request, error: Exception) -> Response:
    http.state.log["error"] = f"{type(error).__name__}: {error}"[:500]
    return error_response(ApiError(500, "something went wrong here; the server's log says more", "internal_error"))


_STARTED = int(time.time())
