"""Whose policies they are, what they name, and that the scripts hold the very same documents."""

import json
import subprocess
from dataclasses import replace

import hcl2
import pytest

from graticule.domain.catalog import AccessKeys, AccessLevel
from graticule.domain.errors import (
    Forbidden,
    InvalidLocation,
    InvalidRequest,
    StorageUnavailable,
    WrongState,
)
from graticule.domain.secret import Secret
from graticule.services.integrations.integration_policies import IntegrationPolicies, PolicyRequest
from graticule.services.integrations.integrations import NewIntegration
from graticule.services.integrations.policy_scripts import aws_cli, terraform
from graticule.storage.identity import trusted_arn
from support.principals import ANA, BEN
from support.tenants import PRINCIPAL_ARN, PUBLIC, ROLE, ZOE

READ, WRITE = AccessLevel.READ, AccessLevel.WRITE
LAKE = PolicyRequest(path="s3://lake/raw", region="eu-central-1")
KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def statement(policy, sid):
    return next((one for one in policy["Statement"] if one["Sid"] == sid), None)


def test_policies_name_the_servers_principal_the_external_id_and_the_tag(policies, lake):
    found = policies.of(ANA, lake.id)

    assert found.trust_policy["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"AWS": PRINCIPAL_ARN},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": "organisation-1"}},
        }
    ]
    assert found.role_tag == ("graticuleOrgID", "organisation-1")
    assert statement(found.role_policy, "WriteObjects")["Resource"] == ["arn:aws:s3:::lake/raw/*"]
    assert (found.identity_name, found.identity_path) == (ROLE.rpartition("/")[2], "/")
    assert (found.user_policy, found.notes) == (None, ())


def test_policies_before_the_integration_are_those_after_it(policies, lake):
    before = policies.preview(ANA, replace(LAKE, identity_name=ROLE.rpartition("/")[2]), READ)

    assert before == policies.of(ANA, lake.id, READ)


def test_a_read_only_integration_has_policies_to_read(policies, integrations):
    new = NewIntegration("open", "s3://open", ROLE, region="eu-central-1", read_only=True)
    integrations.create(ANA, new)

    found = policies.of(ANA, "open")

    assert found.access is READ
    assert statement(found.role_policy, "WriteObjects") is None
    with pytest.raises(InvalidRequest, match="read-only"):
        policies.of(ANA, "open", WRITE)


def test_an_integration_by_access_keys_has_a_policy_for_their_user(policies, integrations):
    keys = AccessKeys("AKIAEXAMPLE", Secret("s"))
    integrations.create(
        ANA, NewIntegration("keys", "s3://lake", access_keys=keys, region="eu-central-1")
    )

    found = policies.of(ANA, "keys")

    assert (found.role_policy, found.trust_policy, found.principal_arn) == (None, None, None)
    assert statement(found.user_policy, "NarrowedSessions")["Action"] == ["sts:GetFederationToken"]


def test_a_public_bucket_needs_no_policy(policies, integrations):
    new = NewIntegration("open", "s3://open", region="eu-central-1", anonymous=True, read_only=True)
    integrations.create(ANA, new)

    with pytest.raises(InvalidRequest, match="nothing to attach"):
        policies.of(ANA, "open")


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-central-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-east-1", "aws-us-gov"),
        ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
    ],
)
def test_every_arn_is_of_the_regions_partition(policies, region, partition):
    key = f"arn:{partition}:kms:{region}:111122223333:key/1234abcd"
    found = policies.preview(ANA, PolicyRequest("s3://lake", kms_key_arn=key))

    arns = [arn for one in found.role_policy["Statement"] for arn in one["Resource"]]
    assert {arn.split(":")[1] for arn in arns} == {partition}
    foreign = [note for note in found.notes if "is not of the partition" in note]
    assert len(foreign) == (partition != "aws")


def test_notes_say_who_pays_and_what_else_guards_the_key(policies):
    found = policies.preview(ANA, replace(LAKE, requester_pays=True, kms_key_arn=KEY), READ)

    assert [note.split(":")[0].split(" must")[0] for note in found.notes] == [
        "Requester pays",
        "The policy of the KMS key",
    ]
    assert (
        found.role_policy == policies.preview(ANA, replace(LAKE, kms_key_arn=KEY), READ).role_policy
    )


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"path": "s3://a.b/c"}, InvalidLocation),
        ({"path": "s3://lake/*"}, InvalidLocation),
        ({"region": "frankfurt"}, InvalidRequest),
        ({"kms_key_arn": "alias/lake"}, InvalidRequest),
        ({"kms_key_arn": KEY.replace("eu-central-1", "eu-west-1")}, InvalidRequest),
        ({"identity_name": "a'; rm -rf /; '"}, InvalidRequest),
        ({"identity_name": "x" * 65}, InvalidRequest),
        ({"endpoint": "https://s3.internal"}, InvalidRequest),
    ],
)
def test_what_could_not_become_an_integration_has_no_policies(policies, changes, error):
    with pytest.raises(error):
        policies.preview(ANA, replace(LAKE, **changes))


def test_only_admins_see_policies_and_each_their_own_external_id(policies):
    with pytest.raises(Forbidden):
        policies.preview(BEN, LAKE)
    assert policies.preview(ZOE, LAKE).external_id == "organisation-2"


