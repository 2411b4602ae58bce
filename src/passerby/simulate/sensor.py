"""A camera's optics, exposure, colour, noise and compression."""

# ruff: noqa: PLR0917 - compiled kernels take their arguments by position

import io
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from passerby.simulate import data_file
from passerby.simulate.kernels import dot, kernel, scaled, triple
from passerby.simulate.options import Difficulty
from passerby.simulate.raster import Light

INDOOR = ("mall", "station", "garage", "wall")
OUTDOOR = ("street", "street", "plaza", "crossing", "park", "wall")


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """One camera: where it looks, in which light, and what its electronics do to the picture.

    Attributes:
        height: metres above the ground; with ``tilt`` (rad below the horizon) and ``focal``
            (pixels at ``frame`` size) it fixes the geometry of the background plate.
        frame: width and height of a native frame, pixels.
        matrix: 3 x 3 colour response, row by row, on linear RGB.
        gain, gamma, contrast, saturation: exposure factor and the tone curve.
        black: lift of the blacks (haze, flare), 0..1.
        vignette: darkening of the frame's corners, 0..1.
        blur, motion: standard deviation and length in native pixels.
        sharpen: strength of the camera's own sharpening.
        shot, read: noise in linear light.
        quality: JPEG quality of the native frame.
        scene, scene_seed: which background.
        kind: "day", "overcast", "shade", "indoor" or "night".
    """

    height: float
    tilt: float
    focal: float
    frame: tuple[int, int]
    matrix: tuple[float, float, float, float, float, float, float, float, float]
    gain: float
    gamma: float
    contrast: float
    saturation: float
    black: float
    vignette: float
    blur: float
    motion: float
    sharpen: float
    shot: float
    read: float
    quality: int
    scene: str
    scene_seed: int
    kind: str
    light: Light


def _colour_matrix(rng: np.random.Generator, strength: float, kind: str) -> tuple[float, ...]:
    """Mixing between channels times a white balance that is off, rows normalised to luminance."""
    warm = 0.10 * strength * float(rng.standard_normal())
    green = 0.05 * strength * float(rng.standard_normal())
    if kind in ("indoor", "night"):
        warm += 0.07 * strength * float(rng.standard_normal())
    gains = np.array([math.exp(warm), math.exp(green), math.exp(-1.25 * warm)])
    mix = np.eye(3) + 0.055 * strength * rng.standard_normal((3, 3))
    mix = mix / np.sum(mix, axis=1, keepdims=True)
    matrix = mix * gains.reshape(3, 1)
    weights = np.array([0.2126, 0.7152, 0.0722])
    matrix = matrix / float(np.sum(weights * np.sum(matrix, axis=1)))
    return tuple(float(v) for v in matrix.reshape(-1))


LIGHTS: dict[str, Any] = data_file("scenes")["lights"]


def _light(rng: np.random.Generator, kind: str) -> Light:
    sun, sky, bounce = LIGHTS[kind]["strength"]
    warm, cool = LIGHTS[kind]["sun"], LIGHTS[kind]["sky"]
    hour = float(rng.random())
    golden = 1 - hour
    tint = (warm[0] * (1 + 0.10 * golden), warm[1], warm[2] * (1 - 0.20 * golden))
    indoors = kind in ("indoor", "night")
    return Light(
        azimuth=float(2 * math.pi * rng.random()),
        elevation=float(0.9 + 0.5 * rng.random()) if indoors else 0.35 + 0.75 * hour,
        sun=(sun * tint[0], sun * tint[1], sun * tint[2]),
        sky=(sky * cool[0], sky * cool[1], sky * cool[2]),
        bounce=(bounce * 1.03, bounce, bounce * 0.95),
    )


def sample_sensor(
    rng: np.random.Generator,
    *,
    height: float | None = None,
    reach: float | None = None,
    difficulty: Difficulty = Difficulty(),
) -> Sensor:
    """Draw a camera.

    Args:
        rng: source of randomness.
        height: metres above the ground where that is known already.
        reach: metres of ground distance at which people are usually seen.
        difficulty: strength factors.
    """
    kind = str(rng.choice(list(LIGHTS), p=[light["share"] for light in LIGHTS.values()]))
    height = float(2.2 + 3.6 * rng.beta(1.2, 2.4)) if height is None else height
    reach = float(5.0 + 11.0 * rng.random()) if reach is None else reach
    scene = str(rng.choice(INDOOR if kind == "indoor" else OUTDOOR))
    return Sensor(
        height=height,
        tilt=math.atan2(height - 0.9, reach),
        **_optics(rng, math.hypot(height - 0.9, reach), difficulty),
        **_tone(rng, kind, difficulty),
        **_faults(rng, kind, difficulty),
        scene=scene,
        scene_seed=int(rng.integers(1 << 30)),
        kind=kind,
        light=_light(rng, kind),
    )


