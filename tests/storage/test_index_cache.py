import os

import pytest

from graticule.storage.index_cache import IndexCache


def keep(cache, name, data):
    return cache.keep(name, lambda part: part.write_bytes(data))


def test_what_is_kept_is_found_until_it_is_dropped(tmp_path):
    cache = IndexCache(tmp_path / "indexes")
    assert cache.find("a") is None
    path = keep(cache, "a", b"one")
    assert (cache.find("a"), path.read_bytes()) == (path, b"one")
    cache.drop("a")
    cache.drop("a")
    assert cache.find("a") is None


def test_a_file_that_cannot_be_finished_leaves_nothing(tmp_path):
    cache = IndexCache(tmp_path)

    def fail(part):
        part.write_bytes(b"half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        cache.keep("a", fail)
    assert list(tmp_path.iterdir()) == []


def test_what_was_not_used_for_longest_makes_room(tmp_path):
    cache = IndexCache(tmp_path, bytes_max=25)
    for number, name in enumerate("abc"):
        keep(cache, name, b"0123456789")
        os.utime(tmp_path / name, (number, number))
        if name == "b":
            assert cache.find("a") is not None  # used now, so it is younger than b
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]


def test_a_file_larger_than_the_cache_is_kept_by_itself(tmp_path):
    cache = IndexCache(tmp_path, bytes_max=5)
    keep(cache, "a", b"0123456789")
    keep(cache, "b", b"0123456789")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
