"""The plan of the invented city: shore, river, ring, avenues, park, and streets between them.

Main streets are drawn first and cut the city into large pieces; every piece is then cut again and
again across its longer side (recursive subdivision along the oriented bounding box, as in Parish
and Mueller, *Procedural Modeling of Cities*, 2001, for lots). Street ends snap to crossings that
already stand on the far side, so many streets run through. A smooth warp bends everything a little.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from passerby.errors import MissingExtraError

try:
    import shapely
    from shapely import LineString, Point, Polygon
    from shapely.ops import polygonize, split
except ImportError as error:
    raise MissingExtraError("shapely", "simulate") from error

SNAP = 36.0  # metres within which a new street's end moves to a crossing that exists


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Lines and areas of the plan, in metres east and north of the centre.

    Attributes:
        lines: street centre lines with their kind; not yet noded and not yet warped.
        warp: bends a geometry. To be applied to noded streets, so that junctions stay closed.
    """

    lines: list[tuple[LineString, str]]
    warp: Callable[[shapely.Geometry], shapely.Geometry]
    outline: Polygon
    river: Polygon
    park: Polygon


@dataclass
class _Drawing:
    """The plan while it is drawn."""

    rng: np.random.Generator
    extent: float
    lines: list[tuple[LineString, str]] = field(default_factory=list)
    crossings: list[Point] = field(default_factory=list)


def plan(extent: float, rng: np.random.Generator) -> Layout:
    """Draw a city of about ``extent`` metres across."""
    drawing = _Drawing(rng, extent)
    outline = _blob(extent / 2, rng, roundness=0.10)
    turn = rng.uniform(-0.5, 0.5)
    river = _river(drawing, outline, turn)
    drawing.lines.append((LineString(outline.exterior.coords), "secondary"))
    ring = shapely.affinity.scale(_blob(extent / 2, rng, roundness=0.06), 0.52, 0.52)
    drawing.lines.append((LineString(ring.exterior.coords), "primary"))
    _avenues(drawing, outline, turn)
    pieces = polygonize(shapely.unary_union([line for line, _ in drawing.lines]))
    land = [p for p in pieces if p.area > 1.0 and not river.contains(p.representative_point())]
    park = _choose_park(land, extent)
    for piece in land:
        _subdivide(drawing, piece, is_park=piece is park)
    warp = _warp(extent, rng)
    return Layout(
        lines=drawing.lines,
        warp=warp,
        outline=warp(outline),
        river=warp(river.intersection(outline)),
        park=warp(park),
    )


def _blob(radius: float, rng: np.random.Generator, *, roundness: float) -> Polygon:
    """A closed curve between a circle and a square, dented by a few low harmonics."""
    angle = np.linspace(0, 2 * np.pi, 145)[:-1]
    square = (np.abs(np.cos(angle)) ** 3.2 + np.abs(np.sin(angle)) ** 3.2) ** (-1 / 3.2)
    dents = sum(roundness / k * np.sin(k * angle + rng.uniform(0, 2 * np.pi)) for k in (1, 2, 3, 5))
    distance = radius * (0.95 * square + dents)
    return Polygon(np.stack([distance * np.cos(angle), distance * np.sin(angle)], axis=1))


def _rotated(points: np.ndarray, turn: float) -> np.ndarray:
    cosine, sine = np.cos(turn), np.sin(turn)
    return np.asarray(points @ np.array([[cosine, sine], [-sine, cosine]]))


def _river(drawing: _Drawing, outline: Polygon, turn: float) -> Polygon:
    """A river that meanders across the city, with a street along each bank."""
    rng, extent = drawing.rng, drawing.extent
    along = np.linspace(-0.8, 0.8, 120) * extent
    sway = 0.09 * extent * np.sin(along / extent * 5.5 + rng.uniform(0, 2 * np.pi))
    side = rng.choice([-1.0, 1.0]) * rng.uniform(0.13, 0.2) * extent
    middle = _rotated(np.stack([along, side + sway], axis=1), turn)
    width = np.clip(0.035 * extent, 30.0, 90.0)
    river = LineString(middle).buffer(width / 2, cap_style="flat", quad_segs=4)
    bank = LineString(middle).buffer(width / 2 + 9.0, cap_style="flat", quad_segs=4)
    for line in _parts(bank.exterior.intersection(outline.buffer(2.0))):
        if line.length > 0.3 * extent:
            drawing.lines.append((line, "secondary"))
    return bank if bank.is_valid else river


