"""A small evaluator of IAM policies: enough to say what a session policy of ours allows.

Knows Allow statements, `*` in actions and resources, and `StringLike` on `s3:prefix`.  Anything
else in a document is an error, so that a new kind of statement cannot pass by being ignored.
"""

from collections.abc import Mapping
from typing import Any

STATEMENT_KEYS = {"Sid", "Effect", "Action", "Resource", "Condition"}


def allows(
    policy: Mapping[str, Any], action: str, resource: str, *, prefix: str | None = None
) -> bool:
    """True if one statement allows `action` on the ARN `resource`; `prefix` is a listing's."""
    return any(
        _matches_any(statement["Action"], action)
        and _matches_any(statement["Resource"], resource)
        and _condition_holds(statement.get("Condition", {}), prefix)
        for statement in _statements(policy)
    )


def may_get(policy: Mapping[str, Any], bucket: str, key: str) -> bool:
    return allows(policy, "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}")


def may_put(policy: Mapping[str, Any], bucket: str, key: str) -> bool:
    return allows(policy, "s3:PutObject", f"arn:aws:s3:::{bucket}/{key}")


def may_list(policy: Mapping[str, Any], bucket: str, prefix: str | None) -> bool:
    return allows(policy, "s3:ListBucket", f"arn:aws:s3:::{bucket}", prefix=prefix)


def like(pattern: str, text: str) -> bool:
    """IAM's `StringLike`: `*` is any text, also none; `?` is one character."""
    reached = {0}
    for character in pattern:
        if character == "*":
            reached = set(range(min(reached), len(text) + 1)) if reached else set()
        else:
            reached = {at + 1 for at in reached if at < len(text) and character in {"?", text[at]}}
    return len(text) in reached


def _statements(policy: Mapping[str, Any]) -> list[dict[str, Any]]:
    assert set(policy) == {"Version", "Statement"}
    for statement in policy["Statement"]:
        assert set(statement) <= STATEMENT_KEYS, f"not understood: {statement}"
        assert statement["Effect"] == "Allow", f"not understood: {statement}"
    return list(policy["Statement"])


def _condition_holds(condition: Mapping[str, Any], prefix: str | None) -> bool:
    assert condition.keys() <= {"StringLike"}, f"not understood: {condition}"
    wanted = condition.get("StringLike")
    if wanted is None:
        return True
    assert wanted.keys() == {"s3:prefix"}, f"not understood: {condition}"
    return prefix is not None and _matches_any(wanted["s3:prefix"], prefix)


def _matches_any(patterns: str | list[str], text: str) -> bool:
    listed = [patterns] if isinstance(patterns, str) else patterns
    return any(like(pattern, text) for pattern in listed)
