"""Faster arithmetic for a detector, taken only where its boxes agree with those of fp32."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.city import City
from passerby.errors import InputError
from passerby.files import put_in_place
from passerby.ingest.boxes import area, intersections
from passerby.ingest.detector import Detections, Detector
from passerby.ingest.detector_networks import NetworkDetector
from passerby.ingest.frames import Frame
from passerby.ingest.video import open_clip
from passerby.runtime.openvino_models import import_openvino, is_quantised, read_openvino
from passerby.runtime.quantise import import_nncf, quietly

STRONG = 0.5  # confidence of the boxes that are compared; it begins a track
WEAK = 0.1  # a box that is weaker now still continues a track
OVERLAP = 0.5  # intersection over union of boxes that show the same person
MOST_MISSED = 0.01  # share of the boxes that may be gone, and of those that may be new
LEAST_AGREEING = 0.95  # share of the boxes that must be strong in both
LEAST_BOXES = 30  # fewer show nothing
FRAMES = 300  # of each clip, for calibration and for comparison
QUICK = 96  # frames of the comparison before a clip is ingested
AT_ONCE = 8  # frames the detectors get together


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How the boxes of a detector agree with those of the same one in fp32."""

    frames: int
    boxes: int
    """Strong boxes in fp32."""
    agreeing: int
    """Of these, those with a strong box in the same place."""
    weaker: int
    """Of these, those with a weak box only; a track goes on with it, and does not begin."""
    missed: int
    """Of these, those with no box."""
    new: int
    """Strong boxes where fp32 has not even a weak one."""
    mean_overlap: float
    """Intersection over union of the agreeing boxes."""
    mean_score_difference: float
    """Of the agreeing boxes, absolute."""
    largest_score_difference: float

    def fault(self) -> str:
        """Say why the boxes do not agree well enough; empty when they do."""
        if self.boxes < LEAST_BOXES:
            return f"{self.boxes} people are too few to compare on; give clips with more"
        shares = [
            (self.missed, "boxes are missed"),
            (self.new, "boxes are new"),
        ]
        for count, what in shares:
            if count > MOST_MISSED * self.boxes:
                return f"{count} of {self.boxes} {what}"
        if self.agreeing < LEAST_AGREEING * self.boxes:
            return f"only {self.agreeing} of {self.boxes} boxes stay strong"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """The agreement as JSON."""
        return {**asdict(self), "fault": self.fault()}


def compare(reference: Sequence[Detections], other: Sequence[Detections]) -> Agreement:
    """Match the boxes of two detectors, frame by frame, best overlap first.

    Args:
        reference: In fp32, one for each frame.
        other: Of the same frames.
    """
    overlaps: list[float] = []
    differences: list[float] = []
    boxes = weaker = missed = new = 0
    for ours, theirs in zip(reference, other, strict=True):
        strong = ours.above(STRONG)
        boxes += len(strong)
        for index, found, overlap in _pairs(strong, theirs.above(WEAK)):
            score = float(theirs.scores[found]) if found >= 0 else 0.0
            if score >= STRONG:
                overlaps.append(overlap)
                differences.append(abs(score - float(strong.scores[index])))
            weaker += WEAK <= score < STRONG
            missed += found < 0
        new += sum(found < 0 for _, found, _ in _pairs(theirs.above(STRONG), ours.above(WEAK)))
    return Agreement(
        frames=len(reference),
        boxes=boxes,
        agreeing=len(overlaps),
        weaker=weaker,
        missed=missed,
        new=new,
        mean_overlap=round(float(np.mean(overlaps or [0.0])), 4),
        mean_score_difference=round(float(np.mean(differences or [0.0])), 4),
        largest_score_difference=round(max(differences, default=0.0), 4),
    )


def _pairs(ours: Detections, theirs: Detections) -> list[tuple[int, int, float]]:
    """(box of ours, box of theirs or -1, overlap) for each box of ours."""
    a, b = ours.boxes.astype(np.float64), theirs.boxes.astype(np.float64)
    shared = intersections(a, b)
    overlap = shared / np.maximum(area(a)[:, None] + area(b)[None] - shared, 1e-9)
    found = []
    for index in range(len(a)):
        best = int(np.argmax(overlap[index])) if len(b) else -1
        value = float(overlap[index, best]) if len(b) else 0.0
        found.append((index, best if value > OVERLAP else -1, value))
    return found


