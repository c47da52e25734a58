"""Chat templates: messages become the text that a chat model was trained on, and nothing in a message can pose as a role.

A template comes with a model, so it is a program of a stranger: it runs only in a worker process (rendering.py) with little
memory and time. Not for encoding: see Tokenizer.encode_chat.
"""

import atexit
import json
import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait  # select would fail where a server has many files open
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError

__all__ = ["BREAK", "ROLES", "check_messages", "pattern_of", "render", "render_safely", "template_of"]

BREAK = "\ufdd0"  # a noncharacter (Unicode 23.7: for use inside a program), so no text of a user needs it
ROLES = ("assistant", "developer", "function", "ipython", "model", "system", "tool", "user")
_SECONDS = 1.5  # for one rendering; real templates take milliseconds
_START_SECONDS = 30.0  # for Python to start, on a machine that is busy


def template_of(config: dict[str, Any], file: bytes | None) -> str | None:
    """The default template of a tokenizer's files: chat_template.jinja, or tokenizer_config.json's one or list of them."""
    if file is not None:
        return file.decode("utf-8", errors="replace")
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {each.get("name"): each.get("template") for each in template if isinstance(each, dict)}
        template = named.get("default", next(iter(named.values()), None))
    return template if isinstance(template, str) else None


def check_messages(messages: Any) -> None:
    """Raise GenusError naming the first message that is not a role and a text. One with "tool_calls" may have no content."""
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes) or not messages:
        raise GenusError('messages is not a list of messages; give [{"role": "user", "content": "..."}]')
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise GenusError(f'messages[{index}] is not a mapping; give {{"role": "user", "content": "..."}}')
        if message.get("role") not in ROLES:
            raise GenusError(f"messages[{index}].role = {message.get('role')!r:.80} is not one of {', '.join(ROLES)}")
        content = message.get("content")
        if not isinstance(content, str) and not (content is None and message.get("tool_calls")):
            raise GenusError(f"messages[{index}].content is {type(content).__name__}, not a text; give a string")


def render(template: str, messages: Any, **variables: Any) -> str:
    """The text of a chat, by a template with transformers' conventions (trimmed blocks, tojson, raise_exception, ...).

    Raises GenusError when the messages are none, or when the template fails, escapes, or takes too much time or memory.
    """
    check_messages(messages)
    try:
        request = json.dumps({"template": template, "variables": {**variables, "messages": messages}})
    except (TypeError, ValueError, RecursionError) as error:
        raise GenusError(f"messages hold what JSON cannot say ({error}); give texts, numbers, lists and mappings") from error
    answer = _worker.ask(request)
    if "error" in answer:
        raise GenusError(f"the chat template failed ({answer['error']}); correct it, or the messages")
    return str(answer["text"])


def render_safely(template: str, said: Mapping[str, Any], specials: Sequence[str], **variables: Any) -> str:
    """`render`, with BREAK inside each of the `specials` that `said` spells, so that they differ from the template's.

    `said` are the variables that people write: "messages", and perhaps "tools".

    A template may also join a special token out of harmless parts. So the chat is rendered a second time with a BREAK after
    every character that could begin one; where the two disagree about special tokens, the second is taken.
    """
    pattern = pattern_of(specials)
    said = _broken(said, pattern)
    text = render(template, **said, **variables)
    strict = _broken(said, re.compile("|".join({re.escape(name[:1]) for name in specials}) or "(?!)"))
    if strict != said:
        safe = render(template, **strict, **variables)
        if pattern.findall(text) != pattern.findall(safe):
            return safe
    return text


def pattern_of(names: Sequence[str]) -> re.Pattern[str]:
    """What finds any of the names, the longest first; with no names, nothing."""
    return re.compile("|".join(map(re.escape, sorted(filter(None, names), key=len, reverse=True))) or "(?!)")


def _broken(value: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return pattern.sub(lambda found: found[0][:1] + BREAK + found[0][1:], value.replace(BREAK, ""))
    if isinstance(value, Mapping):
        return {_broken(key, pattern): _broken(each, pattern) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [_broken(each, pattern) for each in value]
    return value


class _Worker:
    """One process that renders, kept between renderings, and replaced when it was killed. Threads take turns."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()
        atexit.register(self.stop)

    def ask(self, request: str) -> dict[str, Any]:
        with self._turn:
            process = self._process if self._process and self._process.poll() is None else self._start()
            assert process.stdin and process.stdout
            line = b""
            try:
                process.stdin.write(request.encode() + b"\n")  # the worker does nothing but read now, so this does not block
                process.stdin.flush()
                line = process.stdout.readline() if wait([process.stdout.fileno()], _SECONDS) else b""
            except OSError:
                pass  # it is dead
            finally:
                if not line.endswith(b"\n"):  # Ctrl-C too: a late answer must not meet the next request
                    self.stop()
            if not line.endswith(b"\n"):
                raise GenusError(f"the chat template needs more than {_SECONDS} s or 512 MB for these messages; correct it")
            answer: dict[str, Any] = json.loads(line)
            return answer

    def _start(self) -> "subprocess.Popen[bytes]":
        self.stop()
        script = str(Path(__file__).with_name("rendering.py"))
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        process = subprocess.Popen([sys.executable, "-I", script], env={}, stdin=pipe, stdout=pipe, stderr=null)
        self._process = process
        assert process.stdout
        if not wait([process.stdout.fileno()], _START_SECONDS) or not process.stdout.readline():
            self.stop()
            raise GenusError("the worker that renders chat templates did not start; install Jinja: pip install jinja2")
        return process

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()  # reaps it and closes the pipes


_worker = _Worker()
