"""Everything that makes a person look as they do, and how such people are drawn at random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from passerby.simulate.wardrobe import (
    CARRIED,
    CUTS,
    HAIR,
    HEADGEAR,
    PALETTES,
    SHOES,
    SKIRTS,
    Colour,
)


@dataclass(frozen=True, kw_only=True)
class Garment:
    """One piece of clothing.

    Attributes:
        kind: a key of ``wardrobe.CUTS`` or ``wardrobe.SHOES``.
        colour, second, third: sRGB 0..1.
        pattern: a key of ``materials.PATTERNS``.
        scale: period of the print, metres.
        duty: share of the period that the second colour takes.
        fit: -1 tight .. 1 loose, relative to the cut.
        length: change of the hem, trunk lengths.
        sleeve: share of the arm covered.
        opening: half angle by which it hangs open in front, radians; 0 closed.
        logo: a key of ``materials.LOGOS``; with its place (m), size (m) and whether on the back.
        trim: brightness of hem, collar and cuffs against the cloth.
        seed: which folds, flowers and letters.
    """

    kind: str
    colour: Colour
    second: Colour
    third: Colour
    pattern: str = "plain"
    scale: float = 0.05
    duty: float = 0.5
    fit: float = 0.0
    length: float = 0.0
    sleeve: float = 1.0
    opening: float = 0.0
    logo: str = "none"
    logo_place: tuple[float, float] = (0.0, 0.36)
    logo_size: tuple[float, float] = (0.2, 0.15)
    logo_back: bool = False
    ink: Colour = (0.9, 0.9, 0.9)
    trim: float = 1.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Carried:
    """A bag or another thing carried: kind, colours, body side (-1 left, 1 right) and size."""

    kind: str
    colour: Colour
    second: Colour
    side: int = 1
    size: float = 1.0
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """A person: body, head, clothes, carried things and gait. Plain values only (``asdict``).

    Attributes:
        age: years.
        female: 0..1, how far proportions are a woman's.
        stature: metres, without shoes.
        build: -1 thin, 0 average, 2 very heavy.
        umbrella: an umbrella that is open, or None.
        gait: stride, arm swing and elbow bend (factors), lean (rad), toe-out (rad), step width.
    """

    age: float
    female: float
    stature: float
    build: float
    shoulders: float
    legs: float
    skin: Colour
    hair: str
    hair_colour: Colour
    hair_tips: Colour
    hair_length: float
    beard: float
    glasses: int
    face_mask: bool
    lips: float
    headgear: str
    headgear_colour: Colour
    headgear_second: Colour
    scarf: Colour | None
    inner: Garment
    outer: Garment | None
    spare: Garment | None
    lower: Garment | None
    shoes: Garment
    socks: Colour
    tights: Colour | None
    belt: Colour | None
    carried: tuple[Carried, ...] = ()
    umbrella: Carried | None = None
    gait: tuple[float, float, float, float, float, float] = (1.0, 1.0, 1.0, 0.03, 0.12, 1.0)
    seed: int = 0


def _choose(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    names, values = list(weights), np.array(list(weights.values()), float)
    edges = np.cumsum(values)
    return names[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(low + (high - low) * rng.random())


def _colour(rng: np.random.Generator, palette: str, spread: float = 0.045) -> Colour:
    """A colour near one of the palette's, jittered in brightness more than in hue."""
    options = PALETTES[palette]
    edges = np.cumsum([weight for _, weight in options])
    base = options[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))][0]
    light = 1.0 + 2.2 * spread * float(rng.standard_normal())
    values = [
        min(max(c * light + spread * float(rng.standard_normal()) * (0.3 + c), 0.02), 0.98)
        for c in base
    ]
    return values[0], values[1], values[2]


def _contrast(rng: np.random.Generator, first: Colour, palette: str = "any") -> Colour:
    """A colour that stands out from ``first``."""
    other = first
    for _ in range(6):
        other = _colour(rng, palette)
        if sum(abs(a - b) for a, b in zip(first, other, strict=True)) > 0.55:
            break
    return other


