"""What people wear: cuts, prints, colours, and how often each is seen in a street."""

from dataclasses import dataclass

from passerby.simulate import data_file
from passerby.simulate.materials import Colour


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Geometry and habits of one kind of garment.

    Heights are in trunk lengths above the hip joint: 0 hip, 0.32 waist, 1 neck, -0.72 knee,
    -1.45 ankle. Widths are in metres.

    Attributes:
        layer: "inner", "outer", "lower" or "dress".
        weight: how often it is drawn, for (men, women, children).
        hem: lowest edge.
        sleeve: share of the arm that is covered.
        ease: air between body and cloth.
        straight: 0 follows the waist, 1 hangs straight from the widest place.
        flare: extra width of the hem.
        folds: strength of wrinkles.
        shine: strength of the highlight.
        front: 0 closed, 1 zip, 2 buttons, 3 may hang open.
        collar: height of a standing collar, metres.
        hood: whether a hood lies on the back.
        quilt: height of quilted channels, metres.
        fabric: see ``materials.FABRICS``.
        prints: names of prints, repeated for frequency.
        palette: name of the palette its colours come from.
        pockets: see ``materials.POCKETS``.
    """

    layer: str
    weight: tuple[float, float, float]
    hem: float = -0.08
    sleeve: float = 1.0
    ease: float = 0.016
    straight: float = 0.5
    flare: float = 0.0
    folds: float = 0.5
    shine: float = 0.0
    front: int = 0
    collar: float = 0.0
    hood: bool = False
    quilt: float = 0.0
    fabric: str = "smooth"
    prints: tuple[str, ...] = ("plain",)
    palette: str = "any"
    pockets: int = 0


DATA = data_file("wardrobe")


def _cuts() -> dict[str, Cut]:
    cuts = {}
    for name, values in DATA["cuts"].items():
        prints = values.get("prints", ("plain",))
        prints = DATA["prints"][prints] if isinstance(prints, str) else prints
        cuts[name] = Cut(**{**values, "prints": tuple(prints), "weight": tuple(values["weight"])})
    return cuts


def _palettes() -> dict[str, list[tuple[Colour, float]]]:
    own = {
        name: [((r, g, b), weight) for r, g, b, weight in colours]
        for name, colours in DATA["palettes"].items()
    }
    basics, accents = own.pop("basics"), own.pop("accents")
    own["bright"], own["bag"] = accents + own["bright"], basics + accents + own["bag"]
    return {"any": basics + accents, **own}


CUTS = _cuts()
SKIRTS = ("mini skirt", "skirt", "pencil skirt", "long skirt")
PALETTES = _palettes()
# weights for men, women and children, in the order in which they are drawn
SHOES: dict[str, list[float]] = DATA["shoes"]
HAIR: dict[str, list[float]] = DATA["hair"]
HEADGEAR: dict[str, list[float]] = DATA["headgear"]
CARRIED: dict[str, list[float]] = DATA["carried"]
# shortest and longest period of a print, metres
SCALES: dict[str, list[float]] = DATA["scales"]


@dataclass(frozen=True, kw_only=True)
class Garment:
    """One piece of clothing.

    Attributes:
        kind: a key of ``CUTS`` or ``SHOES``.
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

    @property
    def cut(self) -> Cut:
        """The cut of its kind."""
        return CUTS[self.kind]


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

    @property
    def group(self) -> int:
        """Place of the person's weights in the tables above: 0 men, 1 women, 2 children."""
        return 2 if self.age < 13 else int(self.female > 0.5)
