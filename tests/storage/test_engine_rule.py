"""A missing engine skips a test at home and fails it where everything must be there."""

import pytest

from support.engines import REQUIRE_ALL, require


def test_what_is_there_is_used(monkeypatch):
    monkeypatch.setenv(REQUIRE_ALL, "1")
    require(True, "needs nothing")


def test_what_is_missing_skips_and_says_how_to_get_it(monkeypatch):
    monkeypatch.delenv(REQUIRE_ALL, raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt install engine"):
        require(None, "needs the engine: apt install engine")


def test_what_is_missing_fails_where_everything_is_required(monkeypatch):
    monkeypatch.setenv(REQUIRE_ALL, "1")
    with pytest.raises(pytest.fail.Exception, match="apt install engine"):
        require(None, "needs the engine: apt install engine")
