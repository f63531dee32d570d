"""Are objects placed uniformly, and if not, where do they gather?

The test gives every object the room its own size leaves: an object that lies wholly inside the
frame can be moved left and right by as many pixels as its bounding box leaves free. Its position is
where in that room it is: 0 far left, 1 far right, the same down. Were objects placed uniformly,
positions would be uniform on the unit square whatever their sizes and shapes; a large object near
the middle is then no evidence for centring. Objects that touch the frame are left out: they may be
cut off, and the others stay uniform under uniform placement without them.
"""

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

BINS = 16
LEVEL = 0.01
NOTABLE = 0.05
DRAWS = 999
FEWEST = 10

MIDDLE = 0.1  # of the room: so near its middle is the centre
EDGE = 0.3  # of the room: so far from its middle is the edge
NEAR = 0.2  # of the room: half the side of the square about a place in which objects are counted
UNIFORM_SD = 12**-0.5
GATHERED = 0.8  # of the SD of uniform positions, below which positions are gathered on an axis
UNIFORM_RADIUS = 2 / 3  # mean of max(|x|, |y|) for (x, y) uniform on [-1, 1]²
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
    | ring    | lie round one place, few of them in it              |
    | column  | gather at one x, at any height                      |
    | row     | gather at one y, anywhere between left and right    |
    | places  | gather in 2 to MOST_PLACES places apart             |
    | border  | keep away from the centre, to several sides         |
    | uneven  | gather nowhere, and yet are not spread uniformly    |
    """

    kind: str
    places: list[Place]


class Placement(NamedTuple):
    """Result of `placement_test`.

    `distance` is 0 for uniform positions and 1 for objects all in one corner, which no positions
    exceed; DEAD_CENTRE for objects all in the centre. `p` is the Monte-Carlo p value, `detectable`
    the distance from which on so many objects gathered about the centre are called biased, `radius`
    how far out positions lie on average: 0 the centre, 2/3 under uniform placement, 1 the edge. NaN
    where fewer than FEWEST of the `n` objects are free. `gathering` says where objects gather, None
    unless they are biased.
    """

    distance: float
    p: float
    detectable: float
    radius: float
    n: int
    gathering: Gathering | None

    @property
    def verdict(self) -> str:
        """`too few`, `unbiased`, or the kind of the `Gathering`."""
        if not np.isfinite(self.p):
            return "too few"
        return self.gathering.kind if self.gathering else "unbiased"


def free_position(
    box: NDArray[np.int64], shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Position (u, v) in [0, 1)² of a box (left, top, width, height) inside a frame (H, W).

    Drawn within its pixel, which makes it exactly uniform for uniform placement.
    """
    room = np.array([shape[1], shape[0]]) - box[2:] - 1
    return (box[:2] - 1 + rng.random(2)) / room


def placement_test(
    positions: NDArray[np.floating],
    centres: NDArray[np.floating] | None = None,
    *,
    seed: int = 0,
) -> Placement:
    """Tests positions float [n, 2] in [0, 1)² against the uniform distribution on the square.

    `centres` float [n, 2], shares of the frame (x, y), name the place where objects gather; by
    default the positions do.

    `distance` is the energy distance (Székely & Rizzo 2013) between the positions and the uniform
    distribution, both on BINS × BINS cells, over the largest there is, that of objects all in one
    corner; the mean of its square under uniform placement is subtracted first, so that few objects
    do not look far off. Positions are biased with p < LEVEL and a distance of NOTABLE at least:
    with very many objects a difference that no network could use is significant too.

    The test sees any departure. Its statistic splits the squared distance into the part that is
    left when positions are mirrored left-right and up-down (gathered about the centre or the edge)
    and the rest (to one side), and adds the two, each in units of its mean over DRAWS uniform
    samples of the same size; the p value comes from the same samples. Not split, the rest would
    drown the first part: 20 objects with SD 0.2 about the centre would be found in 0 % instead of
    89 % of all cases.
    """
    n = len(positions)
    if n < FEWEST:
        return Placement(np.nan, np.nan, np.nan, np.nan, n, None)
    rng = np.random.default_rng(seed)
    uniform = np.full(BINS * BINS, 1 / BINS**2)
    null = _parts(rng.multinomial(n, uniform, size=DRAWS) / n)
    seen = _parts(_histogram(positions)[None] / n)[0]
    mean = null.mean(axis=0)
    statistics = (null / mean).sum(axis=1)
    p = float(1 + (statistics >= (seen / mean).sum()).sum()) / (1 + DRAWS)
    # Of the critical value, the rest's mean is 1 and so is what the first part has by chance.
    critical = mean[0] * (np.quantile(statistics, 1 - LEVEL) - 2)
    excess = np.maximum([(seen - mean).sum(), critical], 0)
    distance, detectable = np.sqrt(excess / _one_point(0.0)).tolist()
    radius = float(np.abs(2 * positions - 1).max(axis=1).mean())
    gathering = None
    if p < LEVEL and distance >= NOTABLE:
        centres = positions if centres is None else centres
        gathering = where_gathered(positions, centres, seed=seed)
    return Placement(distance, p, max(detectable, NOTABLE), radius, n, gathering)


