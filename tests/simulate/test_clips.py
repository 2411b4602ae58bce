import json
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq

from passerby.simulate.clips import RATE, SIZE, busiest_start, people_in_clip
from passerby.simulate.world import World


def test_clip_has_frames_and_boxes(tree: Path) -> None:
    (clip,) = json.loads((tree / "simulation.json").read_text("utf-8"))["clips"]
    with av.open(str(tree / clip["video"])) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert stream.codec_context.name == "mpeg4"
        assert stream.average_rate == RATE
    assert len(frames) == clip["frames"]
    assert frames[0].shape == (SIZE[1], SIZE[0], 3)
    truth = pq.read_table(tree / clip["truth"]).to_pydict()
    assert set(truth) == {"frame", "identity", "x0", "y0", "x1", "y1"}
    assert truth["frame"] and max(truth["frame"]) < len(frames)
    x0, y0, x1, y1 = (np.array(truth[c]) for c in ("x0", "y0", "x1", "y1"))
    assert (x1 > x0).all() and (y1 > y0).all()
    assert (x0 >= 0).all() and (x1 <= SIZE[0]).all() and (y1 <= SIZE[1]).all()


def test_everyone_in_view_is_drawn(world: World) -> None:
    camera = int(np.bincount(world.passages.camera).argmax())
    start = busiest_start(world, camera)
    stature = np.full(len(world.population), 1.7)
    frames, seen = people_in_clip(world, camera, start, stature)
    passages = world.passages
    for frame in (0, 50, 100, 150):
        time = start + frame / RATE
        inside = (passages.camera == camera) & (passages.enter <= time) & (passages.leave >= time)
        drawn = set(seen.person[frames == frame].tolist())
        assert set(passages.person[inside].tolist()) <= drawn
    assert len(seen) > 0
