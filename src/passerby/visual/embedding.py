"""A map of the features: crops of some people as points on a plane."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from passerby.errors import InputError
from passerby.visual.results import Results
from passerby.visual.svg import SERIES, SHAPES, Axis, Chart, Figure, swatch

Projection = Literal["pca", "tsne"]
PROJECTIONS = ("pca", "tsne")
FEWEST, MOST = 4, 40  # crops of a person in the map


def pick_people(results: Results, count: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Choose identities (n,) at random among those with a query and at least 4 gallery crops."""
    identities = np.unique(results.query.identity[results.report.queries])
    crops = np.array([(results.gallery.identity == i).sum() for i in identities])
    enough = identities[crops >= FEWEST] if (crops >= FEWEST).sum() >= 2 else identities
    return np.sort(np.random.default_rng(seed).permutation(enough)[:count])


def project(
    features: NDArray[np.float32], projection: Projection = "pca", *, seed: int = 0
) -> tuple[NDArray[np.float64], float | None]:
    """Project features (N, D) to a plane.

    Args:
        features: Rows, of unit length for cosine networks.
        projection: ``"pca"``, the plane of the largest variance; or ``"tsne"`` (van der Maaten and
            Hinton, JMLR 2008), which keeps neighbours together and distorts distances.
        seed: Seed of t-SNE.

    Returns:
        Points (N, 2), and the share of the variance in the plane (None for t-SNE).

    Raises:
        InputError: The projection is unknown, or there are fewer than 3 rows.
    """
    if projection not in PROJECTIONS:
        raise InputError(f"no projection '{projection}'; choose {', '.join(PROJECTIONS)}")
    if len(features) < 3 or features.shape[1] < 2:
        raise InputError(f"{len(features)} crops make no map; 3 or more are needed")
    if projection == "pca":
        from sklearn.decomposition import PCA

        fitted = PCA(n_components=2, svd_solver="full").fit(features.astype(np.float64))
        return fitted.transform(features), float(fitted.explained_variance_ratio_.sum())
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    made = TSNE(perplexity=perplexity, init="pca", random_state=seed, metric="cosine")
    return made.fit_transform(features).astype(np.float64), None


def embedding_map(
    results: Results, people: NDArray[np.int64], *, projection: Projection = "pca", seed: int = 0
) -> Figure:
    """Draw the gallery crops of ``people`` (n,) and their queries (with rings) on a plane."""
    rng = np.random.default_rng(seed)
    rows = [_some(np.flatnonzero(results.gallery.identity == i), rng) for i in people]
    asked = [np.flatnonzero(results.query.identity == i) for i in people]
    features = np.concatenate(
        [*(results.features[r].numpy() for r in rows), *(results.queries[q].numpy() for q in asked)]
    )
    points, kept = project(features, projection, seed=seed)
    names = ("first component", "second component") if kept is not None else ("t-SNE 1", "t-SNE 2")
    chart = Chart(*_axes(points, names), width=980, height=460)
    counts = [len(rows_of) for rows_of in (*rows, *asked)]
    owners = np.repeat(np.tile(np.arange(len(people)), 2), counts)
    cameras = np.concatenate(
        [*(results.gallery.camera[r] for r in rows), *(results.query.camera[q] for q in asked)]
    )
    gallery = sum(map(len, rows))
    for number, ((x, y), owner, camera) in enumerate(zip(points, owners, cameras, strict=True)):
        series, shape = style(int(owner))
        what = "gallery" if number < gallery else "query"
        if what == "query":
            chart.ring(x, y)
        hint = f"person {people[owner]}, camera {camera}, {what}"
        chart.dot(x, y, series, shape=shape, title=hint)
    legend = tuple((swatch(*style(n)), f"person {i}") for n, i in enumerate(people.tolist()))
    return Figure(
        title="Principal components" if kept is not None else "t-SNE",
        says=_says(len(people), kept),
        svg=chart.svg(f"Map of the features of {len(people)} people"),
        legend=legend,
    )


def _says(people: int, kept: float | None) -> str:
    """Write the text above the map."""
    lost = ""
    if kept is not None:
        lost = f" The plane shows {kept:.0%} of the variance; the rest is not visible."
    return (
        f"{people} people drawn at random; each mark is a crop, each person has one colour and one "
        "shape, queries have a ring. Good features make compact clusters far apart; a cluster with "
        f"several colours is a group of people that the network confuses.{lost}"
    )


def style(number: int) -> tuple[int, str]:
    """Return colour and shape of the ``number``-th person; the pair repeats after 24 people."""
    return number % SERIES + 1, list(SHAPES)[number % len(SHAPES)]


def _some(rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose at most 40 rows at random."""
    return rows if len(rows) <= MOST else np.sort(rng.permutation(rows)[:MOST])


def _axes(points: NDArray[np.float64], names: tuple[str, str]) -> tuple[Axis, Axis]:
    """Make axes that leave a margin around the points."""
    ends = zip(points.min(axis=0).tolist(), points.max(axis=0).tolist(), names, strict=True)
    made = []
    for low, high, name in ends:
        margin = 0.06 * (high - low) or 1.0
        made.append(Axis(low=low - margin, high=high + margin, label=name))
    return made[0], made[1]