def _histogram(positions: NDArray[np.floating]) -> NDArray[np.float64]:
    cells = np.minimum((positions * BINS).astype(np.int64), BINS - 1)
    return np.bincount(cells @ (1, BINS), minlength=BINS**2).astype(np.float64)


def _parts(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared energy distances [k, 2] of distributions [k, BINS²]: of the mirrored, the rest.

    They add up to that of the distribution itself, since the distance does not change by mirroring.
    """
    square = shares.reshape(-1, BINS, BINS)
    sideways = square + square[:, :, ::-1]
    mirrored = (sideways + sideways[:, ::-1]).reshape(shares.shape) / 4
    central = _energy(mirrored)
    return np.stack([central, _energy(shares) - central], axis=1)


def _energy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared energy distance of distributions [k, BINS²] from the uniform one: [k]."""
    apart = np.arange(BINS)[:, None] - np.arange(BINS)
    far = np.hypot(apart[:, None, :, None], apart[None, :, None, :]) / BINS
    difference = shares - 1 / BINS**2
    return -((difference @ far.reshape(BINS**2, BINS**2)) * difference).sum(axis=1)


def _one_point(at: float) -> float:
    """Squared energy distance of objects all at (at, at) from the uniform distribution."""
    near = np.clip([at - 0.01, at + 0.01], 0, 0.999)  # 0.5 lies between cells
    return float(_energy(_histogram(np.array([[x, y] for x in near for y in near]))[None] / 4)[0])


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
    spread = positions.std(axis=0) / UNIFORM_SD
    near = abs(positions - np.median(positions, axis=0)).max(axis=1) < NEAR
    x, y = spread < GATHERED
    radius = abs(2 * positions - 1).max(axis=1)
    error = radius.std() / np.sqrt(len(radius))
    if near.mean() < (2 * NEAR) ** 2 / 2 and 0.5 < spread.min() <= spread.max() < 1:
        kind = "ring"
    elif x and y:
        kind = "central" if place.words == "the centre" else "place"
    elif x or y:
        kind = "column" if x else "row"
    else:
        kind = "border" if radius.mean() - 2 * error > UNIFORM_RADIUS else "uneven"
    return Gathering(kind, [place])


def _place(positions: NDArray[np.floating], centres: NDArray[np.floating], share: float) -> Place:
    middle, low, high = _median(positions)
    # Off the middle: by a difference of note, and one that chance does not explain.
    off = (abs(middle - 0.5) > MIDDLE) & ((low > 0.5) | (high < 0.5))
    words = _words(*np.where(off, middle - 0.5, 0).tolist())
    (cx, cy), (lx, ly), (hx, hy) = (v.tolist() for v in _median(centres))
    return Place(words, (cx, cy), (lx, ly), (hx, hy), share)


def _median(values: NDArray[np.floating]) -> tuple[NDArray, NDArray, NDArray]:
    """Medians [2] of values [n, 2] and their exact intervals from order statistics."""
    n = len(values)
    rank = max(int(binom.ppf(0.05 / 2, n, 0.5)), 1)
    ordered = np.sort(values, axis=0)
    return np.median(values, axis=0), ordered[rank - 1], ordered[n - rank]


def _words(x: float, y: float) -> str:
    """Of an offset from the middle: `the centre`, `above the centre`, `the lower left corner`, …"""
    across = "" if x == 0 else "left" if x < 0 else "right"
    down = "" if y == 0 else "above" if y < 0 else "below"
    if abs(x) > EDGE and abs(y) > EDGE:
        return f"the {'upper' if y < 0 else 'lower'} {across} corner"
    if abs(x) > EDGE:
        return f"the {across} edge" + (f", {down} its middle" if down else "")
    if abs(y) > EDGE:
        edge = "the top edge" if y < 0 else "the bottom edge"
        return edge + (f", {across} of its middle" if across else "")
    parts = [down] if down else []
    parts += [f"{across} of"] if across else []
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
        clusters = [some[groups == j] for j in range(k)]
        if min(map(len, clusters)) < max(2, FEWEST_SHARE * len(some)):
            continue
        gathered = max(c.std(axis=0).max() for c in clusters) < GATHERED * UNIFORM_SD
        if gathered and all(_valley(a, b) for a, b in itertools.combinations(clusters, 2)):
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


DEAD_CENTRE = float(np.sqrt(_one_point(0.5) / _one_point(0.0)))
