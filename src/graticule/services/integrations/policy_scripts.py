"""Policies as something to run: Terraform, or commands for the AWS command line.  Pure.

Both make the role or the user with exactly the documents that the JSON shows.  Nothing a user wrote
is ever read as code: it stands in quoted here-documents, or is of characters that need no quoting.
"""

import json
import re
from typing import Any, Final

from graticule.domain.errors import InvalidRequest, WrongState
from graticule.services.integrations.integration_policies import Policies

Json = dict[str, Any]

POLICY_NAME: Final = "Graticule"
_SAFE: Final = re.compile(r"[\w+=,.@:/-]+", re.ASCII)
_NOT_IN_LABEL: Final = re.compile(r"[^A-Za-z0-9_]+")


def terraform(policies: Policies) -> str:
    """A file of resources.

    Raises:
        WrongState: the trust policy cannot be written yet.
    """
    label = _NOT_IN_LABEL.sub("_", policies.identity_name).strip("_").lower() or "graticule"
    label = label if label.startswith("graticule") else f"graticule_{label}"
    if policies.user_policy is not None:
        return _TERRAFORM_USER.format(
            label=label, rights=_heredoc(policies.user_policy), **_words(policies)
        )
    return _TERRAFORM_ROLE.format(
        label=label,
        trust=_heredoc(_trust(policies)),
        rights=_heredoc(_role_policy(policies)),
        **_words(policies),
    )


def aws_cli(policies: Policies) -> str:
    """Commands for a POSIX shell; they may be run again, and then bring things up to date.

    Raises:
        WrongState: the trust policy cannot be written yet.
    """
    if policies.user_policy is not None:
        return _CLI_USER.format(rights=_pretty(policies.user_policy), **_words(policies))
    return _CLI_ROLE.format(
        trust=_pretty(_trust(policies)),
        rights=_pretty(_role_policy(policies)),
        **_words(policies),
    )


def _words(policies: Policies) -> dict[str, str]:
    words = {
        "name": policies.identity_name,
        "path": policies.identity_path,
        "policy": POLICY_NAME,
        "tag_key": policies.role_tag[0],
        "tag_value": policies.role_tag[1],
    }
    for word in words.values():
        if not _SAFE.fullmatch(word):
            raise InvalidRequest(f"`{word}` has characters that a script cannot hold; use the JSON")
    return words


def _trust(policies: Policies) -> Json:
    if policies.trust_policy is None:
        raise WrongState(next(iter(policies.notes), "the server does not know its own principal"))
    return policies.trust_policy


def _role_policy(policies: Policies) -> Json:
    assert policies.role_policy is not None  # noqa: S101 - a role's policies have one
    return policies.role_policy


def _pretty(document: Json) -> str:
    return json.dumps(document, indent=2)


def _heredoc(document: Json) -> str:
    """Terraform reads templates inside here-documents; there are none in a policy of ours."""
    return _pretty(document).replace("${", "$${").replace("%{", "%%{")


_TERRAFORM_ROLE: Final = """\
resource "aws_iam_role" "{label}" {{
  name = "{name}"
  path = "{path}"

  assume_role_policy = <<JSON
{trust}
JSON

  tags = {{
    "{tag_key}" = "{tag_value}"
  }}
}}

resource "aws_iam_role_policy" "{label}" {{
  name = "{policy}"
  role = aws_iam_role.{label}.name

  policy = <<JSON
{rights}
JSON
}}

output "{label}_role_arn" {{
  value = aws_iam_role.{label}.arn
}}
"""

_TERRAFORM_USER: Final = """\
resource "aws_iam_user" "{label}" {{
  name = "{name}"
  path = "{path}"

  tags = {{
    "{tag_key}" = "{tag_value}"
  }}
}}

resource "aws_iam_user_policy" "{label}" {{
  name = "{policy}"
  user = aws_iam_user.{label}.name

  policy = <<JSON
{rights}
JSON
}}
"""

_CLI_ROLE: Final = """\
(
  set -eu
  trust=$(cat <<'JSON'
{trust}
JSON
  )
  rights=$(cat <<'JSON'
{rights}
JSON
  )
  if aws iam get-role --role-name '{name}' >/dev/null 2>&1; then
    aws iam update-assume-role-policy --role-name '{name}' --policy-document "$trust"
    aws iam tag-role --role-name '{name}' --tags 'Key={tag_key},Value={tag_value}'
  else
    aws iam create-role --role-name '{name}' --path '{path}' \\
      --assume-role-policy-document "$trust" \\
      --tags 'Key={tag_key},Value={tag_value}' >/dev/null
  fi
  aws iam put-role-policy --role-name '{name}' --policy-name '{policy}' \\
    --policy-document "$rights"
  aws iam get-role --role-name '{name}' --query Role.Arn --output text
)
"""

_CLI_USER: Final = """\
(
  set -eu
  rights=$(cat <<'JSON'
{rights}
JSON
  )
  if aws iam get-user --user-name '{name}' >/dev/null 2>&1; then
    aws iam tag-user --user-name '{name}' --tags 'Key={tag_key},Value={tag_value}'
  else
    aws iam create-user --user-name '{name}' --path '{path}' \\
      --tags 'Key={tag_key},Value={tag_value}' >/dev/null
  fi
  aws iam put-user-policy --user-name '{name}' --policy-name '{policy}' \\
    --policy-document "$rights"
  # Then, once, and keep what it prints:
  #   aws iam create-access-key --user-name '{name}'
)
"""
