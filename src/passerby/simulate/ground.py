"""Ray-cast streets: ground, road, walls and sky of a camera's plate, pixel by pixel."""

# ruff: noqa: PLR0917 - compiled kernels take their arguments by position

import math

import numpy as np

from passerby.simulate import kernels as k
from passerby.simulate.kernels import Vector, hashed, kernel, lookup, scaled, triple

GROUNDS = ["asphalt", "slabs", "bricks", "concrete", "tiles", "grass", "gravel", "setts"]
ASPHALT, SLABS, BRICKS, CONCRETE, TILES, GRASS, GRAVEL, SETTS = range(8)
WALLS = ["facade", "shops", "plain", "hedge", "trees", "fence", "panels"]
FACADE, SHOPS, PLAIN_WALL, HEDGE, TREES, FENCE, PANELS = range(7)

# the scene's numbers
YAW, NEAR, FAR, ROAD, ROAD_FROM, ROAD_TO, CROSSING, CROSSING_AT = range(8)
WALL, WALL_AT, WALL_TOP, SIDE, SIDE_AT, CEILING, UNIT, BAY, SEED = range(8, 17)
NEAR_COLOUR, FAR_COLOUR, WALL_COLOUR, ACCENT, GLOSS = 17, 20, 23, 26, 29
SHADE_ANGLE, SHADE_AT, DAPPLE, BAND, BAND_AT = range(30, 35)
PARAMETERS = 35


@kernel
def _joint(x: float, unit: float, width: float) -> float:
    """1 inside a joint between paving units."""
    f = x / unit
    f -= math.floor(f)
    return 1.0 if f * unit < width else 0.0


@kernel
def _paving(
    kind: int, unit: float, x: float, z: float, seed: int, noise: np.ndarray, blur: float
) -> float:
    """Brightness of a ground at (x, z) metres; ``blur`` fades joints finer than a pixel."""
    grain = max(1.0 - 22.0 * blur, 0.0)
    fine = 0.5 + grain * (lookup(noise, x * 700, z * 700) - 0.5)
    broad = lookup(noise, x * 9 + seed, z * 9)
    stain = lookup(noise, x * 2.1 + 40, z * 2.1 + seed)
    tone = 0.74 + 0.30 * broad + 0.22 * stain
    sharp = max(1.0 - blur / (0.5 * unit), 0.0)
    if kind == ASPHALT:
        return tone * (0.60 + 0.80 * fine) * 0.72
    if kind == CONCRETE:
        crack = _joint(x, 6 * unit, 0.025) + _joint(z, 6 * unit, 0.025)
        return tone * (0.92 + 0.16 * fine) * (1 - 0.4 * min(crack, 1.0) * sharp)
    if kind in (GRASS, GRAVEL):
        return tone * (0.65 + 0.35 * fine + 0.35 * lookup(noise, x * 90, z * 90))
    if kind == TILES:
        i, j = math.floor(x / unit), math.floor(z / unit)
        joint = max(_joint(x, unit, 0.012), _joint(z, unit, 0.012))
        check = 0.82 if (int(i + j) & 1) and int(seed) % 3 == 0 else 1.0
        cell = 0.94 + 0.10 * hashed(i, j, seed)
        return (0.9 + 0.1 * broad) * check * cell * (1 - 0.35 * joint * sharp)
    long, short = (unit, unit) if kind == SLABS else (0.22, 0.11)
    if kind == SETTS:
        long = short = 0.14
    j = math.floor(z / short)
    shifted = x + (0.5 * long if int(j) & 1 else 0.0)
    i = math.floor(shifted / long)
    gap = 0.016 if kind == SLABS else 0.012
    joint = max(_joint(shifted, long, gap), _joint(z, short, gap))
    near = max(1.0 - blur / (0.6 * short), 0.0)
    cell = 1.0 + (0.26 * hashed(i, j, seed) - 0.13) * near
    return tone * cell * (0.94 + 0.12 * fine) * (1 - 0.42 * joint * near)


@kernel
def _road(p: np.ndarray, a: float, n: float, noise: np.ndarray, blur: float) -> Vector:
    """Asphalt with kerbs, a zebra crossing and lane marks."""
    edge = min(n - p[ROAD_FROM], p[ROAD_TO] - n)
    if edge < 0.16 and p[ROAD_FROM] > -40:
        return 0.42, 0.42, 0.41
    shade = _paving(ASPHALT, 1.0, a, n, p[SEED], noise, blur)
    tone = 0.26 * shade
    zebra = p[CROSSING] > 0 and abs(a - p[CROSSING_AT]) < 2.0 and edge > 0.4
    if zebra and n - math.floor(n) < 0.5:
        return 0.62 * shade + 0.12, 0.62 * shade + 0.12, 0.60 * shade + 0.12
    middle = 0.5 * (p[ROAD_FROM] + p[ROAD_TO])
    dash = a / 3.2 - math.floor(a / 3.2)
    if (abs(n - middle) < 0.07 and dash < 0.5) or 0.45 < edge < 0.58:
        return 0.55, 0.55, 0.52
    return tone, tone, tone * 1.02


