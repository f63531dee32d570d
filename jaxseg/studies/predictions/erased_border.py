"""How wide the margin is in which a model predicts nothing although something is there."""

from typing import NamedTuple

import numpy as np

ERASED = 0.05  # Of the recall deeper inside; less than this counts as nothing.


class Erased(NamedTuple):
    """The erased border of one model.

    px: its width k; 0 when there is none.
    recall_within, recall_beyond: pooled recall of the px of depth below k and of all deeper ones;
      NaN where no true pixel lies.
    first_px: depth of the outermost true pixel: nothing can be said of what lies outside of it.
    """

    px: int
    recall_within: float
    recall_beyond: float
    first_px: int


def erased_border(counts: np.ndarray) -> Erased:
    """Estimates the width k of the border within which the model predicts (almost) nothing.

    k is the largest number of px such that the pooled recall of the true pixels of depth below k,
    and that of those of depth k - 1 alone, are both below 5 % of the recall of all deeper ones. A
    model that finds nothing anywhere has no erased border, and so has one with no true pixel
    beyond k.

    Args:
      counts: int [depths, 3], (tp, fp, fn) summed over images by px of depth, outermost first.
    """
    tp, truth = counts[:, 0].astype(float), (counts[:, 0] + counts[:, 2]).astype(float)
    within = _share(np.cumsum(tp), np.cumsum(truth))
    beyond = _share(tp.sum() - np.cumsum(tp), truth.sum() - np.cumsum(truth))
    # NaN (no true pixel there) compares as false.
    erased = (within < ERASED * beyond) & (_share(tp, truth) < ERASED * beyond)
    px = int(np.flatnonzero(erased)[-1]) + 1 if erased.any() else 0
    whole = float(_share(tp.sum(), truth.sum()))
    return Erased(
        px=px,
        recall_within=float(within[px - 1]) if px else np.nan,
        recall_beyond=float(beyond[px - 1]) if px else whole,
        first_px=int(np.argmax(truth > 0)),
    )


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