def _avenues(drawing: _Drawing, outline: Polygon, turn: float) -> None:
    """Two avenues that cross near the centre, one diagonal, and two shorter cross streets."""
    rng, extent = drawing.rng, drawing.extent
    reach = np.linspace(-0.9, 0.9, 90) * extent
    specs = (  # angle, shift in extents, bend in extents, kind
        (turn, rng.uniform(-0.08, -0.03), 0.015, "primary"),
        (turn + np.pi / 2 + rng.uniform(-0.1, 0.1), rng.uniform(-0.06, 0.06), 0.02, "primary"),
        (turn + np.pi / 4 + rng.uniform(-0.08, 0.08), rng.uniform(-0.1, 0.1), 0.01, "primary"),
        (turn + np.pi / 2 + rng.uniform(-0.2, 0.2), rng.uniform(0.26, 0.32), 0.03, "secondary"),
        (turn + np.pi / 2 + rng.uniform(-0.2, 0.2), rng.uniform(-0.32, -0.26), 0.03, "secondary"),
        (turn + rng.uniform(-0.1, 0.1), rng.uniform(-0.34, -0.3), 0.02, "secondary"),
    )
    for angle, shift, bend, kind in specs:
        curve = bend * extent * np.sin(reach / extent * 4 + rng.uniform(0, 2 * np.pi))
        line = LineString(_rotated(np.stack([reach, shift * extent + curve], axis=1), angle))
        for part in _parts(line.intersection(outline.buffer(2.0))):
            drawing.lines.append((part, kind))


def _parts(shape: shapely.Geometry) -> list[LineString]:
    """The lines of any geometry, end to end where they touch."""
    lines = [p for p in shapely.get_parts(shape) if isinstance(p, LineString)]
    if len(lines) < 2:
        return lines
    merged = shapely.line_merge(shapely.MultiLineString(lines))
    return [p for p in shapely.get_parts(merged) if isinstance(p, LineString)]


def _choose_park(pieces: list[Polygon], extent: float) -> Polygon:
    """The piece of suitable size (3.5 % of the city's square) near, but not at, the centre."""

    def unfit(piece: Polygon) -> float:
        size = abs(np.log(piece.area / (extent**2 * 0.035)))
        return float(size + abs(piece.centroid.distance(Point(0, 0)) / extent - 0.25) * 4)

    return min(pieces, key=unfit)


def _target_area(piece: Polygon, extent: float) -> float:
    """Square metres of a block: small in the old centre, larger outside."""
    off_centre = piece.centroid.distance(Point(0, 0)) / (extent / 2)
    return float(6_500.0 + 9_000.0 * min(off_centre, 1.2))


def _subdivide(drawing: _Drawing, piece: Polygon, *, is_park: bool) -> None:
    """Cut a piece into blocks, the first cuts being the larger streets."""
    target = _target_area(piece, drawing.extent) * (3.0 if is_park else 1.0)
    tilt = np.radians(drawing.rng.uniform(-6, 6))
    queue = [(piece, 0)]
    while queue:
        block, depth = queue.pop(0)
        if block.area < target * drawing.rng.uniform(1.1, 2.0):
            continue
        cut = _cut(drawing, block, tilt)
        if cut is None:
            continue
        line, halves = cut
        kind = "secondary" if block.area > 6.0 * target else "alley"
        drawing.lines.append((line, "path" if is_park else kind))
        drawing.crossings += [Point(line.coords[0]), Point(line.coords[-1])]
        queue += [(half, depth + 1) for half in halves]


