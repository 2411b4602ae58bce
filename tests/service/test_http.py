"""The HTTP surface: headers, errors, descriptions, files, the command that serves it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import passerby.service
from passerby.city import City
from passerby.city.gallery import AwayError
from passerby.cli import main
from passerby.cli.serve import check_host
from passerby.errors import InputError
from passerby.service.settings import Settings

STATIC = Path(passerby.service.__file__).parent / "static"


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/api/health", "/api/session", "/static/js/main.js", "/x"]
)
def test_every_answer_is_guarded(app: FastAPI, path: str) -> None:
    headers = TestClient(app).get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http:" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"


def test_answers_are_not_kept_by_browsers(ann: Any) -> None:
    for path in ("/api/units", "/api/sightings/p1-C01-0/crop?case=A-1", "/api/session"):
        assert ann.get(path).headers["cache-control"] == "no-store"


def test_health_needs_no_session_and_says_nothing(
    app: FastAPI, sign_in: Callable[[str], Any]
) -> None:
    answer = TestClient(app).get("/api/health").json()
    assert answer == {"status": "ok", "version": passerby.__version__}
    condition = sign_in("root").get("/api/health/city").json()
    assert condition["model_matches"]
    assert condition["audit_intact"]
    assert condition["sightings"] == 32


def test_a_damaged_gallery_is_no_fault_of_the_request(
    ann: Any, city: City, caplog: pytest.LogCaptureFixture
) -> None:
    victim = city.folder / "gallery" / "gallery.sqlite"
    city.gallery.close()  # the log is in the file now
    content = bytearray(victim.read_bytes())
    content[-100] ^= 1  # the last page is one of a chunk
    victim.write_bytes(content)
    query = {"case": "A-1", "pictures": [{"id": ann.add_picture()}]}
    answer = ann.post("/api/searches", json=query)
    assert (answer.status_code, answer.json()["code"]) == (500, "store_fault")
    assert victim.name in answer.json()["error"]
    assert str(city.folder) not in answer.text
    assert "administrator" in answer.json()["what_to_do"]
    assert str(victim) in caplog.text


def test_a_gallery_server_that_is_away_is_worth_another_try(
    ann: Any, city: City, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object, **__: object) -> None:
        raise AwayError("Milvus at 10.1.2.3:19530 does not answer")

    monkeypatch.setattr(city.gallery, "search", away)
    query = {"case": "A-1", "pictures": [{"id": ann.add_picture()}]}
    answer = ann.post("/api/searches", json=query)
    assert (answer.status_code, answer.json()["code"]) == (503, "store_away")
    assert answer.headers["Retry-After"] == "60"
    assert "10.1.2.3" not in answer.text
    assert "10.1.2.3" in caplog.text


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2f%2e%2e%2ferrors.py",
        "/static//etc/passwd",
        "/api/sightings/..%2f..%2fservice.secret/crop",
        "/api/sightings/%2e%2e/crop",
    ],
)
def test_no_path_leads_out(ann: Any, path: str) -> None:
    answer = ann.get(path)
    assert answer.status_code in (404, 405, 422)
    assert "root:" not in answer.text
    assert "import" not in answer.text


def test_every_operation_is_described(app: FastAPI) -> None:
    document = app.openapi()
    for path, operations in document["paths"].items():
        for method, what in operations.items():
            where = f"{method} {path}"
            assert what["summary"], where
            assert what["description"], where
            good = [r for status, r in what["responses"].items() if status.startswith("2")]
            assert good, where
            assert "204" in what["responses"] or good[0].get("content"), where
    for name, schema in document["components"]["schemas"].items():
        if "ValidationError" not in name and not name.startswith("Body_"):
            assert schema.get("description") or schema.get("title"), name


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/nothing", None, 404),
        ("DELETE", "/api/cases", None, 405),
        ("POST", "/api/searches", {"case": 5}, 422),
        ("GET", "/api/coverage?start=yesterday", None, 422),
        ("GET", "/api/coverage?start=2030-01-01T00:00:00", None, 422),
        ("GET", "/api/coverage?start=2030-01-02T00:00Z&end=2030-01-01T00:00Z", None, 422),
        ("POST", "/api/searches/none/exports", {"format": "json"}, 404),
    ],
)
def test_every_refusal_says_what_to_do(
    ann: Any, method: str, path: str, body: Any, status: int
) -> None:
    answer = ann.request(method, path, json=body)
    city = ann.app.state.service.city
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "error", "what_to_do"}
    assert all(answer.json().values())
    assert str(city.folder) not in answer.text


def test_the_page_loads_nothing_from_elsewhere() -> None:
    ours = [
        p
        for p in STATIC.rglob("*")
        if p.suffix in (".js", ".css", ".html") and "vendor" not in p.parts
    ]
    assert len(ours) > 20
    for path in ours:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]{2,}/", text), path.name
        assert not re.search(r"\bon\w+=\"|style=\"", text), f"{path.name}: inline code or style"
        assert len(text.splitlines()) <= 400, path.name


def entries(path: Path) -> dict[str, str]:
    found = re.findall(r'^\s+"?([\w.]+)"?: "(.*)",$', path.read_text(encoding="utf-8"), re.M)
    assert len({key for key, _ in found}) == len(found), "a key is given twice"
    return dict(found)


def test_both_languages_say_everything() -> None:
    english, chinese = (
        entries(STATIC / "js" / f"strings.{name}.js")
        | entries(STATIC / "js" / f"cameras.{name}.js")
        | entries(STATIC / "js" / f"problems.{name}.js")
        for name in ("en", "zh")
    )
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert set(re.findall(r"{(\w+)}", text)) == set(re.findall(r"{(\w+)}", chinese[key])), key
    assert sum(bool(re.search("[\u4e00-\u9fff]", text)) for text in chinese.values()) > 240
    used: set[str] = set()
    for path in (STATIC / "js").rglob("*.js"):
        used |= set(re.findall(r'\bt\("([\w.]+)"', path.read_text(encoding="utf-8")))
    assert used <= english.keys()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_other_machines_are_kept_out(host: str) -> None:
    with pytest.raises(InputError, match="--allow-remote"):
        check_host(host, allow_remote=False)
    check_host(host, allow_remote=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_is_let_in(host: str) -> None:
    check_host(host, allow_remote=False)


def test_serve_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path / "none")]) == 2
    assert main(["serve", str(tmp_path), "--host", "0.0.0.0"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert "no city" in lines[0]
    assert "--allow-remote" in lines[1]


def test_another_network_is_refused(city: City, embedder: Any) -> None:
    from passerby.runtime import Embedder
    from passerby.service import create_app

    other = Embedder(embedder.backend, embedder.card, "another-network")
    with pytest.raises(InputError, match="another-network"):
        create_app(city, other)


def test_settings_are_kept_and_checked(city: City) -> None:
    Settings(time_zone="Asia/Shanghai", wide_hours=5).write(city)
    assert Settings.read(city) == Settings(time_zone="Asia/Shanghai", wide_hours=5)
    for bad in ({"time_zone": "Mars/One"}, {"wide_hours": 0}, {"unknown": 1}):
        with pytest.raises(InputError):
            Settings().changed(bad)


def test_administration_from_the_command_line(
    app: FastAPI, city: City, ann: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(city.folder)
    assert main(["admin", "account", "add", folder, "eve", "--unit", "9902"]) == 0
    password = capsys.readouterr().out.split()[-1]
    client = TestClient(app)
    assert (
        client.post("/api/session", json={"name": "eve", "password": password}).status_code == 200
    )
    case = ["--owner", "eve", "--purpose", "To find", "--legal-basis", "Act"]
    assert main(["admin", "case", "open", folder, "E-1", *case]) == 0
    assert main(["admin", "account", "change", folder, "eve", "--disable"]) == 0
    assert client.get("/api/session").status_code == 401
    assert main(["admin", "account", "add", folder, "eve"]) == 2
    assert main(["admin", "account", "add", folder, "joe", "--unit", "7"]) == 2
    capsys.readouterr()
    assert main(["admin", "audit", "verify", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["intact"]


def test_a_broken_audit_ends_with_status_one(
    city: City, ann: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    import sqlalchemy as sa

    with ann.app.state.service.database.write() as connection:
        connection.execute(sa.text("DROP TRIGGER audit_no_update"))
        connection.execute(sa.text("UPDATE audit SET account = 'x' WHERE number = 2"))
    assert main(["admin", "audit", "verify", str(city.folder)]) == 1
    assert "broken at entry 2" in capsys.readouterr().err
