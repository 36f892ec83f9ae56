"""View metadata that somebody else wrote: what is accepted, and that nothing else gets through."""

import contextlib
import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graticule.domain.errors import CatalogError, InvalidRequest
from graticule.iceberg.view_metadata import check_document
from graticule.iceberg.view_updates import VIEW_UPDATES, apply, new_view

NOW = 1_790_000_000_000
VERSION = {
    "version-id": 3,
    "schema-id": 0,
    "timestamp-ms": NOW,
    "summary": {},
    "default-catalog": None,
    "default-namespace": [],
    "representations": [{"type": "sql", "sql": "select 1", "dialect": "spark"}],
}
FIELD = {"id": 1, "name": "a", "type": "long", "required": True}
SCHEMA = {"type": "struct", "schema-id": 0, "fields": [FIELD]}
DOCUMENT = {
    "view-uuid": "019a0000-0000-7000-8000-000000000001",
    "format-version": 1,
    "location": "s3://lake/v",
    "schemas": [SCHEMA],
    "current-version-id": 3,
    "versions": [VERSION],
    "version-log": [{"version-id": 2, "timestamp-ms": NOW}, {"version-id": 3, "timestamp-ms": NOW}],
    "properties": {"comment": "x"},
}


def test_a_document_of_another_catalog_is_accepted():
    check_document(DOCUMENT)
    check_document(DOCUMENT | {"of-the-future": {}, "properties": None})
    plan = {"type": "plan", "x": 1}
    check_document(DOCUMENT | {"versions": [VERSION | {"representations": [plan]}]})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format-version": 2}, "Unsupported format version: 2"),
        ({"format-version": None}, "`format-version`"),
        ({"view-uuid": None}, "`view-uuid`"),
        ({"location": None}, "`location`"),
        ({"properties": {"a": 1}}, "`properties`"),
        ({"schemas": []}, "has no `schemas`"),
        ({"schemas": [SCHEMA, SCHEMA]}, "repeats a `schema-id`"),
        ({"schemas": [SCHEMA | {"fields": [FIELD, FIELD]}]}, "field id 1"),
        ({"schemas": [SCHEMA | {"schema-id": 1}]}, "Cannot find current schema with id 0"),
        ({"versions": []}, "has no `versions`"),
        ({"versions": [VERSION, VERSION]}, "repeats a `version-id`"),
        ({"versions": [VERSION | {"representations": [{}]}]}, "`type` of a representation"),
        ({"current-version-id": 4}, "Cannot find current version 4"),
        ({"current-version-id": "3"}, "`current-version-id`"),
        ({"version-log": [{"version-id": 3}]}, "`timestamp-ms`"),
        ({"version-log": {}}, "`version-log`"),
    ],
    ids=str,
)
def test_a_document_that_contradicts_itself_is_refused(changes, reason):
    with pytest.raises(InvalidRequest, match=reason):
        check_document(DOCUMENT | changes)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
members = st.sampled_from(
    [
        *("version-id", "schema-id", "view-version", "view-version-id", "schema", "updates"),
        *("removals", "uuid", "representations", "summary", "default-namespace", "location"),
    ]
)
any_update = st.builds(
    lambda action, rest: {"action": action} | rest,
    st.sampled_from(sorted(VIEW_UPDATES)),
    st.dictionaries(members, json_values | st.just(SCHEMA) | st.just(VERSION), max_size=4),
)


@given(st.lists(any_update, max_size=5))
def test_any_json_at_all_is_applied_to_a_sound_document_or_refused(updates):
    base = copy.deepcopy(DOCUMENT)
    with contextlib.suppress(CatalogError):
        check_document(apply(updates, base, now_ms=NOW).document)
    assert base == DOCUMENT


@given(json_values, json_values)
def test_any_json_at_all_makes_a_new_view_or_is_refused(schema, version):
    with contextlib.suppress(CatalogError):
        made = new_view(
            schema=schema,
            version=version,
            location="s3://lake/v",
            properties={},
            view_uuid="u",
            now_ms=NOW,
        )
        check_document(made)


@given(json_values)
def test_any_json_at_all_is_a_view_or_refused(document):
    with contextlib.suppress(CatalogError):
        check_document(document)
