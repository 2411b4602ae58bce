"""The city's HTTP service: accounts, cases, audit, scoped search, and the operator's page."""

from passerby.service.app import create_app
from passerby.service.settings import Settings

__all__ = ["Settings", "create_app"]
