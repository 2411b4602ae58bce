"""``admin verify`` and retention: what is damaged, missing or granted behind the audit's back."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi import FastAPI

from passerby.city import City, checksums
from passerby.cli import main
from passerby.service.accounts import Accounts
from passerby.service.audit import Audit
from passerby.service.database import ACCOUNTS, Database
from passerby.service.verification import faults

UNITS = {"ann": "99", "bob": "9901", "sue": "99", "wes": "9902", "root": "99"}


@pytest.fixture
def audited_accounts(city: City) -> None:
    """The city's accounts as the program would have made them, with their entries."""
    with closing(Database.of(city)) as database:
        audit = Audit(database, city.folder)
        for one in Accounts(database).all():
            details = {"name": one.name, "role": one.role}
            audit.append("account_created", account="x", units=one.grants, details=details)


@pytest.fixture
def look(city: City, audited_accounts: None) -> Callable[[], list[str]]:
    def faults_now() -> list[str]:
        with closing(Database.of(city)) as database:
            return list(faults(city, database, Audit(database, city.folder)))

    return faults_now


def behind_the_back(city: City, statement: str) -> None:
    """As another program would, without our engine."""
    with closing(sqlite3.connect(city.folder / "catalogue.sqlite")) as file:
        file.execute(statement)
        file.commit()


def test_a_whole_city_has_no_fault(ann: Any, look: Callable[[], list[str]]) -> None:
    ann.search("A-1")
    ann.post("/api/cases/A-1/close")
    assert look() == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9] + b"\0" * 9), "is damaged"),
    ],
)
def test_a_crop_that_is_not_there_or_not_itself(
    city: City, look: Callable[[], list[str]], damage: Callable[[Path], Any], said: str
) -> None:
    damage(sorted(city.crops.folder.rglob("*.jpg"))[3])
    found = look()
    assert len(found) == 1
    assert "crop" in found[0]
    assert said in found[0]
    assert main(["admin", "verify", str(city.folder)]) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE units SET name = 'X' WHERE code = '9901'",
        "UPDATE cameras SET lon = lon + 0.001",
        "DELETE FROM streets WHERE number = 1",
        "UPDATE settings SET value = '2' WHERE key = 'format'",
        "UPDATE accounts SET password = 'x' WHERE name = 'ann'",
        "UPDATE cases SET purpose = 'another'",
        "DELETE FROM checksums WHERE \"table\" = 'units'",
        "UPDATE searches SET record = replace(record, 'C01', 'C02')",
    ],
)
def test_a_row_that_another_program_changed(
    ann: Any, city: City, look: Callable[[], list[str]], statement: str
) -> None:
    ann.search("A-1")
    assert look() == []
    behind_the_back(city, statement)
    assert look()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE grants SET unit = '99' WHERE account = 'bob'", "'bob' may see 99"),
        ("INSERT INTO grants VALUES ('wes', '9901')", "'wes' may see 9901, 9902"),
        ("UPDATE accounts SET role = 'supervisor' WHERE name = 'bob'", "'bob' is supervisor"),
        ("UPDATE accounts SET disabled = 1 WHERE name = 'sue'", "'sue' is disabled"),
        (
            "INSERT INTO accounts (name, role, password, created, disabled) "
            "VALUES ('eve', 'operator', 'x', 1, 0)",
            "'eve' was made without",
        ),
        ("UPDATE cases SET legal_basis = 'none'", "another purpose or legal basis"),
        ("UPDATE cases SET closed = 5", "A-1 is closed"),
        (
            "INSERT INTO cases VALUES ('Z', 'p', 'l', 'ann', '[]', 1, 9999999999999, NULL)",
            "case Z was opened without",
        ),
        (
            "INSERT INTO approvals VALUES (7, 'A-1', 'ann', '[\"99\"]', NULL, NULL, 'r', 1, "
            "'approved', 'sue', 1, 9999999999999)",
            "request 7 for a wide search is approved",
        ),
    ],
)
def test_rights_are_those_of_the_audit_although_the_checksum_fits(
    ann: Any, city: City, look: Callable[[], list[str]], statement: str, said: str
) -> None:
    """As who can write to the database, and computes the checksums anew, would."""
    with city.engine.execution_options(immediate=True).begin() as connection:
        connection.exec_driver_sql(statement)
    found = look()
    assert len(found) == 1, found
    assert said in found[0]


