"""The simulated city: people, cameras and walks that do not exist, rendered from a seed."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def data_file(name: str) -> dict[str, Any]:
    """Read ``name.toml`` of this package: shapes, colours, names."""
    return tomllib.loads(files(__name__).joinpath(f"{name}.toml").read_text("utf-8"))
