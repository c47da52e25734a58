"""The engine's process: `python -m genus.serve.worker FOLDER JSON` reads work from its input and answers on its output.

The engine is its main thread; another reads what comes in. It ends with its input, so it never outlives the server.
Messages in: add, abort, embed. Messages out: ready or failed; accepted or refused; events with figures; answer.
"""

import hashlib
import json
import os
import queue
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genus.core.errors import GenusError
from genus.serve.wire import event_to, line, request_from

__all__ = ["Worker", "fingerprint", "main"]


class Worker:
    """An engine that is told what to do by messages."""

    def __init__(self, model: Any, send: Any) -> None:
        from genus.engine.engine import Engine

        self.model, self.send = model, send
        self.engine = Engine(model)
        self.inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.jobs: dict[int, int] = {}  # the engine's number of a request -> the server's
        self.embeddings: list[dict[str, Any]] = []

    def run(self) -> None:
        """Until the input ends."""
        while self._take_in():
            events = [event_to(event, self.jobs[event.request]) for event in self.engine.step()]
            self._forget_what_is_over()
            if self.embeddings:
                self._embed(self.embeddings.pop(0))
            if events or self.engine.idle:
                self.send({"events": events, "figures": self.figures()})

    def figures(self) -> dict[str, float]:
        """How busy the engine is, and what it did so far."""
        scheduler = self.engine.scheduler
        pages = scheduler.cache.groups
        return {
            "running": len(scheduler.running),
            "waiting": len(scheduler.waiting),
            "pages": sum(group.count for group in pages),
            "pages_used": sum(group.used for group in pages),
            "preempted": scheduler.preempted,
            "asked": scheduler.asked,
            "found": scheduler.found,
            "at_rest": int(self.engine.at_rest) if self.engine.idle else -1,
        }

    def _take_in(self) -> bool:
        """Handle all that came in, waiting where there is nothing else to do; False at the end of the input."""
        while True:
            try:
                message = self.inbox.get(block=self.engine.idle and not self.embeddings)
            except queue.Empty:
                return True
            if message is None:
                return False
            try:
                self._handle(message)
            except GenusError as error:
                self.send({"refused": {"job": message["job"], "error": str(error)}})
            if self.inbox.empty():
                return True

    def _handle(self, message: dict[str, Any]) -> None:
        match message["do"]:
            case "add":
                self.jobs[self.engine.add(request_from(message["request"]))] = message["job"]
                self.send({"accepted": message["job"]})
            case "abort":
                for number, job in list(self.jobs.items()):
                    if job == message["job"]:
                        self.engine.abort(number)
                self._forget_what_is_over()
            case "embed":
                self.embeddings.append(message)

    def _embed(self, message: dict[str, Any]) -> None:
        """One text of a list, so that generating goes on between two."""
        from genus.engine.embed import embed

        vectors = message.setdefault("vectors", [])
        try:
            vectors += embed(self.model.read, [message["texts"][len(vectors)]], message["pooling"]).tolist()
        except GenusError as error:
            self.send({"refused": {"job": message["job"], "error": str(error)}})
            return
        if len(vectors) < len(message["texts"]):
            self.embeddings.append(message)
        else:
            self.send({"answer": {"job": message["job"], "vectors": vectors}})

    def _forget_what_is_over(self) -> None:
        self.jobs = {number: job for number, job in self.jobs.items() if number in self.engine.requests}


def main() -> None:
    """Serve one model folder, with the options that the server gives as JSON."""
    channel = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print must not meet the messages
    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])

    def send(message: dict[str, Any]) -> None:
        channel.write(line(message))

    try:
        from genus.engine.model import load

        model = load(folder, options["weights"])
        worker = Worker(model, send)
    except Exception as error:  # whatever it is, the server must hear of it
        send({"failed": str(error) or type(error).__name__})
        raise SystemExit(1) from error
    send({"ready": _described(model, folder, options["weights"]), "figures": worker.figures()})
    threading.Thread(target=_listen, args=(worker.inbox,), daemon=True).start()
    worker.run()
    os._exit(0)  # nothing is left to do, and taking PyTorch down takes a while


def _listen(inbox: "queue.SimpleQueue[dict[str, Any] | None]") -> None:
    for text in sys.stdin.buffer:
        inbox.put(json.loads(text))
    inbox.put(None)


def fingerprint(folder: Path, weights: str) -> str:
    """The same for what answers alike: a model's files, the format they are read in, and this version of the engine."""
    digest = hashlib.sha256(f"{weights} {version('genus')}".encode())
    for path in sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors")):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def _described(model: Any, folder: Path, weights: str) -> dict[str, Any]:
    return {
        "context": model.spec.context,
        "vocab": model.spec.vocab,
        "parameters": sum(each.numel() for each in model.network.parameters()),
        "family": model.family.name,
        "weights": weights,
        "fingerprint": fingerprint(folder, weights),
    }


if __name__ == "__main__":
    main()
