"""Where the database is and who opens it: no password is kept or shown, and each fault is told."""

from pathlib import Path
from typing import Any

import pytest

from passerby.city import City
from passerby.city.address import PASSWORD, Address, parse_address, read_address, read_password
from passerby.city.engines import DatabaseError, open_engine
from passerby.errors import InputError

SECRET = "correct horse"


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (PASSWORD, f"{PASSWORD}_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("spelling", ["postgresql", "postgres", "postgresql+pg8000"])
def test_one_spelling_is_kept(spelling: str) -> None:
    url = parse_address(f"{spelling}://ann@db.example:5433/city")
    assert url.render_as_string() == "postgresql+pg8000://ann@db.example:5433/city"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"postgresql://ann:{SECRET}@db/city", "holds a password"),
        (f"postgresql://ann@db/city?password={SECRET}", "holds a password"),
        (f"postgresql://ann:{SECRET}@db:port/city", "cannot be read"),
        (SECRET, "cannot be read"),
        ("mysql://ann@db/city", "kind 'mysql'"),
        ("postgresql+psycopg://ann@db/city", "postgresql+pg8000"),
        ("postgresql://ann@db", "lacks the user or the name"),
        ("postgresql://db/city", "lacks the user or the name"),
        ("postgresql://ann@db/city?sslmod=disable", "unknown option 'sslmod'"),
    ],
)
def test_what_is_no_address_is_told_without_the_password(address: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        parse_address(address)
    assert said in str(error.value)
    assert SECRET not in str(error.value)


def test_the_password_comes_from_the_environment_or_a_private_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_password(tmp_path) is None
    own = tmp_path / "database.password"
    own.write_text(f"{SECRET} 1\n")
    own.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        read_password(tmp_path)
    own.chmod(0o600)
    assert read_password(tmp_path) == f"{SECRET} 1"
    (tmp_path / "mounted").write_text(f"{SECRET} 2\n")
    monkeypatch.setenv(f"{PASSWORD}_FILE", str(tmp_path / "mounted"))
    assert read_password(tmp_path) == f"{SECRET} 2"
    monkeypatch.setenv(PASSWORD, f"{SECRET} 3")
    assert read_password(tmp_path) == f"{SECRET} 3"
    monkeypatch.delenv(PASSWORD)
    monkeypatch.setenv(f"{PASSWORD}_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="cannot be read"):
        read_password(tmp_path)


def test_another_machine_is_reached_encrypted_unless_told_otherwise(tmp_path: Path) -> None:
    from passerby.city.address import tls_of

    context = tls_of(parse_address("postgresql://ann@db.example/city"))
    assert not isinstance(context, bool)
    assert context.check_hostname
    assert tls_of(parse_address("postgresql://ann@localhost/city")) is False
    assert tls_of(parse_address("postgresql://ann@db.example/city?sslmode=disable")) is False
    for wrong in ("sslmode=maybe", f"sslrootcert={tmp_path / 'none.pem'}"):
        with pytest.raises(InputError, match=r"sslmode|sslrootcert"):
            tls_of(parse_address(f"postgresql://ann@db.example/city?{wrong}"))


def connect(address: Address) -> None:
    engine = open_engine(address)
    try:
        with engine.connect():
            pass
    finally:
        engine.dispose()


def test_faults_of_the_way_are_told_without_the_password(postgres: Any) -> None:
    name = postgres.create()
    right = postgres.password
    cases = {
        "does not admit": Address(where=parse_address(postgres.address(name)), password=SECRET),
        "has no database": Address(where=parse_address(postgres.address("none")), password=right),
        "cannot be reached": Address(
            where=parse_address("postgresql://ann@127.0.0.1:1/x"), password=right
        ),
    }
    for said, address in cases.items():
        with pytest.raises(DatabaseError, match=said) as error:
            connect(address)
        assert not {right, SECRET} & set(str(error.value).split())
        assert right not in repr(address)
    connect(Address(where=parse_address(postgres.address(name)), password=right))


def test_the_way_can_be_encrypted_and_the_server_checked(postgres: Any) -> None:
    if not postgres.certificate.exists():
        pytest.skip("openssl is not installed; no certificate for the server")
    name = postgres.create()

    def reach(options: str) -> None:
        url = parse_address(postgres.address(name, options))
        connect(Address(where=url, password=postgres.password))

    reach(f"sslmode=verify-full&sslrootcert={postgres.certificate}")
    reach("sslmode=require")
    with pytest.raises(DatabaseError, match="cannot be reached"):
        reach("sslmode=verify-full")  # nobody known signed for it


def test_a_folder_that_names_no_database_is_told(tmp_path: Path) -> None:
    for text in ("", "[]", '{"address": 3}', '{"address": "postgresql://a:b@c/d"}'):
        (tmp_path / "database.json").write_text(text)
        with pytest.raises(InputError, match=r"database\.json"):
            read_address(tmp_path)
        with pytest.raises(InputError, match=r"database\.json"):
            City.open(tmp_path)
