"""The operator's path over real HTTP: sign in, open a case, bring a picture, search, trace."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from passerby.city import City
from passerby.errors import InputError, MissingExtraError
from passerby.runtime import Embedder
from passerby.service.accounts import Accounts
from passerby.service.audit import Audit
from passerby.service.cases import Cases
from passerby.service.database import Database

OPERATOR = "operator"
CASE = "DEMO-1"
PURPOSE = "Demonstration: find a simulated person"
LEGAL_BASIS = "none needed: the people are simulated"


def open_desk(city: City) -> str:
    """Give the operator a fresh password and an open case; returns the password."""
    root = tuple(unit.code for unit in city.units if unit.parent is None)
    database = Database(city.folder / "catalogue.sqlite")
    accounts, cases = Accounts(database), Cases(database)
    try:
        if accounts.get(OPERATOR) is None:
            password = accounts.create(OPERATOR, "operator", root)
        else:
            password = accounts.set_password(OPERATOR)
        number = CASE
        while (known := cases.get(number)) is not None and not known.is_open:
            number = f"{CASE}-{int(time.time())}"  # the old one has ended
        if known is None:
            expires = datetime.now(UTC) + timedelta(days=30)
            cases.open(
                number,
                purpose=PURPOSE,
                legal_basis=LEGAL_BASIS,
                owner=OPERATOR,
                units=root,
                expires=int(expires.timestamp() * 1000),
            )
    finally:
        database.close()
    return password


@contextmanager
def running(city: City, embedder: Embedder) -> Iterator[str]:
    """The service on a free port of the loopback address; yields its address."""
    import uvicorn

    from passerby.service import create_app

    server = uvicorn.Server(
        uvicorn.Config(create_app(city, embedder), host="127.0.0.1", port=0, log_level="warning")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise InputError("the service did not start; see the message above")
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


def walk_through(city: City, embedder: Embedder, picture: Path) -> dict[str, bool]:
    """Do over HTTP what an operator does on the page; say of each step whether it holds."""
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtraError("httpx2", "service") from error
    password = open_desk(city)
    district = next(unit.code for unit in city.units if unit.level == "district")
    with running(city, embedder) as address, httpx2.Client(base_url=address, timeout=60) as client:
        steps = {"nobody searches unsigned": _post(client, "/api/searches", {}).status_code == 401}
        session = _post(client, "/api/session", {"name": OPERATOR, "password": password}).json()
        client.headers["X-CSRF-Token"] = session["csrf"]
        with picture.open("rb") as file:
            uploaded = client.post("/api/pictures", files={"file": file}).json()
        query = {"pictures": [{"id": uploaded["id"]}]}
        without = _post(client, "/api/searches", {**query, "case": "NONE"})
        steps["no search without a case"] = without.status_code >= 400
        case = next(c["id"] for c in client.get("/api/cases").json() if c["is_open"])
        found = _post(
            client, "/api/searches", {**query, "case": case, "scope": {"units": [district]}}
        ).json()
        units = [match["unit"] for match in found["matches"]]
        steps["results only from the chosen district"] = bool(units) and all(
            city.units.holds(district, unit) for unit in units
        )
        path = client.get(f"/api/searches/{found['id']}/trajectory")
        steps["the trajectory is served"] = path.status_code == 200
        steps["an export says who, why and when"] = _export_is_marked(client, found["id"])
    steps["the audit is whole"] = _audit_is_whole(city)
    return steps


def _post(client: Any, path: str, content: object) -> Any:
    return client.post(path, json=content)


def _export_is_marked(client: Any, search: str) -> bool:
    wish = {"format": "geojson", "trajectory": True}
    text = _post(client, f"/api/searches/{search}/exports", wish).text
    return OPERATOR in text and PURPOSE in text and "vector" not in text


def _audit_is_whole(city: City) -> bool:
    database = Database(city.folder / "catalogue.sqlite")
    try:
        verdict = Audit(database, city.folder).verify()
    finally:
        database.close()
    return verdict.intact and verdict.entries > 0
