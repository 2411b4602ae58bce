"""A Milvus server of the PyPI package ``milvus`` on this machine, for tests, trials, benchmarks.

Not for service: the package is of Milvus 2.3.5 (January 2024), one process with everything in it.
Its parts can only be told which address to advertise, not on which to listen: they listen on every
interface, on ports nobody else knows. Start it where nobody else can reach the machine.
"""

import importlib.util
import lzma
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from passerby.errors import InputError

SECONDS = 120  # for a start on a busy machine
# The intervals of a cluster make a server on one machine slow: each collection would take seconds.
SETTINGS = {
    "proxy.timeTickInterval": "100",
    "queryCoord.checkInterval": "100",
    "queryCoord.checkSegmentInterval": "100",
    "queryCoord.checkChannelInterval": "100",
    "queryCoord.distPullInterval": "100",
    "dataCoord.compaction.check.interval": "1",
    "common.session.ttl": "30",  # seconds; a server that was killed is waited for as long
    "log.level": "warn",
}


def missing() -> str:
    """Why no server can be started here; empty when one can."""
    if importlib.util.find_spec("milvus") is None:
        return "the package milvus==2.3.5 is not installed"
    return ""


class MilvusServer:
    """One server process with its files in one folder; the folder survives it."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        """Unpack the program and write its configuration; :meth:`start` starts it.

        Args:
            folder: for configuration, data and logs.
            settings: configuration values by dotted name, over those of :data:`SETTINGS`.

        Raises:
            InputError: the package is not installed.
        """
        if reason := missing():
            raise InputError(f"{reason}; install it to start a Milvus server")
        self.folder = folder.resolve()
        self.programs = _unpacked()
        self.port, self._metrics = _free_port(), _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._configure({**SETTINGS, **(settings or {})})

    def __enter__(self) -> "MilvusServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def address(self, name: str, options: str = "") -> str:
        """The address of a gallery on this server."""
        return f"milvus://127.0.0.1:{self.port}/{name}{options and '?' + options}"

    @property
    def pid(self) -> int:
        """Number of the process."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start, or start again after :meth:`kill`; returns when requests are answered.

        Raises:
            InputError: it ended, or was not ready in time; the text names its log.
        """
        environment = {
            **os.environ,
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._metrics),
            "MILVUS_RUN_DIR": str(self.folder / "run"),
            "LD_LIBRARY_PATH": str(self.programs),
        }
        log = self.folder / "server.log"
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*leash, str(self.programs / "milvus"), "run", "standalone"],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        end = time.monotonic() + SECONDS
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise InputError(f"the Milvus server did not start; {log} says why")
            time.sleep(0.1)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self._metrics}/healthz", timeout=5
            ) as answer:
                return b"OK" in answer.read()
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it; its data stay in the folder."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def _configure(self, settings: Mapping[str, str]) -> None:
        places = {
            "etcd_log_path": str(self.folder / "etcd.log"),
            "system_log_path": "",  # everything to the one log
            "etcd_data_dir": str(self.folder / "etcd"),
            "local_storage_dir": str(self.folder / "data"),
            "rocksmq_data_dir": str(self.folder / "rocksmq"),
            "proxy_port": str(self.port),
            "etcd_port": str(_free_port()),
        }

        def filled(match: re.Match[str]) -> str:
            name, _, usual = match.group(1).partition(":")
            name = name.split("(")[0].strip()
            if name.endswith("_port"):
                places.setdefault(name, str(_free_port()))
            return places.get(name, usual.strip())

        text = re.sub(r"\{\{(.*?)\}\}", filled, (_package() / "config.yaml.template").read_text())
        etcd = self.folder / "configs" / "etcd.yaml"
        text = with_settings(text, {**settings, "etcd.config.path": str(etcd)})
        text = re.sub(r"(?m)^  ip:.*$", "  ip: 127.0.0.1", text)
        etcd.parent.mkdir(parents=True, exist_ok=True)
        etcd.with_name("milvus.yaml").write_text(text)
        shutil.copy(_package() / "glog.conf", etcd.parent)
        client, peer = (f"http://127.0.0.1:{port}" for port in (places["etcd_port"], _free_port()))
        etcd.write_text(
            f"name: default\ndata-dir: {places['etcd_data_dir']}\n"
            f"listen-client-urls: {client}\nadvertise-client-urls: {client}\n"
            f"listen-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\n"
            f"initial-cluster: default={peer}\n"
        )


def with_settings(text: str, settings: Mapping[str, str]) -> str:
    """A YAML text of nested maps with some values changed, or added at the end of their map."""
    for name, value in settings.items():
        *maps, key = name.split(".")
        lines = text.split("\n")
        first, last = 0, len(lines)
        for depth, part in enumerate(maps):
            pad = "  " * depth
            found = [i for i in range(first, last) if lines[i].startswith(f"{pad}{part}:")]
            if not found:
                lines.insert(first, f"{pad}{part}:")
                found, last = [first], first + 1
            first = found[0] + 1
            last = next((i for i in range(first, last) if re.match(rf"{pad}\w", lines[i])), last)
        pad = "  " * len(maps)
        known = [i for i in range(first, last) if lines[i].startswith(f"{pad}{key}:")]
        if known:
            lines[known[0]] = f"{pad}{key}: {value}"
        else:
            lines.insert(first, f"{pad}{key}: {value}")
        text = "\n".join(lines)
    return text


def _package() -> Path:
    found = importlib.util.find_spec("milvus")
    assert found is not None and found.origin is not None
    return Path(found.origin).parent / "data"


def _unpacked() -> Path:
    """The server's programs, unpacked once for this account."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "passerby" / "milvus-2.3.5"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder.parent))

    def unpack(packed: Path) -> None:
        target = draft / packed.stem
        with lzma.open(packed) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        target.chmod(0o755)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(unpack, sorted((_package() / "bin").glob("*.lzma"))))
    try:
        draft.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(draft)
    return folder


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
