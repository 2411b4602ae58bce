"""Signing in and out: cookies, tokens, limits, ends."""

import runpy
import stat
from collections.abc import Callable
from typing import Any

import argon2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from passerby.city import City
from passerby.errors import InputError
from passerby.service import accounts, sessions
from passerby.service.accounts import Accounts
from passerby.service.app import create_first_accounts, open_demo
from passerby.service.sessions import FAILURES_BY_ACCOUNT, SECRET_FILE
from passerby.service.settings import Settings

PASSWORD = "a long enough password"


def post(client: TestClient, password: str = PASSWORD, name: str = "ann") -> Any:
    return client.post("/api/session", json={"name": name, "password": password})


def test_cookie_is_http_only_strict_and_the_secret_private(app: FastAPI, city: City) -> None:
    answer = post(TestClient(app))
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    assert PASSWORD not in answer.text
    mode = stat.S_IMODE((city.folder / SECRET_FILE).stat().st_mode)
    assert mode == 0o600


def test_secure_cookie_behind_tls(make_app: Callable[..., FastAPI]) -> None:
    answer = post(TestClient(make_app(settings=Settings(secure_cookies=True))))
    assert "secure" in answer.headers["set-cookie"].lower()
    assert "strict-transport-security" in answer.headers


def test_passwords_are_argon2id_and_salted(app: FastAPI) -> None:
    import sqlalchemy as sa

    from passerby.service.database import ACCOUNTS

    with app.state.service.database.read() as connection:
        stored = connection.scalars(sa.select(ACCOUNTS.c.password)).all()
    assert all(one.startswith("$argon2id$") for one in stored)
    assert len(set(stored)) == len(stored)


def test_wrong_name_and_wrong_password_look_the_same(app: FastAPI) -> None:
    client = TestClient(app)
    wrong, unknown = post(client, "wrong password 1"), post(client, name="nobody")
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()


