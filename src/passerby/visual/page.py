"""The HTML page of a report: the template, and crops as data URIs."""

import base64
import io
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerby.data.store import read_crop
from passerby.errors import InputError, MissingExtraError
from passerby.models import ModelCard
from passerby.visual.results import Results

TEMPLATES = Path(__file__).parent / "templates"
THUMBNAIL = (160, 80)  # H, W, pixels
QUALITY = 82  # of JPEG


def render(content: Mapping[str, Any], results: Results) -> str:
    """Fill the template; all texts are escaped, also names from data sets and cards.

    Args:
        content: Template variable -> value.
        results: Rankings whose crops the page shows.

    Raises:
        InputError: A crop cannot be read.
        MissingExtraError: Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("jinja2", "report") from error
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    queries, gallery = results.query.paths(), results.gallery.paths()
    small = cache(_thumbnail)
    return environment.get_template("report.html").render(
        **content,
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        query_crop=lambda row: small(queries[row]),
        gallery_crop=lambda row: small(gallery[row]),
        card_facts=card_facts(content["subject"].card),
        training_facts=training_facts(content["subject"].card),
    )


def _thumbnail(path: Path) -> str:
    """Return the crop at ``path`` as a data URI of a small JPEG."""
    try:
        return data_uri(read_crop(path, THUMBNAIL))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"the crop '{path}' cannot be read: {error}") from error


def data_uri(picture: NDArray[np.uint8]) -> str:
    """Return an RGB uint8 picture (H, W, 3) as a data URI of a JPEG."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def percent(value: float | None, digits: int = 1) -> str:
    """Format a fraction in percent without the sign; None and NaN become a dash."""
    return "–" if value is None or np.isnan(value) else f"{100 * value:.{digits}f}"


def card_facts(card: ModelCard) -> list[tuple[str, str]]:
    """Return the card's fields that have a value, without the training, as (name, text)."""
    fields = {k: v for k, v in asdict(card).items() if k != "training"}
    return flatten(fields)


def training_facts(card: ModelCard) -> list[tuple[str, str]]:
    """Return the facts of the network's training, then its options, as (name, text)."""
    facts = {k: v for k, v in card.training.items() if k != "options"}
    options = card.training.get("options", {})
    return flatten(facts) + flatten(options if isinstance(options, Mapping) else {})


def flatten(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Flatten nested values to (dotted name, text); empty values are left out."""
    facts: list[tuple[str, str]] = []
    for name, value in values.items():
        full = f"{before}{name}"
        if isinstance(value, Mapping):
            facts += flatten(value, f"{full}.")
        elif value not in ("", None, (), []):
            short = f"{value:.4g}" if isinstance(value, float) else value
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(short)
            facts.append((full.replace("_", " "), text))
    return facts
