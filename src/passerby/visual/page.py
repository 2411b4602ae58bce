"""The page of a report from its template."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from passerby.errors import MissingExtraError
from passerby.models import ModelCard
from passerby.visual.pictures import thumbnail
from passerby.visual.results import Results

TEMPLATES = Path(__file__).parent / "templates"


def render(content: Mapping[str, Any], results: Results) -> str:
    """Fill the template; every text is escaped, whatever names data sets and cards bring.

    Args:
        content: Values by the names the template uses.
        results: Whose crops the page shows.

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
    small = lru_cache(maxsize=None)(thumbnail)
    return environment.get_template("report.html").render(
        **content,
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        query_crop=lambda row: small(queries[row]),
        gallery_crop=lambda row: small(gallery[row]),
        card_facts=card_facts(content["subject"].card),
        training_facts=training_facts(content["subject"].card),
    )


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction in percent without the sign; a dash for none."""
    return "–" if value is None or np.isnan(value) else f"{100 * value:.{digits}f}"


def card_facts(card: ModelCard) -> list[tuple[str, str]]:
    """The card's fields with a value, flat, training apart."""
    fields = {k: v for k, v in asdict(card).items() if k != "training"}
    return flatten(fields)


def training_facts(card: ModelCard) -> list[tuple[str, str]]:
    """Where the network comes from, then the options of its training."""
    facts = {k: v for k, v in card.training.items() if k != "options"}
    options = card.training.get("options", {})
    return flatten(facts) + flatten(options if isinstance(options, Mapping) else {})


def flatten(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Nested values as (dotted name, text), empty ones left out."""
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
