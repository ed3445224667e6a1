"""What is counted and timed, for Prometheus; each application has a registry of its own."""

from functools import partial

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
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        seconds = partial(Histogram, buckets=SECONDS, registry=self.registry)
        shares = partial(Histogram, buckets=SHARES, registry=self.registry)

        route, model, measure = ("route",), ("model",), ("model", "measure")
        self.requests = counter(
            "silverprint_requests", "Requests by route and status", ("route", "status")
        )
        self.request_seconds = seconds(
            "silverprint_request_seconds", "From a request's headers to its answer", route
        )
        self.pictures = counter(
            "silverprint_pictures", "Pictures, answered or refused", ("model", "outcome")
        )
        self.decode_seconds = seconds("silverprint_decode_seconds", "Decoding, by thread and turn")
        self.run_seconds = seconds("silverprint_run_seconds", "The model, by thread and turn")
        self.waiting = gauge("silverprint_waiting_pictures", "Pictures in the queue")
        self.held_bytes = gauge("silverprint_held_bytes", "Bytes of requests' bodies held")
        self.loads = counter(
            "silverprint_loads", "Bundles loaded, or that failed to", ("model", "outcome")
        )
        self.confidence = shares(
            "silverprint_confidence", "Highest probability of a picture", model
        )
        self.distance = shares(
            "silverprint_distance_rank", "Share of held-out pictures that are less unlike training",
            model,
        )  # fmt: skip
        self.drift_index = gauge(
            "silverprint_drift_index", "Population stability index of the last pictures", measure
        )
        self.drift_limit = gauge(
            "silverprint_drift_limit", "The index above which they are another population", measure
        )

    def text(self) -> bytes:
        """Return all measures in Prometheus' text format."""
        return generate_latest(self.registry)