def _optics(rng: np.random.Generator, distance: float, d: Difficulty) -> dict[str, Any]:
    """Focal length and frame, from how tall a person stands in the picture at ``distance``."""
    pixels = float(np.clip(np.exp(np.log(125) + 0.36 * rng.standard_normal()), 62, 250))
    focal = pixels / d.resolution * distance / 1.7
    width = 16 * round(focal * (0.95 + 0.75 * rng.random()) / 16)
    aspect = float(rng.choice([0.5625, 0.5625, 0.75]))
    return {"focal": focal, "frame": (width, 16 * round(width * aspect / 16))}


def _tone(rng: np.random.Generator, kind: str, d: Difficulty) -> dict[str, Any]:
    """Colour response and tone curve."""
    return {
        "matrix": _colour_matrix(rng, d.colour, kind),
        "gain": float(np.exp(0.30 * d.exposure * rng.standard_normal())),
        "gamma": float(2.2 * np.exp(0.12 * d.exposure * rng.standard_normal())),
        "contrast": float(np.clip(1.0 + 0.20 * d.exposure * rng.standard_normal(), 0.6, 1.4)),
        "saturation": float(np.clip(1.0 + 0.24 * d.colour * rng.standard_normal(), 0.35, 1.35)),
        "black": float(max(0.035 * d.exposure * rng.standard_normal(), 0.0)),
        "vignette": float(0.35 * rng.random()),
    }


def _faults(rng: np.random.Generator, kind: str, d: Difficulty) -> dict[str, Any]:
    """Blur, sharpening, noise and compression."""
    dark = kind == "night"
    noise = d.noise * float(np.exp(0.6 * rng.standard_normal())) * (2.2 if dark else 1.0)
    return {
        "blur": float(d.noise * (0.35 + 0.55 * rng.random() ** 2)),
        "motion": float(d.noise * 2.2 * rng.random() ** 3 * (1.8 if dark else 1.0)),
        "sharpen": float(0.9 * rng.random() ** 2),
        "shot": 0.009 * noise,
        "read": 0.0022 * noise,
        "quality": int(np.clip(88 - 42 * rng.random() ** 1.6 * d.noise, 25, 95)),
    }


@kernel
def _window(index: int, old: int, new: int) -> tuple[float, float, int, int]:
    """Centre and reach of the filter of one output pixel, and the input pixels it may touch."""
    step = old / new
    reach = max(step, 1.0)
    centre = (index + 0.5) * step
    return centre, reach, max(int(centre - reach), 0), min(int(centre + reach) + 1, old)