def _shade(rng: np.random.Generator, first: Colour) -> Colour:
    """A lighter or darker tone of ``first``."""
    factor = _between(rng, 0.45, 0.75) if sum(first) > 0.9 else _between(rng, 1.5, 2.6)
    r, g, b = (min(0.06 * (factor > 1) + c * factor, 0.95) for c in first)
    return r, g, b


SCALES: dict[str, tuple[float, float]] = {
    "horizontal": (0.025, 0.16), "vertical": (0.02, 0.09), "plaid": (0.05, 0.16),
    "dots": (0.03, 0.08), "block": (0.05, 0.12), "gradient": (0.1, 0.3),
    "camouflage": (0.10, 0.30), "floral": (0.05, 0.15), "tweed": (0.05, 0.1),
}  # fmt: skip


def _group(age: float, female: float) -> int:
    return 2 if age < 13 else int(female > 0.5)


def _cut_weights(layers: Sequence[str], group: int) -> dict[str, float]:
    return {name: cut.weight[group] for name, cut in CUTS.items() if cut.layer in layers}


def _garment(rng: np.random.Generator, kind: str) -> Garment:
    cut = CUTS[kind]
    colour = _colour(rng, cut.palette)
    pattern = cut.prints[int(rng.integers(len(cut.prints)))]
    low, high = SCALES.get(pattern, (0.05, 0.1))
    quiet = cut.layer == "lower" or rng.random() < 0.35
    second = _shade(rng, colour) if quiet else _contrast(rng, colour)
    logo, place, size, back = _logo(rng, cut.layer, pattern)
    return Garment(
        kind=kind,
        colour=colour,
        second=second,
        third=_shade(rng, second) if quiet else _contrast(rng, second),
        pattern=pattern,
        scale=float(low * (high / low) ** rng.random()),
        duty=_between(rng, 0.25, 0.65),
        fit=float(np.clip(0.5 * rng.standard_normal(), -1, 1)),
        length=_between(rng, -0.04, 0.05) * (1.6 if cut.hem < -0.3 else 1.0),
        sleeve=float(np.clip(cut.sleeve * _between(rng, 0.88, 1.12), 0, 1)),
        opening=_between(rng, 0.22, 0.75) if cut.front == 3 and rng.random() < 0.55 else 0.0,
        logo=logo,
        logo_place=place,
        logo_size=size,
        logo_back=back,
        ink=_contrast(rng, colour),
        trim=float(rng.choice([1.0, 1.0, 0.8, 0.6, 1.3])),
        seed=int(rng.integers(1 << 16)),
    )


def _logo(
    rng: np.random.Generator, layer: str, pattern: str
) -> tuple[str, tuple[float, float], tuple[float, float], bool]:
    """Kind, place and size of what is printed on the chest, thigh or back."""
    roll = rng.random()
    if layer not in ("inner", "outer") or pattern not in ("plain", "block") or roll < 0.5:
        return "none", (0.0, 0.36), (0.2, 0.15), False
    kind = str(rng.choice(["letters", "emblem", "picture"]))
    back = bool(rng.random() < 0.35)
    if roll < 0.72:  # a small mark on the breast
        return kind, (-0.09, _between(rng, 0.38, 0.42)), (0.07, 0.045), back
    size = (_between(rng, 0.14, 0.26), _between(rng, 0.06, 0.2))
    return kind, (0.0, _between(rng, 0.28, 0.38)), size, back


