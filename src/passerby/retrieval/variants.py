"""The forms of re-ranking in published codes."""

from dataclasses import dataclass

from passerby.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The differences between published re-ranking codes; k1, k2 and lambda are separate options.

    All codes encode k-reciprocal neighbours (Zhong et al., CVPR 2017). With the same features their
    figures differ slightly. d is the squared Euclidean distance.

    Attributes:
        name: The name in ``VARIANTS``.
        says: One line for reports.
        exponent: Distances are d to this power.
        scaled: Whether distances are divided by the largest of their row (equation 7 of the paper
            has no such scale). Otherwise the weights of members are softmax(-d), and the original
            distance in the result is the metric's own: 1 - cos, not 2 - 2 cos.
        counts_itself: Whether neighbour lists have k1 rows including the row itself, not k1 + 1.
        rounds_up: Whether lists of candidates have round((k1 + 1) / 2) rows, with halves rounded
            up, instead of round(k1 / 2) + 1, with halves to even. They differ for some k1, not 20.
    """

    name: str
    says: str
    exponent: float = 1.0
    scaled: bool = True
    counts_itself: bool = False
    rounds_up: bool = False

    def __post_init__(self) -> None:
        """Check the exponent."""
        if self.exponent <= 0:
            raise InputError(f"re-ranking with exponent {self.exponent}; it must be above 0")

    def list_length(self, k1: int) -> int:
        """Return the length of the neighbour lists, including the row itself."""
        return k1 if self.counts_itself else k1 + 1

    def half_length(self, k1: int) -> int:
        """Return the length of the lists of candidates."""
        # Python rounds halves to even, as numpy.around does in the published code
        return (k1 + 2) // 2 if self.rounds_up else round(k1 / 2) + 1


VARIANTS: dict[str, Variant] = {
    v.name: v
    for v in (
        Variant(
            name="bag-of-tricks",
            says="squared Euclidean distance over the row's largest, as in Bag of Tricks, AGW "
            "and most published code",
        ),
        Variant(
            name="torchreid",
            says="the squared distance squared once more, as torchreid's re_ranking does with the "
            "matrix that it is given",
            exponent=2.0,
        ),
        Variant(
            name="fast-reid",
            says="lists of k1 with the row itself, softmax weights of distances that are not "
            "scaled, plus lambda times the cosine distance",
            scaled=False,
            counts_itself=True,
        ),
        Variant(
            name="matlab",
            says="the distance itself, not squared, over the row's largest; candidates' lists "
            "of round((k1 + 1) / 2)",
            exponent=0.5,
            rounds_up=True,
        ),
    )
}


def variant_of(variant: str | Variant) -> Variant:
    """Return the variant of a name; a variant is returned as it is.

    Raises:
        InputError: There is no such name.
    """
    if isinstance(variant, Variant):
        return variant
    if variant not in VARIANTS:
        raise InputError(f"no re-ranking variant '{variant}'; there are: {', '.join(VARIANTS)}")
    return VARIANTS[variant]
