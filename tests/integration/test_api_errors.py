"""Every route answers every error in one shape, and lets in only who may."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from config.errors import PayloadTooLarge
from config.settings import Settings
from ml_backend.api.routes import include_api
from ml_backend.bootstrap import Services, utc_now
from tests.integration.api import API, TEXT, Api, error_of, feedback, serve
from training.access import ALLOWED, Role
from training.store.database import open_engine
from training.store.unit_of_work import Store

ID = "0b7c2c0e-6a55-4c0e-9e0c-3f5f3c1f7a52"
JSON = {"Content-Type": "application/json"}


def _routes() -> list[tuple[str, str, str, bool]]:
    """Method, path, roles as documented, and whether it reads a body, of every route in the OpenAPI document."""
    app = FastAPI()
    include_api(app, Services(Settings()))
    found = []
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            roles = re.search(r"Roles: ([a-z, ]+)\.", operation["description"])
            assert roles, f"{path} says no roles"
            found.append((method.upper(), path.removeprefix(f"{API}/"), roles[1], "requestBody" in operation))
    return found


ROUTES = _routes()
WITH_BODY = [route for route in ROUTES if route[3]]
each_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
each_body = pytest.mark.parametrize("route", WITH_BODY, ids=lambda route: f"{route[0]} {route[1]}")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Api]:
    """One server for all of these tests: none of them changes anything."""
    folder = tmp_path_factory.mktemp("api")
    shutil.copy(sqlite_template, folder / "store.db")
    engine = open_engine(f"sqlite:///{folder / 'store.db'}")
    made = Api(Store(engine), folder)
    made.add_project()
    with serve(made) as served:
        yield served
    engine.dispose()


def fill(path: str) -> str:
    """The path with something in its place holders."""
    return path.replace("{project_id}", "1").replace("{name}", "0").replace("{example_id}", ID).replace("{run_id}", ID)


@each_route
def test_api_errors_without_a_token(api: Api, route: tuple[str, str, str, bool]) -> None:
    """No route answers without a token, with a wrong one, or with Label Studio's credential."""
    method, path, _, _ = route
    for header in ("", "Bearer wrong", "Basic c3Bhbmxvb3A6c2VjcmV0", "bearer"):
        headers = {"Authorization": header} if header else {}
        answer = api.call(method, fill(path), token="", headers=headers)
        error_of(answer, 401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="spanloop"'


@each_route
def test_api_errors_with_a_role_that_may_not(api: Api, route: tuple[str, str, str, bool]) -> None:
    """A role that a route does not name is refused, before its body is read; the documented roles are let in."""
    method, path, roles, _ = route
    for role in Role:
        name = f"{role} for {method} {path}"
        token = api.make_token(name[:100], role)
        answer = api.call(method, fill(path), token=token, content=b"{", headers=JSON)
        if role in roles.split(", "):
            assert answer.status_code not in (401, 403)
        else:
            error_of(answer, 403, "forbidden")


@each_route
def test_api_errors_for_a_method_that_is_not_there(api: Api, route: tuple[str, str, str, bool]) -> None:
    """A path answers 405 to other methods, and names those it takes."""
    _, path, _, _ = route
    answer = api.call("PUT", fill(path))
    error_of(answer, 405, "method_not_allowed")
    expected = sorted(method for method, other, _, _ in ROUTES if other == path)
    assert set(expected) <= set(answer.headers["Allow"].split(", "))


@each_route
def test_api_errors_for_an_unknown_parameter(api: Api, route: tuple[str, str, str, bool]) -> None:
    """A query parameter that no route knows is refused, not ignored."""
    method, path, _, _ = route
    error = error_of(api.call(method, f"{fill(path)}?colour=red"), 422, "invalid_input")
    assert error["details"][0]["path"] == "query.colour"


@each_body
@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_body"),
        (b'{"text": "\xff"}', "application/json", 400, "malformed_body"),
        (b'{"text": NaN}', "application/json", 400, "malformed_body"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"colour": "red"}', "application/json", 422, "invalid_input"),
        (b'{"\\ud800": 1}', "application/json", 422, "invalid_input"),
        (b"[]", "application/json", 422, "invalid_input"),
        (b"null", "application/json", 422, "invalid_input"),
        (b"", "application/json", 422, "invalid_input"),
    ],
)
def test_api_errors_for_a_body(
    api: Api, route: tuple[str, str, str, bool], body: bytes, kind: str, status: int, code: str
) -> None:
    """A body that is not JSON, not an object, or holds unknown fields is refused by every route that reads one."""
    method, path, _, _ = route
    answer = api.call(method, fill(path), content=body, headers={"Content-Type": kind})
    error_of(answer, status, code)


