"""What admins paste, pasted: into an IAM that enforces it, from the JSON and by the real commands.

The double obeys principals, external ids, actions, resources and `s3:prefix`.  It knows no KMS
(`kms:ViaService`), bills nobody (requester pays), and has only the partition `aws`; conditions on
tags of roles (`aws:ResourceTag`) it refuses for everyone.  What is generated for those is compared
word by word in `test_iam_policy` and `test_integration_policies`, and proven nowhere here.
"""

import json
import os
import subprocess
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from graticule.domain.catalog import AccessKeys, AccessLevel
from graticule.domain.errors import StorageRefused
from graticule.domain.secret import Secret
from graticule.outbound.gate import ANYWHERE
from graticule.services.integrations.integration_policies import (
    IntegrationPolicies,
    Policies,
    PolicyRequest,
)
from graticule.services.integrations.policy_scripts import aws_cli
from graticule.storage.iam_policy import LocationGrant, session_policy
from graticule.storage.identity import ServerIdentity
from graticule.storage.sts import TokenService, session_name
from support.engines import require
from support.principals import ANA

pytestmark = pytest.mark.iam

ROOT = Path(__file__).resolve().parents[2]
AWS = ROOT / ".venv-aws" / "bin" / "aws"
READ, WRITE = AccessLevel.READ, AccessLevel.WRITE
EXTERNAL_ID = ANA.organisation_id
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"


@dataclass(frozen=True)
class Pasted:
    """A role or user made of generated text, and the folder that it is for."""

    engine: Any
    policies: Policies
    folder: str
    role_arn: str | None
    keys: AccessKeys | None = None

    def assume(self, external_id: str | None, *, keys: AccessKeys | None = None) -> Any:
        service = TokenService(
            keys or self.engine.catalog_keys,
            region=self.engine.region,
            endpoint=self.engine.endpoint,
            outbound=ANYWHERE,
        )
        return service.assume_role(
            self.role_arn,
            session_name=session_name("test", "pasted"),
            external_id=external_id,
            policy=None,
            duration_s=900,
        )

    def s3(self) -> Any:
        """A client with all that the role or user may do."""
        if self.keys is not None:
            return client_of(self.engine, self.keys)
        session = self.assume(EXTERNAL_ID)
        return client_of(self.engine, session, token=session.session_token.reveal())


def client_of(engine, keys, *, token=None):
    return boto3.client(
        "s3",
        endpoint_url=engine.endpoint,
        region_name=engine.region,
        aws_access_key_id=keys.access_key_id,
        aws_secret_access_key=keys.secret_access_key.reveal(),
        aws_session_token=token,
    )


def policies_for(engine, request, access):
    """As the API makes them; the principal is what the token service says it is."""
    identity = ServerIdentity(engine.catalog_keys, outbound=ANYWHERE)
    policies = IntegrationPolicies(
        None,
        now_ms=lambda: 0,
        principal_arn=None,
        find_arn=identity.arn,
        outbound=ANYWHERE,
        role_tag="graticuleOrgID",
    )
    return policies.preview(ANA, request, access)


def request_for(engine, folder, **changes):
    path = f"s3://lake/{folder}".rstrip("/")
    name = f"pasted-{uuid.uuid4().hex[:12]}"
    return PolicyRequest(path, engine.region, engine.endpoint, identity_name=name, **changes)


def paste(engine, policies):
    """By hand, from the JSON."""
    iam = engine.client("iam")
    name, (tag, value) = policies.identity_name, policies.role_tag
    if policies.user_policy is not None:
        iam.create_user(UserName=name, Tags=[{"Key": tag, "Value": value}])
        iam.put_user_policy(
            UserName=name, PolicyName="Graticule", PolicyDocument=json.dumps(policies.user_policy)
        )
        return
    iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps(policies.trust_policy),
        Tags=[{"Key": tag, "Value": value}],
    )
    iam.put_role_policy(
        RoleName=name, PolicyName="Graticule", PolicyDocument=json.dumps(policies.role_policy)
    )


def run(engine, policies):
    """By the commands, in a plain shell, with the AWS command line itself."""
    require(AWS.is_file(), "needs the AWS command line; get it with `make .venv-aws/.ready`")
    environment = {
        "PATH": f"{AWS.parent}:{os.environ['PATH']}",
        "HOME": "/nonexistent",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_ENDPOINT_URL": engine.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": engine.region,
    }
    return subprocess.run(
        ["sh"],
        input=aws_cli(policies),
        env=environment,
        text=True,
        check=True,
        capture_output=True,
    ).stdout.strip()


CASES = {
    "write": (WRITE, {}, paste),
    "read": (READ, {}, paste),
    "write-kms": (WRITE, {"kms_key_arn": KEY}, paste),
    "read-requester-pays": (READ, {"requester_pays": True}, paste),
    "write-by-commands": (WRITE, {}, run),
    "read-kms-by-commands": (READ, {"kms_key_arn": KEY}, run),
    "user-write": (WRITE, {"uses_access_keys": True}, paste),
    "user-read-by-commands": (READ, {"uses_access_keys": True}, run),
}


