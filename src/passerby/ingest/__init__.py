"""Ingest: clips, folders of crops and tables of sightings into a city."""

from passerby.ingest.detector import Detections, Detector
from passerby.ingest.folder import ingest_folder
from passerby.ingest.ingest_report import IngestReport
from passerby.ingest.own_city import create_small_city
from passerby.ingest.pipeline import ClipOptions, ingest_clip
from passerby.ingest.query import NoPersonError, find_people, read_person
from passerby.ingest.store import FolderReport, ingest_table
from passerby.ingest.tracklets import TrackletOptions

__all__ = [
    "ClipOptions",
    "Detections",
    "Detector",
    "FolderReport",
    "IngestReport",
    "NoPersonError",
    "TrackletOptions",
    "create_small_city",
    "find_people",
    "ingest_clip",
    "ingest_folder",
    "ingest_table",
    "read_person",
]
