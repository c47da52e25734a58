"""F23 to F27: bodies, heads, hosts, keys and origins that no honest client sends."""

import json
import socket
import time

import pytest

from genus.engine.request import Request
from genus.serve.guard import log_line
from genus.serve.keys import Keys, add_key, keys_of, new_key, read_keys
from tests.serve.here import KEY, Here, serving

HEAD = f"POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"


@pytest.fixture(scope="module")
def strict(chat_model, chat_folder):
    with serving(chat_model, chat_folder, settings={"most_bytes": 10_000, "body_timeout": 0.5}) as server:
        yield server
        assert server.settled()


def exchange(here: Here, *parts: bytes | str, pause: float = 0.0, wait: float = 5.0) -> str:
    """Send parts over a socket, and read until the server closes or stays silent."""
    with socket.create_connection(("127.0.0.1", here.port), timeout=wait) as connection:
        said = b""
        try:
            for part in parts:
                connection.sendall(part.encode() if isinstance(part, str) else part)
                time.sleep(pause)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it closed before the end, as it should
        try:
            while some := connection.recv(65536):
                said += some
        except (TimeoutError, ConnectionResetError):
            pass
        return said.decode("latin-1")


def test_f23_a_body_that_is_too_large(strict):
    said = exchange(strict, HEAD + f"content-length: {10**9}\r\n\r\n", b"x" * 1000)
    assert said.startswith("HTTP/1.1 413") and "too_large" in said


def test_f23_chunks_without_end(strict):
    chunk = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    said = exchange(strict, HEAD + "transfer-encoding: chunked\r\n\r\n", *[chunk] * 30)
    assert said.startswith("HTTP/1.1 413")


@pytest.mark.parametrize("length", ["-1", "ten", "1e3", "0x10", "10, 10"])
def test_f23_lengths_that_are_none(strict, length):
    said = exchange(strict, HEAD + f"content-length: {length}\r\n\r\n" + "x" * 10, wait=2)
    assert said.startswith("HTTP/1.1 4")


def test_f23_a_length_that_promises_more_than_comes(strict):
    began = time.perf_counter()
    said = exchange(strict, HEAD + "content-length: 100\r\n\r\n{", wait=4)
    assert said.startswith("HTTP/1.1 408") and time.perf_counter() - began < 3


def test_f23_a_head_that_does_not_end(strict):
    said = exchange(strict, "POST /v1/completions HTTP/1.1\r\n", "a: b\r\n", wait=4)
    assert said.startswith("HTTP/1.1 408")
    assert exchange(strict, "", wait=4).startswith("HTTP/1.1 408")


def test_f23_a_second_head_that_does_not_end(strict):
    said = exchange(strict, "GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", "GET /heal", pause=0.1, wait=4)
    assert said.startswith("HTTP/1.1 200") and "HTTP/1.1 408" in said


def test_f24_heads_that_are_too_large(strict):
    long = "GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + "y" * 10_000_000
    many = "GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n" + "".join(f"x{number}: y\r\n" for number in range(10_000)) + "\r\n"
    for head in (long, many):
        said = exchange(strict, head, wait=3)
        assert said == "" or said.startswith("HTTP/1.1 4")
    assert strict.client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "//v1/models",
        "/v1/%2e%2e/models",
        "/v1/../genus/runs",
        "/health/../v1/models",
        "/metrics",
        "/ready",
        "/v1/models/",
        "/V1/models",
        "/openapi.json",
        "/health/",
        "/health%00",
        "/genus/runs/x",
    ],
)
def test_f25_no_path_leads_around_the_key(here, path):
    said = exchange(here, f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
    assert said.startswith("HTTP/1.1 401") and "invalid_api_key" in said


@pytest.mark.parametrize(
    "host",
    [
        "localhost/v1/models?",
        "127.0.0.1/health",
        "evil.example",
        "127.0.0.1.evil.example",
        "",
        "local host",
        "user@localhost",
        "localhost#",
    ],
)
def test_f25_f27_no_other_host(here, host):
    said = exchange(here, f"GET /v1/models HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")
    assert said.startswith(("HTTP/1.1 403", "HTTP/1.1 400", "HTTP/1.1 401"))
    assert '"object"' not in said


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Bearer gk-wrong", f"Bearer {KEY}x", f"Basic {KEY}", KEY,
                                    "Bearer " + "x" * 30_000, "Bearer gk-t\xe9st"])  # fmt: skip
