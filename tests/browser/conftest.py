"""A browser and a server for the pages. GENUS_SERVER=http://127.0.0.1:8000/#key=… tries them on a real `genus serve`."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.browser.pretend import KEY, PAGES, Pretend

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]  # fmt: skip
AXE = Path(__file__).resolve().parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"


class Served(NamedTuple):
    """A server to try, and what it is where it is the pretended one."""

    url: str
    key: str
    pretend: Pretend | None

    def at(self, page: str) -> str:
        """The address of a page, with the key as the server prints it."""
        return f"{self.url}/#/{page}&key={self.key}"


@pytest.fixture(scope="session")
def server() -> Iterator[Served]:
    real = os.environ.get("GENUS_SERVER")
    if real:
        url, _, key = real.partition("#key=")
        yield Served(url.rstrip("/"), key, None)
        return
    if not (PAGES / "index.html").is_file():
        pytest.skip("the pages are not built; run `make pages`")
    pretend = Pretend()
    yield Served(pretend.url, KEY, pretend)
    pretend.shutdown()
    pretend.server_close()


@pytest.fixture
def pretend(server: Served) -> Pretend:
    """The pretended server, for what only it can be made to say."""
    if server.pretend is None:
        pytest.skip("this needs the pretended server; unset GENUS_SERVER")
    server.pretend.asked.clear()
    server.pretend.pause = 0.01
    return server.pretend


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; pip install '.[browser]'")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not program:
        pytest.skip("there is no Chromium; install it (apt-get install chromium), or name one in CHROMIUM")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any, server: Served) -> Iterator[Any]:
    """Opens a page of the server in a browser of its own; afterwards fails for what no page may ever do."""
    contexts, trouble = [], []

    def route(route: Any) -> None:
        """Requests that leave for another host go nowhere, and are told of."""
        if route.request.url.startswith(f"{server.url}/"):
            route.fallback()
        else:
            trouble.append(f"asked for {route.request.url}")
            route.abort()

    def note(message: Any) -> None:
        if "Content Security Policy" in message.text or "Trusted" in message.text:
            trouble.append(message.text)

    def opened(name: str = "playground", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **options})
        contexts.append(context)
        context.route("**/*", route)
        page = context.new_page()
        page.set_default_timeout(10_000 if server.pretend else 60_000)  # a real model may have to load first
        page.on("dialog", lambda dialog: (trouble.append(f"a dialog said {dialog.message}"), dialog.dismiss()))
        page.on("pageerror", lambda error: trouble.append(f"a program failed: {error}"))
        page.on("console", note)
        page.goto(server.at(name))
        page.locator("header select[aria-label=Model] option:not(:text('…'))").first.wait_for(state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not trouble, trouble
