"""What people wear, as tables: cuts, prints, colours, and how often each is seen in a street."""

from dataclasses import dataclass

Colour = tuple[float, float, float]


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


TEE_PRINTS = ("plain", "plain", "plain", "horizontal", "block", "gradient", "camouflage")
SHIRT_PRINTS = ("plain", "plain", "vertical", "plaid", "plaid", "dots", "floral")
KNIT_PRINTS = ("plain", "plain", "horizontal", "tweed", "block")
LOOSE_PRINTS = ("plain", "floral", "dots", "horizontal", "plaid", "vertical", "gradient")

CUTS: dict[str, Cut] = {
    # worn on the skin
    "tee": Cut(layer="inner", weight=(6, 4, 6), sleeve=0.40, prints=TEE_PRINTS, ease=0.018),
    "loose tee": Cut(
        layer="inner", weight=(3, 2, 3), sleeve=0.50, prints=TEE_PRINTS, ease=0.036, straight=0.9,
        hem=-0.16,
    ),
    "polo": Cut(
        layer="inner", weight=(2, 0.6, 1), sleeve=0.38, prints=KNIT_PRINTS, front=2, collar=0.02
    ),
    "shirt": Cut(
        layer="inner", weight=(4, 1.5, 1), prints=SHIRT_PRINTS, front=2, collar=0.025, ease=0.022,
        hem=-0.12, pockets=3,
    ),
    "short shirt": Cut(
        layer="inner", weight=(2, 0.8, 1), prints=SHIRT_PRINTS, front=2, collar=0.025, sleeve=0.42,
        ease=0.026, straight=0.85, hem=-0.12,
    ),
    "blouse": Cut(
        layer="inner", weight=(0, 3, 0.5), prints=LOOSE_PRINTS, sleeve=0.85, ease=0.028,
        straight=0.6, flare=0.02, folds=0.6,
    ),
    "top": Cut(layer="inner", weight=(0.4, 2, 0.5), sleeve=0.0, ease=0.008, straight=0.2),
    "long sleeve": Cut(layer="inner", weight=(2, 3, 3), prints=KNIT_PRINTS, ease=0.012),
    "sweater": Cut(
        layer="inner", weight=(3, 3, 3), prints=KNIT_PRINTS, ease=0.026, fabric="knit", folds=0.4,
        hem=-0.06,
    ),
    "turtleneck": Cut(
        layer="inner", weight=(0.7, 1.2, 0.3), ease=0.014, fabric="knit", folds=0.3, collar=0.05
    ),
    "hoodie": Cut(
        layer="inner", weight=(4, 2, 4), ease=0.034, straight=0.7, hood=True, pockets=4,
        prints=("plain", "plain", "plain", "block", "camouflage"), hem=-0.06,
    ),
    "dress": Cut(
        layer="dress", weight=(0, 3, 2), hem=-0.70, sleeve=0.35, ease=0.012, straight=0.15,
        flare=0.11, prints=LOOSE_PRINTS, folds=0.6,
    ),
    "long dress": Cut(
        layer="dress", weight=(0.05, 1, 0.2), hem=-1.30, sleeve=0.9, ease=0.018, straight=0.4,
        flare=0.10, prints=LOOSE_PRINTS, folds=0.6,
    ),
    "abaya": Cut(
        layer="dress", weight=(0.02, 0.35, 0), hem=-1.42, sleeve=1.0, ease=0.05, straight=0.9,
        flare=0.10, folds=0.7, palette="dark",
    ),
    # worn over it
    "jacket": Cut(layer="outer", weight=(3, 2.5, 3), ease=0.040, front=3, collar=0.04, pockets=1,
                  prints=("plain", "plain", "block"), shine=0.03, hem=-0.12),
    "bomber": Cut(layer="outer", weight=(2, 1, 1), ease=0.046, front=3, collar=0.02, hem=0.0,
                  shine=0.05, folds=0.6),
    "denim jacket": Cut(layer="outer", weight=(1.2, 1.4, 0.7), ease=0.032, front=3, collar=0.03,
                        fabric="denim", palette="denim", hem=0.02, pockets=3),
    "leather jacket": Cut(layer="outer", weight=(1, 1, 0.1), ease=0.032, front=3, collar=0.03,
                          shine=0.20, palette="leather", hem=-0.02, folds=0.7),
    "puffer": Cut(layer="outer", weight=(2.5, 2.5, 3), ease=0.062, front=3, collar=0.06,
                  quilt=0.095, shine=0.07, hem=-0.10, folds=0.35),
    "long puffer": Cut(layer="outer", weight=(0.5, 1.8, 0.6), ease=0.060, front=3, collar=0.06,
                       quilt=0.11, shine=0.06, hem=-0.55, folds=0.35, straight=0.8, hood=True),
    "parka": Cut(layer="outer", weight=(2, 1.5, 1.5), ease=0.055, front=3, collar=0.05, hem=-0.32,
                 hood=True, straight=0.85, pockets=1),
    "coat": Cut(layer="outer", weight=(1.6, 2.4, 0.3), ease=0.042, front=3, collar=0.04, hem=-0.60,
                straight=0.75, flare=0.03, fabric="wool", palette="coat", pockets=1,
                prints=("plain", "plain", "tweed", "plaid")),
    "trench": Cut(layer="outer", weight=(0.7, 1.5, 0), ease=0.035, front=3, collar=0.045,
                  hem=-0.66, straight=0.45, flare=0.05, palette="trench", pockets=1),
    "blazer": Cut(layer="outer", weight=(2, 1.6, 0.1), ease=0.030, front=3, collar=0.02,
                  hem=-0.16, straight=0.45, palette="suit", pockets=1, folds=0.35,
                  prints=("plain", "plain", "plain", "vertical", "tweed")),
    "cardigan": Cut(layer="outer", weight=(0.6, 2, 0.6), ease=0.028, front=3, fabric="knit",
                    hem=-0.25, straight=0.75, prints=KNIT_PRINTS),
    "zip hoodie": Cut(layer="outer", weight=(2, 1.2, 2.5), ease=0.036, front=3, hood=True,
                      hem=-0.06, prints=("plain", "plain", "block", "camouflage")),
    "raincoat": Cut(layer="outer", weight=(0.5, 0.6, 1.2), ease=0.055, front=1, collar=0.05,
                    hem=-0.40, hood=True, shine=0.16, palette="bright", straight=0.95),
    "gilet": Cut(layer="outer", weight=(0.8, 0.6, 0.5), ease=0.045, front=3, collar=0.045,
                 sleeve=0.0, quilt=0.09, shine=0.05, hem=-0.04),
    "safety vest": Cut(layer="outer", weight=(0.6, 0.1, 0), ease=0.040, front=1, sleeve=0.0,
                       hem=-0.08, palette="safety", straight=0.9),
    # below the waist
    "slim jeans": Cut(layer="lower", weight=(4, 5, 3), hem=-1.44, ease=0.006, flare=0.006,
                      fabric="denim", palette="denim", pockets=2, folds=0.55),
    "jeans": Cut(layer="lower", weight=(5, 3, 4), hem=-1.47, ease=0.014, flare=0.022,
                 fabric="denim", palette="denim", pockets=2, folds=0.7),
    "wide jeans": Cut(layer="lower", weight=(1, 2, 0.6), hem=-1.50, ease=0.020, flare=0.045,
                      fabric="denim", palette="denim", pockets=2, folds=0.6),
    "chinos": Cut(layer="lower", weight=(4, 1.5, 2), hem=-1.45, ease=0.016, flare=0.016,
                  palette="chino", pockets=2, folds=0.6),
    "suit trousers": Cut(layer="lower", weight=(3, 1.4, 0.1), hem=-1.49, ease=0.022, flare=0.034,
                         palette="suit", folds=0.4, prints=("plain", "plain", "vertical")),
    "wide trousers": Cut(layer="lower", weight=(0.4, 1.4, 0.2), hem=-1.47, ease=0.022, flare=0.055,
                         palette="any", folds=0.55, prints=("plain", "plain", "vertical", "plaid")),
    "joggers": Cut(layer="lower", weight=(2.5, 1.2, 3), hem=-1.42, ease=0.028, flare=0.004,
                   palette="sport", folds=0.7, prints=("plain", "plain", "sides")),
    "cargo": Cut(layer="lower", weight=(1.4, 0.6, 1), hem=-1.45, ease=0.034, flare=0.035,
                 palette="chino", folds=0.8, pockets=2, prints=("plain", "plain", "camouflage")),
    "leggings": Cut(layer="lower", weight=(0.1, 3, 1.2), hem=-1.42, ease=0.002, palette="dark",
                    folds=0.15, prints=("plain", "plain", "plain", "camouflage")),
    "shorts": Cut(layer="lower", weight=(2.5, 0.9, 3), hem=-0.66, ease=0.032, flare=0.050,
                  palette="chino", folds=0.6, pockets=2, prints=("plain", "plain", "sides")),
    "denim shorts": Cut(layer="lower", weight=(0.6, 1.1, 0.6), hem=-0.42, ease=0.018, flare=0.03,
                        fabric="denim", palette="denim", folds=0.5, pockets=2),
    "long shorts": Cut(layer="lower", weight=(0.9, 0.2, 1), hem=-0.86, ease=0.036, flare=0.055,
                       palette="sport", folds=0.6),
    "mini skirt": Cut(layer="lower", weight=(0, 1.1, 0.8), hem=-0.34, ease=0.012, flare=0.06,
                      palette="any", prints=("plain", "plain", "plaid")),
    "skirt": Cut(layer="lower", weight=(0, 1.6, 0.8), hem=-0.72, ease=0.012, flare=0.10,
                 palette="any", prints=LOOSE_PRINTS),
    "pencil skirt": Cut(layer="lower", weight=(0, 0.9, 0), hem=-0.70, ease=0.010, flare=-0.005,
                        palette="suit"),
    "long skirt": Cut(layer="lower", weight=(0, 1.1, 0.2), hem=-1.25, ease=0.016, flare=0.13,
                      palette="any", prints=LOOSE_PRINTS),
}  # fmt: skip