def test_an_unknown_name_costs_one_hash_as_a_wrong_password_does(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    class Counting(argon2.PasswordHasher):
        def hash(self, *words: Any, **options: Any) -> str:
            calls.append("hash")
            return super().hash(*words, **options)

        def verify(self, *words: Any, **options: Any) -> Any:
            calls.append("verify")
            return super().verify(*words, **options)

    monkeypatch.setattr(accounts, "_HASHER", Counting(1, 8, 1))
    stored: Accounts = app.state.service.accounts
    assert stored.verify("ann", "wrong password 1") is None
    assert stored.verify("nobody", "wrong password 1") is None
    assert calls == ["verify", "hash"]


def test_no_password_is_hashed_at_import(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise AssertionError("a hash takes tenths of a second")

    monkeypatch.setattr(argon2.PasswordHasher, "hash", refuse)
    runpy.run_path(str(accounts.__file__))


def test_too_many_failures_are_stopped(app: FastAPI) -> None:
    client = TestClient(app)
    for _ in range(FAILURES_BY_ACCOUNT):
        assert post(client, "wrong password 1").status_code == 401
    stopped = post(client)
    assert stopped.status_code == 429
    assert int(stopped.headers["retry-after"]) > 0
    assert post(client, name="bob").status_code == 200, "others are not locked out"


def test_without_a_session_nothing_opens(app: FastAPI) -> None:
    client = TestClient(app)
    for path, operations in app.openapi()["paths"].items():
        if path in ("/api/health", "/api/health/ready", "/api/session"):
            continue
        for method in operations:
            answer = client.request(method.upper(), path.replace("{identifier}", "1"))
            assert answer.status_code == 401, f"{method} {path}"


def test_forged_cookie_is_no_session(app: FastAPI) -> None:
    client = TestClient(app)
    post(client)
    value = client.cookies["passerby_session"]
    client.cookies.set("passerby_session", value[:-2] + ("aa" if value[-2:] != "aa" else "bb"))
    client.cookies.delete("passerby_session", domain="testserver.local")
    assert client.get("/api/session").status_code == 401


def test_changes_need_the_token(sign_in: Callable[[str], Any]) -> None:
    client = sign_in("ann")
    case = {
        "id": "Z-1",
        "purpose": "purpose",
        "legal_basis": "basis",
        "expires": "2031-01-01T00:00Z",
    }
    for token in (None, "", "0" * 64):
        client.headers.pop("X-CSRF-Token", None)
        if token is not None:
            client.headers["X-CSRF-Token"] = token
        answer = client.post("/api/cases", json=case)
        assert (answer.status_code, answer.json()["code"]) == (403, "forged")


def test_one_session_has_not_the_token_of_another(sign_in: Callable[[str], Any]) -> None:
    ann, bob = sign_in("ann"), sign_in("bob")
    ann.headers["X-CSRF-Token"] = bob.headers["X-CSRF-Token"]
    assert ann.delete("/api/session").status_code == 403


@pytest.mark.parametrize(
    "headers", [{"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}]
)
def test_other_sites_cannot_send_anything(app: FastAPI, headers: dict[str, str]) -> None:
    client = TestClient(app, headers=headers)
    answer = post(client)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")


def test_sign_out_ends_the_session(sign_in: Callable[[str], Any]) -> None:
    client = sign_in("ann")
    cookie = client.cookies["passerby_session"]
    assert client.delete("/api/session").status_code == 204
    client.cookies.set("passerby_session", cookie)
    assert client.get("/api/session").status_code == 401


def test_idle_and_long_sessions_end(
    make_app: Callable[..., FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = TestClient(make_app(settings=Settings(idle_minutes=10, session_hours=1)))
    post(client)
    start = sessions.now()
    for minutes, status in (
        (9, 200),
        (18, 200),
        (27, 200),
        (36, 200),
        (45, 200),
        (54, 200),
        (61, 401),
    ):
        monkeypatch.setattr(sessions, "now", lambda later=minutes: start + later * 60_000)
        assert client.get("/api/session").status_code == status, minutes
    monkeypatch.undo()


def test_an_idle_session_ends(
    make_app: Callable[..., FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = TestClient(make_app(settings=Settings(idle_minutes=10)))
    post(client)
    start = sessions.now()
    monkeypatch.setattr(sessions, "now", lambda: start + 11 * 60_000)
    assert client.get("/api/session").status_code == 401


def test_a_barred_account_is_out_at_once(app: FastAPI, sign_in: Callable[[str], Any]) -> None:
    client = sign_in("ann")
    stored: Accounts = app.state.service.accounts
    stored.set_disabled("ann", True)
    assert client.get("/api/session").status_code == 401
    assert post(TestClient(app)).status_code == 401
    stored.set_disabled("ann", False)
    assert post(TestClient(app)).status_code == 200


def test_administrators_manage_accounts_but_cannot_search(sign_in: Callable[[str], Any]) -> None:
    root = sign_in("root")
    made = root.post("/api/accounts", json={"name": "eve", "role": "operator", "units": ["9901"]})
    assert made.status_code == 201
    password = made.json()["password"]
    assert post(TestClient(root.app), password, "eve").status_code == 200
    assert root.post("/api/searches", json={"case": "x"}).status_code == 403
    assert root.patch("/api/accounts/eve", json={"disabled": True}).json()["account"]["disabled"]
    assert root.patch("/api/accounts/root", json={"disabled": True}).status_code == 403
    assert sign_in("ann").get("/api/accounts").status_code == 403


def test_first_start_makes_two_accounts_once(city: City, embedder: Any) -> None:
    import sqlalchemy as sa

    from passerby.service import create_app

    with city.engine.begin() as connection:
        for table in ("grants", "accounts"):
            connection.execute(sa.text(f"DELETE FROM {table}"))
    app = create_app(city, embedder)
    service = app.state.service
    passwords = create_first_accounts(service)
    assert set(passwords) == {"operator", "supervisor"}
    assert create_first_accounts(service) == {}
    assert post(TestClient(app), passwords["operator"], "operator").status_code == 200
    again = open_demo(service)
    assert again["operator"] != passwords["operator"]
    assert [case.id for case in service.cases.all()] == ["DEMO-1"]
    service.cases.close("DEMO-1")
    open_demo(service)
    open_demo(service)
    assert [case.is_open for case in service.cases.all()] == [True, False]
    service.database.close()


@pytest.mark.parametrize(
    ("name", "role", "grants", "password"),
    [
        ("A B", "operator", ("99",), None),
        ("x", "operator", ("99",), None),
        ("eve", "king", ("99",), None),
        ("eve", "operator", (), None),
        ("eve", "operator", ("99",), "short"),
        ("ann", "operator", ("99",), None),
    ],
)
def test_bad_accounts_are_refused(
    app: FastAPI, name: str, role: str, grants: tuple[str, ...], password: str | None
) -> None:
    with pytest.raises(InputError):
        app.state.service.accounts.create(name, role, grants, password)
