"""Nearest neighbours: distances, exact search, expansion, k-reciprocal re-ranking."""

from passerby.retrieval.distances import distances
from passerby.retrieval.expansion import expand_gallery, expand_queries
from passerby.retrieval.reranking import k_reciprocal_distances, memory_estimate, rerank
from passerby.retrieval.search import Ranking, search
from passerby.retrieval.second_stage import PairDistance, rerank_pairs
from passerby.retrieval.variants import VARIANTS, Variant

__all__ = [
    "VARIANTS",
    "PairDistance",
    "Ranking",
    "Variant",
    "distances",
    "expand_gallery",
    "expand_queries",
    "k_reciprocal_distances",
    "memory_estimate",
    "rerank",
    "rerank_pairs",
    "search",
]
