"""Training: one loop, schedules, checkpoints that resume exactly, logs, test features."""

from passerby.train.features import extract, normalise
from passerby.train.loop import FitOptions, Position, fit
from passerby.train.meter import DivergedError
from passerby.train.method import Batch, Method, Sampler
from passerby.train.schedule import Constant, Cosine, MultiStep, Schedule, ScheduledOptimiser

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
    "normalise",
]
