"""Which runtime is fastest for a network on this machine, found by trying.

Speed depends on the network, the processor and the libraries, so nobody can know it beforehand.
Each installed runtime embeds a few batches; one whose vectors differ from PyTorch's is left out.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from passerby.errors import InputError
from passerby.models import ModelCard
from passerby.runtime.backend import Backend, Features, Pictures
from passerby.runtime.samples import SAME, cosines, smooth_pictures, unit_rows

BATCHES = (1, 8, 32)
LOWEST_COSINE = {"fp32": 0.9999, "bf16": 0.999, "fp16": 0.999}
"""The least agreement with the reference, by arithmetic."""
DIFFERS = "its vectors differ"
BUDGET = 4.0  # seconds of timing; opening the runtimes comes on top
ROUNDS = 7
PAUSE = 0.01  # seconds, in which idle threads of the runtime before fall asleep
HOPELESS = 1.4  # times the fastest, at batches of 1 and of 8
QUIET = 0.7  # the part of two cores, or of one where there is but one, that timing must have had
USUAL = ("openvino", "onnx", "torch")
ALONE = 1.03  # one backend for every batch, when it costs no more than this


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A way to run a network."""

    runtime: str
    precision: str

    def __str__(self) -> str:
        """In words and short."""
        return f"{self.runtime} {self.precision}"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was found."""

    picks: dict[int, Candidate]
    """Batch -> what is fastest at it."""
    rates: dict[str, dict[int, float]] = field(default_factory=dict)
    """Candidate -> batch -> pictures a second; those that were soon left behind lack some."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Candidate -> why it may not run."""
    certain: bool = True
    """False when other programs left too little of the machine to measure on: not to be kept."""


@dataclass(kw_only=True)
class _Trial:
    """A candidate under test."""

    candidate: Candidate
    backend: Backend
    vectors: Features
    """(N, D) unit rows of the samples."""
    seconds: dict[int, float] = field(default_factory=dict)
    """Batch -> the shortest time yet: other work on the machine only ever adds."""
    wall: float = 0.0
    processor: float = 0.0
    """Seconds by the clock and of the processor, of all batches together."""

    def run(self, pictures: Pictures) -> None:
        time.sleep(PAUSE)
        begin, used = time.perf_counter(), time.process_time()
        self.backend.features(pictures)
        spent = time.perf_counter() - begin
        self.wall += spent
        self.processor += time.process_time() - used
        self.seconds[len(pictures)] = min(spent, self.seconds.get(len(pictures), spent))

    def expected(self, batch: int) -> float:
        """Seconds of a batch, by the nearest one that was run."""
        nearest = min(self.seconds, key=lambda other: abs(other - batch))
        return self.seconds[nearest] * batch / nearest


def choose(
    open_backend: Callable[[Candidate], Backend],
    candidates: Sequence[Candidate],
    reference: Backend,
    card: ModelCard,
) -> Choice:
    """Try the candidates and pick one for small, middle and large batches.

    Args:
        open_backend: makes a candidate's backend; its InputError leaves the candidate out.
        candidates: what may run, the likeliest first.
        reference: what every vector must agree with.
        card: of the network.

    Returns:
        The picks; none when no candidate agrees with the reference.
    """
    samples = smooth_pictures(card, 8)
    expected, samples = _reference(reference, samples)
    trials, left_out = [], {}
    for candidate in candidates:
        try:
            backend = open_backend(candidate)
            vectors = unit_rows(backend.features(samples))
        except InputError as error:
            left_out[str(candidate)] = str(error)
            continue
        lowest = float(cosines(vectors, expected).min())
        if lowest >= LOWEST_COSINE[candidate.precision]:
            trials.append(_Trial(candidate=candidate, backend=backend, vectors=vectors))
        else:
            left_out[str(candidate)] = f"{DIFFERS}, lowest cosine {lowest:.4f}"
    quiet = _time(trials, np.resize(samples, (max(BATCHES), *samples.shape[1:])))
    rates = {
        str(trial.candidate): {n: round(n / spent, 1) for n, spent in trial.seconds.items()}
        for trial in trials
    }
    picks = (pick(trials) if quiet else _usual(trials)) if trials else {}
    return Choice(picks=picks, rates=rates, left_out=left_out, certain=quiet)


def _reference(reference: Backend, samples: Pictures) -> tuple[Features, Pictures]:
    """The samples' vectors; of a network that is slow, those of the first samples."""
    begin = time.perf_counter()
    first = reference.features(samples[:2])
    if time.perf_counter() - begin > BUDGET / 8:
        return first, samples[:2]
    return np.concatenate([first, reference.features(samples[2:])]), samples


def _time(trials: Sequence[_Trial], pictures: Pictures) -> bool:
    """Run batches in turns until the budget is spent, the hopeless ones only at first.

    Returns:
        Whether the machine was quiet enough for the times to mean something.
    """
    begin = time.perf_counter()
    for trial in trials:
        for batch in BATCHES[:2]:
            trial.backend.features(pictures[:batch])  # what is made at the first does not count
            trial.run(pictures[:batch])
    left = [trial for trial in trials if not _hopeless(trial, trials)]
    if sum(trial.expected(BATCHES[-1]) for trial in left) < BUDGET / 4:
        for trial in left:
            trial.backend.features(pictures)
    for _ in range(ROUNDS if len(left) > 1 else 0):
        for batch in BATCHES:
            spent = time.perf_counter() - begin
            if spent + sum(trial.expected(batch) for trial in left) <= BUDGET:
                for trial in left:
                    trial.run(pictures[:batch])
    had = sum(trial.processor for trial in trials)
    return had >= QUIET * min(2, usable_cores()) * sum(trial.wall for trial in trials)


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _hopeless(trial: _Trial, trials: Sequence[_Trial]) -> bool:
    return all(
        trial.seconds[batch] > HOPELESS * min(other.seconds[batch] for other in trials)
        for batch in BATCHES[:2]
    )


def _usual(trials: Sequence[_Trial]) -> dict[int, Candidate]:
    """What most often is the fastest."""

    def rank(candidate: Candidate) -> tuple[int, bool]:
        return USUAL.index(candidate.runtime), candidate.precision != "bf16"

    return dict.fromkeys(BATCHES, min((trial.candidate for trial in trials), key=rank))


def pick(trials: Sequence[_Trial]) -> dict[int, Candidate]:
    """The fastest for each batch, out of those that give one and the same vectors.

    Of several such groups the one whose slowest batch is nearest to the best of all is taken.
    """
    best = {batch: min(t.expected(batch) for t in trials) for batch in BATCHES}
    groups = [
        [t for t in trials if np.abs(t.vectors - anchor.vectors).max() <= SAME] for anchor in trials
    ]
    plans = [_plan(group) for group in groups]
    chosen = min(plans, key=lambda plan: _worst(plan, best))
    return {batch: chosen[batch].candidate for batch in BATCHES}


def _plan(group: Sequence[_Trial]) -> dict[int, _Trial]:
    """A group's fastest for each batch; one for all of them where that is as good."""
    best = {batch: min(t.expected(batch) for t in group) for batch in BATCHES}
    for trial in group:
        plan = dict.fromkeys(BATCHES, trial)
        if _worst(plan, best) <= ALONE:
            return plan
    return {batch: min(group, key=lambda t: t.expected(batch)) for batch in BATCHES}


def _worst(plan: Mapping[int, _Trial], best: Mapping[int, float]) -> float:
    return max(plan[batch].expected(batch) / best[batch] for batch in BATCHES)
