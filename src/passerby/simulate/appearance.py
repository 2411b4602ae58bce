"""People drawn at random: body, head, clothes, carried things and gait."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from passerby.simulate import wardrobe as w
from passerby.simulate.materials import Colour
from passerby.simulate.wardrobe import Appearance, Carried, Garment


def _pick(rng: np.random.Generator, weights: Sequence[float]) -> int:
    """Index drawn in proportion to the weights."""
    edges = np.cumsum(weights)
    return int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))


def _choose(rng: np.random.Generator, table: Mapping[str, Sequence[float]], group: int) -> str:
    """A key of a table of weights for (men, women, children)."""
    return list(table)[_pick(rng, [float(weights[group]) for weights in table.values()])]


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(low + (high - low) * rng.random())


def _around(rng: np.random.Generator, mean: float, spread: float, low: float, high: float) -> float:
    """A normal deviate, kept between ``low`` and ``high``."""
    return float(np.clip(mean + spread * rng.standard_normal(), low, high))


def _colour(rng: np.random.Generator, palette: str, spread: float = 0.045) -> Colour:
    """A colour near one of the palette's, jittered in brightness more than in hue."""
    options = w.PALETTES[palette]
    base = options[_pick(rng, [weight for _, weight in options])][0]
    light = 1.0 + 2.2 * spread * float(rng.standard_normal())
    r, g, b = (
        min(max(c * light + spread * float(rng.standard_normal()) * (0.3 + c), 0.02), 0.98)
        for c in base
    )
    return r, g, b


def _contrast(rng: np.random.Generator, first: Colour) -> Colour:
    """A colour that stands out from ``first``."""
    other = first
    for _ in range(6):
        other = _colour(rng, "any")
        if sum(abs(a - b) for a, b in zip(first, other, strict=True)) > 0.55:
            break
    return other


def _shade(rng: np.random.Generator, first: Colour) -> Colour:
    """A lighter or darker tone of ``first``."""
    factor = _between(rng, 0.45, 0.75) if sum(first) > 0.9 else _between(rng, 1.5, 2.6)
    r, g, b = (min(0.06 * (factor > 1) + c * factor, 0.95) for c in first)
    return r, g, b


def _garment(
    rng: np.random.Generator, layers: Sequence[str], group: int, cold: float | None = None
) -> Garment:
    """A garment of one of the layers; in the cold fewer shorts and mini skirts are drawn."""
    weights = {name: cut.weight[group] for name, cut in w.CUTS.items() if cut.layer in layers}
    if cold is not None:
        for name in weights:
            if "shorts" in name or name == "mini skirt":
                weights[name] *= 1.6 * (1.0 - cold)
    kind = list(weights)[_pick(rng, [float(weight) for weight in weights.values()])]
    cut = w.CUTS[kind]
    colour = _colour(rng, cut.palette)
    pattern = cut.prints[int(rng.integers(len(cut.prints)))]
    low, high = w.SCALES.get(pattern, (0.05, 0.1))
    quiet = cut.layer == "lower" or rng.random() < 0.35
    another = _shade if quiet else _contrast
    second = another(rng, colour)
    logo = _logo(rng, cut.layer, pattern)
    return Garment(
        kind=kind,
        colour=colour,
        second=second,
        third=another(rng, second),
        pattern=pattern,
        scale=float(low * (high / low) ** rng.random()),
        duty=_between(rng, 0.25, 0.65),
        fit=_around(rng, 0.0, 0.5, -1, 1),
        length=_between(rng, -0.04, 0.05) * (1.6 if cut.hem < -0.3 else 1.0),
        sleeve=float(np.clip(cut.sleeve * _between(rng, 0.88, 1.12), 0, 1)),
        opening=_between(rng, 0.22, 0.75) if cut.front == 3 and rng.random() < 0.55 else 0.0,
        **logo,
        ink=_contrast(rng, colour),
        trim=float(rng.choice([1.0, 1.0, 0.8, 0.6, 1.3])),
        seed=int(rng.integers(1 << 16)),
    )


def _logo(rng: np.random.Generator, layer: str, pattern: str) -> dict[str, Any]:
    """Kind, place and size of what is printed on the chest or back; empty for many garments."""
    roll = rng.random()
    if layer not in ("inner", "outer") or pattern not in ("plain", "block") or roll < 0.5:
        return {}
    kind = str(rng.choice(["letters", "emblem", "picture"]))
    back = bool(rng.random() < 0.35)
    if roll < 0.72:  # a small mark on the breast
        place, size = (-0.09, _between(rng, 0.38, 0.42)), (0.07, 0.045)
    else:
        size = (_between(rng, 0.14, 0.26), _between(rng, 0.06, 0.2))
        place = (0.0, _between(rng, 0.28, 0.38))
    return {"logo": kind, "logo_place": place, "logo_size": size, "logo_back": back}


def _body(rng: np.random.Generator) -> dict[str, Any]:
    roll = rng.random()
    if roll < 0.06:
        age = _between(rng, 5, 13)
    else:
        age = _between(rng, 64, 85) if roll > 0.9 else float(15 + 48 * rng.beta(1.3, 1.8))
    female = _between(rng, 0.8, 1.0) if rng.random() < 0.48 else _between(rng, 0.0, 0.15)
    adult = 1.775 - 0.13 * (female > 0.5) + 0.068 * float(rng.standard_normal())
    grown = min(1.0, 0.44 + 0.0355 * age) if age < 16 else 1.0 - 0.0009 * max(age - 55, 0)
    build = float(np.clip(0.72 * rng.standard_normal() + 0.008 * (age - 25), -1.3, 2.4))
    return {
        "age": age,
        "female": female,
        "stature": float(np.clip(adult * grown, 1.05, 2.02)),
        "build": build if age > 15 else 0.6 * build - 0.2,
        "shoulders": _around(rng, 1, 0.05, 0.88, 1.12),
        "legs": _around(rng, 1, 0.025, 0.94, 1.06),
    }


