"""Folders and tables of crops, where scripts for version 0.1 look for them."""

from passerby.ingest.store import FolderReport, ingest_folder, ingest_table

__all__ = ["FolderReport", "ingest_folder", "ingest_table"]