SKIRTS = ("mini skirt", "skirt", "pencil skirt", "long skirt")

# palettes: (sRGB, weight); street clothing is mostly dark, grey, blue, white and beige
BASICS: tuple[tuple[Colour, float], ...] = (
    ((0.06, 0.06, 0.07), 7), ((0.13, 0.13, 0.14), 4), ((0.25, 0.25, 0.27), 3),
    ((0.42, 0.42, 0.43), 3), ((0.62, 0.62, 0.62), 2.5), ((0.90, 0.90, 0.89), 5),
    ((0.10, 0.13, 0.25), 4.5), ((0.16, 0.24, 0.42), 2.5), ((0.75, 0.68, 0.55), 2),
    ((0.52, 0.44, 0.34), 1.5), ((0.33, 0.25, 0.20), 1.2), ((0.29, 0.31, 0.20), 1.5),
)  # fmt: skip
ACCENTS: tuple[tuple[Colour, float], ...] = (
    ((0.70, 0.10, 0.12), 2.2), ((0.45, 0.08, 0.14), 1.5), ((0.85, 0.45, 0.50), 1.2),
    ((0.92, 0.70, 0.74), 1.2), ((0.90, 0.50, 0.14), 0.9), ((0.90, 0.76, 0.22), 1.0),
    ((0.18, 0.42, 0.22), 1.2), ((0.40, 0.58, 0.42), 1.0), ((0.12, 0.42, 0.46), 0.9),
    ((0.45, 0.68, 0.80), 1.5), ((0.20, 0.38, 0.70), 1.7), ((0.36, 0.22, 0.48), 0.9),
    ((0.66, 0.58, 0.74), 0.7), ((0.60, 0.30, 0.16), 0.8), ((0.62, 0.80, 0.72), 0.6),
    ((0.78, 0.20, 0.44), 0.6),
)  # fmt: skip
PALETTES: dict[str, tuple[tuple[Colour, float], ...]] = {
    "any": BASICS + ACCENTS,
    "dark": (((0.05, 0.05, 0.06), 8), ((0.14, 0.14, 0.16), 3), ((0.10, 0.12, 0.22), 2),
             ((0.32, 0.30, 0.30), 1), ((0.30, 0.10, 0.16), 0.6)),
    "denim": (((0.12, 0.16, 0.27), 4), ((0.20, 0.28, 0.43), 4), ((0.34, 0.44, 0.60), 3),
              ((0.56, 0.66, 0.78), 2), ((0.08, 0.08, 0.10), 4), ((0.34, 0.35, 0.38), 1.5),
              ((0.86, 0.86, 0.85), 0.8)),
    "leather": (((0.05, 0.05, 0.05), 6), ((0.25, 0.15, 0.10), 2), ((0.42, 0.26, 0.15), 1),
                ((0.32, 0.06, 0.08), 0.5)),
    "coat": (((0.07, 0.07, 0.08), 5), ((0.26, 0.26, 0.28), 3), ((0.70, 0.56, 0.40), 3),
             ((0.10, 0.13, 0.24), 2.5), ((0.50, 0.50, 0.51), 2), ((0.42, 0.12, 0.14), 0.8),
             ((0.86, 0.82, 0.75), 1), ((0.28, 0.33, 0.25), 0.8), ((0.85, 0.60, 0.62), 0.5)),
    "trench": (((0.72, 0.62, 0.47), 5), ((0.60, 0.53, 0.42), 2), ((0.12, 0.14, 0.22), 2),
               ((0.34, 0.34, 0.28), 1), ((0.08, 0.08, 0.09), 1)),
    "suit": (((0.07, 0.07, 0.09), 4), ((0.11, 0.14, 0.24), 4), ((0.28, 0.29, 0.31), 3),
             ((0.48, 0.48, 0.50), 1.5), ((0.55, 0.46, 0.36), 0.8), ((0.25, 0.19, 0.16), 0.6)),
    "chino": (((0.72, 0.63, 0.49), 4), ((0.12, 0.14, 0.22), 3), ((0.09, 0.09, 0.10), 4),
              ((0.36, 0.36, 0.28), 2.5), ((0.42, 0.41, 0.40), 2.5), ((0.48, 0.36, 0.25), 1.5),
              ((0.85, 0.83, 0.78), 1), ((0.46, 0.22, 0.16), 0.6)),
    "sport": (((0.06, 0.06, 0.07), 6), ((0.46, 0.46, 0.48), 3), ((0.12, 0.14, 0.26), 3),
              ((0.25, 0.25, 0.27), 2), ((0.55, 0.10, 0.13), 0.7), ((0.20, 0.32, 0.24), 0.7),
              ((0.16, 0.30, 0.60), 0.8)),
    "bright": (*ACCENTS, ((0.95, 0.82, 0.15), 4), ((0.10, 0.16, 0.32), 2)),
    "safety": (((0.75, 0.92, 0.12), 3), ((0.98, 0.42, 0.08), 2)),
    "shoe": (((0.05, 0.05, 0.05), 7), ((0.90, 0.90, 0.88), 5), ((0.30, 0.30, 0.32), 2.5),
             ((0.32, 0.20, 0.12), 2.5), ((0.55, 0.42, 0.28), 1), ((0.10, 0.14, 0.28), 1),
             ((0.70, 0.12, 0.14), 0.7), ((0.20, 0.40, 0.68), 0.5), ((0.75, 0.80, 0.20), 0.3)),
    "bag": (*BASICS, *ACCENTS, ((0.05, 0.05, 0.05), 10), ((0.45, 0.28, 0.16), 4)),
    "skin": (((0.94, 0.80, 0.72), 4), ((0.90, 0.74, 0.63), 4), ((0.84, 0.66, 0.53), 4),
             ((0.76, 0.58, 0.44), 3), ((0.62, 0.44, 0.32), 2.5), ((0.47, 0.32, 0.23), 2),
             ((0.33, 0.22, 0.16), 1.6), ((0.24, 0.16, 0.12), 1)),
    "hair": (((0.05, 0.045, 0.04), 8), ((0.12, 0.08, 0.06), 5), ((0.22, 0.14, 0.09), 4),
             ((0.36, 0.24, 0.14), 3), ((0.58, 0.44, 0.27), 2), ((0.74, 0.62, 0.42), 1.5),
             ((0.45, 0.19, 0.10), 0.8)),
    "grey hair": (((0.45, 0.44, 0.43), 3), ((0.62, 0.61, 0.60), 3), ((0.80, 0.79, 0.77), 2)),
}  # fmt: skip

