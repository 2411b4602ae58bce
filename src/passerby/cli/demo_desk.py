"""The operator's path over real HTTP: sign in, open a case, bring a picture, search, trace."""

from pathlib import Path
from typing import Any

from passerby.city import City
from passerby.errors import MissingExtraError
from passerby.runtime import Embedder
from passerby.service.app import OPERATOR, create_app, open_demo, served
from passerby.service.http import Service


def walk_through(city: City, embedder: Embedder, picture: Path) -> dict[str, bool]:
    """Do over HTTP what an operator does on the page; say of each step whether it holds."""
    try:
        import httpx2
    except ImportError as error:
        raise MissingExtraError("httpx2", "service") from error
    app = create_app(city, embedder)
    service: Service = app.state.service
    password = open_demo(service)[OPERATOR]
    district = next(unit.code for unit in city.units if unit.level == "district")
    with served(app) as address, httpx2.Client(base_url=address, timeout=60) as client:
        steps = {"nobody searches unsigned": _post(client, "/api/searches", {}).status_code == 401}
        session = _post(client, "/api/session", {"name": OPERATOR, "password": password}).json()
        client.headers["X-CSRF-Token"] = session["csrf"]
        with picture.open("rb") as file:
            uploaded = client.post("/api/pictures", files={"file": file}).json()
        query = {"pictures": [{"id": uploaded["id"]}]}
        without = _post(client, "/api/searches", {**query, "case": "NONE"})
        steps["no search without a case"] = without.status_code >= 400
        case = next(one for one in client.get("/api/cases").json() if one["is_open"])
        found = _post(
            client, "/api/searches", {**query, "case": case["id"], "scope": {"units": [district]}}
        ).json()
        units = [match["unit"] for match in found["matches"]]
        steps["results only from the chosen district"] = bool(units) and all(
            city.units.holds(district, unit) for unit in units
        )
        path = client.get(f"/api/searches/{found['id']}/trajectory")
        steps["the trajectory is served"] = path.status_code == 200
        steps["an export says who, why and when"] = _export_is_marked(client, found["id"], case)
    verdict = service.audit.verify()
    steps["the audit is whole"] = verdict.intact and verdict.entries > 0
    service.database.close()
    return steps


def _post(client: Any, path: str, content: object) -> Any:
    return client.post(path, json=content)


def _export_is_marked(client: Any, search: str, case: dict[str, Any]) -> bool:
    wish = {"format": "geojson", "trajectory": True}
    text = _post(client, f"/api/searches/{search}/exports", wish).text
    return OPERATOR in text and case["purpose"] in text and "vector" not in text