class TokenServiceDouble:
    """Says what it is told to, and counts."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def __call__(self, region, endpoint):
        self.asked.append((region, endpoint))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def finding(integrations, clock):
    def build(*answers):
        double = TokenServiceDouble(*answers)
        return double, IntegrationPolicies(
            integrations,
            now_ms=clock,
            principal_arn=None,
            find_arn=double,
            outbound=PUBLIC,
            role_tag="graticuleOrgID",
        )

    return build


def test_a_server_that_was_not_told_its_principal_asks_and_remembers(finding):
    double, policies = finding("arn:aws:iam::1:role/graticule")

    for _ in range(3):
        found = policies.preview(ANA, LAKE)

    assert found.principal_arn == "arn:aws:iam::1:role/graticule"
    assert found.trust_policy["Statement"][0]["Principal"] == {"AWS": found.principal_arn}
    assert "GRATICULE_PRINCIPAL_ARN" in found.notes[0]
    assert double.asked == [("eu-central-1", None)]


@pytest.mark.parametrize("answer", [None, StorageUnavailable("no answer")])
def test_a_server_that_nobody_knows_says_what_to_set_and_asks_again_later(finding, clock, answer):
    double, policies = finding(answer, "arn:aws:iam::1:user/graticule")

    for _ in range(2):
        found = policies.preview(ANA, LAKE)
        assert (found.trust_policy, found.principal_arn) == (None, None)
        assert "GRATICULE_PRINCIPAL_ARN" in found.notes[0]
        for script in (terraform, aws_cli):
            with pytest.raises(WrongState, match="GRATICULE_PRINCIPAL_ARN"):
                script(found)
    clock.advance(s=31)

    assert policies.preview(ANA, LAKE).principal_arn == "arn:aws:iam::1:user/graticule"
    assert len(double.asked) == 2


@pytest.mark.parametrize(
    ("caller", "trusted"),
    [
        (
            "arn:aws:sts::123456789012:assumed-role/lake/i-0abc",
            "arn:aws:iam::123456789012:role/lake",
        ),
        (
            "arn:aws-cn:sts::123456789012:assumed-role/a.b_c/x@y",
            "arn:aws-cn:iam::123456789012:role/a.b_c",
        ),
        ("arn:aws:iam::123456789012:user/p/catalog", "arn:aws:iam::123456789012:user/p/catalog"),
    ],
)
def test_a_roles_session_is_trusted_as_the_role(caller, trusted):
    assert trusted_arn(caller) == trusted


REQUESTS = [
    LAKE,
    replace(LAKE, path="s3://lake"),
    replace(LAKE, kms_key_arn=KEY, requester_pays=True),
    replace(LAKE, uses_access_keys=True),
    replace(LAKE, region="cn-north-1"),
]


@pytest.mark.parametrize("access", [READ, WRITE])
@pytest.mark.parametrize("asked", REQUESTS)
def test_terraform_holds_the_very_documents_of_the_json(policies, asked, access):
    found = policies.preview(ANA, asked, access)

    parsed = hcl2.loads(terraform(found))

    resources = {
        kind.strip('"'): next(iter(named.values()))
        for resource in parsed["resource"]
        for kind, named in resource.items()
    }
    kind = "user" if asked.uses_access_keys else "role"
    identity, rights = resources[f"aws_iam_{kind}"], resources[f"aws_iam_{kind}_policy"]
    assert in_heredoc(rights["policy"]) == (found.user_policy or found.role_policy)
    assert identity["name"].strip('"') == found.identity_name
    assert {key.strip('"'): value.strip('"') for key, value in identity["tags"].items()} == {
        "graticuleOrgID": "organisation-1"
    }
    if kind == "role":
        assert in_heredoc(identity["assume_role_policy"]) == found.trust_policy


@pytest.mark.parametrize("asked", REQUESTS)
def test_commands_are_a_script_that_a_plain_shell_reads(policies, asked):
    script = aws_cli(policies.preview(ANA, asked))

    subprocess.run(["sh", "-n"], input=script, text=True, check=True)
    assert script.count("<<'JSON'") == (1 if asked.uses_access_keys else 2)


def test_a_role_with_a_path_is_made_where_its_arn_says(policies, integrations):
    arn = "arn:aws:iam::123456789012:role/data/team/lake"
    integrations.create(ANA, NewIntegration("deep", "s3://deep", arn, region="eu-central-1"))

    found = policies.of(ANA, "deep")

    assert "--role-name 'lake' --path '/data/team/'" in aws_cli(found)
    assert 'path = "/data/team/"' in terraform(found)


def test_a_role_whose_path_a_shell_would_read_gets_no_script(policies, integrations):
    arn = "arn:aws:iam::123456789012:role/$(id)/lake"
    integrations.create(ANA, NewIntegration("odd", "s3://odd", arn, region="eu-central-1"))

    for script in (terraform, aws_cli):
        with pytest.raises(InvalidRequest, match="use the JSON"):
            script(policies.of(ANA, "odd"))


def in_heredoc(text):
    """The document in a here-document as the parser gives it."""
    lines = text.strip('"').splitlines()
    assert (lines[0], lines[-1]) == ("<<JSON", "JSON")
    return json.loads("\n".join(lines[1:-1]).replace("$${", "${").replace("%%{", "%{"))
