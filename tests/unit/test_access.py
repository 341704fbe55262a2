"""Tokens and roles: who may do what."""

from __future__ import annotations

import pytest

from config.errors import Forbidden, InvalidInput
from training.access import ALLOWED, Act, Role, check_allowed, check_token_name, hash_token, parse_role, roles_for


def test_access_roles_grow() -> None:
    """A reviewer may all that an application may, and an admin everything."""
    assert ALLOWED[Role.INGEST] < ALLOWED[Role.REVIEWER] < ALLOWED[Role.ADMIN] == set(Act)


@pytest.mark.parametrize("act", [Act.READ_TEXTS, Act.REVIEW, Act.ADMINISTER])
def test_access_keeps_applications_from_texts_and_changes(act: Act) -> None:
    """A token of an application neither reads texts nor verifies nor changes what runs; the error names who may."""
    with pytest.raises(Forbidden, match=" or ".join(roles_for(act))):
        check_allowed(Role.INGEST, act)


def test_access_takes_known_roles_and_lists_them() -> None:
    """An unknown role is refused with the known ones."""
    assert parse_role("ingest") is Role.INGEST
    with pytest.raises(InvalidInput, match="ingest, reviewer, admin"):
        parse_role("root")


@pytest.mark.parametrize("name", ["", " x", "x\n", "a\0b", "x" * 101])
def test_access_refuses_names_that_cannot_be_shown(name: str) -> None:
    """A token's name stands in lists and statistics: printable, not empty, not too long."""
    with pytest.raises(InvalidInput, match="token name"):
        check_token_name(name)


def test_access_keeps_only_a_hash() -> None:
    """What is stored is SHA-256, which says nothing of the token, and no input makes it fail."""
    assert hash_token("spanloop_x") != hash_token("spanloop_y")
    assert len(hash_token("\ud800")) == 64
