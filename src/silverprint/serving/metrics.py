"""What is counted and timed, for Prometheus; each application has a registry of its own."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SHARES = tuple(i / 20 for i in range(1, 21))


class Metrics:
    """The server's measures."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "silverprint_requests", "Requests by route and status", ("route", "status"),
            registry=registry,
        )  # fmt: skip
        self.request_seconds = Histogram(
            "silverprint_request_seconds", "From a request's headers to its answer", ("route",),
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.pictures = Counter(
            "silverprint_pictures", "Pictures by model, answered or refused", ("model", "outcome"),
            registry=registry,
        )  # fmt: skip
        self.decode_seconds = Histogram(
            "silverprint_decode_seconds", "Decoding, by thread and turn", buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self.run_seconds = Histogram(
            "silverprint_run_seconds", "The model, by thread and turn", buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self.waiting = Gauge(
            "silverprint_waiting_pictures", "Pictures in the queue", registry=registry
        )
        self.held_bytes = Gauge(
            "silverprint_held_bytes", "Bytes of requests' bodies held", registry=registry
        )
        self.loads = Counter(
            "silverprint_loads", "Bundles loaded, or that failed to", ("model", "outcome"),
            registry=registry,
        )  # fmt: skip
        self.confidence = Histogram(
            "silverprint_confidence", "Highest probability of a picture", ("model",),
            buckets=SHARES, registry=registry,
        )  # fmt: skip
        self.distance = Histogram(
            "silverprint_distance_rank", "Share of held-out pictures that are less unlike training",
            ("model",), buckets=SHARES, registry=registry,
        )  # fmt: skip
        self.drift_index = Gauge(
            "silverprint_drift_index", "Population stability index of the last pictures",
            ("model", "measure"), registry=registry,
        )  # fmt: skip
        self.drift_limit = Gauge(
            "silverprint_drift_limit", "The index above which they are another population",
            ("model", "measure"), registry=registry,
        )  # fmt: skip

    def text(self) -> bytes:
        """Return all measures in Prometheus' text format."""
        return generate_latest(self.registry)