def _body(rng: np.random.Generator) -> dict[str, float]:
    roll = rng.random()
    age = (
        _between(rng, 5, 13) if roll < 0.06 else _between(rng, 64, 85) if roll > 0.9
        else float(15 + 48 * rng.beta(1.3, 1.8))
    )  # fmt: skip
    female = _between(rng, 0.8, 1.0) if rng.random() < 0.48 else _between(rng, 0.0, 0.15)
    adult = 1.775 - 0.13 * (female > 0.5) + 0.068 * float(rng.standard_normal())
    grown = min(1.0, 0.44 + 0.0355 * age) if age < 16 else 1.0 - 0.0009 * max(age - 55, 0)
    build = float(np.clip(0.72 * rng.standard_normal() + 0.008 * (age - 25), -1.3, 2.4))
    return {
        "age": age,
        "female": female,
        "stature": float(np.clip(adult * grown, 1.05, 2.02)),
        "build": build if age > 15 else 0.6 * build - 0.2,
        "shoulders": float(np.clip(1 + 0.05 * rng.standard_normal(), 0.88, 1.12)),
        "legs": float(np.clip(1 + 0.025 * rng.standard_normal(), 0.94, 1.06)),
    }


def _head(rng: np.random.Generator, age: float, female: float) -> dict[str, object]:
    group = _group(age, female)
    grey = age > 45 and rng.random() < (age - 40) / 40
    dyed = rng.random() < 0.008 and age < 50
    hair_colour = _colour(rng, "any" if dyed else "grey hair" if grey else "hair", 0.02)
    tips = hair_colour
    if group == 1 and rng.random() < 0.22:
        tips = _colour(rng, "hair", 0.02)
    bearded = group == 0 and age > 19 and rng.random() < 0.42
    return {
        "skin": _colour(rng, "skin", 0.018),
        "hair": _choose(rng, {name: w[group] for name, w in HAIR.items()}),
        "hair_colour": hair_colour,
        "hair_tips": tips,
        "hair_length": _between(rng, 0.0, 1.0),
        "beard": _between(rng, 0.25, 1.0) if bearded else 0.0,
        "glasses": int(rng.choice([0, 1, 2], p=[0.74, 0.18, 0.08])),
        "face_mask": bool(rng.random() < 0.06),
        "lips": _between(rng, 0.2, 1.0) if group == 1 else 0.15,
        "headgear": _choose(rng, {name: w[group] for name, w in HEADGEAR.items()}),
        "headgear_colour": _colour(rng, "any"),
        "headgear_second": _colour(rng, "any"),
        "scarf": _colour(rng, "any") if rng.random() < 0.07 else None,
    }


def _carried(rng: np.random.Generator, group: int) -> tuple[Carried, ...]:
    things: list[Carried] = []
    taken: set[str] = set()
    places = {
        "backpack": "back", "cross bag": "trunk", "shoulder bag": "trunk", "waist bag": "waist",
    }  # fmt: skip
    for kind, chances in CARRIED.items():
        if rng.random() >= chances[group] or places.get(kind, "hand") in taken:
            continue
        taken.add(places.get(kind, "hand"))
        colour = _colour(rng, "bag")
        things.append(
            Carried(
                kind=kind,
                colour=colour,
                second=_contrast(rng, colour),
                side=int(rng.choice([-1, 1])),
                size=_between(rng, 0.8, 1.2),
                seed=int(rng.integers(1 << 16)),
            )
        )
    return tuple(things)


def _clothes(rng: np.random.Generator, group: int, cold: float) -> dict[str, object]:
    layers = ("inner", "dress") if group else ("inner",)
    inner = _garment(rng, _choose(rng, _cut_weights(layers, group)))
    dress = CUTS[inner.kind].layer == "dress"
    spare = _garment(rng, _choose(rng, _cut_weights(("outer",), group)))
    worn = rng.random() < cold
    lower = None if dress else _lower(rng, group, cold)
    bare_legs = dress or (lower is not None and lower.kind in SKIRTS)
    shoe_kind = _choose(rng, {name: w[group] for name, w in SHOES.items()})
    shoe = _colour(rng, "shoe")
    return {
        "inner": inner,
        "outer": spare if worn else None,
        "spare": spare,
        "lower": lower,
        "shoes": Garment(
            kind=shoe_kind,
            colour=shoe,
            second=_colour(rng, "shoe") if rng.random() < 0.5 else (0.9, 0.9, 0.88),
            third=_contrast(rng, shoe),
            seed=int(rng.integers(1 << 16)),
        ),
        "socks": _colour(rng, "shoe"),
        "tights": _colour(rng, "dark") if bare_legs and rng.random() < 0.25 + 0.6 * cold else None,
        "belt": _colour(rng, "leather") if rng.random() < 0.35 else None,
    }


