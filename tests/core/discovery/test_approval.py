"""What is registered of proposals: all, some, renamed, sure enough, not ignored."""

import pytest

from graticule.discovery.approval import Wish, approve
from graticule.discovery.ignoring import Ignored
from graticule.discovery.proposal import Confidence, ExistingProposal, Proposal, Proposals
from graticule.discovery.proposal import ProposedFile as File
from graticule.domain.errors import InvalidName, InvalidRequest
from graticule.domain.identifiers import Namespace


def table(namespace, name, *keys, confidence=Confidence.HIGH):
    files = tuple(File(key, 1, "", 1) for key in keys or (f"{namespace}/{name}/0.parquet",))
    root = f"{namespace}/{name}/"
    return Proposal(
        name, namespace, root, (root,), files, (), (), None, (), confidence, file_count=len(files)
    )


ICE = ExistingProposal(
    name="ice",
    namespace="",
    root="ice/",
    metadata_location="s3://lake/ice/metadata/v1.metadata.json",
    fields=(),
    partitioned_by=(),
    rows=1,
    file_count=1,
    size_bytes=1,
    reasons=(),
)
PROPOSALS = Proposals(
    tables=(
        table("", "towns"),
        table("de", "roads", confidence=Confidence.MEDIUM),
        table("fr", "roads", confidence=Confidence.LOW),
        table("tmp", "mixed", "tmp/a.parquet", "tmp/b.parquet", confidence=Confidence.LOW),
    ),
    skipped=(),
    skipped_count=0,
    existing=(ICE,),
)


def registered(**wish):
    return {
        str(each.proposal.qualified_name): str(each.identifier)
        for each in approve(PROPOSALS, Wish(**wish))
    }


def test_everything_goes_where_it_was_proposed():
    assert registered() == {
        "towns": "default.towns",
        "de.roads": "de.roads",
        "fr.roads": "fr.roads",
        "tmp.mixed": "tmp.mixed",
        "ice": "default.ice",
    }


def test_in_one_namespace_the_same_names_are_told_apart():
    assert registered(namespace=Namespace(("a", "b"))) == {
        "towns": "a.b.towns",
        "de.roads": "a.b.de_roads",
        "fr.roads": "a.b.fr_roads",
        "tmp.mixed": "a.b.mixed",
        "ice": "a.b.ice",
    }


def test_only_what_is_named_is_registered():
    assert registered(names=["fr.roads", "mixed", "ice"]) == {
        "fr.roads": "fr.roads",
        "tmp.mixed": "tmp.mixed",
        "ice": "default.ice",
    }


def test_tables_are_renamed_with_and_without_a_namespace():
    new = {"de.roads": "streets", "towns": "world.places.towns"}
    assert registered(names=["towns", "de.roads"], renamed=new) == {
        "towns": "world.places.towns",
        "de.roads": "de.streets",
    }
    assert registered(names=["de.roads"], renamed=new, namespace=Namespace(("x",))) == {
        "de.roads": "x.streets"
    }


@pytest.mark.parametrize(
    ("at_least", "names"),
    [
        (Confidence.HIGH, {"towns", "ice"}),
        (Confidence.MEDIUM, {"towns", "ice", "de.roads"}),
        (Confidence.LOW, {"towns", "ice", "de.roads", "fr.roads", "tmp.mixed"}),
    ],
)
def test_what_is_sure_enough_is_registered(at_least, names):
    assert set(registered(at_least=at_least)) == names


def test_what_is_named_is_registered_however_sure():
    assert set(registered(names=["fr.roads"], at_least=Confidence.HIGH)) == {"fr.roads"}


def test_what_is_ignored_is_not_registered():
    assert set(registered(ignored=Ignored(("tmp", "fr/**", "ice")))) == {"towns", "de.roads"}


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"names": ["roads"]}, "`roads` could be `de.roads`, `fr.roads`; say which"),
        (
            {"names": ["x"]},
            "did not propose `x`; it proposed de.roads, fr.roads, ice, tmp.mixed, towns",
        ),
        ({"renamed": {"x": "y"}}, "did not propose `x`"),
        ({"renamed": {"de.roads": "fr.roads"}}, "would both be `fr.roads`; rename one of them"),
        ({"ignored": Ignored(("a.parquet",))}, "ignore 1 of the 2 files of `tmp.mixed`; scan"),
    ],
)
def test_what_is_not_clear_is_asked_back(wish, reason):
    with pytest.raises(InvalidRequest, match=reason):
        registered(**wish)


def test_new_names_must_be_legal():
    with pytest.raises(InvalidName):
        registered(renamed={"towns": "a..b"})
