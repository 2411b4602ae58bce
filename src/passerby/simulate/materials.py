"""The material table: what every surface of a scene is made of, one row each."""

import numpy as np

Colour = tuple[float, float, float]  # sRGB 0..1

# columns; colours are linear RGB
COLOUR, SECOND, THIRD = 0, 3, 6
PATTERN, SCALE, DUTY, OFFSET_U, OFFSET_V, SPLIT, SEED = 9, 10, 11, 12, 13, 14, 15
FABRIC, WEAR = 16, 17
FOLD, FOLD_U, FOLD_V = 18, 19, 20  # slope of folds; tiles a metre around and along
SHINE, GLOSS = 21, 22  # strength and exponent of the highlight
KIND, GROUP = 23, 24
LOGO, LOGO_U, LOGO_V, LOGO_WIDTH, LOGO_HEIGHT, LOGO_SEED, LOGO_BACK = 25, 26, 27, 28, 29, 30, 31
INK = 32  # 32..34
HALF_GIRTH = 35
FRONT_LINE = 36  # 0 none, 1 zip, 2 buttons
HEM, HEM_BAND, HEM_SHADE = 37, 38, 39  # v of the hem, height of its band, its brightness
COLLAR, COLLAR_BAND = 40, 41  # v of the collar's top, height of the band
STRAP = 42  # 0 none, 1 two over the shoulders, 2 across the chest, 3 other way across
STRAP_COLOUR = 43  # 43..45
BANDS = 46  # 1: reflective bands of a safety vest
POCKETS = 47  # 1 front flap pockets, 2 hip pockets, 3 chest pocket, 4 kangaroo pocket
QUILT = 48  # height of the quilted channels, metres; 0 none
LEVELS = 49  # 49..52: four heights that a kind of surface needs (head, shoe, torso)
BROW, BEARD, STUBBLE, HAIRLINE, LIPS, GLASSES, MASK = range(53, 60)  # of a face
COLUMNS = 62

# kinds of surface
CLOTH, SKIN, FACE, HAIR, SHOE, SOLID, CAR = range(7)
# groups: normals are smoothed over surfaces of the same group; 0 is none
TRUNK_GROUP, LEG_GROUP, SKIN_GROUP, HAIR_GROUP, BOOT_GROUP, HAT_GROUP = 1, 2, 3, 4, 4, 6
# prints, by their names in wardrobe.toml
PATTERNS = {
    name: number
    for number, name in enumerate(
        ("plain", "horizontal", "vertical", "plaid", "dots", "block", "gradient", "camouflage",
         "floral", "tweed", "sides")
    )
}  # fmt: skip
PLAIN, HORIZONTAL, VERTICAL, PLAID, DOTS, BLOCK, GRADIENT, CAMOUFLAGE, FLORAL, TWEED = range(10)
SMOOTH, DENIM, KNIT, WOOL = range(4)
FABRICS = {"smooth": SMOOTH, "denim": DENIM, "knit": KNIT, "wool": WOOL}
LETTERS, EMBLEM, PICTURE = 1, 2, 3
LOGOS = {"none": 0, "letters": LETTERS, "emblem": EMBLEM, "picture": PICTURE}


def linear(colour: Colour | np.ndarray) -> np.ndarray:
    """SRGB 0..1 to linear light, by the sRGB transfer curve (IEC 61966-2-1)."""
    value = np.asarray(colour, np.float64)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def material(
    colour: Colour,
    *,
    second: Colour | None = None,
    third: Colour | None = None,
    kind: int = CLOTH,
    group: int = 0,
    pattern: int = PLAIN,
    scale: float = 0.05,
    duty: float = 0.5,
    fold: float = 0.0,
    folds: tuple[float, float] = (2.0, 2.0),
    shine: float = 0.0,
    gloss: float = 8.0,
    seed: float = 0.0,
) -> np.ndarray:
    """A row of the table; what is not given is plain cloth without a highlight.

    Args:
        colour: sRGB, as ``second`` and ``third``, which are ``colour`` when they are None.
        second: second colour of the print.
        third: third colour of the print.
        kind: CLOTH, SKIN, ...
        group: see the groups above.
        pattern: PLAIN, HORIZONTAL, ...
        scale: period of the print, metres.
        duty: share of the period that the second colour takes.
        fold: slope of the folds.
        folds: fold tiles a metre around and along.
        shine: strength of the highlight.
        gloss: exponent of the highlight.
        seed: which folds and flowers.
    """
    row = np.zeros(COLUMNS)
    row[COLOUR : COLOUR + 3] = linear(colour)
    row[SECOND : SECOND + 3] = linear(colour if second is None else second)
    row[THIRD : THIRD + 3] = linear(colour if third is None else third)
    row[PATTERN : DUTY + 1] = pattern, scale, duty
    row[FOLD : GLOSS + 1] = fold, *folds, shine, gloss
    row[SEED], row[KIND], row[GROUP] = seed, kind, group
    row[HEM] = row[COLLAR] = -99.0
    row[HALF_GIRTH] = 0.45
    return row