def _cut(drawing: _Drawing, block: Polygon, tilt: float) -> tuple[LineString, list[Polygon]] | None:
    """A street across the block's longer side; None where no cut leaves two sound halves."""
    box = np.array(shapely.minimum_rotated_rectangle(block).exterior.coords)[:4]
    sides = np.array([box[1] - box[0], box[2] - box[1]])
    sides = sides[np.argsort(-np.hypot(*sides.T))]
    middle = np.array(shapely.centroid(block).coords[0])
    for attempt in range(16):
        # winding pieces need other cuts: wider shifts, then the other axis, then thinner halves
        along = sides[0] if attempt < 8 or attempt % 2 else sides[1]
        across = np.array([-along[1], along[0]]) / np.hypot(*along)
        shift = drawing.rng.uniform(-0.12, 0.12) * (1 + attempt / 4)
        angle = tilt + np.radians(drawing.rng.normal(0, 3.0 + attempt))
        way = _rotated(across[None], angle)[0] * 3 * np.hypot(*sides[0])
        centre = middle + along * shift
        line = _snapped(drawing, block, LineString([centre - way, centre + way]))
        if line is None:
            continue
        halves = [h for h in split(block, line).geoms if isinstance(h, Polygon)]
        if len(halves) == 2 and min(map(_soundness, halves)) > 0.44 - 0.012 * attempt:
            return line, halves
    return None


def _snapped(drawing: _Drawing, block: Polygon, ray: LineString) -> LineString | None:
    """The part of ``ray`` in the block, its ends moved to crossings near them on the border."""
    inside = _parts(ray.intersection(block))
    if not inside:
        return None
    longest = max(inside, key=lambda part: part.length)
    ends = [_snapped_end(drawing, block, Point(c)) for c in longest.coords]
    line = LineString([e.coords[0] for e in ends])
    if line.length < 25.0 or not block.buffer(0.5).contains(line):
        return None
    # a hair longer than the block, so that splitting by it is sure to cut through
    a, b = np.array(line.coords)
    way = (b - a) / line.length * 0.02
    return LineString([a - way, b + way])


def _snapped_end(drawing: _Drawing, block: Polygon, end: Point) -> Point:
    near = [
        c for c in drawing.crossings if c.distance(end) < SNAP and block.exterior.distance(c) < 0.5
    ]
    corners = [Point(c) for c in _corners(block) if Point(c).distance(end) < SNAP * 0.6]
    return min(near + corners, key=lambda c: c.distance(end), default=end)


def _corners(block: Polygon) -> np.ndarray:
    """Vertices of the block at which its border turns by more than 35 degrees."""
    points = np.array(block.exterior.coords)[:-1]
    before = points - np.roll(points, 1, axis=0)
    after = np.roll(points, -1, axis=0) - points
    turn = np.arctan2(
        before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0], (before * after).sum(1)
    )
    return np.asarray(points[np.abs(turn) > np.radians(35)])


def _soundness(block: Polygon) -> float:
    """Isoperimetric quotient of a block: 1 for a circle, 0.79 for a square, near 0 for a sliver."""
    return float(4 * np.pi * block.area / block.length**2)


def _warp(
    extent: float, rng: np.random.Generator
) -> Callable[[shapely.Geometry], shapely.Geometry]:
    """A smooth displacement of a few dozen metres that bends straight streets."""
    waves = 2 * np.pi / (extent * rng.uniform(0.35, 0.8, 5))
    angles, phases = rng.uniform(0, 2 * np.pi, 5), rng.uniform(0, 2 * np.pi, 5)
    drift = rng.normal(0, 0.006 * extent, (5, 2))

    def moved(points: np.ndarray) -> np.ndarray:
        ahead = points @ np.stack([np.cos(angles), np.sin(angles)]) * waves + phases
        return np.asarray(points + np.sin(ahead) @ drift)

    def warp(shape: shapely.Geometry) -> shapely.Geometry:
        return shapely.transform(shapely.segmentize(shape, 30.0), moved)

    return warp
