"""Every way to change an audit is found before and after further entries, or said not to be."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from passerby.service.audit import START, Audit, AuditError
from passerby.service.audit_heads import HEADS_FILE, KEY, KEY_FILE, Forwarder, Head
from passerby.service.database import AUDIT, Database
from tests.service.test_audit import tamper

WHO = {"account": "ann", "case": "A-1", "units": ("99",)}


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    yield from make(tmp_path)


def make(folder: Path, **options: Any) -> Iterator[Audit]:
    database = Database(folder / "catalogue.sqlite")
    chain = Audit(database, folder, **options)
    for number in range(1, 9):
        chain.append("searched", details={"n": number}, **WHO)
    yield chain
    chain.close()
    database.close()


def rewrite(audit: Audit, *, code: Callable[[str], str | None]) -> None:
    """Forge entry 4 and compute everything after it anew, as who knows the source can."""
    previous = START
    for entry in reversed(audit.entries()):
        account = "somebody" if entry.number == 4 else entry.account
        body = replace(entry, account=account, previous=previous)
        previous = body.expected_digest()
        values = {"account": account, "previous": body.previous, "digest": previous}
        if code(previous):
            values["mac"] = code(previous)
        tamper_once(audit, AUDIT.update().where(AUDIT.c.number == entry.number).values(**values))


def tamper_once(audit: Audit, statement: sa.Executable) -> None:
    with audit.database.write() as connection:
        for verb in ("update", "delete"):
            connection.execute(sa.text(f"DROP TRIGGER IF EXISTS audit_no_{verb}"))
        connection.execute(statement)


def swap(audit: Audit) -> None:
    """Let entries 3 and 4 change places."""
    for old, new in ((3, 1000), (4, 3), (1000, 4)):
        tamper_once(audit, AUDIT.update().where(AUDIT.c.number == old).values(number=new))


CHANGES: dict[str, Callable[[Audit], None]] = {
    "edited": lambda a: tamper(a, AUDIT.update().where(AUDIT.c.number == 3).values(account="x")),
    "last edited": lambda a: tamper(a, AUDIT.update().where(AUDIT.c.number == 8).values(time=1)),
    "middle deleted": lambda a: tamper(a, AUDIT.delete().where(AUDIT.c.number == 4)),
    "first deleted": lambda a: tamper(a, AUDIT.delete().where(AUDIT.c.number == 1)),
    "end cut off": lambda a: tamper(a, AUDIT.delete().where(AUDIT.c.number > 5)),
    "last deleted": lambda a: tamper(a, AUDIT.delete().where(AUDIT.c.number == 8)),
    "emptied": lambda a: tamper(a, AUDIT.delete()),
    "reordered": swap,
    "rewritten": lambda a: rewrite(a, code=lambda _: None),
    "codes removed": lambda a: tamper(a, AUDIT.update().values(mac=None)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_with_the_database_alone_every_change_is_found(
    audit: Audit, change: Callable[[Audit], None]
) -> None:
    assert audit.verify().intact
    change(audit)
    at_once = audit.verify()
    assert not at_once.intact
    try:
        audit.append("searched", **WHO)
        grew = True
    except AuditError as error:
        assert "admin audit verify" in str(error)
        grew = False
    later = audit.verify()
    assert not later.intact
    assert later.broken_at == at_once.broken_at or not grew


@pytest.mark.parametrize("name", ["end cut off", "emptied", "rewritten", "last deleted"])
def test_a_chain_whose_end_is_gone_takes_no_entry(audit: Audit, name: str) -> None:
    CHANGES[name](audit)
    before = len(audit.entries())
    with pytest.raises(AuditError):
        audit.append("searched", **WHO)
    with pytest.raises(AuditError):
        audit.check()
    assert len(audit.entries()) == before


def cut_both(audit: Audit, folder: Path) -> None:
    """With the folder too: the end of the chain and its heads."""
    tamper_once(audit, AUDIT.delete().where(AUDIT.c.number > 5))
    path = folder / HEADS_FILE
    if path.exists():
        lines = path.read_text().splitlines(keepends=True)[:5]
        path.write_text("".join(lines))


def forge_all(audit: Audit, folder: Path) -> None:
    """With the folder too: without codes, with new heads, as if there had been no key."""
    rewrite(audit, code=lambda _: None)
    tamper_once(audit, AUDIT.update().values(mac=None))
    (folder / KEY_FILE).unlink(missing_ok=True)
    (folder / HEADS_FILE).unlink(missing_ok=True)
    last = audit.entries(limit=1)[0]
    old = {"number": last.number, "digest": last.digest}
    (folder / "audit.head").write_text(json.dumps(old))


@pytest.mark.parametrize("change", [cut_both, forge_all, lambda a, _: CHANGES["edited"](a)])
def test_with_the_folder_it_is_found_where_the_key_is_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Audit, Path], None]
) -> None:
    """The heads lie beside the key then."""
    secret = tmp_path / "elsewhere" / "city.key"
    secret.parent.mkdir()
    secret.write_text("ab" * 32 + "\n")
    monkeypatch.setenv(f"{KEY}_FILE", str(secret))
    (tmp_path / "city").mkdir()
    for audit in make(tmp_path / "city"):
        assert audit.verify().uncovered == ()
        assert not (tmp_path / "city" / KEY_FILE).exists()
        change(audit, tmp_path / "city")
        assert not audit.verify().intact
        for _ in range(2):
            with contextlib.suppress(AuditError):
                audit.append("searched", **WHO)
            assert not audit.verify().intact


def test_with_the_folder_it_is_found_where_heads_went_elsewhere(tmp_path: Path) -> None:
    """Syslog's file, with its own words before each head; both machines' clocks and the rest."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(20)
        sender = Forwarder(syslog=f"127.0.0.1:{collector.getsockname()[1]}")
        log = tmp_path / "syslog.log"
        (tmp_path / "city").mkdir()
        for audit in make(tmp_path / "city", forwarder=sender):
            sender.close()  # sends the newest head that waits
            heads = []
            while not heads or heads[-1].number < 8:
                line = collector.recv(1000).decode()
                heads.append(Head.parse(line))
                with log.open("a") as file:
                    file.write(f"May  1 08:00:00 city passerby: {line}\n")
            assert sender.failed == ""
            everything = audit.verify(log)
            assert everything.intact
            cut_both(audit, tmp_path / "city")
            here = audit.verify()
            assert here.intact, "who can write to folder and database can cut both"
            assert any("--heads" in one for one in here.uncovered), "and verify says so"
            audit.append("searched", **WHO)
            assert audit.verify(log).broken_at == 7
            assert "7 to 8 are missing" in audit.verify(log).reason


