"""The models that are served, each loaded anew when its bundle changes.

A request keeps the model it began with; the next one gets the new. A bundle that fails to load
leaves the old one in service.
"""

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from silverprint.errors import BundleError, closest
from silverprint.runtime.bundle import MANIFEST, Bundle, read_bundle
from silverprint.runtime.predictor import Predictor
from silverprint.serving.drift import Drift
from silverprint.serving.metrics import Metrics
from silverprint.serving.refusals import Refusal

log = logging.getLogger(__name__)
EVERY = 1.0  # seconds between looks at bundle.json
Signature = tuple[int, ...]


class Served:
    """One loaded bundle.

    Attributes:
        name: what requests call it.
        bundle: what it was loaded from.
        predictor: its model.
        drift: how the pictures that come in compare with those it was tested on.
    """

    def __init__(
        self, name: str, bundle: Bundle, metrics: Metrics, accept: float | None = None,
        coverage: float | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.bundle = bundle
        self.predictor = Predictor(bundle, accept, coverage)
        # The first run allocates; better now than in someone's request.
        self.predictor.look(np.zeros((1, bundle.decode_side, bundle.decode_side, 3), np.uint8))
        self.drift = Drift(name, bundle.manifest.get("reference"), metrics)


class Models:
    """The served bundles by name, the first being what is meant where none is named."""

    def __init__(
        self, bundles: Mapping[str, str | os.PathLike[str]], metrics: Metrics,
        accept: float | None = None, coverage: float | None = None,
    ) -> None:  # fmt: skip
        self._metrics, self._shares = metrics, (accept, coverage)
        self._paths = {name: Path(path) for name, path in bundles.items()}
        self._signatures = {name: _signature(path) for name, path in self._paths.items()}
        self._served = {name: self._load(name) for name in self._paths}
        self.troubles: dict[str, str] = {}

    def __iter__(self) -> Iterator[Served]:
        return iter(list(self._served.values()))

    def get(self, name: str | None) -> Served:
        """Return the model of that name, or the first.

        Raises:
            Refusal: there is no such model.
        """
        if name is None:
            return next(iter(self._served.values()))
        if name not in self._served:
            hint = closest(name, self._served) or f" There is {', '.join(self._served)}."
            raise Refusal(404, f"No model is called {name[:100]!r}.{hint}")
        return self._served[name]

    async def watch(self) -> None:
        """Load what changes, for ever."""
        while True:
            await asyncio.sleep(EVERY)
            for name, path in self._paths.items():
                found = _signature(path)
                if found and found != self._signatures[name]:
                    await self._reload(name, found)

    async def _reload(self, name: str, signature: Signature) -> None:
        try:
            self._served[name] = await asyncio.to_thread(self._load, name)
        except Exception as error:  # the watch must go on, and the old model with it
            # It may be half copied, so it is tried again; the log says it once.
            if self.troubles.get(name) != str(error):
                unknown = None if isinstance(error, BundleError) else error
                log.warning("%s", error, exc_info=unknown, extra={"model": name})
            self.troubles[name] = str(error)
            self._metrics.loads.labels(name, "failed").inc()
        else:
            self._signatures[name] = signature
            self.troubles.pop(name, None)
            log.info("loaded a new bundle", extra={"model": name})

    def _load(self, name: str) -> Served:
        served = Served(name, read_bundle(self._paths[name]), self._metrics, *self._shares)
        self._metrics.loads.labels(name, "loaded").inc()
        return served


def _signature(path: Path) -> Signature:
    """Return what differs once bundle.json is another; nothing while it is not there."""
    try:
        status = (path / MANIFEST).stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino
