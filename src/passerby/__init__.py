"""Passerby: person re-identification, a toolbox and a city service."""

__version__ = "0.1.0"
