"""One schema in both databases: revisions equal the models, and an upgrade keeps the data."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.orm import Session

from passerby.city import City, schema
from passerby.city.address import Address, parse_address
from passerby.city.catalogue import ClipRow, read_cameras, read_setting
from passerby.city.engines import open_engine
from passerby.errors import InputError
from passerby.service.accounts import Accounts
from passerby.service.audit import Audit
from passerby.service.database import AUDIT, METADATA, Database

OLD = Path(__file__).parent / "old_catalogue.sql"


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Address]:
    """An empty catalogue's address, in each database."""
    if request.param == "sqlite":
        yield Address(where=tmp_path / "catalogue.sqlite")
        return
    server = request.getfixturevalue("postgres")
    yield Address(where=parse_address(server.local_address(server.create())))


# of later revisions
NEW = {"audit": ("mac",), "searches": ("digest",), "accounts": ("must_change", "code_until")}
NEW_TABLES = (
    "checksums", "fact_names", "facts", "looks", "cameras", "clips", "settings", "tombstones",
)  # fmt: skip


def at_revision(address: Address, revision: str) -> sa.Engine:
    """The catalogue as a program of that revision left it, with rows in every kind of table."""
    engine = open_engine(address)
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    from alembic import command

    with engine.execution_options(immediate=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return engine


def fill(connection: sa.Connection) -> None:
    """Rows as the first program wrote them, foreign keys and all."""
    for statement in (
        "INSERT INTO units VALUES ('99', NULL, 'city', 'C', '市', '{}')",
        "INSERT INTO units VALUES ('9901', '99', 'district', 'D', '区', '{\"a\": [1.5]}')",
        "INSERT INTO settings VALUES ('format', '1')",
        "INSERT INTO settings VALUES ('ingest.0123456789abcdef', '{\"every\": 2}')",
        "INSERT INTO cameras VALUES ('C1', 7, 'Gate', '门', '9901', 1.5, 2.5, 90, 60, 4, 30)",
        "INSERT INTO accounts VALUES ('ann', 'operator', '$argon2id$x', 1, false)",
        "INSERT INTO grants VALUES ('ann', '9901')",
        "INSERT INTO sessions VALUES ('d', 'ann', 1, 2)",
        "INSERT INTO cases VALUES ('A-1', 'why', 'law', 'ann', '[\"99\"]', 1, 2, NULL)",
        "INSERT INTO searches VALUES ('s', 'ann', 'A-1', 1, 1, '{\"scope\": {}}')",
    ):
        connection.exec_driver_sql(statement)


def rows(engine: sa.Engine) -> dict[str, list[tuple[object, ...]]]:
    """The rows of the tables that no later revision makes anew."""
    with engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(*columns))]
            for table in METADATA.sorted_tables
            if (columns := [one for one in table.c if one.key not in NEW.get(table.name, ())])
            and table.name not in NEW_TABLES
        }


def test_the_revisions_make_what_the_models_say(address: Address) -> None:
    engine = open_engine(address)
    schema.prepare(engine, address)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    assert schema.current(engine) == schema.HEAD
    engine.dispose()


def test_the_program_knows_its_own_revisions() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert tuple(one.revision for one in script.walk_revisions())[::-1] == schema.REVISIONS
    assert script.get_heads() == [schema.HEAD]


def test_an_upgrade_from_the_first_revision_keeps_the_data(address: Address) -> None:
    engine = at_revision(address, schema.REVISIONS[0])
    with engine.begin() as connection:
        fill(connection)
    before = rows(engine)
    assert all(before[name] for name in ("units", "grants", "sessions", "searches"))
    schema.upgrade(address)
    assert schema.current(engine) == schema.HEAD
    assert rows(engine) == before
    with Session(engine) as session:
        (gate,) = read_cameras(session)["C1"]
        assert (gate.number, gate.name_zh, gate.place, gate.range) == (7, "门", (1.5, 2.5), 30)
        assert gate.holds(0) and gate.valid_to is None and gate.clock == 0
        (clip,) = session.scalars(sa.select(ClipRow))
        assert (clip.name, clip.options, clip.state) == ("0123456789abcdef", {"every": 2}, "stored")
        assert read_setting(session, "format") == 1
        assert read_setting(session, "ingest.0123456789abcdef") is None
    with engine.begin() as connection:
        columns = {one["name"]: one for one in sa.inspect(connection).get_columns("grants")}
        assert columns["unit"]["type"].length == 64
        keys = sa.inspect(connection).get_foreign_keys("grants")
        assert [key["referred_table"] for key in keys] == ["accounts"]
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO grants VALUES ('nobody', '99')")
    engine.dispose()


