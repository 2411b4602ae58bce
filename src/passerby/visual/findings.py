"""The findings of a report in sentences, for its first section."""

import numpy as np

from passerby.visual.breakdown import CameraMatrix, Confusion, Group
from passerby.visual.results import Results

ENOUGH = 10  # least queries behind a number in a sentence


def findings(
    results: Results, matrix: CameraMatrix, heights: list[Group], mixed_up: list[Confusion]
) -> list[str]:
    """Write sentences on where the network does well and where it fails.

    Args:
        results: Of all queries.
        matrix: Scores by pair of cameras.
        heights: Results by box height; may be empty.
        mixed_up: People mistaken for each other; may be empty.
    """
    report = results.report
    late = int((report.first > 10).sum())
    sentences = [
        f"For {report.cmc[1]:.1%} of {report.valid_queries:,} queries the first answer shows the "
        f"right person; for {report.cmc[10]:.1%} one of the first ten does."
        + (f" {late:,} {_queries(late)} find nobody among the first ten." if late else ""),
        f"Half of the queries have an average precision of {np.median(report.ap):.0%} or more; "
        f"the weakest tenth stays below {np.quantile(report.ap, 0.1):.0%}.",
    ]
    if report.skipped_queries:
        sentences.append(
            f"{report.skipped_queries:,} {_queries(report.skipped_queries)} have no true match "
            f"under the protocol {results.protocol.name} and count nowhere."
        )
    if results.plain is not None:
        gain = 100 * (report.mAP - results.plain.mAP)
        first = 100 * (report.cmc[1] - results.plain.cmc[1])
        sentences.append(
            f"Re-ranking changes mAP by {gain:+.1f} points and rank-1 by {first:+.1f}."
        )
    return [*sentences, *_cameras(matrix), *_heights(heights), *_wrong(results, mixed_up)]


def _cameras(matrix: CameraMatrix) -> list[str]:
    """Name the hardest and the easiest pair of cameras."""
    cells = matrix.cells(ENOUGH)
    if len(cells) < 2:
        return []
    (low, a, b, n), (high, c, d, m) = cells[0], cells[-1]
    return [
        f"Hardest pair of cameras: queries of camera {a} searched in camera {b} (mAP {low:.0%}, "
        f"{n} queries); easiest: camera {c} in camera {d} ({high:.0%}, {m} queries)."
    ]


def _heights(groups: list[Group]) -> list[str]:
    """Compare the smallest and the largest boxes."""
    if len(groups) < 2:
        return []
    small, large = groups[0], groups[-1]
    gap = 100 * (large.mAP - small.mAP)
    how = "lose" if gap > 2 else "gain" if gap < -2 else ""
    if not how:
        return ["The size of the query's box makes little difference to the result."]
    return [
        f"The smallest queries ({small.name}) {how} {abs(gap):.0f} points of mAP against the "
        f"largest ({large.name}): {small.mAP:.0%} and {large.mAP:.0%}."
    ]


def _wrong(results: Results, mixed_up: list[Confusion]) -> list[str]:
    """Describe the wrong first answers."""
    sentences = []
    wrong = np.flatnonzero(results.report.first > 1)
    strangers = sum(
        int(results.gallery.identity[_first_counted(results, position)] == 0)
        for position in wrong.tolist()
    )
    if len(wrong) >= ENOUGH and strangers:
        sentences.append(
            f"Of {len(wrong):,} wrong first answers {strangers:,} show a distractor: somebody "
            "seen by the cameras whom no query asks for."
        )
    if mixed_up and mixed_up[0].queries > 1:
        worst = mixed_up[0]
        sentences.append(
            f"Most often mixed up: person {worst.person} with person {worst.other} "
            f"({worst.queries} of {worst.of} queries)."
        )
    return sentences


def _first_counted(results: Results, position: int) -> int:
    """Return the first gallery row that counts for a valid query."""
    rows = results.ranking.indices[results.matches.queries[position]]
    counted = results.counted(position)
    return int(rows[counted.argmax()])


def _queries(count: int) -> str:
    return "query" if count == 1 else "queries"
