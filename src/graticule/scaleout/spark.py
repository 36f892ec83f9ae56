"""The Spark job that inspects the files of a scan: `spark-submit spark.py PASS`.

PASS is a file with the server's URL and the scan's token, in JSON.  The token goes to executors
inside the task, never by a setting: Spark shows those in its pages and logs.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from graticule.domain.secret import Secret
from graticule.scaleout.inspecting import Done, inspect_part
from graticule.scaleout.server import Server

POLL_S: Final = 1.0
PYARROW_VERSION_MIN: Final = 24
SCHEMA: Final = "part string, files int, unreadable int, left int"

_Batches = Iterator[pa.RecordBatch]


def main(arguments: list[str]) -> int:
    """Wait until the scan has files to inspect, and inspect them.  Returns an exit status."""
    if len(arguments) != 1:
        sys.stderr.write("usage: spark-submit … spark.py PASS\n")
        return 2
    passed = json.loads(Path(arguments[0]).read_text())
    server = Server(passed["url"], Secret(passed["token"]))
    parts = _wait_for_parts(server)
    if parts:
        _run(server, parts)
    return 0


def _wait_for_parts(server: Server) -> list[str]:
    while True:
        work = server.work()
        if work["state"] != "preparing":
            return [str(name) for name in work["parts"]]
        time.sleep(POLL_S)


def _run(server: Server, parts: list[str]) -> None:
    from pyspark.sql import SparkSession  # noqa: PLC0415 - of the cluster, not of this package

    session = SparkSession.builder.appName("graticule scan").getOrCreate()
    try:
        rows = session.sparkContext.parallelize([(name,) for name in parts], len(parts))
        frame = session.createDataFrame(rows, "part string")
        done = frame.mapInArrow(inspecting(server.url, server.token.reveal()), SCHEMA).collect()
    finally:
        session.stop()
    total = [sum(row[name] for row in done) for name in ("files", "unreadable", "left")]
    sys.stderr.write(
        "graticule: {} parts; {} files inspected, {} unreadable, {} left to the server\n".format(
            len(done), *total
        )
    )


def inspecting(url: str, token: str) -> Callable[[_Batches], _Batches]:
    """What executors do with batches of names of parts."""

    def inspect(batches: _Batches) -> _Batches:
        _check_pyarrow()
        server = Server(url, Secret(token))
        for batch in batches:
            done = [inspect_part(server, name) for name in batch.column("part").to_pylist()]
            yield _batch(done)

    return inspect


def _batch(done: list[Done]) -> pa.RecordBatch:
    types = (pa.string(), pa.int32(), pa.int32(), pa.int32())
    columns: list[Any] = [
        pa.array([each[at] for each in done], type_) for at, type_ in enumerate(types)
    ]
    return pa.RecordBatch.from_arrays(columns, names=list(Done._fields))


def _check_pyarrow() -> None:
    if int(pa.__version__.partition(".")[0]) < PYARROW_VERSION_MIN:
        raise RuntimeError(
            f"executors have pyarrow {pa.__version__}; Graticule needs {PYARROW_VERSION_MIN} or "
            "newer"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
