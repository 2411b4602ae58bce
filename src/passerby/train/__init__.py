"""Training: one loop, schedules, checkpoints that resume exactly, logs, test features."""

from passerby.train.distributed import gather
from passerby.train.features import extract, normalise
from passerby.train.log import DivergedError
from passerby.train.loop import Position, fit
from passerby.train.method import Batch, FitOptions, Method, Sampler
from passerby.train.optimisers import (
    Constant,
    Cosine,
    MultiStep,
    Schedule,
    ScheduledOptimiser,
    parameter_groups,
)

__all__ = [
    "Batch",
    "Constant",
    "Cosine",
    "DivergedError",
    "FitOptions",
    "Method",
    "MultiStep",
    "Position",
    "Sampler",
    "Schedule",
    "ScheduledOptimiser",
    "extract",
    "fit",
    "gather",
    "normalise",
    "parameter_groups",
]