@each_body
def test_api_errors_for_a_body_of_10_mb(api: Api, route: tuple[str, str, str, bool]) -> None:
    """10 MB are too much for every route, said or streamed."""
    method, path, _, _ = route
    body = b'{"text": "' + b"x" * 10_000_000 + b'"}'
    error_of(api.call(method, fill(path), content=body, headers=JSON), 413, PayloadTooLarge.code)
    if path == "classify/":
        parts = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
        error_of(api.call(method, path, content=parts, headers=JSON), 413, PayloadTooLarge.code)


def test_api_errors_over_the_tokens_own_body_limit(api: Api) -> None:
    """A token that was made with a limit of its own is held to it, others to the installation's."""
    small = api.make_token("small bodies", Role.INGEST, body_bytes=2_000)
    body = {"texts": ["", "x" * 2_000]}
    error = error_of(api.post("batch-classify/", body, token=small), 413, PayloadTooLarge.code)
    assert "2000 bytes" in error["message"]
    assert api.post("batch-classify/", body).status_code == 200


@pytest.mark.parametrize("path", ["nothing/", "feedback/nothing/", "models/0/nothing/"])
def test_api_errors_for_a_path_that_is_not_there(api: Api, path: str) -> None:
    """An unknown path is a 404 in the same shape, outside the API too."""
    error_of(api.get(path), 404, "not_found")
    error_of(api.client.get("/nothing"), 404, "not_found")


@pytest.mark.parametrize(
    "path",
    [
        "feedback/list/?is_correct=true&is_correct=false",
        "feedback/list/?limit=0", "feedback/list/?limit=501", "feedback/list/?limit=1_0", "feedback/list/?limit=-1",
        "feedback/list/?offset=1e3", "feedback/list/?offset=99999999999999999999", "feedback/list/?is_correct=maybe",
        "feedback/list/?is_correct=", "feedback/list/?is_correct=1", "feedback/list/?user_id=me",
        "feedback/list/?project=99999999999999999999", "training-data/?classification_type=%00",
        "training-data/?classification_type=%ff%00", "training-data/?source=nowhere", "training-data/17/",
        "runs/17/", "runs/?status=lost", "projects/me/", "projects/99999999999999999999/", "models/compare/",
        "models/compare/?a=0&b=%00", "models/%00/", "models/%ED%A0%80/",
    ],
)  # fmt: skip
def test_api_errors_for_bad_addresses(api: Api, path: str) -> None:
    """Parameters and ids of the wrong kind are refused with their path, never with a crash."""
    error = error_of(api.get(path), 422, "invalid_input")
    assert re.match(r"(query|path)\.", error["details"][0]["path"])


@pytest.mark.parametrize(
    "path", [f"training-data/{ID}/", f"runs/{ID}/", "projects/99/", "models/99/", "stats/?project=99"]
)
def test_api_errors_for_what_does_not_exist(api: Api, path: str) -> None:
    """An id of the right kind that stands for nothing is a 404."""
    error_of(api.get(path), 404, "not_found")


