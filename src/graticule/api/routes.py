"""The whole URL table: method, path, handler, and the permission each needs.

Each management noun has its own lines beside its handlers, in `ROUTES`; all of them are described
in openapi/management.yaml, which a test holds against this table.

`action` None means served to anybody.  Everything else is authenticated, and refused before its
handler runs when the principal's role or scopes do not include the action.
"""

from collections.abc import Sequence
from typing import Final

from graticule.access.policy import Action
from graticule.api import health, monitoring
from graticule.api.endpoint import Handler, Line, Route, RouteTable
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
    conversions,
    devices,
    discovery,
    engine_texts,
    explain,
    files,
    grants,
    index_statuses,
    integrations,
    jobs,
    keys,
    layouts,
    me,
    members,
    metrics,
    objects,
    policies,
    predicates,
    roles,
    scan_work,
    sessions,
    sync_settings,
    syncs,
    table_sync_settings,
    verifications,
    webhooks,
)
from graticule.api.management import functions as managed_functions
from graticule.api.pages import device, issuer_sign_in, link, sign_in

READ: Final = Action.READ_CATALOG
WRITE: Final = Action.WRITE_CATALOG

ICEBERG_ROOT: Final = "/catalog"
MANAGEMENT_ROOT: Final = "/api/v1"

_NAMESPACES: Final = "/v1/{prefix}/namespaces"
_NAMESPACE: Final = f"{_NAMESPACES}/{{namespace}}"
_TABLES: Final = f"{_NAMESPACE}/tables"
_TABLE: Final = f"{_TABLES}/{{table}}"
_VIEWS: Final = f"{_NAMESPACE}/views"
_VIEW: Final = f"{_VIEWS}/{{view}}"
_FUNCTIONS: Final = f"{_NAMESPACE}/functions"

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

MANAGEMENT: Final[Sequence[Line]] = tuple(
    line
    for noun in (
        me,
        sessions,
        devices,
        members,
        keys,
        audit,
        webhooks,
        roles,
        grants,
        explain,
        policies,
        integrations,
        objects,
        verifications,
        catalogs,
        engine_texts,
        discovery,
        scan_work,
        syncs,
        sync_settings,
        table_sync_settings,
        conversions,
        jobs,
        managed_functions,
        files,
        layouts,
        index_statuses,
        predicates,
        metrics,
    )
    for line in noun.ROUTES
)

PAGES: Final[Sequence[Line]] = (
    ("GET", "/auth/login", sign_in.show_sign_in, None),
    ("POST", "/auth/login", sign_in.sign_in, None),
    ("GET", "/auth/login/{issuer}", issuer_sign_in.start, None),
    ("GET", "/auth/callback", issuer_sign_in.finish, None),
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
        syncs.undo_sync,
        files.list_files,
        files.search_files,
        layouts.show_footprints,
        layouts.show_layout,
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
        _route("GET", "/metrics", monitoring.show_metrics, None, Surface.MANAGEMENT),
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
