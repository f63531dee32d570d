"""Where do objects gather that are not placed uniformly? One place, several, a side, the border.

Positions are those of `placement`: 0 far left or at the top of the room that an object's size
leaves, 1 far right or at the bottom. What is named is decided by them; places are given as the
objects' centres, in shares of the frame.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

MIDDLE = 0.1  # of the room: so near its middle is the centre
EDGE = 0.3  # of the room: so far from its middle is the edge
NEAR = 0.2  # of the room: half the side of the square about a place in which objects are counted
UNIFORM_SD = 12**-0.5
GATHERED = 0.8  # of the SD of uniform positions, below which positions are gathered on an axis
UNIFORM_RADIUS = 2 / 3  # mean of max(|x|, |y|) for (x, y) uniform on [-1, 1]²
LEVEL = 0.05  # 1 - confidence of intervals
VALLEY_LEVEL = 0.01
MOST_PLACES = 4
FEWEST_SHARE = 0.1  # of the objects in a place of its own
STARTS, STEPS, SAMPLE = 8, 30, 2000


class Place(NamedTuple):
    """Where some objects lie: `centre` (x, y), the median of their centres in shares of the frame,
    `low` and `high` its 95 % interval, `words` such as `the left edge`, `share` of the objects."""

    words: str
    centre: tuple[float, float]
    low: tuple[float, float]
    high: tuple[float, float]
    share: float


class Gathering(NamedTuple):
    """`kind` and the places of it: several for `places`, else the one of all objects.

    | kind    | objects                                             |
    |---------|-----------------------------------------------------|
    | central | gather in one place, which is the centre            |
    | place   | gather in one other place                           |
    | ring    | lie round one place, few of them in it               |
    | column  | gather at one x, at any height                      |
    | row     | gather at one y, anywhere between left and right    |
    | places  | gather in 2 to MOST_PLACES places apart             |
    | border  | keep away from the centre, to several sides         |
    | uneven  | gather nowhere, and yet are not spread uniformly    |
    """

    kind: str
    places: list[Place]


def where_gathered(
    positions: NDArray[np.floating], centres: NDArray[np.floating], *, seed: int = 0
) -> Gathering:
    """Names where objects gather, for `positions` and `centres` float [n, 2] with n of 2 or more.

    Asked only where the positions are not uniform; see `placement_test`.
    """
    groups = _apart(positions, np.random.default_rng(seed))
    if groups is not None:
        chosen = [groups == k for k in range(groups.max() + 1)]
        places = [_place(positions[c], centres[c], float(c.mean())) for c in chosen]
        return Gathering("places", sorted(places, key=lambda place: -place.share))
    place = _place(positions, centres, 1.0)
    return Gathering(_kind(positions, place), [place])


def _kind(positions: NDArray[np.floating], place: Place) -> str:
    spread = positions.std(axis=0) / UNIFORM_SD
    near = abs(positions - np.median(positions, axis=0)).max(axis=1) < NEAR
    if near.mean() < (2 * NEAR) ** 2 / 2 and 0.5 < spread.min() <= spread.max() < 1:
        return "ring"
    x, y = spread < GATHERED
    if x and y:
        return "central" if place.words == "the centre" else "place"
    if x or y:
        return "column" if x else "row"
    radius = abs(2 * positions - 1).max(axis=1)
    error = radius.std() / np.sqrt(len(radius))
    return "border" if radius.mean() - 2 * error > UNIFORM_RADIUS else "uneven"


def _place(positions: NDArray[np.floating], centres: NDArray[np.floating], share: float) -> Place:
    middle, low, high = _median(positions)
    # Off the middle: by a difference of note, and one that chance does not explain.
    off = (abs(middle - 0.5) > MIDDLE) & ((low > 0.5) | (high < 0.5))
    words = _words(*np.where(off, middle - 0.5, 0).tolist())
    (cx, cy), (lx, ly), (hx, hy) = (v.tolist() for v in _median(centres))
    return Place(words, (cx, cy), (lx, ly), (hx, hy), share)


def _median(values: NDArray[np.floating]) -> tuple[NDArray, NDArray, NDArray]:
    """Medians [2] of values [n, 2] and their intervals from order statistics (exact, binomial)."""
    n = len(values)
    rank = max(int(binom.ppf(LEVEL / 2, n, 0.5)), 1)
    ordered = np.sort(values, axis=0)
    return np.median(values, axis=0), ordered[rank - 1], ordered[n - rank]


def _words(x: float, y: float) -> str:
    """Of an offset from the middle: `the centre`, `above the centre`, `the lower left corner`, …"""
    across = "" if x == 0 else "left" if x < 0 else "right"
    down = "" if y == 0 else "above" if y < 0 else "below"
    far_x, far_y = abs(x) > EDGE, abs(y) > EDGE
    side = {"above": "upper", "below": "lower"}.get(down, "")
    edge = {"above": "the top edge", "below": "the bottom edge"}.get(down, "")
    if far_x and far_y:
        return f"the {side} {across} corner"
    if far_x:
        return f"the {across} edge" + (f", {down} its middle" if down else "")
    if far_y:
        return edge + (f", {across} of its middle" if across else "")
    parts = [part for part in (down, f"{across} of" if across else "") if part]
    return f"{' and '.join(parts)} the centre" if parts else "the centre"


def _apart(positions: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.int64] | None:
    """Number of the place of each object, int [n], where they gather in several; else None.

    The largest number of clusters (k-means) each of which is gathered and which are all separated:
    between two of them there is a valley.
    """
    some = positions
    if len(positions) > SAMPLE:
        some = positions[rng.choice(len(positions), SAMPLE, replace=False)]
    for k in range(MOST_PLACES, 1, -1):
        means = _means(some, k, rng)
        groups = _nearest(some, means)
        sizes = np.bincount(groups, minlength=k)
        if sizes.min() < max(2, FEWEST_SHARE * len(some)):
            continue
        clusters = [some[groups == j] for j in range(k)]
        spread = max(cluster.std(axis=0).max() for cluster in clusters)
        pairs = [(a, b) for a in range(k) for b in range(a)]
        if spread < GATHERED * UNIFORM_SD and all(
            _valley(clusters[a], clusters[b]) for a, b in pairs
        ):
            return _nearest(positions, means)
    return None


def _valley(a: NDArray[np.floating], b: NDArray[np.floating]) -> bool:
    """Whether fewer objects lie between two clusters than if they were one band of even density.

    Of such a band a quarter lies in the middle half of the way from mean to mean. In a valley it is
    at most half of that, and significantly less than all of it.
    """
    start, way = a.mean(axis=0), b.mean(axis=0) - a.mean(axis=0)
    along = (np.concatenate([a, b]) - start) @ way / (way @ way)
    between, n = int((abs(along - 0.5) < 0.25).sum()), len(along)
    return between <= n / 8 and float(binom.cdf(between, n, 0.25)) < VALLEY_LEVEL


def _means(points: NDArray[np.floating], k: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """Means [k, 2] of the best of STARTS runs of k-means (Lloyd) on points [n, 2]."""
    best, least = points[:k], np.inf
    for _ in range(STARTS):
        means = points[rng.choice(len(points), k, replace=False)]
        for _ in range(STEPS):
            groups = _nearest(points, means)
            means = np.stack([
                points[groups == j].mean(axis=0) if (groups == j).any() else means[j]
                for j in range(k)
            ])  # fmt: skip
        cost = float(np.square(points - means[_nearest(points, means)]).sum())
        if cost < least:
            best, least = means, cost
    return best


def _nearest(points: NDArray[np.floating], means: NDArray[np.floating]) -> NDArray[np.int64]:
    return np.square(points[:, None] - means).sum(axis=-1).argmin(axis=1)