@kernel
def resample(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Separable triangle filter as wide as the reduction: (h, w, 3) float32 to a new size."""
    h = image.shape[0]
    middle = np.zeros((h, width, 3), np.float32)
    _filter_rows(image, middle)
    out = np.zeros((height, width, 3), np.float32)
    for y in range(height):
        centre, reach, first, last = _window(y, h, height)
        total = 0.0
        for k in range(first, last):
            weight = 1.0 - abs(k + 0.5 - centre) / reach
            if weight <= 0:
                continue
            total += weight
            for x in range(width):
                for c in range(3):
                    out[y, x, c] += weight * middle[k, x, c]
        for x in range(width):
            for c in range(3):
                out[y, x, c] /= total
    return out


@kernel
def _filter_rows(image: np.ndarray, out: np.ndarray) -> None:
    h, w, width = image.shape[0], image.shape[1], out.shape[1]
    for x in range(width):
        centre, reach, first, last = _window(x, w, width)
        total = 0.0
        for k in range(first, last):
            total += max(1.0 - abs(k + 0.5 - centre) / reach, 0.0)
        for k in range(first, last):
            weight = max(1.0 - abs(k + 0.5 - centre) / reach, 0.0) / total
            if weight > 0:
                for y in range(h):
                    for c in range(3):
                        out[y, x, c] += weight * image[y, k, c]


@kernel
def blur_image(image: np.ndarray, sigma: float, motion: float) -> np.ndarray:
    """Gaussian blur of ``sigma`` pixels, wider along rows by a box of ``motion`` pixels."""
    out = image
    for axis in range(2):
        spread = math.sqrt(sigma * sigma + (motion * motion / 12.0 if axis == 1 else 0.0))
        if spread < 0.15:
            continue
        radius = min(int(3 * spread) + 1, 24)
        taps = np.empty(2 * radius + 1)
        for k in range(-radius, radius + 1):
            taps[k + radius] = math.exp(-0.5 * (k / spread) ** 2)
        taps /= taps.sum()
        out = _convolve(out, taps, axis)
    return out


@kernel
def _convolve(image: np.ndarray, taps: np.ndarray, axis: int) -> np.ndarray:
    h, w = image.shape[0], image.shape[1]
    radius = taps.shape[0] // 2
    out = np.zeros_like(image)
    for y in range(h):
        for x in range(w):
            for k in range(-radius, radius + 1):
                yy = min(max(y + (k if axis == 0 else 0), 0), h - 1)
                xx = min(max(x + (k if axis == 1 else 0), 0), w - 1)
                weight = taps[k + radius]
                for c in range(3):
                    out[y, x, c] += weight * image[yy, xx, c]
    return out


STEPS = 4096  # entries of the tone curve; it covers square roots of light up to 2


@lru_cache(maxsize=128)
def tone_curve(sensor: Sensor) -> np.ndarray:
    """(4096,) float32 encoded value by the square root of linear light (0..2)."""
    value = np.linspace(0, 2, STEPS) ** 2
    value = (value + sensor.black) / (1 + sensor.black)
    shoulder = 0.6 + 0.4 * (1 - np.exp(-(np.maximum(value, 0.6) - 0.6) / 0.4))
    encoded = np.where(value < 0.6, value, shoulder) ** (1 / sensor.gamma)
    return (0.5 + (encoded - 0.5) * sensor.contrast).astype(np.float32)


@kernel
def _expose(
    image: np.ndarray,
    noise: np.ndarray,
    matrix: np.ndarray,
    curve: np.ndarray,
    settings: tuple[float, float, float, float, float],
    window: tuple[float, float, float, float],
) -> np.ndarray:
    """Colour response, noise, tone curve and saturation; returns uint8, changes ``image``.

    ``settings``: gain, saturation, vignette, shot and read noise. ``window``: where the picture
    lies in the frame as shares, for the vignette.
    """
    gain, saturation, vignette, shot, read = settings
    h, w = image.shape[0], image.shape[1]
    out = np.empty((h, w, 3), np.uint8)
    for y in range(h):
        fy = 2 * (window[1] + (window[3] - window[1]) * (y + 0.5) / h) - 1
        for x in range(w):
            fx = 2 * (window[0] + (window[2] - window[0]) * (x + 0.5) / w) - 1
            fall = gain * (1.0 - vignette * min(0.5 * (fx * fx + fy * fy), 1.0))
            colour = scaled(triple(image[y, x], 0), fall)
            for k in range(3):
                value = max(dot(triple(matrix, 3 * k), colour), 0.0)
                value += noise[y, x, k] * (read + shot * math.sqrt(value))
                at = int(math.sqrt(max(value, 0.0)) * (0.5 * (STEPS - 1)))
                image[y, x, k] = curve[min(at, STEPS - 1)]
            grey = dot(triple(image[y, x], 0), (0.299, 0.587, 0.114))
            for k in range(3):
                value = grey + saturation * (image[y, x, k] - grey)
                out[y, x, k] = int(min(max(value, 0.0), 1.0) * 255 + 0.5)
    return out


def _grain(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Noise that is correlated along rows, as after a camera's own denoising."""
    white = rng.standard_normal((shape[0], shape[1] + 2, 3), np.float32)
    return np.float32(0.8) * white[:, 1:-1] + np.float32(0.35) * (white[:, :-2] + white[:, 2:])


def develop(
    image: np.ndarray,
    sensor: Sensor,
    rng: np.random.Generator,
    *,
    native: tuple[int, int],
    window: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
) -> np.ndarray:
    """Turn linear light into what this camera delivers.

    Args:
        image: (h, w, 3) float32 linear light.
        sensor: the camera.
        rng: noise of this very picture.
        native: height and width in the camera's own pixels.
        window: where the picture lies in the frame (x0, y0, x1, y1 as shares).

    Returns:
        (height, width, 3) uint8 at native size.
    """
    small = resample(image, native[0], native[1])
    small = blur_image(small, sensor.blur, sensor.motion)
    if sensor.sharpen > 0.02:
        small = small + np.float32(sensor.sharpen) * (small - blur_image(small, 1.0, 0.0))
    settings = (sensor.gain, sensor.saturation, sensor.vignette, sensor.shot, sensor.read)
    curve, matrix = tone_curve(sensor), np.array(sensor.matrix)
    out = _expose(small, _grain(small.shape, rng), matrix, curve, settings, window)
    return compress(out, sensor.quality)


def compress(image: np.ndarray, quality: int) -> np.ndarray:
    """The picture after JPEG at ``quality``."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    buffer.seek(0)
    return np.asarray(Image.open(buffer).convert("RGB"))
