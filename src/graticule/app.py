"""The ASGI application: routes, middleware, lifespan; nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware

from graticule.api.auth import ANONYMOUS, NoAuthentication, RequestAuthentication
from graticule.api.cookies import Cookies
from graticule.api.endpoint import Endpoint
from graticule.api.middleware import RequestContext
from graticule.api.routes import route_table
from graticule.settings import Settings
from graticule.wiring import Services


def create_app(services: Services, settings: Settings) -> Starlette:
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
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        services.upkeep.start()
        services.courier.start()
        yield
        await anyio.to_thread.run_sync(services.close)

    app = Starlette(middleware=[Middleware(RequestContext)], lifespan=lifespan)
    # Not mounted: a mount is a regular expression on the decoded path, which no line feed matches.
    app.router.default = endpoint
    return app
