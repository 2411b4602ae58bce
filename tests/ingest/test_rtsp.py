"""Live cameras: a real RTSP server that is killed, stalls and changes its picture."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from passerby.errors import InputError
from passerby.ingest.rtsp import Recorder, parameter_sets, read_address
from passerby.ingest.spool import Spool, SpoolLimits
from passerby.ingest.video import open_clip
from passerby.times import now, parse_time
from tests.ingest.rtsp import RtspServer, make_spool


class Running:
    """A recorder in a thread, and what it said."""

    def __init__(self, address: str, spool: Spool, **options: float) -> None:
        self.said: list[str] = []
        self.recorder = Recorder(
            read_address(address), spool, say=self.said.append, **{"seconds": 1.0, **options}
        )
        self.thread = threading.Thread(target=self.recorder.run)

    def __enter__(self) -> "Running":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.recorder.stop.set()
        self.thread.join()

    def wait(self, what: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not what():
            assert time.monotonic() < end and self.thread.is_alive(), self.said
            time.sleep(0.05)

    def wait_for(self, text: str) -> None:
        self.wait(lambda: any(text in line for line in self.said))


@pytest.mark.slow
def test_a_killed_and_a_stalled_server(server: RtspServer, stream: Path, tmp_path: Path) -> None:
    spool = make_spool(tmp_path)
    begin = now()
    with Running(server.address, spool, stall=1.5) as running:
        running.wait_for("the connection failed")  # nobody is there yet
        server.start(stream)
        running.wait(lambda: running.recorder.report.segments >= 2)
        server.kill()
        running.wait(lambda: len(running.said) > 3)
        server.start(stream)
        running.wait(lambda: running.recorder.report.connections == 2)
        running.wait(lambda: running.recorder.report.segments >= 4)
        server.send(signal.SIGSTOP)
        running.wait_for("the camera sent nothing for 1.5 s")
        server.send(signal.SIGCONT)
        running.wait(lambda: running.recorder.report.connections == 3)
        made = running.recorder.report.segments
        running.wait(lambda: running.recorder.report.segments > made)
    report = running.recorder.report
    segments = spool.segments()
    assert len(segments) == report.segments >= 5
    assert not list(spool.folder.glob(".*"))
    assert len(report.gaps) == 2
    assert "sent nothing" in report.gaps[1]["reason"]
    frames, end, gaps = 0, begin, []
    for segment in segments:
        assert segment.start is not None
        assert segment.start >= end - 20  # none begins before the one before has ended
        if segment.start > end + 1000:
            gaps.append((end, segment.start))
        clip = open_clip(segment.path)
        times = [frame.time for frame in clip.frames(segment.start)]
        assert (clip.width, clip.height) == (320, 160)
        assert np.diff(times).max(initial=0) <= 80
        frames, end = frames + len(times), times[-1] + 40
    told = [(parse_time(gap["start"]), parse_time(gap["end"])) for gap in report.gaps]
    assert np.abs(np.array(gaps[-2:]) - told).max() < 200
    assert frames * 0.04 == pytest.approx(report.seconds, abs=0.2 * len(segments))
    assert begin < end <= now() + 1000


def test_a_new_picture_size_begins_a_segment(
    server: RtspServer, draw_clip: Callable[..., Path], tmp_path: Path
) -> None:
    """In the middle of a connection: the transport stream changes its size after two seconds."""
    parts = [draw_clip(tmp_path / "small.mp4", 4, frames=50, gop=25)]
    large = tmp_path / "large.mp4"
    with av.open(str(large), "w") as container:
        out = container.add_stream("libx264", rate=25)
        out.width, out.height, out.pix_fmt, out.options = 640, 352, "yuv420p", {"g": "25"}
        out.thread_type = "FRAME"
        for _ in range(50):
            image = np.full((352, 640, 3), 90, np.uint8)
            container.mux(out.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(out.encode())
    parts.append(large)
    with av.open(str(tmp_path / "both.ts"), "w") as target:
        copy, shift = None, 0
        for part in parts:
            with av.open(str(part)) as source:
                from_, bsf = source.streams.video[0], None
                copy = copy or target.add_stream_from_template(from_)
                bsf = av.BitStreamFilterContext("h264_mp4toannexb", from_)
                for packet in source.demux(from_):
                    if packet.dts is None:
                        continue
                    for ready in bsf.filter(packet):
                        ready.pts, ready.dts = ready.pts + shift, ready.dts + shift
                        ready.stream = copy
                        target.mux(ready)
                shift += round(2 / from_.time_base)
    spool = make_spool(tmp_path)
    server.start(tmp_path / "both.ts")
    with Running(server.address, spool, seconds=60.0) as running:
        running.wait_for("changed its picture")
        running.wait_for("ended the stream")
    sizes = [(open_clip(one.path).width, open_clip(one.path).height) for one in spool.segments()]
    assert sizes[:2] == [(320, 160), (640, 352)]


def test_the_spool_stops_the_recording_at_its_bound(
    server: RtspServer, stream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("passerby.ingest.rtsp.LOOK_AGAIN", 0.1)
    spool = make_spool(tmp_path, SpoolLimits(gigabytes=20e-6, reserve_gigabytes=0))
    server.start(stream)
    with Running(server.address, spool) as running:
        running.wait_for("recording stops: the spool")
        held = spool.segments()
        assert held
        time.sleep(1.5)  # so that the gap is one
        assert spool.segments() == held
        for segment in held:
            spool.release(segment)
        running.wait_for("there is room again")
        running.wait(lambda: bool(spool.segments()))
    assert any("holds 2e-05 GB" in gap["reason"] for gap in running.recorder.report.gaps)


SECRET = "p@ss:w/rd %41"


@pytest.mark.parametrize("way", ["address", "file", "environment"])
def test_credentials_open_the_camera_and_are_in_no_text(
    way: str, server: RtspServer, stream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.start(stream, "operator", SECRET)
    address, file = server.address, None
    if way == "address":
        address = address.replace("//", "//operator:p%40ss%3Aw%2Frd%20%2541@")
    elif way == "file":
        file = tmp_path / "secret"
        file.write_text(f"operator:{SECRET}\n")
    else:
        monkeypatch.setenv("PASSERBY_RTSP_CREDENTIALS", f"operator:{SECRET}")
    camera = read_address(address, file)
    assert camera.address == server.address
    assert "operator" not in repr(camera)
    said: list[str] = []
    recorder = Recorder(camera, make_spool(tmp_path), seconds=1, say=said.append)
    thread = threading.Thread(target=recorder.run)
    thread.start()
    end = time.monotonic() + 60
    while not recorder.report.segments and time.monotonic() < end:
        time.sleep(0.05)
    recorder.stop.set()
    thread.join()
    assert recorder.report.segments, said
    assert camera.hide(f"{SECRET} of operator in {camera.url}").count("***") == 4


def test_wrong_credentials_and_addresses(server: RtspServer, stream: Path, tmp_path: Path) -> None:
    server.start(stream, "operator", SECRET)
    address = server.address.replace("//", "//operator:wrong-word@")
    with Running(address, make_spool(tmp_path)) as running:
        running.wait_for("next try in")
    assert "authorization" in running.said[0]
    assert "wrong-word" not in "".join(running.said)
    for text in (
        "http://a/b",
        "rtsp://",
        "rtsp://u:secret@host:port/x",
        "stream",
        "rtsp://u:secret@/",
    ):
        with pytest.raises(InputError, match="must be like rtsp://") as error:
            read_address(text)
        assert "secret" not in str(error.value)
    (tmp_path / "file").write_text("nobody")
    with pytest.raises(InputError, match="user:password on one line"):
        read_address("rtsp://host/", tmp_path / "file")
    with pytest.raises(InputError, match="cannot be read"):
        read_address("rtsp://host/", tmp_path / "none")


def test_parameter_sets_of_key_frames() -> None:
    sps, pps = b"\x67\x64\x00\x0c", b"\x68\xeb"
    frame = b"\x00\x00\x00\x01" + sps + b"\x00\x00\x00\x01" + pps + b"\x00\x00\x01\x65\x01\x00\x00"
    assert parameter_sets(frame, "h264") == (sps,)
    assert parameter_sets(b"\x00\x00\x01\x42\x01\x09\x00\x00\x01\x26\x01", "hevc") == (
        b"\x42\x01\x09",
    )
    assert parameter_sets(frame, "mjpeg") == parameter_sets(b"", "h264") == ()


def test_an_address_keeps_port_and_path() -> None:
    """The address of a camera keeps its port, and IPv6 hosts their brackets."""
    assert read_address("rtsp://u:p@[::1]:8554/a?b=1").address == "rtsp://[::1]:8554/a?b=1"
    assert read_address("rtsps://host/a").url == "rtsps://host/a"
