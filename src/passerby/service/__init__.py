"""The city's HTTP service: accounts, cases, audit, scoped search, and the operator's page."""

from typing import TYPE_CHECKING, Any

from passerby.service.settings import Settings

if TYPE_CHECKING:
    from passerby.service.app import create_app

__all__ = ["Settings", "create_app"]


def __getattr__(name: str) -> Any:
    """Import the application when it is asked for: the command line needs accounts alone."""
    if name == "create_app":
        from passerby.service.app import create_app

        return create_app
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
