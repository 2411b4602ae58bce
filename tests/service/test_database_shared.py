"""One city of several machines: the same database, found again after its server was away."""

import json
import shutil
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient

from passerby.city import City, Scope
from passerby.city.address import PASSWORD, Address, parse_address
from passerby.cli import main
from passerby.errors import InputError
from passerby.service.accounts import Accounts
from passerby.service.audit import Audit
from passerby.service.cases import Approvals
from passerby.service.database import Database
from passerby.service.settings import Settings


@pytest.fixture
def kind() -> str:
    return "postgresql"


@pytest.fixture
def name(postgres: Any) -> str:
    return str(postgres.create())


def test_two_machines_share_accounts_settings_and_audit(
    city: City, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Database.of(city)) as database:
        Audit(database, city.folder).append("searched", account="ann")
    address = json.loads((city.folder / "database.json").read_text())["address"]
    second = tmp_path / "second"
    assert main(["admin", "database", "join", str(second), "--database", address]) == 2
    assert "service.key" in capsys.readouterr().err
    assert not (second / "database.json").exists()
    shutil.copy(city.folder / "service.key", second / "service.key")
    assert main(["admin", "database", "join", str(second), "--database", address]) == 0
    with City.open(second) as other, closing(Database.of(other)) as database:
        assert list(other.units) == list(city.units)
        other.set_setting("key", {"a": 1})
        assert city.setting("key") == {"a": 1}
        audit = Audit(database, other.folder)
        assert audit.verify().intact, "joined with a note of what was there"
        audit.append("searched", account="bob")
        assert audit.verify().entries == 2
        assert len(Accounts(database).all()) == 5
    assert main(["admin", "audit", "verify", str(city.folder)]) == 0
    assert main(["admin", "database", "join", str(second), "--database", address]) == 2
    assert "already" in capsys.readouterr().err


def test_a_database_holds_one_city(city: City, tmp_path: Path, name: str, postgres: Any) -> None:
    taken = json.loads((city.folder / "database.json").read_text())["address"]
    maps = {"units": _map("units"), "cameras": _map("cameras")}
    with pytest.raises(InputError, match="already"):
        City.create(tmp_path / "new", **maps, database=taken)
    with pytest.raises(InputError, match="no city in the database"):
        from passerby.city.catalogue import join_catalogue

        url = parse_address(postgres.local_address(name))
        join_catalogue(tmp_path / "new", Address(where=url))
    City.create(tmp_path / "new", **maps, database=postgres.local_address(name)).close()


def _map(what: str) -> dict[str, Any]:
    square = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    unit = {"code": "99", "parent": None, "level": "city", "name": "C", "name_zh": "市"}
    camera = {"id": "C01", "number": 1, "name": "c", "name_zh": "c", "unit": "99"}
    camera |= {"heading": 0.0, "field_of_view": 60.0, "height": 3.0, "range": 20.0}
    point = {"type": "Point", "coordinates": [0.9, 0.5]}
    shape, properties = (square, unit) if what == "units" else (point, camera)
    feature = {"type": "Feature", "geometry": shape, "properties": properties}
    return {"type": "FeatureCollection", "features": [feature]}


