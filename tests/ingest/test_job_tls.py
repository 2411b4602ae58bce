"""The connection to a queue is encrypted where that is asked for, or nothing is sent."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from passerby.errors import InputError
from passerby.ingest.jobs import Job, JobQueue, QueueError
from passerby.ingest.jobs_worker import open_queue
from tests.conftest import Nats, free_port

JOB = Job(source="/media/1.mp4", camera="C01", start=1_777_593_600_001)


def certificate(folder: Path, name: str, *names: str) -> None:
    """A certificate of an authority of its own: NAME.pem, NAME.key; the authority's is ca.pem."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")

    def run(*words: object) -> None:
        subprocess.run([openssl, *map(str, words)], check=True, capture_output=True)

    make = ("req", "-newkey", "rsa:2048", "-nodes", "-days", 2)
    if not (folder / "ca.pem").exists():
        # fmt: off
        run(*make, "-x509", "-subj", "/CN=authority", "-keyout", folder / "ca.key",
            "-out", folder / "ca.pem", "-addext", "keyUsage=critical,keyCertSign")
        # fmt: on
    request, extra = folder / f"{name}.csr", folder / f"{name}.ext"
    run(*make, "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key", "-out", request)
    extra.write_text(f"subjectAltName={','.join(names)}\n")
    # fmt: off
    run("x509", "-req", "-in", request, "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key",
        "-CAcreateserial", "-days", 2, "-extfile", extra, "-out", folder / f"{name}.pem")
    # fmt: on


@pytest.fixture(scope="module")
def encrypted(nats: Nats, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Nats, Path]]:
    """A server that demands TLS, a certificate of the client, and a password."""
    folder = tmp_path_factory.mktemp("tls")
    certificate(folder, "queue.test", "DNS:queue.test")
    certificate(folder, "worker", "DNS:worker")
    server = Nats(nats.command[0], folder)
    with (folder / "nats.conf").open("a") as config:
        config.write(
            f"tls {{ cert_file: '{folder}/queue.test.pem', key_file: '{folder}/queue.test.key', "
            f"ca_file: '{folder}/ca.pem', verify: true }}\n"
            "authorization { user: worker, password: 'the secret' }\n"
        )
    server.start()
    yield server, folder
    server.stop()


def address(server: Nats, options: str) -> str:
    return f"tls://worker@127.0.0.1:{server.port}/q?{options}"


def test_jobs_over_tls(
    encrypted: tuple[Nats, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, files = encrypted
    monkeypatch.setenv("PASSERBY_QUEUE_PASSWORD", "the secret")
    ca, own = f"ca={files}/ca.pem", f"cert={files}/worker.pem&key={files}/worker.key"
    with open_queue(address(server, f"{ca}&{own}&name=queue.test"), tmp_path, "toy") as queue:
        assert queue.submit(JOB)
        claim = queue.claim("w", wait=30)
        assert claim is not None
        claim.complete({})
    for options in (f"{ca}&{own}", f"{own}&name=queue.test"):  # another name; unknown authority
        with pytest.raises(QueueError, match="certificate"):
            open_queue(address(server, options), tmp_path, "toy")
    plain = address(server, "").replace("tls://", "nats://").rstrip("?")
    with pytest.raises(QueueError, match="asks for TLS; write tls://"):
        open_queue(plain, tmp_path, "toy")


def test_no_password_reaches_a_server_without_tls(
    nats: Nats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSERBY_QUEUE_PASSWORD", "the secret")
    with pytest.raises(QueueError, match="offers no TLS, and nothing was sent"):
        open_queue(address(nats, ""), tmp_path, "toy")


def test_a_server_that_gives_up_tls_later_gets_no_password(
    nats: Nats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look sees TLS; whoever answers the client itself offers none and reads along."""
    from passerby.ingest import jobs_nats

    monkeypatch.setenv("PASSERBY_QUEUE_PASSWORD", "the secret")
    monkeypatch.setattr(jobs_nats, "PATIENCE", 2.0)

    async def nothing(_: Any) -> None:
        pass

    monkeypatch.setattr(jobs_nats.NatsStore, "_look", nothing)
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", free_port())) as listening:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b'INFO {"server_id":"x","version":"2.9.10"}\r\n')
                    connection.settimeout(1)
                    try:
                        heard.append(connection.recv(4096))
                    except OSError:
                        heard.append(b"")

        threading.Thread(target=answer, daemon=True).start()
        port = listening.getsockname()[1]
        with pytest.raises(QueueError):
            open_queue(f"tls://worker@127.0.0.1:{port}/q", tmp_path, "toy")
    assert heard
    assert not any(b"CONNECT" in one or b"secret" in one for one in heard)


def test_a_list_of_servers_of_which_one_answers(nats: Nats, tmp_path: Path) -> None:
    away = free_port()
    both = f"nats://127.0.0.1:{away},127.0.0.1:{nats.port}/several"
    with open_queue(both, tmp_path, "toy") as queue:
        assert queue.submit(JOB)


def test_jobs_of_another_city_are_neither_taken_nor_lost(nats: Nats, tmp_path: Path) -> None:
    for place in (f"{nats.address}/shared", str(tmp_path / "shared.sqlite")):
        with open_queue(place, tmp_path, "east") as east:
            assert east.submit(JOB)
            if "://" not in place:
                with pytest.raises(QueueError, match="jobs of another city"):
                    open_queue(place, tmp_path, "west")
                continue
            with open_queue(place, tmp_path, "west") as west:
                assert west.claim("w", wait=0.5) is None
                assert west.submit(JOB), "the same clip may be in both"
                taken = west.claim("w", wait=30)
                assert taken is not None
                taken.complete({})
            _take(east)


def _take(queue: JobQueue) -> None:
    claim = queue.claim("w", wait=30)
    assert claim is not None
    claim.complete({})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("ca=/none.pem", "a file in the queue's address cannot be used"),
        ("cert=/none.pem", "needs both"),
        ("verify=no", "no option 'verify'"),
    ],
)
def test_wrong_options_are_told(options: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        open_queue(f"tls://127.0.0.1:1/q?{options}", tmp_path, "toy")
