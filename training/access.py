"""Who may do what through the REST API: tokens, roles and what each role allows. Pure rules."""

from __future__ import annotations

import hashlib
from enum import StrEnum

from config.errors import Forbidden, InvalidInput

PREFIX = "spanloop_"
LONGEST_NAME = 100


class Role(StrEnum):
    """What a token is for."""

    INGEST = "ingest"
    REVIEWER = "reviewer"
    ADMIN = "admin"


class Act(StrEnum):
    """What a request does, as far as permission goes."""

    CLASSIFY = "classify"
    SUBMIT = "submit"
    READ_FIGURES = "read_figures"
    READ_TEXTS = "read_texts"
    REVIEW = "review"
    ADMINISTER = "administer"


ALLOWED: dict[Role, frozenset[Act]] = {
    Role.INGEST: frozenset({Act.CLASSIFY, Act.SUBMIT, Act.READ_FIGURES}),
    Role.REVIEWER: frozenset(set(Act) - {Act.ADMINISTER}),
    Role.ADMIN: frozenset(Act),
}
"""An application hands in and reads figures; a reviewer also reads texts and verifies; an admin also changes what runs.

Figures hold no text: statistics, models, runs, projects.
"""


def roles_for(act: Act) -> list[Role]:
    """The roles that may do this, the least first."""
    return [role for role in Role if act in ALLOWED[role]]


def check_allowed(role: Role, act: Act) -> None:
    """Raise Forbidden where the role does not allow the act."""
    if act not in ALLOWED[role]:
        wanted = " or ".join(roles_for(act))
        raise Forbidden(f"a token of role {role} may not do this; it takes one of role {wanted}")


def parse_role(value: str) -> Role:
    """The role of this name. Raises InvalidInput that lists them."""
    try:
        return Role(value)
    except ValueError as error:
        raise InvalidInput(f"role {value!r:.80} is not known; use {', '.join(Role)}") from error


def check_token_name(name: str) -> str:
    """The name if a token can bear it. Raises InvalidInput."""
    if not name.strip() or name != name.strip() or not name.isprintable() or len(name) > LONGEST_NAME:
        raise InvalidInput(
            f"token name {name!r:.120} must be 1 to {LONGEST_NAME} printable characters without white space at its ends"
        )
    return name


def write_token(secret: str) -> str:
    """The token as it is handed out, from 256 random bits in text."""
    return PREFIX + secret


def hash_token(token: str) -> str:
    """SHA-256 of the token in hex: 256 random bits need neither salt nor a slow hash, since nobody can guess them."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
