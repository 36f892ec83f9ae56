import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from graticule.discovery.inspection_codec import to_bytes
from graticule.domain.errors import StorageUnavailable, Unavailable, UnreadableFile
from graticule.spatial.bounding_box import UNKNOWN, BoundingBox, exact
from graticule.storage.inspection_workers import InspectionWorkers
from graticule.storage.parquet import inspect
from support.parquet_files import Ranges, geo, parquet, point

GOOD = parquet({"geometry": pa.array([point(1, 2)])}, metadata=geo())


@pytest.fixture(scope="module")
def workers():
    with InspectionWorkers(1) as workers:
        yield workers


def test_a_worker_answers_like_the_function(workers):
    expected = inspect(Ranges(GOOD), len(GOOD))
    assert workers.inspect(Ranges(GOOD), len(GOOD)) == expected
    assert workers.inspect_to_bytes([(Ranges(GOOD), len(GOOD))] * 2) == [to_bytes(expected)] * 2


def test_geometries_are_read_within_the_budget(workers):
    for budget, box in ((0, UNKNOWN), (1 << 20, exact(BoundingBox(1, 2, 1, 2)))):
        found = workers.inspect(Ranges(GOOD), len(GOOD), budget_bytes=budget)
        assert found.geometry["geometry"].file_box == box


def test_of_many_files_little_more_than_their_footers_is_read(workers):
    small = parquet({"text": pa.array([f"{n:064x}" for n in range(2000)])}, compression=None)
    wide = parquet({f"column_{n}": pa.array([n]) for n in range(1000)})
    footers = [int.from_bytes(data[-8:-4], "little") + 8 for data in (small, wide)]
    assert footers[0] < 4096 < 100_000 < min(len(small), footers[1])
    for _ in range(40):
        last = Ranges(small)
        assert workers.inspect(last, len(small)).rows == 2000
    assert len(last.requests) == 1
    assert last.requests[0][1] < footers[0] + 2048
    large = Ranges(wide)
    assert workers.inspect(large, len(wide)) == inspect(Ranges(wide), len(wide))
    assert large.requests[1:] == [(len(wide) - footers[1], footers[1])]
    after = Ranges(wide)
    assert workers.inspect(after, len(wide)).rows == 1
    assert len(after.requests) == 1


def test_files_travel_while_all_workers_are_busy(workers):
    together = threading.Barrier(4, timeout=60)

    def read(offset, length):
        together.wait()
        return GOOD[offset : offset + length]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: workers.inspect(read, len(GOOD)).rows, range(4)))
    assert found == [1, 1, 1, 1]


def test_what_is_wrong_with_a_file_is_passed_on(workers):
    with pytest.raises(UnreadableFile, match="does not end like a Parquet file"):
        workers.inspect(Ranges(GOOD[:-10]), len(GOOD) - 10)


def test_what_is_wrong_with_the_store_is_passed_on(workers):
    def read(offset, length):
        raise StorageUnavailable("slow down")

    with pytest.raises(StorageUnavailable, match="slow down"):
        workers.inspect(read, len(GOOD))
    assert workers.inspect(Ranges(GOOD), len(GOOD)).rows == 1


def damaged_footers():
    """Footers that differ from a good one in a single bit of the schema or of a column."""
    footer = len(GOOD) - int.from_bytes(GOOD[-8:-4], "little") - 8
    for at in range(footer, len(GOOD) - 8, 3):
        yield GOOD[:at] + bytes([GOOD[at] ^ 0x10]) + GOOD[at + 1 :]


def test_no_footer_can_end_this_process(workers):
    reasons = {}
    for data in damaged_footers():
        try:
            workers.inspect(Ranges(data), len(data))
        except UnreadableFile as error:
            reasons[error.message] = data
    assert reasons
    [good] = workers.inspect_to_bytes([(Ranges(GOOD), len(GOOD))])
    assert good == to_bytes(inspect(Ranges(GOOD), len(GOOD)))

    # Nor does it take the files with it that are inspected at the same time.
    ends = reasons["reading it ended the process that tried"]
    short = GOOD[:-10]
    several = [(Ranges(data), len(data)) for data in (GOOD, ends, short, GOOD)]
    first, ended, broken, last = workers.inspect_to_bytes(several)
    assert (first, last) == (good, good)
    assert [ended.message, broken.message] == [
        "reading it ended the process that tried",
        "it does not end like a Parquet file",
    ]


LARGE = parquet(
    {"geometry": pa.array([point(x, x) for x in range(10_000)])},
    metadata=geo(),
    use_dictionary=False,
    compression="none",
)


def signalling(workers, number):
    """Reads `LARGE`, and once a worker asks for more than its end, signals to the workers."""
    whole = Ranges(LARGE)

    def read(offset, length):
        if whole.requests:
            for worker in workers._workers:
                os.kill(worker._process.pid, number)
        return whole(offset, length)

    return read


def test_a_worker_that_ends_is_an_unreadable_file_and_is_replaced(workers):
    with pytest.raises(UnreadableFile, match="ended the process"):
        workers.inspect(signalling(workers, signal.SIGKILL), len(LARGE), budget_bytes=1 << 20)
    assert workers.inspect(Ranges(GOOD), len(GOOD)).rows == 1


def test_a_worker_that_does_not_start_is_not_blamed_on_the_file(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with InspectionWorkers(1) as workers, pytest.raises(Unavailable, match="does not start"):
        workers.inspect(Ranges(GOOD), len(GOOD))


def test_a_worker_knows_no_secrets(monkeypatch, workers):
    monkeypatch.setenv("GRATICULE_SECRET_KEY", "secret")
    with InspectionWorkers(1) as fresh:
        fresh.inspect(Ranges(GOOD), len(GOOD))
        pid = fresh._workers[0]._process.pid
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"GRATICULE_" not in environment


def test_a_worker_that_stalls_is_an_unreadable_file():
    with InspectionWorkers(1, timeout_s=0.5) as workers:
        read = signalling(workers, signal.SIGSTOP)
        with pytest.raises(UnreadableFile, match="0 s"):
            workers.inspect(read, len(LARGE), budget_bytes=1 << 20)
