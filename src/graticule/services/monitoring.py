"""`/metrics`: who may read it, and what it says, all processes of a server taken together."""

import hmac
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from graticule.domain.errors import CatalogError
from graticule.domain.job import JobKind, JobState
from graticule.domain.secret import Secret
from graticule.services import meters

SHARED_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The library's variable: where processes of one server count together.  Set by the supervisor."""

_LIVE: Final = "gauge_livesum_"


JobCounts = Callable[[], Mapping[tuple[JobKind, JobState], int]]
"""How many jobs of each kind are in each of the states that are no end."""


class Monitoring:
    def __init__(self, *, token: Secret | None, jobs: JobCounts) -> None:
        self._token = token
        self._jobs = jobs

    def may_read(self, bearer: str | None, *, is_local: bool) -> bool:
        """With a token set: whoever shows it.  Without: callers on this very machine."""
        if self._token is None:
            return is_local
        return bearer is not None and hmac.compare_digest(
            bearer.encode(), self._token.reveal().encode()
        )

    def text(self) -> bytes:
        """Everything that was counted, in Prometheus' text format."""
        registry, folder = CollectorRegistry(), os.environ.get(SHARED_FOLDER)
        if folder is None:
            pids = [os.getpid()]
            counted = generate_latest(meters.REGISTRY)
        else:
            pids = sorted({os.getpid(), *_pids_in(Path(folder))})
            MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
            counted = b""
        registry.register(_About(pids))
        registry.register(_JobsAtWork(self._jobs))
        return counted + generate_latest(registry)


class _About(Collector):
    """What is running, and what each of its processes uses."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily(
            "graticule_build_info", "What is running; always 1", labels=["version", "python"]
        )
        build.add_metric([version("graticule"), platform.python_version()], 1)
        yield build
        families: dict[str, Metric] = {}
        for pid in self._pids:
            for metric in _usage_of(pid):
                family = families.setdefault(
                    metric.name, Metric(metric.name, metric.documentation, metric.type)
                )
                for sample in metric.samples:
                    family.add_sample(sample.name, {"pid": str(pid)}, sample.value)
        yield from families.values()


class _JobsAtWork(Collector):
    """Jobs that wait and run, whichever process has them; nothing while the database is away."""

    def __init__(self, counts: JobCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily(
            "graticule_jobs", "Jobs that wait and that run", labels=["kind", "state"]
        )
        with suppress(CatalogError):
            for labels, count in self._counts().items():
                jobs.add_metric(labels, count)
        yield jobs


def _usage_of(pid: int) -> Iterable[Metric]:
    """Memory, processor time and open files of a process; nothing where it has just ended."""
    return ProcessCollector(registry=None, pid=lambda: pid).collect()


def _pids_in(folder: Path) -> Iterator[int]:
    """Processes that count into a folder; the supervisor removes the file when one ends."""
    for file in folder.glob(f"{_LIVE}*.db"):
        pid = file.stem.removeprefix(_LIVE)
        if pid.isdecimal():
            yield int(pid)