USERS = [case for case, (_, changes, _) in CASES.items() if "uses_access_keys" in changes]
ROLES = [case for case in CASES if case not in USERS]


@pytest.fixture(scope="module")
def pasting(ministack):
    """Pastes each case once."""
    return cache(lambda case: paste_case(ministack, case))


@pytest.fixture(params=CASES)
def pasted(request, pasting):
    return pasting(request.param)


@pytest.fixture(params=ROLES)
def role(request, pasting):
    return pasting(request.param)


@pytest.fixture(params=USERS)
def user(request, pasting):
    return pasting(request.param)


def paste_case(engine, case):
    access, changes, make = CASES[case]
    folder = f"pasted/{uuid.uuid4()}"
    policies = policies_for(engine, request_for(engine, folder, **changes), access)
    make(engine, policies)
    root = engine.client("s3")
    for key in ("inside", "sub/deeper"):
        root.put_object(Bucket="lake", Key=f"{folder}/{key}", Body=b"ours")
    for key in (f"{folder}2/sibling", f"{folder}.txt", "pasted/parent"):
        root.put_object(Bucket="lake", Key=key, Body=b"theirs")
    root.put_object(Bucket="elsewhere", Key=f"{folder}/inside", Body=b"theirs")
    iam, name = engine.client("iam"), policies.identity_name
    if policies.user_policy is not None:
        key = iam.create_access_key(UserName=name)["AccessKey"]
        keys = AccessKeys(key["AccessKeyId"], Secret(key["SecretAccessKey"]))
        return Pasted(engine, policies, folder, None, keys)
    return Pasted(engine, policies, folder, iam.get_role(RoleName=name)["Role"]["Arn"])


def is_allowed(attempt):
    try:
        attempt()
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 403:
            return False
        raise
    return True


def test_the_principal_is_found_and_the_tag_is_on(pasted):
    iam, name = pasted.engine.client("iam"), pasted.policies.identity_name
    if pasted.role_arn is None:
        tags = iam.list_user_tags(UserName=name)["Tags"]
    else:
        tags = iam.list_role_tags(RoleName=name)["Tags"]
        assert pasted.policies.principal_arn == pasted.engine.catalog_arn

    assert tags == [{"Key": "graticuleOrgID", "Value": EXTERNAL_ID}]


@pytest.mark.parametrize("external_id", [None, "wrong", EXTERNAL_ID.upper(), f"{EXTERNAL_ID}x"])
def test_without_the_right_external_id_the_role_is_closed(role, external_id):
    with pytest.raises(StorageRefused, match="AccessDenied"):
        role.assume(external_id)


def test_with_it_the_role_is_open_to_the_server_alone(role):
    assert role.assume(EXTERNAL_ID).session_token.reveal()
    with pytest.raises(StorageRefused, match="AccessDenied"):
        role.assume(EXTERNAL_ID, keys=role.engine.stranger_keys)


def test_the_folder_can_be_read_and_listed_and_nothing_beside_it(pasted):
    s3, folder = pasted.s3(), pasted.folder

    def get(bucket, key):
        return is_allowed(lambda: s3.get_object(Bucket=bucket, Key=key))

    def list_under(bucket, **prefix):
        return is_allowed(lambda: s3.list_objects_v2(Bucket=bucket, **prefix))

    assert {
        "inside": get("lake", f"{folder}/inside"),
        "deeper": get("lake", f"{folder}/sub/deeper"),
        "sibling": get("lake", f"{folder}2/sibling"),
        "same beginning": get("lake", f"{folder}.txt"),
        "parent": get("lake", "pasted/parent"),
        "other bucket": get("elsewhere", f"{folder}/inside"),
        "list folder": list_under("lake", Prefix=f"{folder}/"),
        "list below": list_under("lake", Prefix=f"{folder}/sub/", Delimiter="/"),
        "list without a slash": list_under("lake", Prefix=folder),
        "list sibling": list_under("lake", Prefix=f"{folder}2/"),
        "list parent": list_under("lake", Prefix="pasted/"),
        "list bucket": list_under("lake"),
        "list other bucket": list_under("elsewhere", Prefix=f"{folder}/"),
    } == {
        "inside": True,
        "deeper": True,
        "sibling": False,
        "same beginning": False,
        "parent": False,
        "other bucket": False,
        "list folder": True,
        "list below": True,
        "list without a slash": False,
        "list sibling": False,
        "list parent": False,
        "list bucket": False,
        "list other bucket": False,
    }


