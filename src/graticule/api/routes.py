"""The whole URL table: method, path, handler, and the permission each needs.

`action` None means served to anybody.  Everything else is authenticated, and refused before its
handler runs when the principal's role or scopes do not include the action.
"""

from collections.abc import Sequence
from typing import Final

from graticule.access.policy import Action
from graticule.api import health
from graticule.api.endpoint import Handler, Route, RouteTable
from graticule.api.errors import Surface
from graticule.api.iceberg import (
    config,
    functions,
    namespaces,
    scans,
    signing,
    tables,
    tokens,
    views,
)
from graticule.api.idempotency import once
from graticule.api.management import (
    audit,
    catalogs,
    devices,
    discovery,
    explain,
    files,
    grants,
    integrations,
    keys,
    me,
    members,
    metrics,
    objects,
    policies,
    roles,
    sessions,
    verifications,
    webhooks,
)
from graticule.api.management import functions as managed_functions
from graticule.api.pages import device, link, sign_in

READ: Final = Action.READ_CATALOG
WRITE: Final = Action.WRITE_CATALOG
USE: Final = Action.USE_INTEGRATIONS
BROWSE: Final = Action.BROWSE_STORAGE
CREATE_INTEGRATIONS: Final = Action.CREATE_INTEGRATIONS
MANAGE_INTEGRATIONS: Final = Action.MANAGE_INTEGRATIONS
MANAGE_CATALOGS: Final = Action.MANAGE_CATALOGS
LIST_CATALOGS: Final = Action.LIST_CATALOGS
SCAN: Final = Action.SCAN_CATALOG
OWN_ACCOUNT: Final = Action.MANAGE_OWN_ACCOUNT
MEMBERS: Final = Action.MANAGE_MEMBERS
AUDIT: Final = Action.READ_AUDIT
WEBHOOKS: Final = Action.MANAGE_WEBHOOKS
ROLES: Final = Action.MANAGE_ROLES
GRANTS: Final = Action.MANAGE_GRANTS

ICEBERG_ROOT: Final = "/catalog"
MANAGEMENT_ROOT: Final = "/api/v1"

_NAMESPACES: Final = "/v1/{prefix}/namespaces"
_NAMESPACE: Final = f"{_NAMESPACES}/{{namespace}}"
_TABLES: Final = f"{_NAMESPACE}/tables"
_TABLE: Final = f"{_TABLES}/{{table}}"
_VIEWS: Final = f"{_NAMESPACE}/views"
_VIEW: Final = f"{_VIEWS}/{{view}}"
_FUNCTIONS: Final = f"{_NAMESPACE}/functions"
_MANAGED_FUNCTIONS: Final = "/catalogs/{catalog}/namespaces/{namespace}/functions"

Line = tuple[str, str, Handler, Action | None]

ICEBERG: Final[Sequence[Line]] = (
    ("GET", _NAMESPACES, namespaces.list_namespaces, READ),
    ("POST", _NAMESPACES, namespaces.create_namespace, WRITE),
    ("GET", _NAMESPACE, namespaces.load_namespace, READ),
    ("HEAD", _NAMESPACE, namespaces.namespace_exists, READ),
    ("DELETE", _NAMESPACE, namespaces.drop_namespace, WRITE),
    ("POST", f"{_NAMESPACE}/properties", namespaces.update_properties, WRITE),
    ("GET", _TABLES, tables.list_tables, READ),
    ("POST", _TABLES, tables.create_table, WRITE),
    ("GET", _TABLE, tables.load_table, READ),
    ("HEAD", _TABLE, tables.table_exists, READ),
    ("POST", _TABLE, tables.commit_table, WRITE),
    ("DELETE", _TABLE, tables.drop_table, WRITE),
    ("POST", f"{_NAMESPACE}/register", tables.register_table, WRITE),
    ("POST", f"{_TABLE}/unregister", tables.unregister_table, WRITE),
    ("GET", f"{_TABLE}/credentials", tables.load_credentials, READ),
    ("POST", f"{_TABLE}/sign", signing.sign_request, READ),
    ("POST", f"{_TABLE}/metrics", tables.report_metrics, READ),
    ("POST", f"{_TABLE}/plan", scans.plan_table_scan, READ),
    ("GET", f"{_TABLE}/plan/{{plan-id}}", scans.fetch_planning_result, READ),
    ("DELETE", f"{_TABLE}/plan/{{plan-id}}", scans.cancel_planning, READ),
    ("POST", f"{_TABLE}/tasks", scans.fetch_scan_tasks, READ),
    ("POST", "/v1/{prefix}/tables/rename", tables.rename_table, WRITE),
    ("POST", "/v1/{prefix}/transactions/commit", tables.commit_transaction, WRITE),
    ("GET", _VIEWS, views.list_views, READ),
    ("POST", _VIEWS, views.create_view, WRITE),
    ("GET", _VIEW, views.load_view, READ),
    ("HEAD", _VIEW, views.view_exists, READ),
    ("POST", _VIEW, views.replace_view, WRITE),
    ("DELETE", _VIEW, views.drop_view, WRITE),
    ("POST", f"{_NAMESPACE}/register-view", views.register_view, WRITE),
    ("POST", "/v1/{prefix}/views/rename", views.rename_view, WRITE),
    ("GET", _FUNCTIONS, functions.list_functions, READ),
    ("GET", f"{_FUNCTIONS}/{{function}}", functions.load_function, READ),
)
"""The operations a client can be told of: their templates are the specification's, verbatim."""