@kernel
def _floor(p: np.ndarray, a: float, n: float, noise: np.ndarray, blur: float) -> Vector:
    """Linear RGB of the ground at ``a`` along and ``n`` across the street."""
    if p[ROAD] > 0 and p[ROAD_FROM] < n < p[ROAD_TO]:
        return _road(p, a, n, noise, blur)
    if p[BAND] > 0 and abs(n - p[BAND_AT]) < 0.3:
        return scaled((0.50, 0.38, 0.10), 0.8 + 0.2 * _joint(a, 0.1, 0.05))
    beyond = n > p[ROAD_TO] if p[ROAD] > 0 else n > 0.8 * p[WALL_AT]
    kind = int(p[FAR]) if beyond else int(p[NEAR])
    shade = _paving(kind, p[UNIT], a, n, p[SEED], noise, blur)
    if kind == GRASS:
        return scaled((0.12, 0.19, 0.06), shade)
    return scaled(triple(p, FAR_COLOUR if beyond else NEAR_COLOUR), shade * _extras(p, a, n, noise))


@kernel
def _leaves(a: float, y: float, noise: np.ndarray, kind: int, seed: int) -> Vector:
    """A hedge, or trees with dark trunks."""
    leaf = lookup(noise, a * 60, y * 60) * 0.6 + lookup(noise, a * 17, y * 17) * 0.9 - 0.25
    leaf = max(leaf, 0.08) * (0.55 + 0.25 * y if kind == HEDGE else 0.6)
    if kind == TREES and y < 2.2:
        i = math.floor(a / 3.1)
        if abs(a / 3.1 - i - 0.3 - 0.4 * hashed(i, 1, seed)) < 0.05:
            return 0.07, 0.055, 0.04
        leaf *= 0.45 + 0.2 * y
    return scaled((0.16, 0.24, 0.07), leaf)


@kernel
def _panels(p: np.ndarray, a: float, y: float, colour: Vector, noise: np.ndarray) -> Vector:
    """A clad wall with posters."""
    i = math.floor(a / (p[BAY] * 1.5))
    x = a / (p[BAY] * 1.5) - i
    if 0.25 < x < 0.65 and 0.9 < y < 2.1 and hashed(i, 5, int(p[SEED])) < 0.6:
        wave = lookup(noise, a * 26 + i * 9, y * 26)
        h = hashed(i, 6, int(p[SEED]))
        return 0.7 * h * wave + 0.1, 0.5 * wave, (1 - h) * 0.7 * wave + 0.05
    return scaled(colour, 1 - 0.4 * max(_joint(a, p[BAY] * 0.5, 0.02), _joint(y, 1.1, 0.02)))


@kernel
def _wall(p: np.ndarray, a: float, y: float, noise: np.ndarray, kind: int) -> Vector:
    """Linear RGB of a wall at ``a`` metres along and ``y`` up."""
    seed = int(p[SEED])
    grain = 0.86 + 0.16 * lookup(noise, a * 40, y * 40) + 0.14 * lookup(noise, a * 3, y * 3 + 9)
    grain *= 0.88 + 0.12 * min(y / 0.5, 1.0)
    colour = scaled(triple(p, WALL_COLOUR), grain)
    if kind in (HEDGE, TREES):
        return _leaves(a, y, noise, kind, seed)
    if kind == FENCE:
        f = a / 0.12 - math.floor(a / 0.12)
        if y > 1.25 or f < 0.22 or (0.15 < y < 0.22):
            return scaled(colour, 0.5)
        return scaled((0.07, 0.09, 0.05), 0.4 + lookup(noise, a * 30, y * 30))
    if kind == PLAIN_WALL:
        return scaled(colour, 0.5) if y < 0.12 else _door(p, a, y, colour, seed)
    if kind == PANELS:
        return _panels(p, a, y, colour, noise)
    if kind == SHOPS and y < 3.3:
        return _shop(p, a, y, noise, seed)
    return _windows(p, a, y, colour, noise, seed)


