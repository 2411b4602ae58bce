"""Enhancement: only dark crops are changed, by one gain, and all of it is counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from passerby.city import City
from passerby.ingest import ClipOptions, IngestReport
from passerby.ingest.crops import Crop
from passerby.ingest.enhancement import TARGET, brightness, enhance
from passerby.ingest.sink import Sink
from passerby.ingest.tracklets import Tracklet
from passerby.runtime import Embedder, read_image

CROP = np.random.default_rng(3).integers(0, 200, (96, 48, 3)).astype(np.uint8)


def darker(share: float) -> NDArray[np.uint8]:
    return (CROP / share).round().astype(np.uint8)


def test_a_bright_crop_is_returned_as_it_is() -> None:
    assert brightness(CROP) > TARGET
    assert enhance(CROP) is CROP


@pytest.mark.parametrize("share", [3, 5, 12])
def test_a_dark_crop_gets_the_wanted_brightness(share: float) -> None:
    dark = darker(share)
    assert brightness(dark) < TARGET
    better = enhance(dark)
    assert better.shape == dark.shape
    assert better.dtype == np.uint8
    assert brightness(better) == pytest.approx(TARGET, abs=3)
    assert enhance(dark).tobytes() == better.tobytes()


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_any_even_crop_keeps_its_hue_and_is_not_darkened(red: int, green: int, blue: int) -> None:
    colour = np.array([red, green, blue], np.uint8)
    crop = np.tile(colour, (16, 8, 1))
    after = enhance(crop)[0, 0].astype(float)
    assert (after >= colour).all()
    if after.max() < 255 and brightness(crop) >= 1:
        gain = max(1.0, TARGET / brightness(crop))
        assert np.allclose(after, colour * gain, atol=0.5 + 1e-3 * gain)


def test_black_stays_black_and_the_rule_has_no_step() -> None:
    black = np.zeros((64, 32, 3), np.uint8)
    assert enhance(black).max() == 0
    below = np.full((64, 32, 3), int(TARGET) - 1, np.uint8)
    assert enhance(below).max() <= TARGET + 1


@pytest.mark.parametrize("wished", [True, False])
def test_dark_crops_of_a_clip_are_stored_bright_and_counted(
    city: City, embedder: Embedder, wished: bool
) -> None:
    assert ClipOptions().enhance, "on by default"
    crops = [
        Crop(frame=n, time=1_777_593_600_000 + n, box=(0, 0, 48, 96), quality=0.5, image=image)
        for n, image in enumerate((CROP, darker(5)))
    ]
    report = IngestReport(source="clip", camera="C01")
    tracklet = Tracklet(
        track=1, detections=2, crops=crops, place=np.zeros(4), view=np.zeros(0, np.float32)
    )
    sink = Sink(
        city=city,
        embedder=embedder,
        camera="C01",
        name="clip",
        enhance=wished,
        report=report,
        waiting=[tracklet],
    )
    sink.settle()
    assert (report.added, report.enhanced) == (2, int(wished))
    facts = city.gallery.get(["clip-00001-0000000", "clip-00001-0000001"])
    before, after = (brightness(read_image(city.crops.path(one.crop))) for one in facts)
    assert before == pytest.approx(brightness(CROP), abs=2)
    assert after == pytest.approx(TARGET if wished else brightness(CROP) / 5, abs=3)
