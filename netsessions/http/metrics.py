"""Prometheus metrics of the server."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector


class Metrics:
    """Counters since the start, in a registry of their own, so that a process can run several servers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "netsessions_requests", "Requests answered", ["door", "outcome"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "netsessions_request_seconds", "Time to the end of the response", ["door"], registry=self.registry
        )
        self.for_request = lru_cache(
            lambda api, outcome: (self.requests.labels(api, outcome), self.request_seconds.labels(api))
        )
        self.sessions_written = Counter("netsessions_sessions_written", "Sessions written", registry=self.registry)

    def registry_of_all_workers(self) -> CollectorRegistry:
        """Return the registry to export. With several worker processes it holds the sums over all of them."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return self.registry
        registry = CollectorRegistry()
        _WorkersCollector(registry)  # type: ignore[no-untyped-call]
        return registry


class _WorkersCollector(MultiProcessCollector):
    """Collects the files of all workers, except files that a starting worker has created but not yet filled."""

    def collect(self) -> Any:
        files = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("*.db")
        return self.merge([str(file) for file in files if file.stat().st_size], accumulate=True)  # type: ignore[no-untyped-call]


def api_of(path: str) -> str:
    """Return the value of the label `door`: the API that serves a path."""
    match path.split("/", 2)[1:2]:
        case ["graphql"]:
            return "graphql"
        case ["sessions"]:
            return "rest"
    return "other"


def outcome_of(status: int) -> str:
    """Return the value of the label `outcome` for an HTTP status."""
    if status < 400:
        return "ok"
    return "refused" if status < 500 else "failed"
