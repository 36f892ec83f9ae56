"""Pieces are what they would be in one."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from graticule.domain.spliced import SHORT_BYTES, Spliced, pieces_of

LONG = b"x" * SHORT_BYTES


@given(st.lists(st.sampled_from([b"", b"a", b"bc", LONG, LONG + b"y"]), max_size=8))
def test_pieces_say_the_same_as_the_whole(pieces):
    found = Spliced(memoryview(piece) if len(piece) % 2 else piece for piece in pieces)
    whole = b"".join(pieces)

    assert len(found) == len(whole)
    assert b"".join(found.pieces) == whole
    short = [len(piece) < SHORT_BYTES for piece in found.pieces]
    assert not any(one and next_ for one, next_ in pairwise(short))
    assert bytes(found) == whole
    assert list(found.pieces) == [whole]
    assert bytes(found) is bytes(found)


def test_long_pieces_are_passed_on_as_they_are():
    assert Spliced([b"a", LONG, b"b", b"c"]).pieces[1] is LONG
    assert pieces_of(LONG) == (LONG,)
    assert pieces_of(Spliced([b"a", b"b"])) == [b"ab"]
