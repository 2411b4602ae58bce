"""`python manifest_script.py MANIFEST`: the cameras of a manifest, in processes, to be killed.

Exits as `passerby ingest MANIFEST --json` does, with a detector and a network for coloured figures.
"""

import json
import os
import sys
from pathlib import Path

from conftest import ColourDetector, colour_embedder

from passerby.cli.recordings import ingest_tasks
from passerby.ingest import Detector
from passerby.ingest.manifest import CameraTask, read_manifest
from passerby.runtime import Embedder


def load(task: CameraTask) -> tuple[Detector, Embedder]:
    if task.camera == "KILLED":
        os.kill(os.getpid(), 9)
    return ColourDetector(), colour_embedder()


if __name__ == "__main__":
    manifest = read_manifest(Path(sys.argv[1]))
    assert manifest.city is not None
    facts, words, status = ingest_tasks(
        manifest.city, manifest.tasks, workers=manifest.workers, load=load
    )
    print(json.dumps(facts))
    print(words, file=sys.stderr)
    sys.exit(status)
