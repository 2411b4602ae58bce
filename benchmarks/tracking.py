"""Tracking on ten simulated clips with truth, beside other trackers on the same detections.

The clips show from three to thirty-three people at a time; in half of them pillars near the camera
hide people for a while. Detections are made once, from the truth (see ``MadeDetector``), or by a
network with ``--detector``. Every tracker gets the same boxes, and of every tracker the tracks with
fewer than three strong boxes are left out. HOTA, IDF1, MOTA and switches come from TrackEval, over
people of whom at least a quarter can be seen; boxes on others count neither way.

The options of all trackers, ours and others', were chosen by IDF1 on other clips: those of the
seeds 900 to 902, and for the motion boxes without pictures of the seeds 740 to 761.

Run: ``passerby bench tracking --out benchmarks/results/tracking.json`` (about 20 minutes, of which
15 render the clips the first time). It needs the packages of the extra ``bench``.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.common import write_result
from benchmarks.tracking_clips import Clip, MadeDetector, read_clips
from passerby.errors import InputError
from passerby.ingest.boxes import overlaps
from passerby.ingest.crops import cut
from passerby.ingest.detector import Detections, Detector
from passerby.ingest.tracker import Tracker
from passerby.ingest.tracklets import TrackletBuilder, alike_from
from passerby.ingest.video import Frame
from passerby.runtime import Embedder
from passerby.simulate.clips import RATE

STEP = 1000 // RATE  # milliseconds
SEEN = 0.25  # share of a person that must be visible to count
PASSAGE = (10, 0.5, 45.0)  # frames, visible share and pixels of height of a passage that counts
Rows = list[tuple[np.ndarray, np.ndarray]]  # of each frame: numbers of tracks (N,), boxes (N, 4)
Follow = Callable[[int, Detections, np.ndarray | None], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is measured."""

    seed: int = 910
    """Seed of the clips and of the made detections; the published figures are of 910."""
    detector: Path | None = None
    """Person detector to use on the pictures, in place of the made detections."""
    model: str = "default"
    """Embedding network for the appearance."""
    peers: bool = True
    """Also measure the other trackers."""
    workers: int = 2
    """Processes that render the clips."""
    out: Path | None = None
    """JSON file to write."""


class Looks:
    """Vectors of crops, with a count of them."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder, self.count = embedder, 0
        self.alike = alike_from(embedder.card)
        if self.alike is None:
            raise InputError("the network has no measured calibration, so it cannot help to track")

    def __call__(self, crops: list[np.ndarray]) -> np.ndarray:
        self.count += len(crops)
        return self.embedder.embed(crops)


def follow_ours(looks: Looks | None) -> Follow:
    """This package's tracker, with or without appearance."""
    tracker = Tracker(alike=looks.alike) if looks else Tracker()

    def step(number: int, found: Detections, image: np.ndarray | None) -> tuple[Any, Any]:
        def appearance(which: np.ndarray) -> np.ndarray:
            return looks([cut(image, found.boxes[i]) for i in which])

        numbers = tracker.update(number * STEP, found, appearance if looks else None)
        return numbers[numbers >= 0], found.boxes[numbers >= 0]

    return step


def _as_supervision(found: Detections) -> Any:
    import supervision

    return supervision.Detections(
        xyxy=found.boxes, confidence=found.scores, class_id=np.zeros(len(found), dtype=int)
    )


def follow_supervision(least: float = 0.4, **options: Any) -> Follow:
    """supervision's ByteTrack, on boxes of at least a confidence."""
    import supervision

    options = {
        "track_activation_threshold": 0.4,
        "minimum_matching_threshold": 0.9,
        **options,
    }
    tracker = supervision.ByteTrack(frame_rate=RATE, **options)

    def step(_: int, found: Detections, image: np.ndarray | None) -> tuple[Any, Any]:
        result = tracker.update_with_detections(_as_supervision(found.above(least)))
        return result.tracker_id, result.xyxy

    return step


