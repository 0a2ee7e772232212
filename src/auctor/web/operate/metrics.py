"""Figures for Prometheus: requests by route and status, seconds, what runs now; a registry of the application's own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector, generate_latest

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """Labels are routes' patterns, methods and statuses: a small fixed set, without an address or an identifier in it."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Counter("auctor_requests", "Requests answered", ("method", "route", "status"), registry=self._registry)
        self._seconds = Histogram("auctor_request_seconds", "Seconds to answer", ("route",), buckets=BUCKETS, registry=self._registry)
        self._errors = Counter("auctor_unforeseen_errors", "Errors that auctor did not foresee", registry=self._registry)
        self.running = Gauge("auctor_requests_running", "Requests being answered", registry=self._registry)

    def answered(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def failed(self) -> None:
        """Count one unforeseen error."""
        self._errors.inc()

    def text(self) -> bytes:
        """The exposition format, version 0.0.4."""
        return generate_latest(self._registry)
