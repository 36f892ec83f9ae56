"""Turns at commits: one at a time per table, among threads and among processes."""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from graticule.domain.errors import CommitConflict, Overloaded
from graticule.domain.identifiers import TableIdentifier
from graticule.services.catalog import turns
from graticule.services.catalog.turns import Turns

# Counts with a gap between reading and writing, in which any other process would be noticed.
COUNT = """
import sys, threading, time
from pathlib import Path
from graticule.services.catalog.turns import Turns
counter, times, threads = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
turns = Turns(Path(sys.argv[1]))
def count():
    for _ in range(times):
        with turns.take(["key"]):
            number = int(counter.read_text())
            time.sleep(0.001)
            counter.write_text(str(number + 1))
all = [threading.Thread(target=count) for _ in range(threads)]
for thread in all: thread.start()
for thread in all: thread.join()
"""
HOLD = """
import sys, time
from pathlib import Path
from graticule.services.catalog.turns import Turns
with Turns(Path(sys.argv[1])).take(["key", "other"]):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def held_by_another_process(file):
    process = subprocess.Popen([sys.executable, "-c", HOLD, file], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_processes_and_their_threads_have_a_key_one_after_the_other(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    arguments = [sys.executable, "-c", COUNT, tmp_path / "turns", counter, "20", "4"]
    processes = [subprocess.Popen(arguments) for _ in range(3)]

    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert counter.read_text() == "240"


def test_a_process_that_dies_gives_up_its_turns(tmp_path):
    here = Turns(tmp_path / "turns")
    with held_by_another_process(tmp_path / "turns") as process:
        process.kill()
        with here.take(["key", "other"]):
            pass
    here.close()


def test_a_turn_that_another_process_does_not_give_up_is_not_awaited_for_ever(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(turns, "TURN_TIMEOUT_S", 0.1)
    here = Turns(tmp_path / "turns")
    with held_by_another_process(tmp_path / "turns"):
        with pytest.raises(Overloaded, match="nothing was changed"), here.take(["free", "key"]):
            pass
        with here.take(["free"]):
            pass
    here.close()


def test_a_process_that_comes_back_at_once_does_not_keep_the_others_out(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    here, stopping, waited_s = Turns(tmp_path / "turns"), threading.Event(), []

    def come_back_at_once() -> None:
        while not stopping.is_set():
            began = time.monotonic()
            with here.take(["key"]):
                waited_s.append(time.monotonic() - began)
                time.sleep(0.001)

    threads = [threading.Thread(target=come_back_at_once) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        arguments = [sys.executable, "-c", COUNT, tmp_path / "turns", counter, "100", "1"]
        subprocess.run(arguments, check=True, timeout=60)
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
        here.close()

    assert counter.read_text() == "100"


def test_a_turn_that_was_kept_for_one_who_gave_up_is_free_for_other_processes(
    tmp_path, monkeypatch
):
    here, gave_up = Turns(tmp_path / "turns"), []

    def give_up() -> None:
        try:
            with here.take(["key"]):
                gave_up.append(False)
        except Overloaded:
            gave_up.append(True)

    with here.take(["key"]):
        monkeypatch.setattr(turns, "TURN_TIMEOUT_S", 0.01)
        threads = [threading.Thread(target=give_up) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert gave_up == [True] * 4
    with held_by_another_process(tmp_path / "turns"):
        pass
    here.close()


def test_without_the_file_threads_still_take_turns(tmp_path):
    (tmp_path / "file").write_text("")
    here = Turns(tmp_path / "file" / "turns")  # no folder can be made there
    running, most = [], []

    def work() -> None:
        with here.take(["key"]):
            running.append(1)
            most.append(len(running))
            running.pop()

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == [1] * 20


def test_a_commit_that_others_are_always_ahead_of_is_given_up_in_time(monkeypatch):
    monkeypatch.setattr(turns, "ATTEMPTS_TIMEOUT_S", 0.05)
    catalog = SimpleNamespace(catalog=SimpleNamespace(id="c"))
    table = TableIdentifier.of(["ns"], "t")
    attempts = []

    with pytest.raises(CommitConflict, match=r"`ns\.t` was changed by other writers"):
        Turns().until_landed(catalog, [table], lambda: attempts.append(1))

    assert 1 < len(attempts) < turns.COMMIT_ATTEMPTS_MAX


def test_a_thread_that_has_a_turn_commits_within_it():
    turns_ = Turns()
    with turns_.take(["a"]):
        assert turns_.is_held_here("a")
        with turns_.take(["a", "b"]):
            assert turns_.is_held_here("b")
        assert turns_.is_held_here("a")
        assert not turns_.is_held_here("b")
    assert not turns_.is_held_here("a")
    with turns_.take(["a"]):  # it was given back
        assert turns_.is_held_here("a")