@pytest.mark.usefixtures("quiet_logs")  # else structlog's own format draws every local variable, for many seconds
def test_api_errors_hide_what_crashed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash is a 500 in the same shape: no traceback, no text, and a request id that the log has too."""

    def crash(*_: Any) -> Any:
        raise RuntimeError("secret text")

    monkeypatch.setattr(api.app.state.slots, "live", crash)
    answer = api.post("classify/", {"text": TEXT})
    error = error_of(answer, 500, "internal")
    assert "secret" not in answer.text
    assert error["message"].endswith("the log has it under this request_id")
    # The server closes the connection, so a client must not send its next request over it.
    assert answer.headers["Connection"] == "close"


def test_api_errors_name_each_request(api: Api) -> None:
    """Every answer carries an id of its own, errors and others alike."""
    ids = [api.get(path).headers["X-Request-ID"] for path in ("stats/", "stats/", "nothing/")]
    assert len(set(ids)) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


def test_api_errors_roles_documented_are_those_that_hold() -> None:
    """docs/api.md's table of roles is the one that is applied."""
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", page, re.MULTILINE))
    for act in {act for acts in ALLOWED.values() for act in acts}:
        may = ", ".join(role for role in Role if act in ALLOWED[role])
        assert rows[act].strip() == may, act


def test_api_errors_revoked_tokens_open_nothing(sqlite_api: Api) -> None:
    """A revoked token is refused at once; the name can be given again, and is the same contributor."""
    token = sqlite_api.make_token("app", Role.INGEST)
    assert sqlite_api.post("feedback/", feedback(), token=token).status_code == 201
    with sqlite_api.store.write() as uow:
        uow.tokens.revoke("app", now=utc_now())
        uow.commit()
    error_of(sqlite_api.post("feedback/", feedback(), token=token), 401, "unauthorized")
    again = sqlite_api.make_token("app", Role.INGEST)
    assert sqlite_api.post("feedback/", feedback(), token=again).status_code == 201
    (contributor,) = sqlite_api.get("feedback/stats/").json()["top_contributors"]
    assert (contributor["username"], contributor["feedback_count"]) == ("app", 2)


def test_api_errors_last_use_is_noted(sqlite_api: Api) -> None:
    """A token's last use is there to be seen, and not written at every request."""

    def last_use() -> Any:
        with sqlite_api.store.read() as uow:
            token = uow.tokens.by_name("john.doe")
            assert token is not None
            return token.last_used_at

    assert last_use() is None
    sqlite_api.get("stats/")
    first = last_use()
    assert first is not None
    sqlite_api.get("stats/")
    assert last_use() == first


def test_api_errors_over_the_rate_limit(sqlite_api: Api) -> None:
    """A token that has used up its requests is told when to come back; others are not held up."""
    token = sqlite_api.make_token("busy", Role.INGEST, requests_per_minute=3)
    answers = [sqlite_api.get("stats/", token=token) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"token";q=3;w=60'}
    error_of(answers[3], 429, "too_many_requests")
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 20
    assert sqlite_api.get("stats/").status_code == 200
    # A wrong request costs one too, and says what is left.
    assert "RateLimit-Remaining" in sqlite_api.get("stats/?colour=red").headers


def test_api_errors_text_over_the_limit(sqlite_api: Api) -> None:
    """A text over the installation's limit is refused by name, everywhere a text goes in."""
    text = "x" * 1_000_001
    for path, body in (
        ("classify/", {"text": text}),
        ("feedback/", {"text": text, "entities": [], "is_correct": True}),
        ("training-data/", {"text": text, "entities": []}),
    ):
        error = error_of(sqlite_api.post(path, body), 422, "invalid_input")
        assert error["details"][0]["path"] == "text"


def test_api_errors_without_label_studios_protocol(api: Api) -> None:
    """Label Studio's own routes keep their credential, and answer errors in the same shape."""
    answer: httpx.Response = api.client.post("/p/1/setup", json={})
    error_of(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert api.client.get("/health").status_code == 200


def test_api_errors_say_that_the_database_is_of_an_older_version(sqlite_api: Api) -> None:
    """A server that was renewed before its database is no crash: the answer says what to run."""
    with sqlite_api.store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        connection.execute(text("ALTER TABLE ml_model RENAME TO later"))
    error = error_of(sqlite_api.get("models/"), 503, "store_unavailable")
    assert "spanloop db upgrade" in error["message"]
