"""Who am I, and whose: the caller and its organisation."""

from starlette.responses import Response

from graticule.api.endpoint import Call, json_response
from graticule.api.management.representations import organisation_to_json, principal_to_json


def show_me(call: Call) -> Response:
    return json_response(principal_to_json(call.principal))


def show_organisation(call: Call) -> Response:
    found = call.services.organisations.organisation(call.principal)
    return json_response(organisation_to_json(found))
