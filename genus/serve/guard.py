"""What every request passes before it reaches an endpoint: who asks, from where, how much; and its line in the log.

Not FastAPI's middleware but plain ASGI, so that nothing is buffered and bodies are counted as they come.
"""

import asyncio
import contextlib
import json
import re
import sys
import time
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genus.serve.errors import ApiError, body_of, headers_of
from genus.serve.keys import Keys
from genus.serve.state import Settings

__all__ = ["Guard", "error_response", "log_line"]

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_OPEN = {"/health"}  # no key: what asks is a supervisor
_UNTOLD = {("/health", 200), ("/ready", 200), ("/metrics", 200)}  # asked every few seconds: not logged while all is well
_HEADS = 100  # lines in a request's head; uvicorn counts their bytes
_CSP = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
_HEADERS = {
    "content-security-policy": _CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # a client's words that are said again: others could forge headers or log lines


_SWALLOWED = 32 * 2**20  # bytes of a body that is refused


class Guard:
    """Around the application. `public` are paths of the pages, which hold no secret; `hosts` may name this server."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        keys: Keys | None,
        *,
        public: Collection[str] = (),
        origins: Collection[str] = (),
        hosts: Collection[str] | None = frozenset(_LOOPBACK),
    ) -> None:
        self.app, self.settings, self.keys = app, settings, keys
        self.public, self.origins, self.hosts = frozenset(public) | _OPEN, frozenset(origins), hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request, began = Request(scope), time.time()
        given = request.headers.get("x-request-id", "")
        log: dict[str, Any] = {"id": given if _ID.fullmatch(given) else f"req-{time.time_ns():x}"}
        scope["state"] = {**scope.get("state", {}), "log": log}
        told = _Told(send, log, self._cors(request))
        try:
            self._check(request, log)
            if request.method == "OPTIONS":
                allow = {"allow": "GET, HEAD, POST, OPTIONS"}
                await Response(status_code=204, headers=allow)(scope, receive, told)
            else:
                # a path may end in a slash, and HEAD is GET whose body the server leaves out
                path, method = scope["path"].rstrip("/") or "/", scope["method"]
                inner = {**scope, "path": path, "method": "GET" if method == "HEAD" else method}
                await self.app(inner, self._limited(request, receive), told)
        except ApiError as error:
            if not told.began:
                if error.status != 408 and "expect" not in request.headers:  # such a client waits for the answer first
                    await _swallow(receive)
                await error_response(error)(scope, receive, told)
        finally:
            log |= {"method": scope["method"], "path": scope["path"][:200], "status": told.status}
            if (scope["path"], told.status) not in _UNTOLD:
                log_line({"time": round(began, 3), "seconds": round(time.time() - began, 4), **log})

    def _check(self, request: Request, log: dict[str, Any]) -> None:
        """Raise ApiError for a request that goes no further."""
        if len(request.scope["headers"]) > _HEADS:
            raise ApiError(431, f"the request has more than {_HEADS} headers; send fewer", "too_large")
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname if _is_host(request) else None
        if self.hosts is not None and host not in self.hosts:
            raise ApiError(403, "this server is not called that; use 127.0.0.1 or localhost", "bad_host")
        origin = request.headers.get("origin")
        if origin is not None and origin not in self.origins and not _same(origin, request):
            raise ApiError(403, "pages of other sites may not use this server", "bad_origin")
        if request.method != "OPTIONS" and request.scope["path"] not in self.public and self.keys is not None:
            log["key"] = self.keys.owner(request.headers.get("authorization", ""))
            if log["key"] is None:
                message = "the API key is missing or wrong; send it as Authorization: Bearer KEY"
                raise ApiError(401, message, "invalid_api_key")
        length = request.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.settings.most_bytes:
            raise _too_large(self.settings)

    def _limited(self, request: Request, receive: Receive) -> Receive:
        """`receive` that counts the body's bytes and its time."""
        size, deadline, complete = 0, time.monotonic() + self.settings.body_timeout, False

        async def limited() -> Message:
            nonlocal size, complete
            if complete:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                raise ApiError(408, "the request's body took too long to come; send it again", "slow_body") from None
            size += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if size > self.settings.most_bytes:
                await _swallow(receive)
                raise _too_large(self.settings)
            return message

        return limited

    def _cors(self, request: Request) -> dict[str, str]:
        """None for anybody, unless a site was named when the server was started."""
        origin = request.headers.get("origin")
        if origin is None or origin not in self.origins:
            return {}
        allowed = {
            "access-control-allow-headers": "authorization, content-type",
            "access-control-allow-methods": "GET, POST",
        }
        return {"access-control-allow-origin": origin, "vary": "Origin", **allowed}


async def _swallow(receive: Receive) -> None:
    """Read what is left of a body, up to a bound: a client that is cut off while it sends never sees the answer."""
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            while size < _SWALLOWED:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


class _Told:
    """`send` that adds headers, those with which a client finds out why too, and knows what was answered."""

    def __init__(self, send: Send, log: dict[str, Any], headers: dict[str, str]) -> None:
        self.send, self.log, self.status, self.began = send, log, 0, False
        self.headers = {**_HEADERS, **headers, "x-request-id": log["id"]}

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.began, self.status = True, message["status"]
            known = {name for name, _ in message.setdefault("headers", [])}
            if ignored := [name for name in self.log.get("ignored", ()) if _ID.fullmatch(name)]:
                self.headers["x-genus-ignored"] = ", ".join(ignored[:20])
            added = [(name.encode(), value.encode()) for name, value in self.headers.items()]
            message["headers"] = [*message["headers"], *(pair for pair in added if pair[0] not in known)]
            if self.status in (408, 413, 431):  # what is left of the body is not wanted
                message["headers"].append((b"connection", b"close"))
        await self.send(message)


def error_response(error: ApiError) -> JSONResponse:
    """An error as an answer."""
    return JSONResponse(body_of(error), error.status, headers_of(error))


def log_line(said: dict[str, Any]) -> None:
    """One line of JSON on standard error, in which no value can begin a line of its own."""
    sys.stderr.write(json.dumps(said) + "\n")


def _too_large(settings: Settings) -> ApiError:
    return ApiError(413, f"the request is larger than {settings.most_bytes:,} bytes; send less", "too_large")


def _is_host(request: Request) -> bool:
    return re.fullmatch(r"[A-Za-z0-9.:\[\]-]{1,255}", request.headers.get("host", "")) is not None


def _same(origin: str, request: Request) -> bool:
    """Whether a page of this very server asks."""
    return urlsplit(origin).netloc == request.headers.get("host")
