"""The program of the worker that renders chat templates: requests in, one JSON line each; answers out.

Started by chat.py by its path, and never imported: it bounds its own memory and time, and can write no file.
"""

import datetime
import json
import resource
import sys
import time
from functools import cache, lru_cache
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["main"]

_MEMORY = 512 * 2**20  # bytes, of address space
_CPU_SECONDS = 3  # for one rendering; the parent's patience ends before
_LONGEST = 2**24  # characters of a rendered chat


class _Generation(jinja2.ext.Extension):
    """transformers' {% generation %}, which marks what the model wrote: here its content and no more."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own way

    def parse(self, parser: Any) -> Any:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


def main() -> None:
    """Answer requests until there are no more."""
    for limit, value in (("AS", _MEMORY), ("FSIZE", 0), ("NOFILE", 16), ("CORE", 0)):
        resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (value, value))
    print("ready", flush=True)
    for line in sys.stdin:
        spent = int(time.process_time()) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (spent + _CPU_SECONDS, resource.RLIM_INFINITY))
        print(_answer(json.loads(line)), flush=True)


def _answer(request: dict[str, Any]) -> str:
    try:
        text = _compile(request["template"]).render(**request["variables"])
        if len(text) > _LONGEST:
            raise ValueError(f"it writes {len(text):,} characters, more than {_LONGEST:,}")
        return json.dumps({"text": text})
    except MemoryError:
        return json.dumps({"error": "it needs more than 512 MB"})
    except Exception as error:
        return json.dumps({"error": f"{type(error).__name__}: {error}"[:500]})


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return environment


@lru_cache(16)
def _compile(template: str) -> jinja2.Template:
    return _environment().from_string(template)


def _to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """JSON as transformers writes it; Jinja's own would escape HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


if __name__ == "__main__":
    main()
