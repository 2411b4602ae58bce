"""`python recording_script.py CITY FOLDER`: ingest segments in a process of its own, to be killed.

Prints the name of each segment when it is begun.
"""

import sys
from pathlib import Path

from conftest import ColourDetector, colour_embedder

from passerby.city import City
from passerby.ingest.ingest_report import IngestReport
from passerby.ingest.recording import ingest_recording
from passerby.ingest.recording_report import RecordingReport
from passerby.ingest.segments import from_folder

SEEN: list[str] = []


def show(_: RecordingReport, segment: IngestReport) -> None:
    name = Path(segment.source).name
    if name not in SEEN:
        SEEN.append(name)
        print(name, flush=True)


if __name__ == "__main__":
    with City.open(sys.argv[1]) as own:
        ingest_recording(
            own,
            from_folder(Path(sys.argv[2]), 1_777_593_600_000),
            camera="C01",
            source="test",
            detector=ColourDetector(),
            embedder=colour_embedder(),
            on_progress=show,
        )
        print("end", flush=True)
