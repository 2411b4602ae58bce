"""Training: one loop, schedules, checkpoints that resume exactly, logs, test features."""

from passerby.train.average import EMA
from passerby.train.distributed import gather
from passerby.train.features import extract, normalise
from passerby.train.loop import Position, fit
from passerby.train.meter import DivergedError
from passerby.train.method import Batch, Method, Sampler
from passerby.train.optimisers import parameter_groups
from passerby.train.options import FitOptions
from passerby.train.schedule import Constant, Cosine, MultiStep, Schedule, ScheduledOptimiser

__all__ = [
    "EMA",
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
