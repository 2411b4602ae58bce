"""Every route of the API's description, with every kind of strange value: no answer above 499.

The routes and their fields come from the OpenAPI document, so a new route is tried as well.
"""

import copy
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI

DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]
STRANGE: dict[str, Any] = {
    "surrogate": "\ud800",
    "nul": "a\0b",
    "long": "x" * 100_000,
    "empty": "",
    "text": "ñ 案 \u202e",
    "sign": "'; DROP TABLE audit; --",
    "path": "../../service.secret",
    "nan": float("nan"),
    "infinite": float("inf"),
    "huge": 10**30,
    "beyond 64 bits": 10**20 - 1,
    "2^63": 2**63,
    "negative": -1,
    "zero": 0,
    "float": 1e308,
    "true": True,
    "null": None,
    "list": ["\ud800"],
    "object": {"\ud800": {"a": 1}},
    "deep": DEEP,
    "year 1": "0001-01-01T00:00:00+14:00",
    "year 9999": "9999-12-31T23:59:59-14:00",
    "odd offset": "2030-01-01T00:00:00+23:59",
    "week": "2030-W01-1T00:00Z",
}
# what makes each request as good as it can be; a field is then replaced
BODIES: dict[str, Any] = {
    "/api/session": {"name": "ann", "password": "a long enough password"},
    "/api/session/password": {"current": "no such password", "new": "another long password"},
    "/api/searches": {
        "case": "A-1",
        "pictures": [],
        "sightings": ["p1-C01-0"],
        "scope": {"units": ["99"], "cameras": ["C01"], "start": None, "end": None, "quality": 0.1,
                  "attributes": [["upper", "red"]]},
        "limit": 5,
        "group": "tracklet",
    },
    "/api/searches/{identifier}/exports": {"format": "json", "trajectory": False},
    "/api/searches/{identifier}/judgement": {"confirmed": ["p1-C01-0"], "rejected": []},
    "/api/searches/{identifier}/verdicts": {"sighting": "p1-C01-0", "verdict": None,
                                            "revision": 0},
    "/api/cases": {"id": "N-1", "purpose": "to find", "legal_basis": "law",
                   "expires": "2030-01-01T00:00:00Z"},
    "/api/approvals": {"case": "A-1", "scope": {"units": ["99"]}, "reason": "a good reason"},
    "/api/approvals/{identifier}/decision": {"approve": True},
    "/api/erasures": {"case": "A-1", "sightings": ["p1-C01-0"], "confirmed_in": "A-1",
                      "tracklets": ["t1-C01"], "camera": "C01", "start": None, "end": None,
                      "reason": "request", "purpose": "asked by the person",
                      "despite_evidence": "", "count_only": True},
    "/api/accounts": {"name": "eve", "role": "operator", "units": ["99"]},
    "/api/cameras": {"id": "N1", "place": [121.4, 31.2], "unit": None, "name": "Yard",
                     "name_zh": None, "heading": 90.0, "field_of_view": 60.0, "height": 4.0,
                     "range": 30.0, "at": "2026-05-01T00:00:00Z"},
    "/api/cameras/{identifier}": {"clock": 1.5, "apply_clock": False, "place": None,
                                  "at": "2026-05-01T00:00:00Z"},
    "/api/cameras/{identifier}/retirement": {"at": "2026-05-01T00:00:00Z"},
    "/api/cameras/clocks": {"start": "2026-05-01T00:00:00Z", "end": None, "within": 900.0},
    "/api/clips/{identifier}": {"start": "2026-05-01T00:00:00Z", "any_time": False},
    "/api/accounts/{name}": {"units": ["9901"], "disabled": False, "new_password": False},
}  # fmt: skip


@pytest.fixture
def clients(app: FastAPI, ann: Any, sign_in: Callable[[str], Any]) -> dict[str, Any]:
    """A client of each role that answers with the error's status instead of raising it."""
    made = {"ann": ann, "sue": sign_in("sue"), "root": sign_in("root")}
    for client in made.values():
        client._transport.raise_server_exceptions = False
    return made


