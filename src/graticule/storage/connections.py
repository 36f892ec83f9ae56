"""HTTP connections to object stores, kept open between requests.

Why so guarded: endpoints come from users.  A redirect is an answer and never followed, and nothing
is tried again here.  Whoever wants a say in where a connection leads has it in `connections_to`.
"""

import os
from typing import Any

import urllib3
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

from graticule.storage.clients import CONNECT_TIMEOUT_S, POOL_CONNECTIONS, READ_TIMEOUT_S


def connections_to(
    origin: str, *, read_timeout_s: float = READ_TIMEOUT_S, use_proxy: bool
) -> urllib3.HTTPConnectionPool:
    """Connections to `scheme://host[:port]`.

    `use_proxy` is for the way to AWS: a store next door is never behind the environment's proxy.
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
    proxy = get_environ_proxies(origin).get(origin.partition(":")[0]) if use_proxy else None
    manager = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
    return manager.connection_from_url(origin)