def test_what_is_written_is_written_in_the_folder_and_only_where_writing_is_meant(pasted):
    s3, folder, writes = pasted.s3(), pasted.folder, pasted.policies.access is WRITE
    root = pasted.engine.client("s3")
    root.put_object(Bucket="lake", Key=f"{folder}/doomed", Body=b"")
    upload = root.create_multipart_upload(Bucket="lake", Key=f"{folder}/parts")["UploadId"]

    def put(bucket, key):
        return is_allowed(lambda: s3.put_object(Bucket=bucket, Key=key, Body=b"new"))

    def delete(bucket, key):
        return is_allowed(lambda: s3.delete_object(Bucket=bucket, Key=key))

    parts = {"Bucket": "lake", "Key": f"{folder}/parts", "UploadId": upload}
    assert {
        "put": put("lake", f"{folder}/new"),
        "delete": delete("lake", f"{folder}/doomed"),
        "upload a part": is_allowed(lambda: s3.upload_part(**parts, PartNumber=1, Body=b"x")),
        "list parts": is_allowed(lambda: s3.list_parts(**parts)),
        "abort": is_allowed(lambda: s3.abort_multipart_upload(**parts)),
        "put sibling": put("lake", f"{folder}2/new"),
        "put parent": put("lake", "pasted/new"),
        "put other bucket": put("elsewhere", f"{folder}/new"),
        "delete sibling": delete("lake", f"{folder}2/sibling"),
        "delete other bucket": delete("elsewhere", f"{folder}/inside"),
    } == {
        "put": writes,
        "delete": writes,
        "upload a part": writes,
        "list parts": writes,
        "abort": writes,
        "put sibling": False,
        "put parent": False,
        "put other bucket": False,
        "delete sibling": False,
        "delete other bucket": False,
    }


def test_of_the_bucket_itself_facts_can_be_asked_and_nothing_changed(pasted):
    s3 = pasted.s3()
    public = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::lake/*",
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [public]})

    assert is_allowed(lambda: s3.get_bucket_location(Bucket="lake"))
    assert is_allowed(lambda: s3.get_public_access_block(Bucket="lake"))
    assert is_allowed(lambda: s3.get_bucket_versioning(Bucket="lake"))
    assert is_allowed(lambda: s3.get_bucket_encryption(Bucket="lake"))
    assert not is_allowed(lambda: s3.get_bucket_location(Bucket="elsewhere"))
    assert not is_allowed(lambda: s3.list_multipart_uploads(Bucket="lake"))
    assert not is_allowed(lambda: s3.put_bucket_policy(Bucket="lake", Policy=document))
    assert not is_allowed(lambda: s3.delete_public_access_block(Bucket="lake"))
    assert not is_allowed(lambda: s3.delete_bucket(Bucket="lake"))


def test_a_user_can_give_out_less_than_it_has_and_never_more(user):
    service = TokenService(
        user.keys,
        region=user.engine.region,
        endpoint=user.engine.endpoint,
        outbound=ANYWHERE,
    )

    def session(location):
        granted = service.get_federation_token(
            name="test", policy=session_policy([LocationGrant(location, READ)]), duration_s=900
        )
        return client_of(user.engine, granted, token=granted.session_token.reveal())

    folder = user.folder
    narrowed, widened = session(f"s3://lake/{folder}/sub/"), session(f"s3://lake/{folder}2/")

    def get(s3, key):
        return is_allowed(lambda: s3.get_object(Bucket="lake", Key=key))

    assert get(narrowed, f"{folder}/sub/deeper")
    assert not get(narrowed, f"{folder}/inside")
    assert not get(widened, f"{folder}2/sibling")


def test_a_whole_bucket_is_that_bucket_and_no_other(ministack):
    policies = policies_for(ministack, request_for(ministack, ""), WRITE)
    paste(ministack, policies)
    arn = ministack.client("iam").get_role(RoleName=policies.identity_name)["Role"]["Arn"]
    s3 = Pasted(ministack, policies, "", arn).s3()

    assert is_allowed(lambda: s3.list_objects_v2(Bucket="lake"))
    assert is_allowed(lambda: s3.put_object(Bucket="lake", Key="pasted-whole", Body=b""))
    assert not is_allowed(lambda: s3.list_objects_v2(Bucket="elsewhere"))
    assert not is_allowed(lambda: s3.put_object(Bucket="elsewhere", Key="x", Body=b""))


def test_commands_that_run_again_bring_the_role_up_to_date(ministack):
    """As after a change of mode; what they print at the end is what `--role-arn` wants."""
    folder = f"pasted/{uuid.uuid4()}"
    request = request_for(ministack, folder)
    first = run(ministack, policies_for(ministack, request, WRITE))
    policies = policies_for(ministack, request, READ)

    again = run(ministack, policies)

    assert first == again
    assert again.endswith(f":role/{request.identity_name}")
    s3 = Pasted(ministack, policies, folder, again).s3()
    assert is_allowed(lambda: s3.list_objects_v2(Bucket="lake", Prefix=f"{folder}/"))
    assert not is_allowed(lambda: s3.put_object(Bucket="lake", Key=f"{folder}/x", Body=b""))
