"""The material table: what every surface of a scene is made of, one row each."""

import numpy as np

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
POCKETS = 47  # 1 front flap pockets, 2 hip pockets, 3 chest pocket
QUILT = 48  # height of the quilted channels, metres; 0 none
LEVELS = 49  # 49..52: four heights that a kind of surface needs (head, shoe, torso)
FEATURE = 53  # 53..60: what a kind of surface needs (eyes, beard, ...)
COLUMNS = 62

# kinds of surface
CLOTH, SKIN, FACE, HAIR, SHOE, SOLID, CAR = range(7)
# prints
PLAIN, HORIZONTAL, VERTICAL, PLAID, DOTS, BLOCK, GRADIENT, CAMOUFLAGE, FLORAL, TWEED, SIDES = range(
    11
)
PATTERNS = {
    "plain": PLAIN,
    "horizontal": HORIZONTAL,
    "vertical": VERTICAL,
    "plaid": PLAID,
    "dots": DOTS,
    "block": BLOCK,
    "gradient": GRADIENT,
    "camouflage": CAMOUFLAGE,
    "floral": FLORAL,
    "tweed": TWEED,
    "sides": SIDES,
}
# fabrics
SMOOTH, DENIM, KNIT, WOOL = range(4)
FABRICS = {"smooth": SMOOTH, "denim": DENIM, "knit": KNIT, "wool": WOOL}
# logos
LETTERS, EMBLEM, PICTURE = 1, 2, 3
LOGOS = {"none": 0, "letters": LETTERS, "emblem": EMBLEM, "picture": PICTURE}


def linear(colour: tuple[float, float, float] | np.ndarray) -> np.ndarray:
    """SRGB 0..1 to linear light, by the sRGB transfer curve (IEC 61966-2-1)."""
    value = np.asarray(colour, np.float64)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def material(
    colour: tuple[float, float, float], *, kind: int = CLOTH, group: int = 0
) -> np.ndarray:
    """A plain row: colour, no print, soft folds of ordinary cloth."""
    row = np.zeros(COLUMNS)
    row[COLOUR : COLOUR + 3] = linear(colour)
    row[SECOND : SECOND + 3] = row[THIRD : THIRD + 3] = row[COLOUR : COLOUR + 3]
    row[SCALE], row[DUTY] = 0.05, 0.5
    row[FOLD_U], row[FOLD_V] = 2.0, 2.0
    row[GLOSS] = 8.0
    row[KIND], row[GROUP] = kind, group
    row[HEM] = row[COLLAR] = -99.0
    row[HALF_GIRTH] = 0.45
    return row
