"""The fixtures of `support.tenants`, for this room only."""

from support.tenants import catalogs, clock, integrations, invalidated, lake, tenants, verifier

__all__ = ["catalogs", "clock", "integrations", "invalidated", "lake", "tenants", "verifier"]
