"""Counters of the server for Prometheus: sums alone, no file name, no address, no label."""

from __future__ import annotations

import prometheus_client as prometheus

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds


class Monitor:
    """What one server has done since it was started; safe to use from several threads."""

    def __init__(self) -> None:
        self._registry = registry = prometheus.CollectorRegistry()
        self._requests = prometheus.Counter(
            "emoscope_requests", "Requests answered.", ["path", "status"], registry=registry
        )
        self._seconds = prometheus.Histogram(
            "emoscope_request_seconds", "Answered in.", ["path"], buckets=BUCKETS, registry=registry
        )
        self.recordings = prometheus.Counter(
            "emoscope_recordings", "Predicted or refused.", ["outcome"], registry=registry
        )
        self.audio_seconds = prometheus.Counter(
            "emoscope_audio_seconds", "Sound decoded, in seconds.", registry=registry
        )
        self.in_flight = prometheus.Gauge(
            "emoscope_in_flight", "POST requests in work or waiting.", registry=registry
        )
        prometheus.ProcessCollector(registry=registry)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count one answered request by its route, not by the address as it was sent."""
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """All counters in Prometheus' text format."""
        return prometheus.generate_latest(self._registry)
