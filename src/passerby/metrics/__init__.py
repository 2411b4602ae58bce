"""CMC, mAP and mINP by named protocols; calibration and open-set rates of similarities.

The calibration and the protocols need numpy alone. Modules that need torch are imported at the
first use of their names, so that a program that only searches a city starts fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

from passerby.metrics.calibration import Calibration
from passerby.metrics.protocols import PROTOCOLS, Protocol
from passerby.metrics.report import Report

if TYPE_CHECKING:
    from passerby.metrics.all_pairs import Survey, survey
    from passerby.metrics.calibrating import (
        Calibrated,
        Pairs,
        Reliability,
        calibrate,
        candidate_pairs,
        reliability,
    )
    from passerby.metrics.evaluation import (
        Reranking,
        evaluate,
        evaluate_blocks,
        evaluate_features,
    )
    from passerby.metrics.identification import OpenSet, Threshold, open_set, thresholds
    from passerby.metrics.table_evaluation import TableEvaluation, evaluate_table

__all__ = [
    "PROTOCOLS",
    "Calibrated",
    "Calibration",
    "OpenSet",
    "Pairs",
    "Protocol",
    "Reliability",
    "Report",
    "Reranking",
    "Survey",
    "TableEvaluation",
    "Threshold",
    "calibrate",
    "candidate_pairs",
    "evaluate",
    "evaluate_blocks",
    "evaluate_features",
    "evaluate_table",
    "open_set",
    "reliability",
    "survey",
    "thresholds",
]

# no module may have the name of a function, as its import would replace the function
_WITH_TORCH = {
    "all_pairs": "Survey survey",
    "calibrating": "Calibrated Pairs Reliability calibrate candidate_pairs reliability",
    "evaluation": "Reranking evaluate evaluate_blocks evaluate_features",
    "identification": "OpenSet Threshold open_set thresholds",
    "table_evaluation": "TableEvaluation evaluate_table",
}


def __getattr__(name: str) -> Any:
    for module, names in _WITH_TORCH.items():
        if name in names.split():
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
