"""Errors as OpenAI's clients expect them: a status, and a body that says what, where and how to go on."""

from typing import Any

__all__ = ["ApiError", "body_of", "headers_of"]

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_HEALS = {408, 429, 503, 504}  # what the same request may get past later: clients try again by themselves


class ApiError(Exception):
    """What a request is answered with instead. `param` is the field that is wrong, `code` a word for programs."""

    def __init__(
        self, status: int, message: str, code: str | None = None, param: str | None = None, wait: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.wait = status, message, code, param, wait


def body_of(error: ApiError) -> dict[str, Any]:
    """The JSON body, also of an event in a stream."""
    usual = "invalid_request_error" if error.status < 500 else "server_error"
    said = {"message": error.message, "type": _TYPES.get(error.status, usual), "param": error.param, "code": error.code}
    return {"error": said}


def headers_of(error: ApiError) -> dict[str, str]:
    """When to come back, or not to."""
    headers = {} if error.status in _HEALS else {"x-should-retry": "false"}
    if error.wait is not None:
        headers["retry-after"] = str(max(1, round(error.wait)))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return headers
