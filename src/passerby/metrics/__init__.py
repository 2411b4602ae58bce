"""CMC, mAP and mINP by named protocols; what similarities mean.

The calibration and the protocols need numpy alone; what needs torch is imported when it is first
asked for, so that a program that only searches a city starts at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

from passerby.metrics.calibration import Calibration
from passerby.metrics.protocols import PROTOCOLS, Protocol
from passerby.metrics.report import Report

if TYPE_CHECKING:
    from passerby.metrics.all_pairs import Survey, survey
    from passerby.metrics.calibrating import Calibrated, calibrate
    from passerby.metrics.evaluation import (
        Reranking,
        evaluate,
        evaluate_blocks,
        evaluate_features,
    )
    from passerby.metrics.identification import OpenSet, open_set
    from passerby.metrics.pairs import Pairs, candidate_pairs
    from passerby.metrics.reliability_curve import Reliability, reliability
    from passerby.metrics.table_evaluation import TableEvaluation, evaluate_table
    from passerby.metrics.threshold_table import Threshold, thresholds

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

# no module may have the name of a function: importing it would put it in the function's place
_WITH_TORCH = {
    "Calibrated": "calibrating",
    "OpenSet": "identification",
    "Pairs": "pairs",
    "Reliability": "reliability_curve",
    "Reranking": "evaluation",
    "Survey": "all_pairs",
    "TableEvaluation": "table_evaluation",
    "Threshold": "threshold_table",
    "calibrate": "calibrating",
    "candidate_pairs": "pairs",
    "evaluate": "evaluation",
    "evaluate_blocks": "evaluation",
    "evaluate_features": "evaluation",
    "evaluate_table": "table_evaluation",
    "open_set": "identification",
    "reliability": "reliability_curve",
    "survey": "all_pairs",
    "thresholds": "threshold_table",
}


def __getattr__(name: str) -> Any:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
