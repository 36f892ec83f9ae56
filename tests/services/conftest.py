"""The fixtures of `support.tenants` and `support.accounts`, for this room only."""

from support.accounts import accounts, admin, first_key
from support.oidc import provider
from support.tenants import (
    catalogs,
    clock,
    integrations,
    invalidated,
    lake,
    policies,
    runs,
    tenants,
    updates,
    verifications,
    verifier,
)

__all__ = [
    "accounts",
    "admin",
    "catalogs",
    "clock",
    "first_key",
    "integrations",
    "invalidated",
    "lake",
    "policies",
    "provider",
    "runs",
    "tenants",
    "updates",
    "verifications",
    "verifier",
]
