"""What a session is called, and what is made of the token service's refusals."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graticule.domain.catalog import AccessKeys
from graticule.domain.errors import (
    NoTokenService,
    PolicyTooLarge,
    SessionTooLong,
    StorageRefused,
    StorageUnavailable,
)
from graticule.domain.secret import Secret
from graticule.outbound.gate import ANYWHERE
from graticule.storage.sts import FEDERATED_NAME_CHARACTERS_MAX, TokenService, session_name
from support.faults import Answers, faulty

ROLE_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
FEDERATED_NAME = re.compile(r"[\w+=,.@-]{2,32}", re.ASCII)
MEMBER = "0198c0de-0000-7000-8000-a11ce0000001"


@given(st.text(max_size=300), st.text(max_size=80))
def test_whatever_a_member_is_called_its_sessions_have_names_that_aws_takes(name, identifier):
    assert ROLE_SESSION_NAME.fullmatch(session_name(name, identifier))
    federated = session_name(name, identifier, characters_max=FEDERATED_NAME_CHARACTERS_MAX)
    assert FEDERATED_NAME.fullmatch(federated)


def test_a_name_shows_who_acts_and_ends_in_what_nobody_can_know():
    names = {session_name("ana@example.com", MEMBER) for _ in range(200)}

    assert len(names) == 200
    assert all(re.fullmatch(r"ana@example\.com-a11ce0000001-[0-9a-f]{10}", n) for n in names)


@pytest.fixture
def token_service(seaweedfs):
    with faulty(seaweedfs.endpoint) as proxy:
        keys = AccessKeys("k", Secret("s"))
        service = TokenService(keys, region="us-east-1", endpoint=proxy.endpoint, outbound=ANYWHERE)
        yield service, proxy


@pytest.mark.s3
@pytest.mark.parametrize(
    ("status", "code", "message", "expected"),
    [
        (400, "PackedPolicyTooLarge", "Packed size is 120%", PolicyTooLarge),
        (
            400,
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            SessionTooLong,
        ),
        (
            400,
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for role chaining.",
            SessionTooLong,
        ),
        (
            400,
            "ValidationError",
            "Value '90000' at 'durationSeconds' failed: must be less than or equal to 43200",
            SessionTooLong,
        ),
        (400, "ValidationError", "arn:x is invalid", StorageRefused),
        (400, "MalformedPolicyDocument", "bad", StorageRefused),
        (403, "RegionDisabledException", "STS is not activated in this region", StorageRefused),
        (403, "AccessDenied", "not authorized to perform: sts:AssumeRole", StorageRefused),
        (501, "NotImplemented", "no", NoTokenService),
        (405, "MethodNotAllowed", "no", NoTokenService),
        (503, "ServiceUnavailable", "later", StorageUnavailable),
    ],
)
def test_a_refusal_becomes_what_somebody_can_act_on(token_service, status, code, message, expected):
    service, proxy = token_service
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    proxy.faults += [Answers(status, "POST", body=f"{body}</ErrorResponse>".encode())] * 3

    with pytest.raises(expected) as refused:
        service.assume_role(
            "arn:aws:iam::000000000000:role/r",
            session_name="name",
            external_id="id",
            policy=None,
            duration_s=3600,
        )

    assert type(refused.value) is expected
    assert code in refused.value.message