def test_where_the_files_of_clips_are_is_taken_over(address: Address) -> None:
    engine = at_revision(address, "0005")
    content = {name: f"{name}{'0' * 30}" + 32 * name[1] for name in ("a1", "b2")}
    facts = ["/srv/a.mp4", 1234, 1_777_593_600_123_456_789]
    with engine.begin() as connection:
        for name, sha in content.items():
            connection.exec_driver_sql(
                "INSERT INTO clips (name, content, camera, source, options, state, gaps, frames, "
                f"sightings, ingested) VALUES ('{name}', '{sha}', 'C1', 'a.mp4', '{{}}', 'stored', "
                "'[]', 1, 1, 1)"
            )
        known = {content["a1"][:32]: facts, "f" * 32: ["/gone.mp4", 1, 1]}
        for sha, value in known.items():
            text = json.dumps(value)
            connection.exec_driver_sql(f"INSERT INTO settings VALUES ('context.{sha}', '{text}')")
        connection.exec_driver_sql("INSERT INTO settings VALUES ('format', '1')")
    schema.upgrade(address)
    with Session(engine) as session:
        found = {row.name: row.file for row in session.scalars(sa.select(ClipRow))}
        assert found == {"a1": facts, "b2": None}
        assert session.scalars(sa.select(ClipRow).where(ClipRow.file.is_(None))).one().name == "b2"
        keys = session.execute(sa.text("SELECT key FROM settings")).scalars().all()
        assert keys == ["format"]
    engine.dispose()


def test_a_broken_upgrade_changes_nothing(
    address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = at_revision(address, schema.REVISIONS[0])

    def fail(connection: sa.Connection) -> None:
        raise RuntimeError("the power fails")

    monkeypatch.setattr(schema, "_check_references", fail)  # after the changes, before the commit
    with pytest.raises(RuntimeError):
        schema.upgrade(address)
    assert schema.current(engine) == schema.REVISIONS[0]
    assert not sa.inspect(engine).get_indexes("sessions")
    engine.dispose()


def test_a_newer_schema_is_refused(address: Address) -> None:
    Database(address).close()
    engine = open_engine(address)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
    for call in (lambda: Database(address), lambda: schema.upgrade(address)):
        with pytest.raises(InputError, match=r"0999.*newer Passerby"):
            call()
    engine.dispose()


@pytest.mark.parametrize("served", [True, False])
def test_a_city_from_before_revisions_opens_and_a_copy_stays(tmp_path: Path, served: bool) -> None:
    file = tmp_path / "catalogue.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        script = OLD.read_text(encoding="utf-8")
        statements = [one for one in script.split(";\n") if served or "accounts" not in one]
        if served:
            connection.executescript(script)
        else:  # a city that was ingested into but never served had its map's tables alone
            names = ("units", "cameras", "streets", "settings")
            for one in statements:
                if any(f"CREATE TABLE {name} " in one for name in names):
                    connection.execute(one)
        connection.execute("INSERT INTO units VALUES ('99', NULL, 'city', 'C', 'Z', '{}')")
        connection.execute("INSERT INTO settings VALUES ('format', '1')")
        if served:
            connection.execute("INSERT INTO accounts VALUES ('ann', 'operator', 'x', 1, 0)")
            connection.execute("INSERT INTO grants VALUES ('ann', '99')")
    with City.open(tmp_path) as city:
        assert [unit.code for unit in city.units] == ["99"]
        with closing(Database.of(city)) as database:
            assert [one.grants for one in Accounts(database).all()] == ([("99",)] if served else [])
            Audit(database, tmp_path).append("searched", account="ann")
            with pytest.raises(sa.exc.IntegrityError), database.write() as writing:
                writing.execute(AUDIT.delete())
    copy = tmp_path / "catalogue.sqlite.0000"
    with closing(sqlite3.connect(copy)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        assert "alembic_version" not in tables
        assert connection.execute("SELECT value FROM settings").fetchall() == [("1",)]
    assert copy.stat().st_mode & 0o077 == 0
    City.open(tmp_path).close()
    assert len(list(tmp_path.glob("catalogue.sqlite.0*"))) == 1, "opened again, nothing to do"


def test_a_shared_database_is_upgraded_on_command_alone(postgres: object) -> None:
    name = postgres.create()  # type: ignore[attr-defined]
    address = Address(where=parse_address(postgres.local_address(name)))  # type: ignore[attr-defined]
    at_revision(address, schema.REVISIONS[0]).dispose()
    with pytest.raises(InputError, match="passerby admin database upgrade"):
        Database(address)
    schema.upgrade(address)
    Database(address).close()