def _lower(rng: np.random.Generator, group: int, cold: float) -> Garment:
    weights = _cut_weights(("lower",), group)
    for name in weights:
        if "shorts" in name or name == "mini skirt":
            weights[name] *= 1.6 * (1.0 - cold)
    return _garment(rng, _choose(rng, weights))


def _gait(rng: np.random.Generator, age: float) -> tuple[float, float, float, float, float, float]:
    old = max(age - 60, 0) / 25
    return (
        float(np.clip(1 + 0.12 * rng.standard_normal() - 0.3 * old, 0.5, 1.3)),
        float(np.clip(1 + 0.3 * rng.standard_normal() - 0.3 * old, 0.2, 1.7)),
        float(np.clip(1 + 0.4 * rng.standard_normal(), 0.3, 2.2)),
        float(0.03 + 0.025 * rng.standard_normal() + 0.12 * old),
        float(np.clip(0.12 + 0.08 * rng.standard_normal(), -0.05, 0.4)),
        float(np.clip(1 + 0.2 * rng.standard_normal(), 0.5, 1.6)),
    )


def sample_appearance(
    rng: np.random.Generator, *, look_alike: Appearance | None = None
) -> Appearance:
    """Draw a person from the street.

    Args:
        rng: source of randomness; the same state gives the same person.
        look_alike: another person whose clothes are shared (a uniform, a team, a fashion), while
            body, head and a few details differ.
    """
    if look_alike is not None:
        return _look_alike(rng, look_alike)
    body = _body(rng)
    group = _group(body["age"], body["female"])
    cold = float(rng.choice([0.1, 0.5, 0.9]))
    return Appearance(
        **body,  # type: ignore[arg-type]
        **_head(rng, body["age"], body["female"]),  # type: ignore[arg-type]
        **_clothes(rng, group, cold),  # type: ignore[arg-type]
        carried=_carried(rng, group),
        gait=_gait(rng, body["age"]),
        seed=int(rng.integers(1 << 30)),
    )


def _look_alike(rng: np.random.Generator, other: Appearance) -> Appearance:
    """Another body of the same sex and age group in the same clothes but for several details."""
    fresh = sample_appearance(rng)
    while _group(fresh.age, fresh.female) != _group(other.age, other.female):
        fresh = sample_appearance(rng)
    shared = ["inner", "outer", "spare", "lower", "tights", "belt"]
    dress = CUTS[other.inner.kind].layer == "dress" or CUTS[fresh.inner.kind].layer == "dress"
    if not dress and rng.random() < 0.6:  # one main garment differs
        shared.remove(str(rng.choice(["inner", "lower"])))
    keep: dict[str, object] = {name: getattr(other, name) for name in shared}
    if rng.random() < 0.5:
        keep["shoes"] = other.shoes
    return replace(fresh, **keep)  # type: ignore[arg-type]


def change_outer(appearance: Appearance, rng: np.random.Generator) -> Appearance:
    """Take the outer garment off, or put on the one the person has with them."""
    if appearance.outer is not None:
        return replace(appearance, outer=None)
    outer = appearance.spare
    if outer is None:
        group = _group(appearance.age, appearance.female)
        outer = _garment(rng, _choose(rng, _cut_weights(("outer",), group)))
    return replace(appearance, outer=outer, spare=outer)


def open_umbrella(appearance: Appearance, rng: np.random.Generator) -> Appearance:
    """The same person under an open umbrella."""
    colour = _colour(rng, "bag")
    umbrella = Carried(
        kind="umbrella",
        colour=colour,
        second=_contrast(rng, colour) if rng.random() < 0.3 else colour,
        side=int(rng.choice([-1, 1])),
        size=_between(rng, 0.85, 1.15),
        seed=int(rng.integers(1 << 16)),
    )
    return replace(appearance, umbrella=umbrella)
