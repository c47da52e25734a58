"""A server's life: it starts, serves, and when told to stop takes nothing new, finishes what runs, and ends."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from genus.core.errors import GenusError
from genus.core.progress import say
from genus.serve.errors import ApiError
from genus.serve.state import State

__all__ = ["bind", "serve"]

_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class _Patient(H11Protocol):
    """HTTP that does not wait for ever for the head of a request."""

    seconds = 20.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if self._slow is None and self.conn.their_state is h11.IDLE:
            self._await_head()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._slow = self.loop.call_later(self.seconds, self._give_up)

    def _forget(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def _give_up(self) -> None:
        self._slow = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.write(_SLOW)
            self.transport.close()


class _Server(uvicorn.Server):
    """Leaves signals to `serve`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises GenusError where the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise GenusError(f"{host}:{port} cannot be listened on ({error.strerror}); choose another --port") from error
    opened.listen(2048)
    return opened


async def serve(app: ASGIApp, state: State, opened: socket.socket, first: str | None = None) -> None:
    """Serve until a signal says stop. `first` is the model that is loaded at once.

    SIGTERM or SIGINT drains for up to `settings.drain` seconds; a second one stops at once.
    """
    _Patient.seconds = state.settings.body_timeout
    config = uvicorn.Config(
        app, http=_Patient, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
        timeout_keep_alive=30, timeout_graceful_shutdown=2,
    )  # fmt: skip
    server = _Server(config)
    loop, draining = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    def told_to_stop() -> None:
        if state.draining:
            server.should_exit = server.force_exit = True
            return
        say("stopping: what runs may finish, nothing new is taken; a second signal stops at once")
        state.draining = True
        draining.add(asyncio.create_task(_drain(state, server)))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop)
    watching = asyncio.create_task(state.models.watch())
    loading = asyncio.create_task(_load(state, first)) if first is not None else None
    try:
        await server.serve(sockets=[opened])
    finally:
        watching.cancel()
        if loading is not None:
            loading.cancel()
        await state.models.stop()


async def _drain(state: State, server: uvicorn.Server) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(state.drain(), state.settings.drain)
    server.should_exit = True


async def _load(state: State, name: str) -> None:
    """Load a model before anybody asks for it."""
    try:
        await state.models.open(state.models.find(name))
    except ApiError as error:
        say(f"{error.message}")
        return
    say(f"{name} is ready")