def agreement(
    detector: Detector, other: Detector, clips: Sequence[Path], *, frames: int = FRAMES
) -> Agreement:
    """Compare two detectors on at most so many frames, spread over each of the clips."""
    found: tuple[list[Detections], list[Detections]] = [], []
    for clip in clips:
        spread = _spread(clip, frames)
        while part := list(islice(spread, AT_ONCE)):
            for one, boxes in zip((detector, other), found, strict=True):
                boxes.extend(one.detect_frames(part))
    return compare(*found)


def _spread(path: Path, frames: int = FRAMES) -> Iterator[Frame]:
    """At most so many frames of a clip, at even distances."""
    clip = open_clip(path)
    count = clip.frame_count or sum(1 for _ in clip.frames())
    return clip.frames(every=max(1, -(-count // frames)))


def quantise_detector(
    source: Path, out: Path, *, calibrate: Sequence[Path], compare_on: Sequence[Path]
) -> Agreement:
    """Write a detector in 8-bit integers; it is kept only when its boxes agree with fp32.

    On a processor with AVX2 alone, int8 takes five sixths of the time of fp32 (measured). Those
    with VNNI or AMX have instructions for it.

    Args:
        source: An .xml of a network with an SSD head, in floating point.
        out: The .xml to write; its .bin appears beside it.
        calibrate: Clips whose frames set the ranges of the activations.
        compare_on: Other clips, on which the boxes are compared.

    Raises:
        InputError: A file is not there or of another kind, a clip is in both lists, or the boxes
            do not agree; then nothing is written.
    """
    detector = Detector.load(source)
    model = read_openvino(source)
    size = detector.stretched
    plain = isinstance(detector, NetworkDetector) and detector.head.takes_bytes
    if not plain or size is None or is_quantised(model) or out.suffix != ".xml":
        raise InputError(
            "int8 is made of a floating point network that takes BGR 0..255, and written to an "
            f".xml; '{source}' or '{out}' is something else"
        )
    if (
        not calibrate
        or not compare_on
        or {p.resolve() for p in calibrate} & {p.resolve() for p in compare_on}
    ):
        raise InputError("int8 needs clips to calibrate on, and other clips to compare on")
    frames = [frame.resized(size) for clip in calibrate for frame in _spread(clip)]
    quantised = _quantise(model, frames)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.stem}.partial.xml")
    try:
        import_openvino().save_model(quantised, partial, compress_to_fp16=False)
        found = agreement(detector, Detector.load(partial), compare_on)
        if fault := found.fault():
            raise InputError(f"'{source}' loses people in int8 and was not written: {fault}")
        for suffix in (".bin", ".xml"):  # the weights first
            put_in_place(partial.with_suffix(suffix), out.with_suffix(suffix))
    finally:
        for suffix in (".bin", ".xml"):
            partial.with_suffix(suffix).unlink(missing_ok=True)
    return found


def _quantise(model: Any, frames: list[NDArray[np.uint8]]) -> Any:
    """A quantised copy of a network that takes (1, 3, H, W) BGR 0..255."""
    nncf = import_nncf()
    with quietly():
        return nncf.quantize(
            model.clone(),
            nncf.Dataset(
                frames, lambda rgb: rgb[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32)
            ),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(frames),
        )


def computes_bf16() -> bool:
    """Whether the processor has instructions for bf16; others compute it as fp32."""
    openvino = import_openvino()
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def choose_precision(city: City, name: str | Path, clip: Path | None) -> tuple[str, str]:
    """Choose bf16 for a detector where the processor has it and the boxes agree with fp32.

    The first clip with enough people decides, and the city keeps the decision.

    Args:
        city: The city.
        name: The detector, as :meth:`Detector.load` takes it.
        clip: A clip to compare on; without one only an earlier decision counts.

    Returns:
        "fp32" or "bf16", and what was found when the boxes were compared; else nothing.
    """
    if not computes_bf16():
        return "fp32", ""
    detector = Detector.load(name)
    if not isinstance(detector, NetworkDetector):
        return "fp32", ""
    fast = Detector.load(name, precision="bf16")
    key = f"precision.{fast.name}"[:64]
    known = city.setting(key)
    if known is not None:
        return "fp32" if known["fault"] else "bf16", ""
    if clip is None:
        return "fp32", "no clip has shown yet whether its boxes agree in bf16, so it runs in fp32"
    found = agreement(detector, fast, [clip], frames=QUICK)
    fault = found.fault()
    if found.boxes >= LEAST_BOXES:
        city.set_setting(key, found.as_dict())
    words = f"bf16: {found.agreeing} of {found.boxes} boxes agree with fp32"
    return ("fp32", f"{words}; this clip is read in fp32: {fault}") if fault else ("bf16", words)
