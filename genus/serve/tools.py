"""Tools: how a model is told of them, how it is made to call one, and how its calls are read out of its text.

The form is the one that most open models learn (Hermes): <tool_call>{"name": ..., "arguments": {...}}</tool_call>. What is
not exactly that stays text.
"""

import json
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from genus.serve.errors import ApiError
from genus.serve.formats import check_schema
from genus.serve.schema import ChatBody

__all__ = ["Call", "CallReader", "Tools", "tools_of"]

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST = 128  # tools of one request
_EXPLAINED = """You may call functions. They are, one JSON object a line:
{tools}
To call one, answer with <tool_call>{{"name": NAME, "arguments": {{...}}}}</tool_call> and nothing else."""


@dataclass(frozen=True)
class Call:
    """One call, its arguments as JSON text."""

    index: int
    name: str
    arguments: str
    id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex[:24]}")


@dataclass(frozen=True)
class Tools:
    """What a request says of tools. `told` is what the model hears of, `schema` the JSON that forces it to call one."""

    told: list[dict[str, Any]] = field(default_factory=list)
    schema: str | None = None
    stop: tuple[str, ...] = ()
    """What ends an answer of which one call is wanted, beside the request's own stops."""

    @property
    def names(self) -> set[str]:
        """Of the tools that may be called."""
        return {tool["function"]["name"] for tool in self.told}

    def explain(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Messages for a template that knows no tools: they are told of in the system message."""
        text = _EXPLAINED.format(tools="\n".join(json.dumps(tool["function"]) for tool in self.told))
        first = messages[0]
        if first["role"] == "system":
            told = [{**first, "content": f"{first['content']}\n\n{text}"}, *messages[1:]]
        else:
            told = [{"role": "system", "content": text}, *messages]
        return [_plain(message) for message in told]


def tools_of(body: ChatBody) -> Tools:
    """Raises ApiError for tools that are none, and for a choice among tools that are not there."""
    tools = [_checked(tool, f"tools[{index}]") for index, tool in enumerate(body.tools or [])]
    if len(tools) > _MOST:
        raise ApiError(400, f"tools holds {len(tools)} entries; give at most {_MOST}", "invalid_value", "tools")
    choice = body.tool_choice
    if choice is None or choice == "auto":
        return Tools(tools, stop=(_CLOSE,) if tools and body.parallel_tool_calls is False else ())
    if choice == "none":
        return Tools()
    wanted = _chosen(choice, tools)
    schemas = [_call_schema(tool["function"]) for tool in wanted]
    return Tools(tools, json.dumps(schemas[0] if len(schemas) == 1 else {"anyOf": schemas}))


class CallReader:
    """Reads the calls out of one choice's text as it comes. What may yet turn out to be a call is held back."""

    def __init__(self, tools: Tools) -> None:
        self._tools, self._held, self.found = tools, "", 0

    def add(self, text: str, last: bool) -> tuple[str, list[Call]]:
        """The text that is certainly none, and the calls that are complete."""
        if not self._tools.names:
            return text, []
        self._held += text
        if self._tools.schema is not None:
            return self._forced() if last else ("", [])
        said = ""
        calls: list[Call] = []
        while True:
            before, opened, rest = self._held.partition(_OPEN)
            if not opened:
                keep = 0 if last else _begun(before)
                said, self._held = said + before[: len(before) - keep], before[len(before) - keep :]
                return said, calls
            inside, closed, after = rest.partition(_CLOSE)
            said += before
            if not closed and not last:
                self._held = opened + rest
                return said, calls
            call = self._call(inside)
            if call is None:
                said += opened + inside + closed
            else:
                calls.append(call)
            self._held = after

    def _forced(self) -> tuple[str, list[Call]]:
        """The whole text is one call, unless it was cut off."""
        call = self._call(self._held)
        return ("", [call]) if call else (self._held, [])

    def _call(self, text: str) -> Call | None:
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(said, dict) or str(said.get("name")) not in self._tools.names:
            return None
        arguments = said.get("arguments", said.get("parameters", {}))
        if not isinstance(arguments, dict):
            return None
        self.found += 1
        return Call(self.found - 1, str(said["name"]), json.dumps(arguments, ensure_ascii=False))


def _begun(text: str) -> int:
    """How many characters at the end of a text may begin a call."""
    return next((length for length in range(len(_OPEN) - 1, 0, -1) if text.endswith(_OPEN[:length])), 0)


def _checked(tool: dict[str, Any], name: str) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, dict):
        raise ApiError(400, f'{name} is not {{"type": "function", "function": {{...}}}}', "invalid_value", name)
    if not isinstance(function.get("name"), str) or not _NAME.fullmatch(function["name"]):
        message = f"{name}.function.name must be 1 to 64 letters, digits, dots, dashes or underscores"
        raise ApiError(400, message, "invalid_value", f"{name}.function.name")
    check_schema(function.get("parameters") or {}, f"{name}.function.parameters")
    return tool


def _chosen(choice: str | dict[str, Any], tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tools of which one must be called."""
    if choice == "required" and tools:
        return tools
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    wanted = [tool for tool in tools if tool["function"]["name"] == name]
    if not wanted:
        message = "tool_choice must be none, auto, required, or name one of the tools"
        raise ApiError(400, message, "invalid_value", "tool_choice")
    return wanted


def _call_schema(function: dict[str, Any]) -> dict[str, Any]:
    arguments = function.get("parameters") or {"type": "object"}
    parts = {"name": {"const": function["name"]}, "arguments": arguments}
    return {"type": "object", "properties": parts, "required": ["name", "arguments"], "additionalProperties": False}


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message as a template without tools can say it."""
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>{message['content']}</tool_response>"}
    calls = [call.get("function") for call in message.get("tool_calls") or ()]
    written = "".join(f"{_OPEN}{json.dumps(call)}{_CLOSE}" for call in calls)
    return {"role": message["role"], "content": message["content"] + written}
