"""`python live_script.py CITY ADDRESS SECONDS`: record a camera and ingest it, to be killed."""

import sys
from pathlib import Path

from conftest import ColourDetector, colour_embedder

from passerby.city import City
from passerby.ingest import ClipOptions
from passerby.ingest.live import Live, stop_after
from passerby.ingest.rtsp import Recorder, read_address
from passerby.ingest.spool import Spool, SpoolLimits

if __name__ == "__main__":
    folder, address, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    with City.open(folder) as own:
        limits = SpoolLimits(keep_hours=1, reserve_gigabytes=0)
        spool = Spool(folder / "spool", "C01", folder, limits)

        def say(text: str) -> None:
            print(text, flush=True)

        recorder = Recorder(read_address(address), spool, seconds=0.5, stall=5, say=say)
        stop_after(seconds, recorder)
        Live(
            city=own,
            camera="C01",
            recorder=recorder,
            spool=spool,
            detector=ColourDetector(),
            embedder=colour_embedder(),
            options=ClipOptions(),
            say=say,
        ).run()
        say("end")
