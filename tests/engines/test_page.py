"""The page about engines says what the tests claim, and each claim is a test that can fail."""

from support.engine_matrix import PAGE, declared, page_with, rendered


def test_the_page_says_what_the_tests_claim():
    assert PAGE.read_text() == page_with(rendered(declared())), "`make test-engines` writes it anew"


def test_every_engine_of_the_page_has_a_text_to_connect_with():
    from graticule.services.engines.engine_text import engines  # noqa: PLC0415

    assert {claim.engine.text for claim in declared()} - {None} <= set(engines())


def test_whatever_does_not_work_says_what_helps_or_who_knows():
    silent = [c for c in declared() if c.limit and not (c.issue or c.instead)]
    assert silent == []