@kernel
def _door(p: np.ndarray, a: float, y: float, colour: Vector, seed: int) -> Vector:
    bay = p[BAY] * 2
    i = math.floor(a / bay)
    x = (a / bay - i) * bay
    if hashed(i, 3, seed) < 0.45 and 0.6 < x < 1.6 and y < 2.1:
        frame = x < 0.68 or x > 1.52 or y > 2.02
        return scaled(triple(p, ACCENT), 0.5 if frame else 1.0)
    return colour


@kernel
def _windows(
    p: np.ndarray, a: float, y: float, colour: Vector, noise: np.ndarray, seed: int
) -> Vector:
    """Rows of windows, doors below."""
    bay = p[BAY]
    i, j = math.floor(a / bay), math.floor((y - 0.4) / 3.1)
    x, v = (a / bay - i) * bay, y - 0.4 - j * 3.1
    if j == 0 and hashed(i, 3, seed) < 0.2 and 0.35 * bay < x < 0.35 * bay + 1.0 and v < 1.9:
        return scaled(triple(p, ACCENT), 0.7)
    if 0.22 * bay < x < 0.78 * bay and 0.75 < v < 2.25:
        frame = x < 0.25 * bay or x > 0.75 * bay or v < 0.83 or v > 2.17
        if frame or abs(x - 0.5 * bay) < 0.03:
            r, g, b = scaled(colour, 0.55)
            return r + 0.25, g + 0.25, b + 0.25
        sheen = 0.05 + 0.20 * lookup(noise, a * 6 + i * 17, y * 6) * hashed(i, j, seed)
        return sheen, sheen * 1.05, sheen * 1.15
    return scaled(colour, 0.8) if v < 0.06 else colour


@kernel
def _shop(p: np.ndarray, a: float, y: float, noise: np.ndarray, seed: int) -> Vector:
    """A shop front: plinth, glass with goods behind, sign above."""
    bay = p[BAY] * 2.2
    i = math.floor(a / bay)
    x = a / bay - i
    tint = hashed(i, 11, seed)
    paint = k.blended(triple(p, WALL_COLOUR), triple(p, ACCENT), tint)
    if y > 2.65:  # sign
        ink = hashed(math.floor(a * 6), math.floor(y * 6), seed + int(i))
        if 0.2 < x < 0.8 and 2.8 < y < 3.15 and ink < 0.5:
            return 0.7, 0.68, 0.6
        return scaled(paint, 0.8)
    if x < 0.05 or x > 0.95 or y < 0.35:
        return scaled(paint, 0.55)
    door = 0.40 < x < 0.58
    if abs(x - 0.40) < 0.012 or abs(x - 0.58) < 0.012 or (not door and abs(x - 0.75) < 0.008):
        return 0.12, 0.12, 0.12
    goods = lookup(noise, a * 15 + i * 31, y * 15)
    hue = lookup(noise, a * 11 + 77, y * 9 + i * 13)
    glow = 0.06 + 0.42 * max(goods - 0.38, 0.0) * (0.4 + tint)
    if door:
        glow *= 0.6
    return glow * (0.6 + hue), glow * 0.95, glow * (1.5 - hue)


@kernel
def beyond_shade(p: np.ndarray, a: float, n: float) -> float:
    """Metres by which a place of the ground lies outside the shadow of a building."""
    across = a * math.cos(p[SHADE_ANGLE]) + (n - 0.6 * p[WALL_AT]) * math.sin(p[SHADE_ANGLE])
    return float(p[SHADE_AT] - across)


@kernel
def _sunlit(p: np.ndarray, a: float, n: float, noise: np.ndarray) -> float:
    """Share of the sun at a place of the ground: the shadow of a building, and of leaves."""
    share = min(max(beyond_shade(p, a, n) / 0.15 + 0.5, 0.0), 1.0)
    if p[DAPPLE] > 0:
        leaf = lookup(noise, a * 19 + 50, n * 19) + 0.6 * lookup(noise, a * 5, n * 5 + 90) - 0.80
        share *= min(max(0.5 - leaf * 6.0, 0.12), 1.0)
    return share


@kernel
def _extras(p: np.ndarray, a: float, n: float, noise: np.ndarray) -> float:
    """Factor on the brightness of the ground: manhole covers, drains, stains, leaves."""
    seed = int(p[SEED])
    i, j = math.floor(a / 4.3), math.floor(n / 3.7)
    if hashed(i, j, seed + 3) < 0.22:
        x = a - 4.3 * (i + 0.2 + 0.6 * hashed(i, j, seed + 4))
        z = n - 3.7 * (j + 0.2 + 0.6 * hashed(i, j, seed + 5))
        if hashed(i, j, seed + 6) < 0.6:
            d = math.sqrt(x * x + z * z)
            if d < 0.34:
                return 0.45 if d > 0.30 else 0.62 + 0.25 * _joint(x, 0.09, 0.045)
        elif abs(x) < 0.30 and abs(z) < 0.18:
            return 0.28 + 0.5 * _joint(x, 0.06, 0.03)
    litter = lookup(noise, a * 150 + 7, n * 150)
    spill = lookup(noise, a * 6.0 + 130, n * 6.0 + 31)
    return (0.72 if litter > 0.80 else 1.0) * (0.80 if spill > 0.70 else 1.0)