def test_f26_keys_that_open_nothing(here, header, capfd):
    head = "GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
    head += "" if header is None else f"authorization: {header}\r\n"
    said = exchange(here, (head + "\r\n").encode("latin-1"))
    assert said.startswith("HTTP/1.1 401") and "www-authenticate: Bearer" in said
    logged = capfd.readouterr().err
    assert '"status": 401' in logged
    for text in (said, logged):
        assert not header or len(header) < 10 or header.split()[-1] not in text


def test_f26_a_key_of_a_megabyte(here):
    said = exchange(
        here, "GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer " + "x" * 10**6 + "\r\n\r\n", wait=3
    )
    assert said == "" or said.startswith("HTTP/1.1 4")


def test_f26_the_log_names_the_key_and_never_shows_it(here, capfd):
    assert here.client.get("/v1/models", headers={"authorization": "Bearer gk-other"}).status_code == 200
    said, until = "", time.monotonic() + 10
    while '"ben"' not in said and time.monotonic() < until:  # the line is written after the answer
        said += capfd.readouterr().err
        time.sleep(0.01)
    logged = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert logged[-1]["key"] == "ben" and "gk-other" not in said


def test_f26_digests_are_compared_in_constant_time(monkeypatch):
    import hmac

    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
    keys = keys_of({"a": "one", "b": "two", "c": "three"})
    assert keys.owner("Bearer one") == "a" and len(compared) == 3  # no early end
    assert all(len(a) == len(b) == 64 for a, b in compared)


def test_keys_are_kept_as_digests(tmp_path):
    key, path = new_key(), tmp_path / "keys.txt"
    add_key(path, "anna", key)
    add_key(path, "ben", "other")
    assert key not in path.read_text()
    keys = read_keys(path)
    assert keys.owner(f"Bearer {key}") == "anna" and keys.owner("Bearer other") == "ben" and keys.owner("Bearer x") is None
    assert Keys({}).owner("Bearer x") is None


@pytest.mark.parametrize("path", ["/v1/models", "/health", "/"])
def test_f27_pages_of_other_sites(here, path):
    answer = here.client.get(path, headers={"origin": "http://evil.example"})
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = here.client.options(path, headers={"origin": "http://evil.example", "access-control-request-method": "POST"})
    assert asked.status_code == 403 and not [name for name in asked.headers if name.startswith("access-control")]
    own = here.client.get(path, headers={"origin": here.url})
    assert own.status_code == 200


def test_f27_lines_of_the_log_cannot_be_forged(here, capfd):
    forged = '%0d%0a{"status":200}'
    here.client.get("/v1/models/x" + forged, headers={"x-request-id": 'x"} {'})
    lines = [line for line in capfd.readouterr().err.splitlines() if line]
    log_line({"path": 'a\r\n{"status": 200}\u2028'})
    written = capfd.readouterr().err
    assert written.count("\n") == 1 and "\r" not in written and "\u2028" not in written
    assert len(lines) == 1
    said = json.loads(lines[0])
    assert said["status"] == 404 and said["id"].startswith("req-")


def test_what_a_prompt_says_is_not_logged(here, capfd):
    here.post("/v1/completions", prompt="law of the people", max_tokens=1)
    assert "people" not in capfd.readouterr().err


def test_unknown_fields_are_ignored_and_named(here, capfd):
    answer = here.post("/v1/completions", prompt="law", max_tokens=1, chat_id="x", features={})
    assert answer.status_code == 200
    assert answer.headers["x-genus-ignored"] == "chat_id, features"


def test_what_nobody_foresaw_is_a_500_without_insides(here, monkeypatch, capfd):
    def fail(*_):
        raise RuntimeError("a secret path")

    monkeypatch.setattr("genus.serve.app.tokens.tokenizer_info", fail)
    answer = here.client.get("/tokenizer_info")
    assert answer.status_code == 500 and answer.json()["error"]["code"] == "internal_error"
    assert "secret" not in answer.text


def test_requests_cross_the_wire_unchanged():
    from genus.engine.grammar import Grammar
    from genus.engine.sampling import Sampling
    from genus.serve.wire import line, request_from, request_to

    sampling = Sampling(
        temperature=0.3, logit_bias={3: -100.0}, stop=("a", "\n"), allowed=(1, 2), grammar=Grammar("regex", "a+")
    )
    request = Request(
        prompt=(1, 2, 3), max_tokens=4, sampling=sampling, n=2, ends=frozenset({7, 9}), log_probs=3, timeout=1.5
    )
    assert request_from(json.loads(line(request_to(request)))) == request
