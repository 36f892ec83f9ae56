"""The ASGI application: routes, middleware, lifespan; nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from starlette.routing import Router
from starlette.types import ASGIApp

from graticule.api.auth import ANONYMOUS, NoAuthentication, RequestAuthentication
from graticule.api.cookies import Cookies
from graticule.api.endpoint import Endpoint
from graticule.api.middleware import RequestContext
from graticule.api.routes import route_table
from graticule.settings import Settings
from graticule.wiring import Services


def create_app(services: Services, settings: Settings) -> ASGIApp:
    """An application over services that the caller opened; it closes them when it shuts down."""
    cookies = Cookies(public_url=settings.public_url, insecure_http=settings.insecure_http)
    authenticate = NoAuthentication if settings.insecure_no_auth else RequestAuthentication
    endpoint = Endpoint(
        route_table(),
        services,
        authenticate=authenticate(services.authentication, cookies),
        anonymous=ANONYMOUS,
        cookies=cookies,
        request_body_bytes_max=settings.request_body_bytes_max,
        threads=settings.threads,
        heavy_threads=settings.heavy_threads,
    )

    @asynccontextmanager
    async def lifespan(_app: ASGIApp) -> AsyncIterator[None]:
        services.upkeep.start()
        services.courier.start()
        if settings.jobs:
            services.job_worker.start()
            services.event_polling.start()
        yield
        await anyio.to_thread.run_sync(services.close)

    # The lifespan is all that is used of it: routes there are regular expressions on the decoded
    # path, and the endpoint answers failures itself.
    return Router(default=RequestContext(endpoint), lifespan=lifespan, redirect_slashes=False)
