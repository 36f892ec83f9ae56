"""Is the process alive, can it serve, and what is it?"""

from typing import Final

from starlette.responses import Response

from graticule.api.endpoint import Call, json_response
from graticule.api.response_headers import add_header

_WELCOME: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Graticule</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.6 system-ui,sans-serif;max-width:44rem;margin:4rem auto;padding:0 1.5rem;
color:#1c2b33}}h1{{font-weight:600}}pre{{background:#f2f5f6;padding:1rem;overflow:auto;
border-radius:.4rem}}</style></head>
<body><h1>Graticule</h1>
<p>A spatial Iceberg REST catalog is running here.  Engines connect to
<code>{base}/catalog</code>; admins use the command line <code>graticule</code> or the
management API at <code>{base}/api/v1</code>.</p>
<pre>from pyiceberg.catalog import load_catalog

catalog = load_catalog(
    "graticule", type="rest", uri="{base}/catalog",
    warehouse="&lt;catalog name&gt;", credential="&lt;client id&gt;:&lt;client secret&gt;",
)</pre></body></html>
"""


def health(_call: Call) -> Response:
    """The process answers.  Says nothing of the database: a restart would not mend that."""
    return json_response({"status": "ok"})


def ready(call: Call) -> Response:
    """The database answers and has this version's schema; 503 otherwise."""
    call.services.check_ready()
    return json_response({"status": "ready"})


def welcome(call: Call) -> Response:
    response = Response(_WELCOME.format(base=call.base_url).encode())
    add_header(response, "Content-Type", "text/html; charset=utf-8")
    add_header(response, "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
    return response
