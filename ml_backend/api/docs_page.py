"""The page /api/docs/: Swagger UI over our OpenAPI document, its assets served from an installed package."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from config.errors import ConfigurationError, NotFound
from ml_backend.api.examples import add_examples

PAGE = "/api/docs/"
SCHEMA = f"{PAGE}openapi.json"
# Swagger UI sets styles through the DOM and shows its icons as data: addresses; nothing comes from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
START = "start.js"

_HTML = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>spanloop: REST API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{PAGE}swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{PAGE}swagger-ui-bundle.js"></script>
<script src="{PAGE}{START}"></script>
</body>
</html>
"""
_START = f"""SwaggerUIBundle({{
  url: "{SCHEMA}",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
}});
"""

routes = APIRouter(include_in_schema=False)


@routes.get(PAGE)
async def page() -> Response:
    """The page."""
    return HTMLResponse(_HTML, headers=HEADERS)


@routes.get(SCHEMA)
async def schema(request: Request) -> Response:
    """The OpenAPI document."""
    return JSONResponse(add_examples(request.app.openapi()), headers=HEADERS)


@routes.get(f"{PAGE}{{name}}")
async def asset(name: str) -> Response:
    """A file of the page. Raises NotFound."""
    if name == START:
        return Response(_START, media_type="text/javascript", headers=HEADERS)
    if name not in ASSETS:
        raise NotFound(f"there is no page at {PAGE}{name:.80}")
    return FileResponse(_folder() / name, media_type=ASSETS[name], headers=HEADERS)


def _folder() -> Path:
    """Where the installed package keeps Swagger UI; the package itself is never imported."""
    found = find_spec("fastapi_offline")
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError("the package fastapi-offline is missing; `make install` installs it")
    return Path(found.submodule_search_locations[0]) / "static"
