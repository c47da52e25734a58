"""Figures for Prometheus, under vLLM's names with `genus:` for `vllm:`."""

import time
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Measures", "Watch"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Measures:
    """All figures of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry}
        model: dict[str, Any] = {**own, "labelnames": ("model_name",)}
        self.running = Gauge("genus:num_requests_running", "Choices that are read or generated.", **model)
        self.waiting = Gauge("genus:num_requests_waiting", "Choices that wait for pages.", **model)
        self.cache = Gauge("genus:kv_cache_usage_perc", "Share of the cache's pages that are in use.", **model)
        self.asked = Gauge("genus:prefix_cache_queries_total", "Tokens of prompts that were looked up.", **model)
        self.found = Gauge("genus:prefix_cache_hits_total", "Tokens of prompts that were known already.", **model)
        self.preempted = Gauge("genus:num_preemptions_total", "Choices that had to start over.", **model)
        self.prompt_tokens = Counter("genus:prompt_tokens", "Tokens of prompts.", **model)
        self.generated = Counter("genus:generation_tokens", "Tokens that were generated.", **model)
        self.first = Histogram(
            "genus:time_to_first_token_seconds", "From a request to its first token.", buckets=_SECONDS, **model
        )
        self.each = Histogram("genus:time_per_output_token_seconds", "From token to token.", buckets=_SECONDS, **model)
        self.whole = Histogram("genus:e2e_request_latency_seconds", "From a request to its end.", buckets=_SECONDS, **model)
        self.finished = Counter(
            "genus:request_success", "Choices that ended, by why.", ("model_name", "finished_reason"), **own
        )
        self.aborted = Counter("genus:request_aborted", "Requests that their client left.", **model)
        self.searched = Histogram(
            "genus:search_latency_seconds", "From a search to its passages.", ("by",), buckets=_SECONDS, **own
        )
        self.refused = Counter("genus:request_refused", "Requests turned away because the queue was full.", **own)

    def text(self, engines: Mapping[str, Mapping[str, float]]) -> bytes:
        """All of it in Prometheus's form; `engines` are the latest figures of each model's."""
        for name, figures in engines.items():
            if not figures:
                continue
            gauges = (self.running, "running"), (self.waiting, "waiting"), (self.asked, "asked"), (self.found, "found")
            for gauge, figure in (*gauges, (self.preempted, "preempted")):
                gauge.labels(name).set(figures.get(figure, 0))
            self.cache.labels(name).set(figures.get("pages_used", 0) / max(1, figures.get("pages", 1)))
        return generate_latest(self.registry)


class Watch:
    """The times of one request."""

    def __init__(self, measures: Measures, model: str, prompt_tokens: int) -> None:
        self.measures, self.model = measures, model
        self.began = time.monotonic()
        self.first: float | None = None
        self.tokens = 0
        self._generated = measures.generated.labels(model)  # looked up once, as it counts every token
        measures.prompt_tokens.labels(model).inc(prompt_tokens)

    def count(self, tokens: int) -> None:
        """So many tokens came."""
        if tokens and self.first is None:
            self.first = time.monotonic()
            self.measures.first.labels(self.model).observe(self.first - self.began)
        self.tokens += tokens
        self._generated.inc(tokens)

    def finish(self, reason: str) -> None:
        """A choice ended."""
        self.measures.finished.labels(self.model, reason).inc()

    def close(self, complete: bool) -> None:
        """The request is over, or was left."""
        now = time.monotonic()
        if not complete:
            self.measures.aborted.labels(self.model).inc()
            return
        self.measures.whole.labels(self.model).observe(now - self.began)
        if self.first is not None and self.tokens > 1:
            self.measures.each.labels(self.model).observe((now - self.first) / (self.tokens - 1))