def _head(rng: np.random.Generator, age: float, group: int) -> dict[str, Any]:
    grey = age > 45 and rng.random() < (age - 40) / 40
    dyed = rng.random() < 0.008 and age < 50
    hair_colour = _colour(rng, "any" if dyed else "grey hair" if grey else "hair", 0.02)
    tips = hair_colour
    if group == 1 and rng.random() < 0.22:
        tips = _colour(rng, "hair", 0.02)
    bearded = group == 0 and age > 19 and rng.random() < 0.42
    return {
        "skin": _colour(rng, "skin", 0.018),
        "hair": _choose(rng, w.HAIR, group),
        "hair_colour": hair_colour,
        "hair_tips": tips,
        "hair_length": _between(rng, 0.0, 1.0),
        "beard": _between(rng, 0.25, 1.0) if bearded else 0.0,
        "glasses": int(rng.choice([0, 1, 2], p=[0.74, 0.18, 0.08])),
        "face_mask": bool(rng.random() < 0.06),
        "lips": _between(rng, 0.2, 1.0) if group == 1 else 0.15,
        "headgear": _choose(rng, w.HEADGEAR, group),
        "headgear_colour": _colour(rng, "any"),
        "headgear_second": _colour(rng, "any"),
        "scarf": _colour(rng, "any") if rng.random() < 0.07 else None,
    }


PLACES = {"backpack": "back", "cross bag": "trunk", "shoulder bag": "trunk", "waist bag": "waist"}


def _carried(rng: np.random.Generator, group: int) -> tuple[Carried, ...]:
    """Things carried, at most one at each place of the body and one in a hand."""
    things: dict[str, Carried] = {}
    for kind, chances in w.CARRIED.items():
        place = PLACES.get(kind, "hand")
        if rng.random() < chances[group] and place not in things:
            things[place] = _thing(rng, kind, contrast=1.0, size=(0.8, 1.2))
    return tuple(things.values())


def _thing(
    rng: np.random.Generator, kind: str, *, contrast: float, size: tuple[float, float]
) -> Carried:
    """A bag or umbrella; ``contrast`` is the chance that its second colour stands out."""
    colour = _colour(rng, "bag")
    two = contrast >= 1 or rng.random() < contrast
    return Carried(
        kind=kind,
        colour=colour,
        second=_contrast(rng, colour) if two else colour,
        side=int(rng.choice([-1, 1])),
        size=_between(rng, *size),
        seed=int(rng.integers(1 << 16)),
    )


def _clothes(rng: np.random.Generator, group: int, cold: float) -> dict[str, Any]:
    inner = _garment(rng, ("inner", "dress") if group else ("inner",), group)
    spare = _garment(rng, ("outer",), group)
    worn = rng.random() < cold
    lower = None if inner.cut.layer == "dress" else _garment(rng, ("lower",), group, cold)
    bare_legs = lower is None or lower.kind in w.SKIRTS
    shoe_kind = _choose(rng, w.SHOES, group)
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


def _gait(rng: np.random.Generator, age: float) -> tuple[float, float, float, float, float, float]:
    old = max(age - 60, 0) / 25
    return (
        float(np.clip(1 + 0.12 * rng.standard_normal() - 0.3 * old, 0.5, 1.3)),
        float(np.clip(1 + 0.3 * rng.standard_normal() - 0.3 * old, 0.2, 1.7)),
        _around(rng, 1, 0.4, 0.3, 2.2),
        float(0.03 + 0.025 * rng.standard_normal() + 0.12 * old),
        _around(rng, 0.12, 0.08, -0.05, 0.4),
        _around(rng, 1, 0.2, 0.5, 1.6),
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
    age = body["age"]
    group = 2 if age < 13 else int(body["female"] > 0.5)
    cold = float(rng.choice([0.1, 0.5, 0.9]))
    return Appearance(
        **body,
        **_head(rng, age, group),
        **_clothes(rng, group, cold),
        carried=_carried(rng, group),
        gait=_gait(rng, age),
        seed=int(rng.integers(1 << 30)),
    )


def _look_alike(rng: np.random.Generator, other: Appearance) -> Appearance:
    """Another person of the same sex and age group in nearly the same clothes."""
    fresh = sample_appearance(rng)
    while fresh.group != other.group:
        fresh = sample_appearance(rng)
    shared = ["inner", "outer", "spare", "lower", "tights", "belt"]
    dress = "dress" in (other.inner.cut.layer, fresh.inner.cut.layer)
    if not dress and rng.random() < 0.6:  # one main garment differs
        shared.remove(str(rng.choice(["inner", "lower"])))
    if rng.random() < 0.5:
        shared.append("shoes")
    return replace(fresh, **{name: getattr(other, name) for name in shared})


def change_outer(appearance: Appearance, rng: np.random.Generator) -> Appearance:
    """Take the outer garment off, or put on the one the person has with them."""
    if appearance.outer is not None:
        return replace(appearance, outer=None)
    outer = appearance.spare
    if outer is None:
        outer = _garment(rng, ("outer",), appearance.group)
    return replace(appearance, outer=outer, spare=outer)


def open_umbrella(appearance: Appearance, rng: np.random.Generator) -> Appearance:
    """The same person under an open umbrella."""
    umbrella = _thing(rng, "umbrella", contrast=0.3, size=(0.85, 1.15))
    return replace(appearance, umbrella=umbrella)