@kernel
def _hit(p: np.ndarray, height: float, ra: float, ry: float, rn: float) -> tuple[float, int]:
    """Distance along a ray in the street's axes and what it hits.

    What: 0 sky, 1 ground, 2 wall at the back, 3 wall at the side, 4 ceiling.
    """
    best, hit = 1e6, 0
    if ry < -1e-6:
        best, hit = height / -ry, 1
    if rn > 1e-6:
        t = p[WALL_AT] / rn
        if t < best and height + t * ry < p[WALL_TOP]:
            best, hit = t, 2
    if p[SIDE] > 0 and ra * p[SIDE_AT] > 1e-9:
        t = p[SIDE_AT] / ra
        if t < best and height + t * ry < p[WALL_TOP]:
            best, hit = t, 3
    if p[CEILING] > 0 and ry > 1e-6:
        t = (p[CEILING] - height) / ry
        if 0 < t < best:
            best, hit = t, 4
    return best, hit


@kernel
def _surface(
    p: np.ndarray,
    light: np.ndarray,
    noise: np.ndarray,
    hit: int,
    place: Vector,
    ry: float,
    blur: float,
) -> tuple[Vector, Vector]:
    """Linear RGB of what was hit, and the shares of sun, sky and bounce that it receives.

    ``place``: metres along the street, up, and across it.
    """
    a, y, n = place
    if hit == 1:
        r, g, b = _floor(p, a, n, noise, blur)
        corner = 0.6 + 0.4 * max(min((p[WALL_AT] - n) / 1.2, 1.0), 0.0)
        sun = max(light[1], 0.0) * _sunlit(p, a, n, noise)
        glance = p[GLOSS] * (1 - min(-ry * 1.5, 1.0))  # the sheen of a polished floor
        r, g, b = scaled((r, g, b), 1 - glance)
        return (r + 0.6 * glance, g + 0.6 * glance, b + 0.6 * glance), (sun, corner, 0.0)
    if hit == 4:  # ceiling with strips of lamps
        tone = 2.0 if a / 2.4 - math.floor(a / 2.4) < 0.12 else 0.55
        return (tone, tone, tone), (0.0, 0.3, 1.0)
    c, s = math.cos(p[YAW]), math.sin(p[YAW])
    colour = _wall(p, a if hit == 2 else n + 31.0, y, noise, int(p[WALL]))
    facing = light[0] * s - light[2] * c
    if hit == 3:
        facing = -(light[0] * c + light[2] * s) * math.copysign(1.0, p[SIDE_AT])
    return colour, (max(facing, 0.0), 0.55, 0.45)


@kernel
def _pixel(
    p: np.ndarray, camera: np.ndarray, light: np.ndarray, noise: np.ndarray, seen: Vector
) -> tuple[Vector, bool, float]:
    """Linear RGB of one ray, whether it meets the ground, and its depth in metres."""
    rx, ry, rz = seen
    c, s = math.cos(p[YAW]), math.sin(p[YAW])
    ra, rn = rx * c + rz * s, -rx * s + rz * c
    reach, hit = _hit(p, camera[10], ra, ry, rn)
    if hit == 0:
        up = min(max(ry, 0.0) * 2, 1.0)
        return scaled(triple(light, 6), 1.25 - 0.35 * up), False, reach
    blur = 0.5 * reach / camera[12] * (1.0 + 0.7 * reach / max(camera[10], 0.5))
    place = (reach * ra, camera[10] + reach * ry, reach * rn)
    colour, shares = _surface(p, light, noise, hit, place, ry, blur)
    return k.lighted(colour, light, shares), hit == 1, reach


@kernel
def paint(
    p: np.ndarray, camera: np.ndarray, light: np.ndarray, noise: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Plate (H, W, 4) float32: linear RGB and ground flag; and depth (H, W) along the axis."""
    image = np.empty((height, width, 4), np.float32)
    depth = np.empty((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            seen = k.ray(camera, x + 0.5, y + 0.5)
            colour, ground, depth[y, x] = _pixel(p, camera, light, noise, seen)
            k.store(image[y, x], 0, colour)
            image[y, x, 3] = ground
    return image, depth