SHOES: dict[str, tuple[float, float, float]] = {  # weight for men, women, children
    "sneaker": (6, 5, 7), "runner": (3, 2, 3), "leather": (3.5, 0.6, 0.2), "boot": (1.5, 2.2, 0.8),
    "tall boot": (0.05, 1.2, 0.1), "flat": (0.1, 2.2, 0.6), "heel": (0, 1.3, 0),
    "sandal": (0.6, 1.1, 0.8),
}  # fmt: skip
HAIR: dict[str, tuple[float, float, float]] = {
    "short": (8, 0.8, 4), "cropped": (4, 0.2, 2), "bald": (1.3, 0.02, 0), "receding": (1.6, 0, 0),
    "side": (2.5, 0.3, 1), "curly": (1, 1.2, 1), "afro": (0.6, 0.6, 0.4), "bob": (0.2, 2.6, 1),
    "shoulder": (0.5, 3, 1.2), "long": (0.25, 4.5, 1.8), "ponytail": (0.15, 2.5, 1.5),
    "bun": (0.15, 1.6, 0.3), "braid": (0, 0.6, 0.6),
}  # fmt: skip
HEADGEAR: dict[str, tuple[float, float, float]] = {
    "none": (14, 14, 12), "cap": (2.4, 0.9, 2), "beanie": (1.1, 1, 1.4), "hat": (0.4, 0.6, 0.5),
    "hood": (0.5, 0.3, 0.5), "hijab": (0, 0.9, 0), "helmet": (0.25, 0.12, 0.3),
    "turban": (0.12, 0, 0),
}  # fmt: skip
# chances of carried things for men, women, children
CARRIED: dict[str, tuple[float, float, float]] = {
    "backpack": (0.24, 0.18, 0.38), "cross bag": (0.10, 0.22, 0.03),
    "shoulder bag": (0.05, 0.26, 0.0), "hand bag": (0.02, 0.10, 0.0),
    "shopping bag": (0.06, 0.10, 0.01), "tote": (0.02, 0.10, 0.0),
    "briefcase": (0.05, 0.01, 0.0), "suitcase": (0.04, 0.04, 0.01),
    "waist bag": (0.03, 0.02, 0.01),
}  # fmt: skip
