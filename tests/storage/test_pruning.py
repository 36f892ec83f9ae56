"""No search leaves out a row that it is after; `make bench ARGS=pruning` tries 100,000 cases."""

from benchmarks.pruning import search

from support.profiles import PROFILE

CASES = 2_500 if PROFILE == "default" else 20_000
SEED = 7


def test_no_file_and_no_row_group_with_a_hit_is_left_out():
    tally = search(CASES, SEED)
    assert tally.wrongs == []
    assert tally.cases == CASES
    # Evidence that windows hit, and that files are left out where they may be.
    assert tally.hits > CASES / 2
    for way, looked_at in tally.files_looked_at.items():
        assert tally.files_kept[way] < 0.95 * looked_at, way
