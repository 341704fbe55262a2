"""`spanloop tokens`: who may call the REST API."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

import typer

from ml_backend.bootstrap import utc_now
from ml_backend.cli.session import AsJson, session_of
from training.access import parse_role
from training.admission import SMALLEST_BODY, create_token
from training.store.tables.access import ApiToken

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Make, list and revoke tokens for the REST API.")
BYTES = 32


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Who the token is for; the contributor's name in the statistics.")],
    role: Annotated[str, typer.Option(help="ingest, reviewer or admin; docs/api.md says what each may do.")],
    rate: Annotated[
        int | None,
        typer.Option(help="Requests a minute, where it is not to be the setting's api_requests_per_minute.", min=1),
    ] = None,
    body_bytes: Annotated[
        int | None,
        typer.Option(
            help="Largest body in bytes, where it is not to be the setting's api_body_bytes.", min=SMALLEST_BODY
        ),
    ] = None,
) -> None:
    """Make a token and print it, once: only its hash is kept."""
    session = session_of(context)
    with session.services.store.write() as uow:
        token = create_token(
            uow,
            name,
            parse_role(role),
            secret=secrets.token_urlsafe(BYTES),
            requests_per_minute=rate,
            body_bytes=body_bytes,
            now=utc_now(),
        )
        uow.commit()
    session.warn(f"Token {name} is made. It is shown this once; keep it where only its user can read it.")
    session.say(token)


@app.command("list")
def list_tokens(context: typer.Context, as_json: AsJson = False) -> None:
    """List the tokens, revoked ones too; never the tokens themselves."""
    session = session_of(context)
    with session.services.store.read() as uow:
        rows = [summarize_token(token) for token in uow.tokens.all()]
    session.show(rows, as_json=as_json, nothing="There is no token yet; `spanloop tokens create` makes one.")


@app.command()
def revoke(context: typer.Context, name: Annotated[str, typer.Argument(help="The token's name.")]) -> None:
    """Revoke a token: it opens nothing from now on."""
    session = session_of(context)
    with session.services.store.write() as uow:
        uow.tokens.revoke(name, now=utc_now())
        uow.commit()
    session.say(f"Token {name} is revoked.")


def summarize_token(token: ApiToken) -> dict[str, Any]:
    """A token in one line."""
    return {
        "name": token.name,
        "role": token.role,
        "user_id": token.contributor_id,
        "requests_per_minute": token.requests_per_minute,
        "body_bytes": token.body_bytes,
        "made": token.created_at,
        "last_used": token.last_used_at,
        "revoked": token.revoked_at,
    }
