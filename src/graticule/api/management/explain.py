"""`GET /explain`: why a member may, or may not, do something."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from graticule.access.explanations import Fact
from graticule.access.policy import Action
from graticule.api.endpoint import Call, Line, json_response
from graticule.api.management.grants import grant_to_json, privilege_named, securable_to_json
from graticule.api.management.object_names import parse_object
from graticule.domain.errors import InvalidRequest
from graticule.domain.grants import Privilege
from graticule.services.accounts.grants import Explained

Json = dict[str, Any]


def explain(call: Call) -> Response:
    """`?action=` is a privilege on `?object=`, or the name of an action that needs no object.

    `?member=` is whom it is about: the caller by default, whose credential is looked at as well.
    """
    action = call.query.get("action") or ""
    on = call.query.get("object") or None
    member = call.query.get("member") or None
    if action.upper() in Privilege.__members__:
        if on is None:
            raise InvalidRequest(f"`{action}` is a privilege on something: add `object`")
        explained = call.services.grants.explain_privilege(
            call.principal, privilege_named(action), parse_object(on), member=member
        )
    elif action.upper() in Action.__members__ and on is None:
        explained = call.services.grants.explain_action(
            call.principal, Action[action.upper()], member=member
        )
    else:
        raise InvalidRequest(
            f"`action` must be {', '.join(map(str, Privilege))} with an `object`, "
            f"or without one {', '.join(name.lower() for name in Action.__members__)}"
        )
    return json_response(_json(action, explained))


def _json(action: str, explained: Explained) -> Json:
    explanation, on = explained.explanation, explained.on
    held = explanation.privilege
    return {
        "member": {
            "id": explained.member.member_id,
            "name": explained.member.name,
            "role": explained.member.role.value,
        },
        "action": action.lower(),
        "object": None if on is None else securable_to_json(on),
        "allowed": explanation.allowed,
        "privilege": None if held is None else str(held),
        "because": [_fact(fact) for fact in explanation.facts],
    }


def _fact(fact: Fact) -> Json:
    return {
        "kind": fact.kind,
        "allows": fact.allows,
        "detail": fact.detail,
        "grant": None if fact.grant is None else grant_to_json(fact.grant),
    }


ROUTES: Final[Sequence[Line]] = (("GET", "/explain", explain, Action.LIST_CATALOGS),)
