"""Pictures of results: rank lists, curves, maps, and the report that holds them all.

Needs the extra ``report`` for the page itself; the parts are plain values and SVG.
"""

from passerby.visual.report import ReportOptions, Subject, Written, write_report
from passerby.visual.results import Results, judge

__all__ = ["ReportOptions", "Results", "Subject", "Written", "judge", "write_report"]