MANAGEMENT: Final[Sequence[Line]] = (
    ("GET", "/me", me.show_me, LIST_CATALOGS),
    ("POST", "/me/password", me.change_password, OWN_ACCOUNT),
    ("POST", "/session", sessions.sign_in, None),
    ("DELETE", "/session", sessions.sign_out, OWN_ACCOUNT),
    ("GET", "/sessions", sessions.list_sessions, OWN_ACCOUNT),
    ("DELETE", "/sessions/{session}", sessions.end_session, OWN_ACCOUNT),
    ("POST", "/device", devices.start_device, None),
    ("GET", "/device/{code}", devices.show_device, OWN_ACCOUNT),
    ("POST", "/device/{code}", devices.decide_device, OWN_ACCOUNT),
    ("GET", "/organisation", me.show_organisation, LIST_CATALOGS),
    ("GET", "/members", members.list_members, MEMBERS),
    ("POST", "/members", members.create_member, MEMBERS),
    ("GET", "/members/{member}", members.show_member, MEMBERS),
    ("PATCH", "/members/{member}", members.update_member, MEMBERS),
    ("DELETE", "/members/{member}", members.delete_member, MEMBERS),
    ("POST", "/members/{member}/password-link", members.create_password_link, MEMBERS),
    ("GET", "/keys", keys.list_keys, OWN_ACCOUNT),
    ("POST", "/keys", keys.create_key, OWN_ACCOUNT),
    ("DELETE", "/keys/{key}", keys.revoke_key, OWN_ACCOUNT),
    ("GET", "/audit", audit.list_events, AUDIT),
    ("GET", "/audit/export", audit.export_events, AUDIT),
    ("GET", "/webhooks", webhooks.list_webhooks, WEBHOOKS),
    ("POST", "/webhooks", webhooks.create_webhook, WEBHOOKS),
    ("GET", "/webhooks/{webhook}", webhooks.show_webhook, WEBHOOKS),
    ("PATCH", "/webhooks/{webhook}", webhooks.update_webhook, WEBHOOKS),
    ("DELETE", "/webhooks/{webhook}", webhooks.delete_webhook, WEBHOOKS),
    ("GET", "/webhooks/{webhook}/deliveries", webhooks.list_deliveries, WEBHOOKS),
    (
        "POST",
        "/webhooks/{webhook}/deliveries/{delivery}/redeliver",
        webhooks.redeliver,
        WEBHOOKS,
    ),
    ("GET", "/roles", roles.list_roles, LIST_CATALOGS),
    ("POST", "/roles", roles.create_role, ROLES),
    ("GET", "/roles/{role}", roles.show_role, LIST_CATALOGS),
    ("PUT", "/roles/{role}", roles.rename_role, ROLES),
    ("DELETE", "/roles/{role}", roles.delete_role, ROLES),
    ("GET", "/roles/{role}/members", roles.list_role_members, ROLES),
    ("PUT", "/roles/{role}/members/{member}", roles.add_role_member, ROLES),
    ("DELETE", "/roles/{role}/members/{member}", roles.remove_role_member, ROLES),
    ("GET", "/grants", grants.list_grants, GRANTS),
    ("POST", "/grants", grants.create_grant, GRANTS),
    ("GET", "/grants/{grant}", grants.show_grant, GRANTS),
    ("DELETE", "/grants/{grant}", grants.revoke_grant, GRANTS),
    ("GET", "/access", grants.list_access, GRANTS),
    ("GET", "/explain", explain.explain, LIST_CATALOGS),
    ("GET", "/policies", policies.preview_policies, CREATE_INTEGRATIONS),
    ("GET", "/integrations", integrations.list_integrations, USE),
    ("POST", "/integrations", integrations.create_integration, CREATE_INTEGRATIONS),
    ("GET", "/integrations/{integration}", integrations.show_integration, USE),
    ("DELETE", "/integrations/{integration}", integrations.delete_integration, MANAGE_INTEGRATIONS),
    ("PATCH", "/integrations/{integration}", integrations.update_integration, MANAGE_INTEGRATIONS),
    (
        "POST",
        "/integrations/{integration}/rotate",
        integrations.rotate_keys,
        MANAGE_INTEGRATIONS,
    ),
    ("GET", "/integrations/{integration}/objects", objects.list_objects, BROWSE),
    ("GET", "/integrations/{integration}/objects/content", objects.download_object, BROWSE),
    ("POST", "/integrations/{integration}/objects/link", objects.create_link, BROWSE),
    ("POST", "/integrations/verify", verifications.verify_draft, CREATE_INTEGRATIONS),
    (
        "POST",
        "/integrations/{integration}/verify",
        verifications.verify_integration,
        MANAGE_INTEGRATIONS,
    ),
    (
        "GET",
        "/integrations/{integration}/verifications",
        verifications.list_verifications,
        USE,
    ),
    (
        "GET",
        "/integrations/{integration}/verifications/{verification}",
        verifications.show_verification,
        USE,
    ),
    (
        "GET",
        "/integrations/{integration}/policies",
        policies.show_policies,
        MANAGE_INTEGRATIONS,
    ),
    ("GET", "/catalogs", catalogs.list_catalogs, LIST_CATALOGS),
    ("POST", "/catalogs", catalogs.create_catalog, MANAGE_CATALOGS),
    ("GET", "/catalogs/{catalog}", catalogs.show_catalog, LIST_CATALOGS),
    ("DELETE", "/catalogs/{catalog}", catalogs.delete_catalog, MANAGE_CATALOGS),
    ("GET", "/catalogs/{catalog}/scans", discovery.list_scans, SCAN),
    ("POST", "/catalogs/{catalog}/scans", discovery.start_scan, SCAN),
    ("GET", "/catalogs/{catalog}/scans/{scan}", discovery.show_scan, SCAN),
    ("POST", "/catalogs/{catalog}/scans/{scan}/register", discovery.register_proposals, SCAN),
    ("GET", _MANAGED_FUNCTIONS, managed_functions.list_functions, READ),
    ("POST", _MANAGED_FUNCTIONS, managed_functions.create_function, WRITE),
    ("GET", f"{_MANAGED_FUNCTIONS}/{{function}}", managed_functions.show_function, READ),
    ("PUT", f"{_MANAGED_FUNCTIONS}/{{function}}", managed_functions.replace_function, WRITE),
    ("DELETE", f"{_MANAGED_FUNCTIONS}/{{function}}", managed_functions.drop_function, WRITE),
    (
        "GET",
        "/catalogs/{catalog}/namespaces/{namespace}/tables/{table}/files",
        files.list_files,
        READ,
    ),
    (
        "GET",
        "/catalogs/{catalog}/namespaces/{namespace}/tables/{table}/metrics",
        metrics.list_reports,
        READ,
    ),
)

