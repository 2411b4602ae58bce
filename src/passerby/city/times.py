"""The names of :mod:`passerby.times`, where scripts for version 0.1 look for them."""

from passerby.times import DAY_MS, day_of, format_time, parse_time

__all__ = ["DAY_MS", "day_of", "format_time", "parse_time"]