def follow_trackers(name: str, least: float = 0.3, **options: Any) -> Follow:
    """A tracker of the package ``trackers``, the successor of supervision's."""
    import trackers

    options = {"lost_track_buffer": 60, "high_conf_det_threshold": 0.5, **options}
    tracker = getattr(trackers, name)(frame_rate=RATE, **options)

    def step(_: int, found: Detections, image: np.ndarray | None) -> tuple[Any, Any]:
        result = tracker.update(_as_supervision(found.above(least)))
        known = result.tracker_id >= 0
        return result.tracker_id[known], result.xyxy[known]

    return step


def follow_norfair(least: float = 0.4, **options: Any) -> Follow:
    """norfair, by overlap; only boxes of this frame are given, not predictions."""
    import norfair

    options = {"distance_threshold": 0.8, "hit_counter_max": 10, **options}
    tracker = norfair.Tracker(distance_function="iou", **options)

    def step(number: int, found: Detections, image: np.ndarray | None) -> tuple[Any, Any]:
        strong = found.above(least)
        boxes = [
            norfair.Detection(box.reshape(2, 2), scores=np.full(2, score), data=number)
            for box, score in zip(strong.boxes, strong.scores, strict=True)
        ]
        objects = [o for o in tracker.update(boxes) if o.last_detection.data == number]
        places = [o.last_detection.points.reshape(4) for o in objects]
        return np.array([o.id for o in objects], dtype=int), np.array(places).reshape(-1, 4)

    return step


def run(follow: Follow, found: list[Detections], images: Iterator[Any]) -> Rows:
    """The numbers and boxes that a tracker gives for a clip.

    Tracks with fewer than three strong boxes are left out, as the ingest does.
    """
    rows, strong = [], Counter[int]()
    for number, (detections, image) in enumerate(zip(found, images, strict=True)):
        numbers, boxes = follow(number, detections, image)
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        sure = detections.above(0.5).boxes.astype(np.float64)
        near = overlaps(boxes, sure).max(axis=1, initial=0)
        strong.update(np.asarray(numbers)[near > 0.8].tolist())
        rows.append((np.asarray(numbers), boxes))
    kept = [number for number, count in strong.items() if count >= 3]
    return [(ids[np.isin(ids, kept)], boxes[np.isin(ids, kept)]) for ids, boxes in rows]


def sequence(clip: Clip, rows: Rows) -> dict[str, Any]:
    """A clip as TrackEval reads it; boxes on people who do not count are left out."""
    data: dict[str, Any] = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    for truth, (numbers, boxes) in zip(clip.truth, rows, strict=True):
        counts = truth.visible >= SEEN
        near = overlaps(truth.boxes, boxes)
        owner, box = linear_sum_assignment(-np.where(near >= 0.5, near, 0))
        idle = [b for o, b in zip(owner, box, strict=True) if near[o, b] >= 0.5 and not counts[o]]
        keep = np.setdiff1d(np.arange(len(numbers)), idle).astype(int)
        data["gt_ids"].append(truth.people[counts])
        data["tracker_ids"].append(numbers[keep])
        data["similarity_scores"].append(near[counts][:, keep])
    for kind in ("gt", "tracker"):
        names = np.unique(np.concatenate(data[f"{kind}_ids"]).astype(int))
        data[f"{kind}_ids"] = [np.searchsorted(names, ids) for ids in data[f"{kind}_ids"]]
        data[f"num_{kind}_ids"] = len(names)
        data[f"num_{kind}_dets"] = sum(map(len, data[f"{kind}_ids"]))
    return {**data, "num_timesteps": len(rows)}