def test_heads_go_to_a_url_and_a_failure_is_said(tmp_path: Path) -> None:
    got: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sender = Forwarder(url=f"http://127.0.0.1:{server.server_port}/heads")
    for audit in make(tmp_path, forwarder=sender):
        sender.close()
        last = Head.parse(got[-1].decode())
        assert last == audit.entries(limit=1)[0].head
    server.shutdown()
    server.server_close()
    broken = Forwarder(url=f"http://127.0.0.1:{server.server_port}/heads")
    broken.send(last)
    broken.close()
    assert broken.failed


def test_a_loss_that_was_looked_into_is_named_for_good(audit: Audit) -> None:
    CHANGES["end cut off"](audit)
    entry = audit.resume(account="(command line)", reason="the disk was replaced")
    assert (entry.number, entry.action) == (6, "audit_resumed")
    assert entry.details["found"] == "entries 6 to 8 are missing"
    audit.append("searched", **WHO)
    verdict = audit.verify()
    assert verdict.intact
    assert any("resumed" in one for one in verdict.uncovered)


def test_resuming_does_not_heal_a_changed_entry(audit: Audit) -> None:
    CHANGES["rewritten"](audit)
    audit.resume(account="x", reason="looked into")
    assert audit.verify().broken_at in (1, 4)


def test_the_key_is_private_and_a_lost_key_stops_everything(audit: Audit, tmp_path: Path) -> None:
    path = tmp_path / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / HEADS_FILE).stat().st_mode & 0o777 == 0o600
    path.unlink()
    with pytest.raises(AuditError, match="key is missing"):
        audit.append("searched", **WHO)
    assert not path.exists(), "a new key would make the old entries somebody's"
    assert "key is missing" in audit.verify().reason


def test_a_head_that_a_crash_cut_off_is_passed_over(audit: Audit, tmp_path: Path) -> None:
    path = tmp_path / HEADS_FILE
    text = path.read_text()
    path.write_text(text[:-40])  # the entry was durable, its head half written
    audit.append("searched", **WHO)
    assert audit.verify().intact
    path.write_text("".join(text.splitlines(keepends=True)[:-1]))  # not written at all
    verdict = audit.verify()
    assert verdict.intact
    assert any("8 to 9 have no head" in one for one in verdict.uncovered)


def test_a_chain_of_an_older_version_goes_on_with_codes(audit: Audit, tmp_path: Path) -> None:
    tamper(audit, AUDIT.update().values(mac=None))
    (tmp_path / KEY_FILE).unlink()
    (tmp_path / HEADS_FILE).unlink()
    last = audit.entries(limit=1)[0]
    old = json.dumps({"number": 8, "digest": last.digest})
    (tmp_path / "audit.head").write_text(old)
    assert audit.verify().intact
    audit.append("searched", **WHO)
    verdict = audit.verify()
    assert verdict.intact
    assert any("8 entries are older than the key" in one for one in verdict.uncovered)
    tamper_once(audit, AUDIT.update().where(AUDIT.c.number == 9).values(mac=None))
    assert audit.verify().broken_at == 9


def test_threads_share_commits_and_lose_nothing(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits, commit = [], audit._commit

    def slow(batch: list[Any]) -> None:
        time.sleep(0.02)  # as a disk that syncs
        commits.append(len(batch))
        commit(batch)

    monkeypatch.setattr(audit, "_commit", slow)
    numbers: list[int] = []

    def write() -> None:
        numbers.append(audit.append("crops_viewed", **WHO).number)

    threads = [threading.Thread(target=write) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(9, 49))
    assert sum(commits) == 40
    assert len(commits) < 20
    assert audit.verify().entries == 48


def test_one_entry_that_cannot_be_stored_spoils_no_other(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = audit._commit

    def refuse(batch: list[Any]) -> None:
        if any(wish.values["action"] == "bad" for wish in batch):
            raise ValueError("no")
        real(batch)

    monkeypatch.setattr(audit, "_commit", refuse)
    failed: list[str] = []

    def write(action: str) -> None:
        try:
            audit.append(action, **WHO)
        except ValueError:
            failed.append(action)

    names = ["good", "bad", "good", "good", "bad"]
    threads = [threading.Thread(target=write, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == ["bad", "bad"]
    assert audit.verify().entries == 11
