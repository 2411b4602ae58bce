"""One-time passwords, the change of one's own, throttling, proxies, and requests that never end."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from passerby.city import City
from passerby.cli import main
from passerby.service import accounts
from passerby.service.access import Refusal
from passerby.service.app import served
from passerby.service.server import configure
from passerby.service.sessions import FAILURES_BY_ACCOUNT, FAILURES_TO_ACCOUNT, FailedSignIns
from passerby.service.settings import Settings

PASSWORD = "a long enough password"
OWN = "my own new password"


def post(client: TestClient, name: str, password: str) -> Any:
    return client.post("/api/session", json={"name": name, "password": password})


@pytest.fixture
def code(sign_in: Callable[[str], Any]) -> str:
    """The one-time password that an administrator gave to bob."""
    answer = sign_in("root").patch("/api/accounts/bob", json={"new_password": True})
    assert answer.json()["account"]["must_change"]
    return str(answer.json()["password"])


def test_a_one_time_password_is_for_choosing_another(
    app: FastAPI, code: str, sign_in: Callable[[str], Any]
) -> None:
    assert post(TestClient(app), "bob", PASSWORD).status_code == 401, "the old one is gone"
    client = sign_in("ann").__class__(app)
    assert client.sign_in("bob", code)["account"]["must_change"]
    for method, path in (("GET", "/api/city"), ("GET", "/api/cases"), ("POST", "/api/cases")):
        answer = client.request(method, path, json={} if method == "POST" else None)
        assert (answer.status_code, answer.json()["code"]) == (403, "password_change_needed")
    assert client.get("/api/session").status_code == 200
    assert client.post("/api/session/password", json={"new": "short"}).status_code == 422
    assert client.post("/api/session/password", json={"new": "aaaaaaaaaaaaaaa"}).status_code == 422
    answer = client.post("/api/session/password", json={"new": OWN})
    assert answer.status_code == 200
    client.headers["X-CSRF-Token"] = answer.json()["csrf"]
    client.open_case("B-1")
    assert post(TestClient(app), "bob", OWN).status_code == 200
    assert post(TestClient(app), "bob", code).status_code == 401


def test_a_one_time_password_opens_one_sign_in(app: FastAPI, code: str) -> None:
    assert post(TestClient(app), "bob", code).status_code == 200
    assert post(TestClient(app), "bob", code).status_code == 401


def test_a_one_time_password_lapses(
    app: FastAPI, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = accounts.now
    monkeypatch.setattr(accounts, "now", lambda: real() + 25 * 3_600_000)
    assert post(TestClient(app), "bob", code).status_code == 401


def test_the_audit_tells_of_the_reset_and_of_the_change(
    app: FastAPI, code: str, sign_in: Callable[[str], Any]
) -> None:
    client = sign_in("ann").__class__(app)
    client.sign_in("bob", code)
    client.post("/api/session/password", json={"new": OWN})
    entries = {one.action: one for one in app.state.service.audit.entries()}
    assert entries["password_reset"].account == "root"
    assert entries["password_reset"].details["name"] == "bob"
    assert entries["password_changed"].account == "bob"
    assert entries["password_changed"].details["one_time"]
    assert "account_changed" not in entries
    texts = str([one.details for one in app.state.service.audit.entries()])
    assert code not in texts
    assert OWN not in texts


def test_everyone_changes_their_own(app: FastAPI, sign_in: Callable[[str], Any]) -> None:
    ann, other = sign_in("ann"), sign_in("ann")
    wrong = ann.post("/api/session/password", json={"current": "no", "new": OWN})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "wrong_password")
    same = ann.post("/api/session/password", json={"current": PASSWORD, "new": PASSWORD})
    assert same.status_code == 422
    good = ann.post("/api/session/password", json={"current": PASSWORD, "new": OWN})
    assert good.status_code == 200
    assert ann.get("/api/session").status_code == 200
    assert other.get("/api/session").status_code == 401, "all other sessions have ended"
    assert post(TestClient(app), "ann", PASSWORD).status_code == 401


def test_guessing_at_ones_own_password_is_stopped(sign_in: Callable[[str], Any]) -> None:
    ann = sign_in("ann")
    wish = {"current": "wrong password 1", "new": OWN}
    answers = [ann.post("/api/session/password", json=wish).status_code for _ in range(7)]
    assert answers == [403] * FAILURES_BY_ACCOUNT + [429] * 2


def test_accounts_made_on_the_page_begin_with_a_one_time_password(
    sign_in: Callable[[str], Any], app: FastAPI
) -> None:
    body = {"name": "eve", "role": "operator", "units": ["9901"]}
    made = sign_in("root").post("/api/accounts", json=body).json()
    assert made["account"]["must_change"]
    assert post(TestClient(app), "eve", made["password"]).json()["account"]["must_change"]


def test_the_command_line_gives_one_time_passwords_too(
    city: City, app: FastAPI, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["admin", "account", "change", str(city.folder), "bob"]
    assert main([*words, "--new-password"]) == 0
    code = capsys.readouterr().out.split()[-1]
    assert post(TestClient(app), "bob", code).json()["account"]["must_change"]
    assert app.state.service.audit.entries()[1].action == "password_reset"
    assert main([*words, "--unit", "9901", "--unit", "990201", "990202"]) == 0
    assert app.state.service.accounts.get("bob").grants == ("9901", "990201", "990202")


# throttling --------------------------------------------------------------------------------------


def test_one_account_is_guessed_from_many_addresses() -> None:
    limits = FailedSignIns()
    limits.begin("10.0.0.1", "ann")
    limits.succeed("10.0.0.1", "ann")
    for number in range(FAILURES_TO_ACCOUNT):
        limits.begin(f"192.0.2.{number}", "ann")
    with pytest.raises(Refusal) as refused:
        limits.begin("192.0.2.99", "ann")
    assert refused.value.status == 429
    limits.begin("10.0.0.1", "ann")  # the owner, from where she signed in before
    limits.begin("192.0.2.99", "bob")  # others are not locked out


def test_attempts_at_once_are_no_way_around(app: FastAPI) -> None:
    statuses: list[int] = []

    def attempt() -> None:
        statuses.append(post(TestClient(app), "ann", "wrong password 1").status_code)

    threads = [threading.Thread(target=attempt) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses.count(401) == FAILURES_BY_ACCOUNT
    assert statuses.count(429) == 24 - FAILURES_BY_ACCOUNT


# the web server ----------------------------------------------------------------------------------


def test_an_address_is_believed_from_named_proxies_alone(app: FastAPI) -> None:
    import asyncio

    def address_seen(proxies: list[str], sender: str) -> str:
        seen: list[str] = []

        async def probe(scope: Any, _receive: Any, _send: Any) -> None:
            seen.append(scope["client"][0])

        probe.state = app.state  # type: ignore[attr-defined]
        config = configure(probe, proxies=proxies, lifespan="off")  # type: ignore[arg-type]
        config.load()
        scope = {
            "type": "http",
            "client": (sender, 1),
            "headers": [(b"x-forwarded-for", b"203.0.113.7")],
        }
        asyncio.run(config.loaded_app(scope, None, None))
        return seen[0]

    assert address_seen([], "127.0.0.1") == "127.0.0.1", "not even from this machine"
    assert address_seen(["10.0.0.0/24"], "127.0.0.1") == "127.0.0.1"
    assert address_seen(["10.0.0.0/24"], "10.0.0.9") == "203.0.113.7"


@pytest.mark.parametrize("name", ["*", "proxy.example", "10.0.0.5/24"])
def test_a_proxy_is_named_by_its_address(
    city: City, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from passerby.cli.serve import _proxy
    from passerby.errors import InputError

    with pytest.raises(InputError, match="--proxy"):
        _proxy(name)


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET /api/hea",
        b"GET /api/health HTTP/1.1\r\nHost: x\r\n",
        b"POST /api/session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 90\r\n\r\n{",
    ],
    ids=["nothing", "half a line", "half a head", "half a body"],
)
def test_a_request_that_does_not_arrive_is_ended(
    make_app: Callable[..., FastAPI], start: bytes
) -> None:
    with served(make_app(settings=Settings(request_seconds=0.5))) as url:
        port = int(url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as link:
            link.settimeout(60)
            link.sendall(start)
            said = b""
            while piece := link.recv(4096):  # ends when the service closes the connection
                said += piece
        assert said.startswith(b"HTTP/1.1 408") or not said


def test_a_slow_request_that_arrives_is_answered(make_app: Callable[..., FastAPI]) -> None:
    with served(make_app(settings=Settings(request_seconds=20))) as url:
        port = int(url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as link:
            link.settimeout(60)
            for _ in range(2):  # twice on one connection
                for piece in (b"GET /api/health HTT", b"P/1.1\r\nHost: x\r\n", b"\r\n"):
                    link.sendall(piece)
                    time.sleep(0.05)
                assert b"200 OK" in link.recv(4096)