def scores(sequences: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """HOTA, IDF1, MOTA and switches over all clips, by TrackEval."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    quiet = {"PRINT_CONFIG": False}
    found: dict[str, Any] = {}
    for metric in (HOTA(), CLEAR(quiet), Identity(quiet)):
        clips = {name: metric.eval_sequence(data) for name, data in sequences.items()}
        found |= metric.combine_sequences(clips)
    return {
        "HOTA": round(float(np.mean(found["HOTA"])), 4),
        "IDF1": round(float(found["IDF1"]), 4),
        "MOTA": round(float(found["MOTA"]), 4),
        "switches": int(found["IDSW"]),
    }


def passages(clip: Clip) -> dict[int, int]:
    """People of the clip who must be stored, with the number of frames that show them well."""
    frames, visible, height = PASSAGE
    count = Counter[int]()
    for truth in clip.truth:
        tall = truth.boxes[:, 3] - truth.boxes[:, 1] >= height
        count.update(truth.people[(truth.visible >= visible) & tall].tolist())
    return {person: number for person, number in count.items() if number >= frames}


def stored(clip: Clip, found: list[Detections], embedder: Embedder) -> Counter[str]:
    """What the ingest stores of a clip, counted against the truth."""
    builder = TrackletBuilder(embedder=embedder)
    tracklets = []
    for number, (detections, image) in enumerate(zip(found, clip.frames(), strict=True)):
        frame = Frame(index=number, time=number * STEP, image=image)
        tracklets += builder.add(frame, detections)
    tracklets += builder.close()
    owners: dict[int, list[int]] = {}
    for tracklet in tracklets:
        for crop in tracklet.crops:
            near = overlaps(np.array([crop.box]), clip.truth[crop.frame].boxes)[0]
            best = int(near.argmax()) if len(near) else 0
            shown = int(clip.truth[crop.frame].people[best]) if near.max(initial=0) >= 0.5 else 0
            owners.setdefault(tracklet.track, []).append(shown)
    wanted, seen = passages(clip), {person for own in owners.values() for person in own}
    of = Counter(person for own in owners.values() for person in set(own) if person in wanted)
    return Counter(
        passages=len(wanted),
        passages_with_sightings=len(wanted.keys() & seen),
        tracklets=len(owners),
        tracklets_of_passages=of.total(),
        mixed_tracklets=sum(len(set(own) - {0}) > 1 for own in owners.values()),
        sightings=sum(map(len, owners.values())),
        sightings_of_no_one=sum(own.count(0) for own in owners.values()),
    )


PEERS: dict[str, Callable[[], Follow]] = {
    "supervision ByteTrack": follow_supervision,
    "trackers ByteTrack": lambda: follow_trackers("ByteTrackTracker"),
    "trackers OC-SORT": lambda: follow_trackers("OCSORTTracker", minimum_iou_threshold=0.1),
    "norfair": follow_norfair,
    "norfair, twice the memory": lambda: follow_norfair(hit_counter_max=20),
}


def detect(clip: Clip, number: int, options: Options) -> list[Detections]:
    """The detections of a clip, once for all trackers."""
    if options.detector is None:
        made = MadeDetector(options.seed + number)
        return [made.detect(truth) for truth in clip.truth]
    detector = Detector.load(options.detector)
    return [detector.detect([image])[0] for image in clip.frames()]


def main(options: Options) -> None:
    """Measure, print and write."""
    clips = read_clips(options.seed, options.workers)
    looks = Looks(Embedder.load(options.model))
    follow: dict[str, Callable[[], Follow]] = {
        "passerby": lambda: follow_ours(looks),
        "passerby, motion alone": lambda: follow_ours(None),
        **(PEERS if options.peers else {}),
    }
    sequences: dict[str, dict[str, Any]] = {name: {} for name in follow}
    total, boxes, looked = Counter[str](), 0, 0
    for number, clip in enumerate(clips):
        found = detect(clip, number, options)
        boxes += sum(len(one.above(0.5)) for one in found)
        for name, start in follow.items():
            images = clip.frames() if name == "passerby" else iter([None] * len(found))
            sequences[name][clip.name] = sequence(clip, run(start(), found, images))
        looked, looks.count = looked + looks.count, 0
        total += stored(clip, found, looks.embedder)
    rows = {name: scores(own) for name, own in sequences.items()}
    each = {
        clip: {name: scores({clip: own[clip]}) for name, own in sequences.items()}
        for clip in (clip.name for clip in clips)
    }
    for name, row in rows.items():
        print(f"{name:<24}" + "".join(f"{key} {value:<8}" for key, value in row.items()))
    share = total["passages_with_sightings"] / max(total["passages"], 1)
    print(
        f"passages with sightings: {share:.3f}; {dict(total)}; vectors: {looked} of {boxes} boxes"
    )
    write_result(
        options.out,
        "tracking",
        {
            "seed": options.seed,
            "detections": options.detector.stem if options.detector else "made from the truth",
            "trackers": rows,
            "strong_boxes": boxes,
            "vectors_for_tracking": looked,
            "stored": {**total, "share_of_passages": round(share, 4)},
            "clips": each,
        },
    )