def test_flipped_bits_of_the_catalogue_are_found_or_harmless(
    city: City, look: Callable[[], list[str]], ann: Any
) -> None:
    """150 flips in one file: found, or every row that is covered reads as before."""
    ann.search("A-1")
    ann.app.state.service.database.engine.dispose()
    city.engine.dispose()
    path = city.folder / "catalogue.sqlite"
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        covered = [*checksums.TABLES, "audit", "searches"]
        before = {name: file.execute(f"SELECT * FROM {name}").fetchall() for name in covered}
    good = path.read_bytes()
    rng = np.random.default_rng(5)
    found = 0
    for at in rng.integers(100, len(good), 150):
        flipped = bytearray(good)
        flipped[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        try:
            if look():
                found += 1
                continue
        except (sa.exc.DatabaseError, ValueError, TypeError):
            found += 1  # an error of whoever reads it
            continue
        with closing(sqlite3.connect(path)) as file:
            for name, rows in before.items():
                assert file.execute(f"SELECT * FROM {name}").fetchall() == rows, (at, name)
    path.write_bytes(good)
    assert found > 10
    assert look() == []


# retention ---------------------------------------------------------------------------------------


def test_retention_strips_stored_searches_to_the_byte(ann: Any, city: City, app: FastAPI) -> None:
    found = ann.search("A-1", identity=1)
    right, wrong = found["matches"][0]["id"], found["matches"][1]["id"]
    path = f"/api/searches/{found['id']}/judgement"
    ann.put(path, json={"confirmed": [right], "rejected": [wrong]})
    crops = {one["crop"] for one in found["matches"]}
    tracklets = {one["tracklet"] for one in found["matches"]}
    assert main(["admin", "retention", str(city.folder), "--days", "0.0001"]) == 0
    assert city.gallery.count() == 32, "the sightings are of 2030"
    city.delete([one.id for one in city.gallery.latest(100)][:30])
    assert main(["admin", "retention", str(city.folder), "--days", "0.0001"]) == 0
    read = ann.get(f"/api/searches/{found['id']}").json()
    kept = {one.id for one in city.gallery.latest(100)}
    shown = {name for one in read["matches"] for name in (one["id"], *one["members"])}
    assert shown <= kept
    assert set(read["confirmed"]) | set(read["rejected"]) <= kept
    assert read["forgotten"] >= 28
    gone = {one.id: one for one in city.gallery.latest(100)}
    app.state.service.database.engine.dispose()
    city.engine.dispose()
    with closing(sqlite3.connect(city.folder / "catalogue.sqlite")) as file:
        (record,) = file.execute("SELECT record FROM searches").fetchone()
    left = {one.crop for one in gone.values()} | {one.tracklet for one in gone.values()}
    for text in (crops | tracklets) - left:
        assert text not in record
        for part in city.folder.glob("catalogue.sqlite*"):
            assert text.encode() not in part.read_bytes(), f"{text} in {part.name}"
    entry = next(one for one in app.state.service.audit.entries() if one.action == "retention")
    assert entry.details["before"]


@pytest.mark.parametrize("days", ["nan", "inf", "0", "-1", "1e300"])
def test_retention_of_no_number_of_days(
    city: City, days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["admin", "retention", str(city.folder), "--days", days]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert city.gallery.count() == 32


def test_disabled_accounts_follow_the_audit(
    sign_in: Callable[[str], Any], look: Callable[[], list[str]], app: FastAPI
) -> None:
    root = sign_in("root")
    root.patch("/api/accounts/bob", json={"disabled": True, "units": ["9902"]})
    root.patch("/api/accounts/bob", json={"new_password": True})
    assert look() == []
    with app.state.service.database.write() as connection:
        connection.execute(ACCOUNTS.update().values(disabled=False))
    assert len(look()) == 1
