"""HTTP connections to object stores, kept open between requests.

Why so guarded: endpoints come from users.  A redirect is an answer and never followed, and nothing
is tried again here.  Where a connection may lead, `outbound` says.
"""

import os
from typing import Any

import urllib3
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

from graticule.outbound.connections import pinned_pools
from graticule.outbound.gate import Outbound
from graticule.storage.clients import CONNECT_TIMEOUT_S, POOL_CONNECTIONS, READ_TIMEOUT_S


def connections_to(
    origin: str, *, read_timeout_s: float = READ_TIMEOUT_S, outbound: Outbound | None
) -> urllib3.HTTPConnectionPool:
    """Connections to `scheme://host[:port]`, which lead where `outbound` permits.

    None is for AWS itself, which is reached as the operator's network has it: perhaps by the
    environment's proxy, or at a private address.
    """
    options: dict[str, Any] = {
        "maxsize": POOL_CONNECTIONS,  # kept open; more are made when needed, and closed after use
        "timeout": urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=read_timeout_s),
        "retries": False,
    }
    if origin.startswith("https:"):
        # The same authorities as those of the control plane's clients.
        authorities = os.environ.get("AWS_CA_BUNDLE") or get_cert_path(True)
        options |= {"cert_reqs": "CERT_REQUIRED", "ca_certs": authorities}
    proxy = get_environ_proxies(origin).get(origin.partition(":")[0]) if outbound is None else None
    manager = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
    if outbound is not None:
        manager.pool_classes_by_scheme = dict(pinned_pools(outbound))
    return manager.connection_from_url(origin)
