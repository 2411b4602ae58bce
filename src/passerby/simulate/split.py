"""Who trains and who tests, and which test crops are the queries (Market-1501's protocol)."""

import numpy as np

TRAIN, QUERY, GALLERY = 0, 1, 2
SPLITS = ("train", "query", "gallery")
TESTS, TRAINS, BYSTANDS = 0, 1, 2


def roles(
    party: np.ndarray, bystanders: float, train: float, rng: np.random.Generator
) -> np.ndarray:
    """(N,) TRAINS, TESTS or BYSTANDS for each person.

    Whole parties get one role, so that nobody trains in the background of a test crop's company.

    Args:
        party: (N,) number of each person's company.
        bystanders: share of the people who become distractors.
        train: share of the others who train.
        rng: draws the order.
    """
    count = len(party)
    wanted = np.array([0, round((1 - bystanders) * train * count), round(bystanders * count)])
    wanted[TESTS] = count - wanted.sum()
    role = np.full(count, TESTS)
    left = wanted.astype(np.float64)
    for company in rng.permutation(np.unique(party)):
        members = party == company
        # the role that lacks most of its share takes the next company
        choice = int(np.argmax(left / np.maximum(wanted, 1)))
        role[members] = choice
        left[choice] -= members.sum()
    return role


def choose_queries(
    identity: np.ndarray, camera: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(S,) bool: one crop of each (identity, camera) that keeps a match in another camera.

    After the choice every query has at least one gallery crop of its identity in another camera.

    Args:
        identity: (S,) identity of each test crop.
        camera: (S,) camera of each test crop.
        rng: draws the crops.
    """
    query = np.zeros(len(identity), dtype=bool)
    order = rng.permutation(len(identity))
    crops: dict[int, dict[int, list[int]]] = {}
    for index in order.tolist():
        crops.setdefault(int(identity[index]), {}).setdefault(int(camera[index]), []).append(index)
    for by_camera in crops.values():
        left = {number: len(own) for number, own in by_camera.items()}
        chosen: list[int] = []
        # cameras with several crops first: they keep some in the gallery anyway
        for number in sorted(left, key=lambda n: -left[n]):
            left[number] -= 1
            if all(_matched(left, c) for c in [*chosen, number]):
                chosen.append(number)
            else:
                left[number] += 1
        query[[by_camera[number][0] for number in chosen]] = True
    return query


def _matched(left: dict[int, int], camera: int) -> bool:
    return any(count > 0 for number, count in left.items() if number != camera)
