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
    from passerby.metrics.evaluation import Reranking, evaluate, evaluate_features

__all__ = [
    "PROTOCOLS",
    "Calibration",
    "Protocol",
    "Report",
    "Reranking",
    "evaluate",
    "evaluate_features",
]

_WITH_TORCH = {
    "Reranking": "evaluation",
    "evaluate": "evaluation",
    "evaluate_features": "evaluation",
}


def __getattr__(name: str) -> Any:
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)
