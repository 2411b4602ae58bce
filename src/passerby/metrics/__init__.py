"""CMC, mAP and mINP by named protocols."""

from passerby.metrics.evaluation import Reranking, evaluate, evaluate_features
from passerby.metrics.protocols import PROTOCOLS, Protocol
from passerby.metrics.report import Report

__all__ = ["PROTOCOLS", "Protocol", "Report", "Reranking", "evaluate", "evaluate_features"]