PAGES: Final[Sequence[Line]] = (
    ("GET", "/auth/login", sign_in.show_sign_in, None),
    ("POST", "/auth/login", sign_in.sign_in, None),
    ("GET", "/auth/link/{token}", link.show_link, None),
    ("POST", "/auth/link/{token}", link.use_link, None),
    ("GET", "/auth/device", device.show_device, None),
    ("POST", "/auth/device", device.decide_device, None),
)
"""Pages for people; who they are is in their browser's cookie, if anywhere."""

_HEAVY: Final = frozenset(
    {
        scans.plan_table_scan,
        scans.fetch_scan_tasks,
        integrations.rotate_keys,
        discovery.register_proposals,
        files.list_files,
    }
)

_PROMPT: Final = frozenset({health.health, tables.load_table, tables.table_exists})


def advertised_endpoints() -> list[str]:
    """`GET /v1/config` lists exactly what is served: clients refuse to call anything else."""
    return [f"{method} {template}" for method, template, _, _ in ICEBERG]


def route_table() -> RouteTable:
    routes = [
        _route("GET", "/health", health.health, None, Surface.MANAGEMENT),
        _route("GET", "/ready", health.ready, None, Surface.MANAGEMENT),
        _route("GET", "/", health.welcome, None, Surface.MANAGEMENT),
        Route(
            "POST",
            f"{ICEBERG_ROOT}/v1/oauth/tokens",
            tokens.create_token,
            None,
            Surface.OAUTH,
        ),
        Route(
            "POST",
            f"{ICEBERG_ROOT}/v1/aws/s3/sign",
            signing.sign_without_table,
            READ,
            Surface.ICEBERG,
        ),
        Route(
            "GET",
            f"{ICEBERG_ROOT}/v1/config",
            config.config_handler(advertised_endpoints),
            Action.LIST_CATALOGS,
            Surface.ICEBERG,
        ),
    ]
    for method, template, handler, action in ICEBERG:
        # A client whose configuration lost the prefix means the only catalog there is.
        routes += [
            _route(method, ICEBERG_ROOT + path, handler, action, Surface.ICEBERG)
            for path in (template, template.replace("/{prefix}", "", 1))
        ]
    routes.append(
        _route("POST", f"{MANAGEMENT_ROOT}/device/token", devices.poll_device, None, Surface.OAUTH)
    )
    routes += [_route(*line, Surface.MANAGEMENT) for line in PAGES]
    for method, template, handler, action in MANAGEMENT:
        routes.append(
            _route(method, MANAGEMENT_ROOT + template, handler, action, Surface.MANAGEMENT)
        )
    return RouteTable(routes)


def _route(
    method: str, template: str, handler: Handler, action: Action | None, surface: Surface
) -> Route:
    is_heavy, is_prompt = handler in _HEAVY, handler in _PROMPT
    if surface is Surface.ICEBERG and action is WRITE:
        handler = once(handler)  # every change may come with an Idempotency-Key
    return Route(method, template, handler, action, surface, is_heavy=is_heavy, is_prompt=is_prompt)
