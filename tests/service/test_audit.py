"""The audit's chain: it grows, it holds, and every way of tampering shows."""

import itertools
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from passerby.city.address import Address, parse_address
from passerby.service import audit_chain
from passerby.service.audit import Audit
from passerby.service.audit_heads import HEADS_FILE, KEY_FILE
from passerby.service.database import AUDIT, Database


@pytest.fixture
def address(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> Iterator[Address]:
    if kind == "sqlite":
        yield Address(where=tmp_path / "catalogue.sqlite")
        return
    postgres = request.getfixturevalue("postgres")
    yield Address(where=parse_address(postgres.local_address(postgres.create())))


@pytest.fixture
def audit(tmp_path: Path, address: Address) -> Iterator[Audit]:
    database = Database(address)
    chain = Audit(database, tmp_path)
    for number in range(1, 9):
        chain.append("searched", account="ann", case="A-1", units=("99",), details={"n": number})
    yield chain
    database.close()


def tamper(audit: Audit, statement: sa.Executable) -> None:
    """As someone who owns the database would: without our triggers."""
    with audit.database.write() as connection:
        if connection.dialect.name == "sqlite":
            for verb in ("update", "delete"):
                connection.execute(sa.text(f"DROP TRIGGER audit_no_{verb}"))
        else:
            connection.execute(sa.text("DROP TRIGGER audit_no_change ON audit"))
        connection.execute(statement)


def test_chain_holds_and_counts(audit: Audit) -> None:
    verdict = audit.verify()
    assert verdict.intact
    assert verdict.entries == 8
    entries = audit.entries()
    assert [entry.number for entry in entries] == list(range(8, 0, -1))
    assert all(a.previous == b.digest for a, b in itertools.pairwise(entries))
    assert verdict.head == entries[0].digest


@pytest.mark.parametrize(
    "change",
    [{"account": "bob"}, {"details": {"n": 99}}, {"time": 1}, {"case": None}, {"units": []}],
)
def test_a_changed_entry_is_found(audit: Audit, change: dict[str, object]) -> None:
    tamper(audit, AUDIT.update().where(AUDIT.c.number == 5).values(**change))
    verdict = audit.verify()
    assert verdict.broken_at == 5
    assert "changed" in verdict.reason


def test_a_changed_entry_with_a_new_digest_is_not_the_citys(audit: Audit) -> None:
    entry = next(one for one in audit.entries() if one.number == 5)
    forged = replace(entry, account="bob")
    values = {"account": "bob", "digest": forged.expected_digest()}
    tamper(audit, AUDIT.update().where(AUDIT.c.number == 5).values(**values))
    verdict = audit.verify()
    assert verdict.broken_at == 5
    assert "key" in verdict.reason


@pytest.mark.parametrize("number", [1, 5])
def test_a_removed_entry_is_found(audit: Audit, number: int) -> None:
    tamper(audit, AUDIT.delete().where(AUDIT.c.number == number))
    verdict = audit.verify()
    assert verdict.broken_at == number
    assert "missing" in verdict.reason


def test_a_cut_off_end_is_found(audit: Audit) -> None:
    tamper(audit, AUDIT.delete().where(AUDIT.c.number > 6))
    verdict = audit.verify()
    assert (verdict.broken_at, verdict.entries) == (7, 6)
    assert "7 to 8 are missing" in verdict.reason


def test_a_missing_note_is_told(audit: Audit, tmp_path: Path) -> None:
    (tmp_path / HEADS_FILE).unlink()
    assert not audit.verify().intact


def test_the_database_refuses_changes(audit: Audit) -> None:
    for statement in (AUDIT.update().values(account="bob"), AUDIT.delete()):
        with pytest.raises(sa.exc.IntegrityError, match="append-only"), audit.database.write() as c:
            c.execute(statement)
    assert audit.verify().intact


def test_a_chain_that_was_cut_and_grown_again_is_found(audit: Audit) -> None:
    heads = audit.heads.path.read_text(encoding="utf-8")
    tamper(audit, AUDIT.delete().where(AUDIT.c.number > 6))
    lines = heads.splitlines(keepends=True)[:6]
    audit.heads.path.write_text("".join(lines), encoding="utf-8")  # with the folder's file too
    for _ in range(3):
        audit.append("searched", account="bob")
    audit.heads.path.write_text(heads, encoding="utf-8")  # as another machine's still says
    verdict = audit.verify()
    assert verdict.broken_at == 7
    assert "audit head" in verdict.reason


def test_a_long_chain_is_read_in_parts(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_chain, "ROWS_AT_ONCE", 3)
    assert audit.verify().entries == 8
    tamper(audit, AUDIT.delete().where(AUDIT.c.number == 4))
    assert audit.verify().broken_at == 4


def test_many_writers_on_two_machines_make_one_chain(
    audit: Audit, address: Address, tmp_path: Path
) -> None:
    """Two folders, so that nothing but the database keeps them in order."""
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / KEY_FILE, tmp_path / "other" / KEY_FILE)
    other = Audit(Database(address), tmp_path / "other")
    other.adopt_head()

    def write(chain: Audit) -> None:
        for _ in range(10):
            chain.append("searched", account="x")

    threads = [threading.Thread(target=write, args=(chain,)) for chain in (audit, other) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for chain in (audit, other):
        verdict = chain.verify()
        assert verdict.intact, verdict.reason
        assert verdict.entries == 48
    other.database.close()
