"""`…/tables/{table}/predicate`: conditions by which engines leave out files of an area."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Final

from pydantic import Field
from starlette.responses import Response

from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.management.bodies import body_of
from graticule.api.management.file_queries import AreaBody, file_query_of
from graticule.api.management.table_paths import TABLE, table_of
from graticule.domain.errors import InvalidRequest
from graticule.planning.sql_predicates import Dialect


class PredicateBody(AreaBody):
    """The body of `POST …/predicate`."""

    dialect: Annotated[Dialect, Field(strict=False)]


def show_predicate(call: Call) -> Response:
    """`?dialect=` and the parameters of a question about files."""
    given = {name: value for name, value in call.query.items() if value != ""}
    dialect = given.get("dialect", "")
    if dialect not in set(Dialect):
        raise InvalidRequest(f"`dialect` must be one of {', '.join(Dialect)}")
    area = {name: given.get(name) for name in AreaBody.model_fields}
    return _answered(call, PredicateBody(**area, dialect=Dialect(dialect)))


def make_predicate(call: Call) -> Response:
    """The same of a request whose geometry is too long for a URL."""
    return _answered(call, body_of(call, PredicateBody))


def _answered(call: Call, body: PredicateBody) -> Response:
    found = call.services.placed_snapshots.predicate(
        call.principal,
        call.services.catalogs.open(call.principal, call.name("catalog")),
        table_of(call),
        file_query_of(body),
        body.dialect,
    )
    return json_response({"dialect": body.dialect, **asdict(found)})


ROUTES: Final[Sequence[Line]] = (
    ("GET", f"{TABLE}/predicate", show_predicate, Action.READ_CATALOG),
    ("POST", f"{TABLE}/predicate", make_predicate, Action.READ_CATALOG),
)
