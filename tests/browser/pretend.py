"""A small server with the pages and the API that they use, answering by rote what the real one would."""

import json
import math
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.browser.said import ANSWERS, HOSTILE, LOGBOOK, WORDS

PAGES = Path(__file__).resolve().parents[2] / "genus" / "serve" / "pages"
POLICY = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
KEY = "pretend-key"
MODELS = {  # id -> (made for chat, tokenizer)
    "demo": (False, "aa"),
    "smollm2": (True, "bb"),
    "demo-early": (False, "aa"),
    HOSTILE: (True, "cc"),
}


class Pretend(ThreadingHTTPServer):
    """Listens on a free port of this machine. `pause` is the seconds between two tokens."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pause = 0.01
        self.grown = 40  # steps of the run that goes on
        self.asked: list[tuple[str, Any]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: Pretend
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if not path.startswith(("/v1/", "/genus/", "/tokenizer_info")):
            self._page(path)
        elif self._allowed():
            self._read(path)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = urlsplit(self.path).path
        self.server.asked.append((path, body))
        if not self._allowed():
            return
        if path == "/v1/candidates":
            self._json(candidates(body))
        elif path == "/tokenize":
            self._json({"count": 1, "max_model_len": 256, "tokens": ids_of(body["prompt"]), "token_strs": []})
        elif path == "/v1/completions":
            self._complete(body)
        elif path == "/v1/chat/completions":
            self._chat(body)
        else:
            self._error(404, f"there is no {path}")

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _page(self, path: str) -> None:
        file = PAGES / ("index.html" if path == "/" else path.lstrip("/"))
        if not file.is_file():
            self._send(404, b"", "text/plain")
            return
        self._send(200, file.read_bytes(), TYPES[file.suffix], {"Content-Security-Policy": POLICY})

    def _read(self, path: str) -> None:
        if path == "/v1/models":
            self._json({"object": "list", "data": [described(name, chat) for name, (chat, _) in MODELS.items()]})
        elif path == "/tokenizer_info":
            name = unquote(urlsplit(self.path).query.removeprefix("model="))
            self._json({"sha256": MODELS[name][1]})
        elif path == "/genus/runs":
            self._json({"data": run_lines(self.server.grown)})
        elif path.startswith("/genus/runs/"):
            after = urlsplit(self.path).query.removeprefix("after=")
            self._json(run_detail(path.removeprefix("/genus/runs/"), int(after or 0), self.server.grown))
        else:
            self._error(404, f"there is no {path}")

    def _allowed(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {KEY}":
            return True
        self._error(401, "this server wants a key in the Authorization header")
        return False

    def _complete(self, body: dict[str, Any]) -> None:
        prompt = body["prompt"] if isinstance(body["prompt"], list) else ids_of(body["prompt"])
        if body.get("echo"):
            scores = [None, *(-1.0 - 0.37 * (token % 7) for token in prompt[1:])]
            self._json({"choices": [{"text": "", "index": 0, "logprobs": {"token_logprobs": scores}}]})
            return
        self._stream(self._pieces(body, prompt))

    def _pieces(self, body: dict[str, Any], prompt: list[int]) -> Any:
        draw, written = random.Random(body["seed"]), []
        for place in range(body["max_tokens"]):
            rows = raw(body["model"], [*prompt, *written])
            kept = [
                row for row in candidates({**body, "prompt": [*prompt, *written], "top": 99})["candidates"] if row["kept"]
            ]
            token = draw.choices([row["token"] for row in kept], [row["probability"] for row in kept])[0]
            written.append(token)
            name = names(body["model"])[token]
            told = {names(body["model"])[other]: score for other, score in rows[: body["logprobs"]]}
            scores = {"tokens": [name], "token_logprobs": [dict(rows)[token]], "top_logprobs": [told], "text_offset": [0]}
            finish = "length" if place == body["max_tokens"] - 1 else None
            choice = {"index": 0, "text": name, "logprobs": scores, "finish_reason": finish, "token_ids": [token]}
            yield choice | ({"prompt_token_ids": prompt} if place == 0 else {})

    def _chat(self, body: dict[str, Any]) -> None:
        if body["model"] == "demo":
            self._error(400, "demo has no chat template; ask it to continue a text, with /v1/completions")
            return
        question = body["messages"][-1]["content"]
        text = next((answer for word, answer in ANSWERS.items() if word in question), f"You said: **{question}**")
        parts = [text[at : at + 5] for at in range(0, len(text), 5)]
        self._stream({"index": 0, "delta": {"content": part}, "finish_reason": None} for part in parts)

    def _stream(self, choices: Any) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        for choice in choices:
            self.wfile.write(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
            time.sleep(self.server.pause)
        self.wfile.write(b"data: [DONE]\n\n")

    def _json(self, content: Any) -> None:
        self._send(200, json.dumps(content).encode(), "application/json")

    def _error(self, status: int, message: str) -> None:
        error = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
        self._send(status, json.dumps(error).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def described(name: str, chat: bool) -> dict[str, Any]:
    facts = {"loaded": True, "context": 256, "vocab": len(WORDS), "parameters": 1_901_696, "family": "llama", "chat": chat}
    return {"id": name, "object": "model", "created": 0, "owned_by": "genus", "genus": {**facts, "weights": "fp32"}}


def names(model: str) -> list[str]:
    """What the model's tokens are called; the hostile one's are markup."""
    return [f"{word}<img src=x onerror=alert({place})>" for place, word in enumerate(WORDS)] if model == HOSTILE else WORDS


def ids_of(text: str) -> list[int]:
    return [sum(word.encode()) % len(WORDS) for word in text.split()] or [0]


def raw(model: str, tokens: list[int]) -> list[tuple[int, float]]:
    """Every token and its log-probability after these, likeliest first."""
    order = random.Random(f"{model} {tokens[-3:]}").sample(range(len(WORDS)), len(WORDS))
    total = math.log(sum(math.exp(-0.6 * place) for place in range(len(WORDS))))
    return [(token, -0.6 * place - total) for place, token in enumerate(order)]


def candidates(body: dict[str, Any]) -> dict[str, Any]:
    """Top-k, top-p and min-p as the engine has them, without the penalties."""
    prompt = body["prompt"] if isinstance(body["prompt"], list) else ids_of(body["prompt"])
    rows = raw(body["model"], prompt)
    heat = max(body["temperature"], 1e-6)
    weights = [math.exp((score - rows[0][1]) / heat) for _, score in rows]
    count = body["top_k"] or len(rows)
    total, sum_before, kept = sum(weights[:count]), 0.0, 0
    for weight in weights[:count]:
        if (kept and sum_before >= body["top_p"] * total) or weight < body["min_p"]:
            break
        sum_before, kept = sum_before + weight, kept + 1
    found = [
        {
            "token": token,
            "text": names(body["model"])[token],
            "bytes": list(names(body["model"])[token].encode()),
            "logprob": score,
            "probability": weights[place] / sum_before if place < kept else 0.0,
            "kept": place < kept,
        }
        for place, (token, score) in enumerate(rows[: body["top"]])
    ]
    entropy = -sum(math.exp(score) * score for _, score in rows) / math.log(2)
    return {"entropy": entropy, "kept": kept, "candidates": found}


def run_lines(grown: int) -> list[dict[str, Any]]:
    now = time.time()
    common = {"stage": "pretrain", "steps": 400}
    return [
        {"id": "demo", "name": "demo", "state": "running", "step": grown, "updated": now, **common},
        {"id": "early", "name": "early", "state": "finished", "step": 400, "updated": now - 90_000, **common},
        {"id": "odd", "name": HOSTILE, "state": "stopped", "step": 12, "updated": now - 400, **common},
    ]


def run_detail(name: str, after: int, grown: int) -> dict[str, Any]:
    steps = {"demo": grown, "early": 400, "odd": 12}[name]
    metrics: list[dict[str, Any]] = [{"step": 0, "tokens": 0, "validation_loss": 8.36}]
    noise = random.Random(1)
    for step in range(1, steps + 1):
        loss = 3.1 + 5.2 * math.exp(-step / 60)
        line = {"step": step, "tokens": step * 2048, "loss": loss + noise.gauss(0, 0.12), "lr": 6e-4 * min(1, step / 40)}
        metrics.append({**line, "gradient_norm": 1 + noise.random(), "tokens_per_second": 8000 + noise.gauss(0, 300)})
        if step % 40 == 0:
            metrics.append({"step": step, "tokens": step * 2048, "validation_loss": loss + 0.1})
        if name == "early" and 200 < step <= 240:
            metrics.append({**line, "loss": loss + (step - 200) / 20, "abandoned": 1})
    samples = [{"step": step, "text": f"{HOSTILE} We the people at {step}"} for step in range(0, steps + 1, 40)]
    return {"metrics": metrics[after:], "next": len(metrics), "logbook": LOGBOOK, "samples": samples}
