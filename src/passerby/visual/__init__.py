"""Reports of results: rank lists, curves, maps, and the HTML file that contains them all.

The page itself needs the extra ``report``; its parts are plain values and SVG.
"""

from passerby.visual.report import ReportOptions, Subject, write_report
from passerby.visual.results import Results, collect_results

__all__ = ["ReportOptions", "Results", "Subject", "collect_results", "write_report"]
