"""Metrics of the service in Prometheus' format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server.

    Attributes:
        requests: finished requests by status.
        seconds: durations of predictions, including those that failed.
        in_progress: predictions that are uploading, decoding, waiting or computing.
        batches: views per forward pass, by model.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "trishift_requests",
            "HTTP requests of all kinds by status; 499: the client closed the connection before the answer.",
            ["status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "trishift_prediction_seconds",
            "Seconds per prediction, from the first byte to the answer, failed ones included, refused ones (429) not.",
            registry=self._registry,
        )
        self.in_progress = Gauge(
            "trishift_predictions_in_progress",
            "Predictions that are being uploaded, decoded or computed, or wait for a batch; --queue is their limit.",
            registry=self._registry,
        )
        self.batches = Histogram(
            "trishift_batch_views",
            "Views (clips x crops) that share a forward pass, by model; the count is the number of passes.",
            ["model"],
            buckets=_BATCHES,
            registry=self._registry,
        )

    def text(self) -> bytes:
        """All metrics in the exposition format."""
        return generate_latest(self._registry)