def test_create_with_a_password_from_the_environment(
    tmp_path: Path,
    name: str,
    postgres: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for what in ("units", "cameras"):
        (tmp_path / f"{what}.geojson").write_text(json.dumps(_map(what)))
    folder = tmp_path / "city"
    words = ["admin", "create", str(folder), "--database", postgres.address(name)]
    words += ["--units", f"{tmp_path}/units.geojson", "--cameras", f"{tmp_path}/cameras.geojson"]
    assert main(words) == 2
    assert PASSWORD in capsys.readouterr().err, "says how to give it"
    monkeypatch.setenv(PASSWORD, postgres.password)
    assert main(words) == 0
    assert main(["admin", "database", "current", str(folder), "--json"]) == 0
    told = capsys.readouterr().out
    assert json.loads(told.splitlines()[-1])["kind"] == "postgresql"
    kept = [path.read_text() for path in folder.rglob("*") if path.suffix == ".json"]
    assert not any(postgres.password in text for text in (told, *kept))


def test_a_catalogue_moves_into_a_database_and_back(
    city_folder: Path, tmp_path: Path, name: str, postgres: Any
) -> None:
    folder = tmp_path / "city"
    shutil.copytree(city_folder, folder)
    with City.open(folder) as city, closing(Database.of(city)) as database:
        audit = Audit(database, folder)
        for number in range(3):
            audit.append("searched", account="ann", details={"n": number / 3, "字": "é"})
        before = audit.entries(), Accounts(database).all(), list(city.units), city.cameras
    words = ["admin", "database", "move", str(folder)]
    assert main([*words, "--database", postgres.local_address(name)]) == 0
    assert not (folder / "catalogue.sqlite").exists()
    assert main([*words, "--database", postgres.local_address(name)]) == 2, "it is there already"
    with City.open(folder) as city, closing(Database.of(city)) as database:
        assert city.address.file is None
        audit = Audit(database, folder)
        assert audit.verify().intact
        found = audit.entries(), Accounts(database).all(), list(city.units), city.cameras
        assert found == before
        audit.append("searched", account="ann")
        approvals = Approvals(database, Settings())
        _open_case(database)
        asked = approvals.request(Scope(), case="A-1", account="ann", reason="far and wide")
    assert main([*words, "--into-folder"]) == 0
    with City.open(folder) as city, closing(Database.of(city)) as database:
        assert city.address.file == folder / "catalogue.sqlite"
        assert Audit(database, folder).verify().entries == 4
        again = Approvals(database, Settings())
        later = again.request(Scope(), case="A-1", account="ann", reason="far and wide")
        assert later.id == asked.id + 1


def _open_case(database: Database) -> None:
    from passerby.service.cases import Cases
    from passerby.service.database import now

    times = {"units": ("99",), "expires": now() + 86_400_000}
    Cases(database).open("A-1", purpose="to find", legal_basis="act", owner="ann", **times)


def test_a_user_who_may_only_add_to_the_audit_can_serve(city: City, postgres: Any) -> None:
    """The rights that the documentation gives to the service's user."""
    name = city.address.where.database  # type: ignore[union-attr]
    for statement in (
        "DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN END $$",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO guest",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO guest",
        "REVOKE UPDATE, DELETE, TRUNCATE ON audit FROM guest",
    ):
        postgres.execute(statement, name)
    url = parse_address(postgres.local_address(name)).set(username="guest")
    with closing(Database(Address(where=url))) as database:
        audit = Audit(database, city.folder)
        audit.append("searched", account="ann")
        assert audit.verify().intact
        _open_case(database)
        Approvals(database, Settings()).request(
            Scope(), case="A-1", account="ann", reason="for all"
        )
        with pytest.raises(InputError, match="does not allow"), database.write() as connection:
            connection.execute(sa.text("ALTER TABLE audit DISABLE TRIGGER audit_no_change"))
        with pytest.raises(InputError, match="does not allow"), database.write() as connection:
            connection.execute(sa.text("DELETE FROM audit"))


def test_a_server_that_was_away_is_found_again(
    make_app: Callable[..., FastAPI], postgres: Any
) -> None:
    with TestClient(make_app()) as client:
        wish = {"name": "ann", "password": "a long enough password"}
        assert client.post("/api/session", json=wish).status_code == 200
        postgres.stop()
        answer = client.post("/api/session", json=wish)
        postgres.start()
        assert (answer.status_code, answer.json()["code"]) == (503, "database_fault")
        assert str(postgres.port) not in answer.text
        assert client.post("/api/session", json=wish).status_code == 200


def test_values_that_a_database_cannot_keep_are_bad_input(make_app: Callable[..., FastAPI]) -> None:
    client = TestClient(make_app())
    answer = client.post("/api/session", json={"name": "a\x00b", "password": "x" * 12})
    assert answer.status_code in (401, 422), answer.text


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(city: City, postgres: Any) -> None:
    kept: list[int] = []
    enough = threading.Event()

    def write() -> None:
        with closing(Database.of(city)) as database:
            chain = Audit(database, city.folder)
            while True:
                try:
                    kept.append(chain.append("searched", account="x").number)
                except InputError:
                    return
                if len(kept) >= 20:
                    enough.set()

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert enough.wait(60)
    postgres.stop(signal.SIGKILL)
    for thread in threads:
        thread.join()
    postgres.start()
    with closing(Database.of(city)) as database:
        verdict = Audit(database, city.folder).verify()
    assert verdict.intact, verdict.reason
    assert sorted(kept) == list(range(1, len(kept) + 1)), "each number once"
    assert len(kept) <= verdict.entries <= len(kept) + 3
