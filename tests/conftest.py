"""For all rooms: no test fails because the machine is busy; real servers, when asked for."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# a server is ended by the kernel when the tests are, however they end
DIE_TOO = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
PATIENCE = 60.0  # seconds for a server to start on a busy machine


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Server:
    """A program of the system as a child of the tests."""

    def __init__(self, command: list[str], log: Path, *, user: str | None = None) -> None:
        self.command, self.log, self.user = command, log, user
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*DIE_TOO, *self.command], stdout=log, stderr=log, user=self.user, group=self.user
            )
        end = time.monotonic() + PATIENCE
        while not self.answers():
            said = self.log.read_text(errors="replace")[-2000:]
            assert self.process.poll() is None, f"{self.command[0]} did not start: {said}"
            assert time.monotonic() < end, f"{self.command[0]} does not answer: {said}"
            time.sleep(0.05)

    def stop(self, sign: int = signal.SIGINT) -> None:
        if self.process is not None:
            self.process.send_signal(sign)
            self.process.wait()
            self.process = None

    def answers(self) -> bool:
        raise NotImplementedError


class Postgres(Server):
    """PostgreSQL as Debian ships it, with its usual fsync; each test has a database of its own."""

    password = "a secret: p@ss/word"

    def __init__(self, binaries: Path, folder: Path) -> None:
        user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
        self.folder, self.port, self.made = folder, free_port(), 0
        shutil.chown(folder, user, user) if user else None
        data, words = folder / "data", folder / "password"
        words.write_text(self.password)
        shutil.chown(words, user, user) if user else None
        init = [binaries / "initdb", "-D", data, "-U", "passerby", "--pwfile", words]
        init += ["--locale=C.UTF-8", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"]
        subprocess.run(list(map(str, init)), check=True, capture_output=True, user=user, group=user)
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "fsync": "on",
        }
        self.certificate = folder / "server.crt"
        if shutil.which("openssl"):
            self._make_certificate(user)
            settings |= {"ssl": "on", "ssl_cert_file": self.certificate}
            settings["ssl_key_file"] = folder / "server.key"
        command = [str(binaries / "postgres"), "-D", str(data)]
        command += [f"--{name}={value}" for name, value in settings.items()]
        super().__init__(command, folder / "log", user=user)

    def _make_certificate(self, user: str | None) -> None:
        key = self.folder / "server.key"
        words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        command = ["openssl", *words.split(), "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1"]
        command += ["-keyout", str(key), "-out", str(self.certificate)]
        subprocess.run(command, check=True, capture_output=True, user=user, group=user)

    @property
    def socket_option(self) -> str:
        return f"unix_sock={self.folder}/.s.PGSQL.{self.port}"

    def address(self, name: str, options: str = "") -> str:
        """By TCP, with a password; by the socket with the option for it."""
        query = f"?{options}" if options else ""
        return f"postgresql://passerby@127.0.0.1:{self.port}/{name}{query}"

    def local_address(self, name: str) -> str:
        """By the socket, without a password."""
        return f"postgresql+pg8000://passerby@/{name}?{self.socket_option}"

    def execute(self, statement: str, database: str = "postgres") -> list[Any]:
        import pg8000.native

        path = f"{self.folder}/.s.PGSQL.{self.port}"
        with pg8000.native.Connection("passerby", database=database, unix_sock=path) as connection:
            return list(connection.run(statement) or [])

    def create(self, template: str = "template0") -> str:
        """A new database, empty or a copy; returns its name."""
        self.made += 1
        name = f"city{self.made}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except Exception:
            return False
        return True


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    there = found[-1] if found else shutil.which("initdb")
    if there is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    pytest.importorskip("pg8000")
    folder = Path(tempfile.mkdtemp(prefix="passerby-postgres-"))  # where its user may enter
    server = Postgres(Path(there).parent, folder)
    server.start()
    yield server
    server.stop(signal.SIGQUIT)  # at once, without writing down what is thrown away
    for _ in range(100):  # its children may take a moment longer
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(0.1)


class Nats(Server):
    """A NATS server with JetStream; every write synced where the server knows how (2.10 on)."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.port = free_port()
        config = folder / "nats.conf"
        for sync in (", sync_interval: always", ""):
            store = f"jetstream {{ store_dir: '{folder}/store'{sync} }}"
            config.write_text(f"listen: 127.0.0.1:{self.port}\n{store}\n")
            test = [binary, "-t", "-c", str(config)]
            known = subprocess.run(test, check=False, capture_output=True)
            self.synced = bool(sync)
            if known.returncode == 0:
                break
        super().__init__([binary, "-c", str(config)], folder / "log")

    @property
    def address(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4) == b"INFO"
        except OSError:
            return False


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    binary = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")
    if binary is None:
        pytest.skip("nats-server is not installed (Debian: apt-get install nats-server)")
    pytest.importorskip("nats")
    server = Nats(binary, tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()