def fields(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a body, from the whole to the leaves."""
    yield at
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from fields(inner, (*at, key))


def replaced(body: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    changed = copy.deepcopy(body)
    inner = changed
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return changed


def client_for(clients: dict[str, Any], path: str) -> Any:
    administers = ("accounts", "cameras", "clips", "erasures", "health")
    if path.startswith(tuple(f"/api/{name}" for name in administers)):
        return clients["root"]
    if path.startswith("/api/audit") or "decision" in path:
        return clients["sue"]
    return clients["ann"]


def real_path(path: str, ids: dict[str, str]) -> str:
    kind = path.split("/")[2]
    return path.replace("{identifier}", ids.get(kind, "1")).replace("{name}", "bob")


def check(answer: Any, what: dict[str, Any], where: str) -> None:
    assert answer.status_code < 500, f"{where}: {answer.status_code} {answer.text[:200]}"
    documented = what["responses"]
    assert str(answer.status_code) in documented, f"{where}: {answer.status_code} undocumented"
    if answer.status_code >= 400:
        assert set(answer.json()) == {"code", "error", "what_to_do"}, where


@pytest.fixture
def ids(ann: Any, app: FastAPI) -> dict[str, str]:
    search = ann.search("A-1")["id"]
    return {
        "searches": search,
        "sightings": "p1-C01-0",
        "cases": "A-1",
        "approvals": "1",
        "cameras": "C01",
    }


@pytest.mark.parametrize("share", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_bodies(share: int, clients: dict[str, Any], ids: dict[str, str], app: FastAPI) -> None:
    """A third of the strange values in each field, another one in each; or all of them."""
    tried = set()
    limits = app.state.service.failed_sign_ins
    for path, operations in app.openapi()["paths"].items():
        for method, what in operations.items():
            if "application/json" not in what.get("requestBody", {}).get("content", {}):
                continue
            body = BODIES[path]  # a new route with a body needs a line there
            tried.add(path)
            client, url = client_for(clients, path), real_path(path, ids)
            for at in fields(body):
                first = zlib.crc32(repr(at).encode()) % share
                for name, value in list(STRANGE.items())[first::share]:
                    limits._times.clear()  # the limit on attempts is not what is tried
                    text = json.dumps(replaced(body, at, value))
                    answer = client.request(
                        method.upper(), url, content=text,
                        headers={"content-type": "application/json"},
                    )  # fmt: skip
                    check(answer, what, f"{method} {path} {at} {name}")
    assert tried == set(BODIES)
    assert clients["ann"].get("/api/searches").status_code == 200, "the service goes on"


def test_paths_and_queries(clients: dict[str, Any], ids: dict[str, str], app: FastAPI) -> None:
    for path, operations in app.openapi()["paths"].items():
        for method, what in operations.items():
            if path == "/api/session" and method == "delete":
                continue
            client = client_for(clients, path)
            content = json.dumps(BODIES.get(path, {})) if "requestBody" in what else None
            for one in what.get("parameters", []):
                for name, value in STRANGE.items():
                    text = value if isinstance(value, str) else json.dumps(value)
                    text = text[:20_000].encode("utf-8", "surrogatepass")
                    if one["in"] == "path":
                        url, query = path.replace(f"{{{one['name']}}}", quote(text, safe="")), {}
                        url = real_path(url, ids)
                    else:
                        url, query = real_path(path, ids), {"case": b"A-1", one["name"]: text}
                    answer = client.request(
                        method.upper(), url, params=query, content=content,
                        headers={"content-type": "application/json"},
                    )  # fmt: skip
                    if name == "path" and one["in"] == "path" and answer.status_code in (404, 405):
                        continue  # it is another route's address
                    if name == "empty" and one["in"] == "path":
                        continue
                    check(answer, what, f"{method} {path} {one['name']} {name}")


KINDS = ("application/json", "text/plain", "multipart/form-data")


@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"\xff\xfe", b"{", b'"x"', b"[" * 100_000, b"{" * 5, b'{"case":' * 5000,
     b'{"case": 1e999}', b'{"case": "\\ud800"}', '{"case": "A-1"}'.encode("utf-16")],
)  # fmt: skip
def test_what_is_no_json(clients: dict[str, Any], app: FastAPI, content: bytes) -> None:
    for path, operations in app.openapi()["paths"].items():
        for method, what in operations.items():
            if "requestBody" not in what:
                continue
            for kind in (*KINDS, f"{KINDS[-1]}; boundary=x"):
                answer = client_for(clients, path).request(
                    method.upper(), path.replace("{identifier}", "1").replace("{name}", "bob"),
                    content=content, headers={"content-type": kind},
                )  # fmt: skip
                check(answer, what, f"{method} {path} {kind}")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_schemathesis_finds_no_fault(app: FastAPI, clients: dict[str, Any]) -> None:
    """Generated requests of the whole description: no 5xx, no answer that is not described."""
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app)
    statuses: dict[str, set[int]] = {}
    for result in schema.get_all_operations():
        operation = result.ok()
        if (operation.method.upper(), operation.path) == ("DELETE", "/api/session"):
            continue  # it ends the session of all further requests
        client = client_for(clients, operation.path)
        statuses[operation.label] = generate(operation, client, app)
    assert len(statuses) > 20
    assert sum(min(seen) < 400 for seen in statuses.values()) > 10, "the session is used"


def generate(operation: Any, client: Any, app: FastAPI) -> set[int]:
    """Send sixty generated requests of one operation; returns the statuses of the answers."""
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import status_code_conformance

    statuses: set[int] = set()

    @settings(
        max_examples=60,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def run(case: Any) -> None:
        app.state.service.failed_sign_ins._times.clear()
        answer = case.call_and_validate(
            headers={"X-CSRF-Token": client.headers["X-CSRF-Token"]},
            cookies=dict(client.cookies),
            checks=[not_a_server_error, status_code_conformance],
        )
        statuses.add(answer.status_code)

    run()
    return statuses
