"""Overlap metrics from counts: every number is derived from stored (tp, fp, fn), never from masks.

Names and definitions follow Metrics Reloaded (Maier-Hein, Reinke et al. 2024). All functions take
counts [..., 3] with (tp, fp, fn) on the last axis, integers or (weighted sums) floats, and return
floats [...] in [0, 1]: numpy in, numpy float64 out; jax in, jax float32 out.

`empty` sets the score of a case with a zero denominator:
  "nan"      NaN: the metric is not defined and the case is to be left out (and counted).
  "one"      1.
  "smooth1"  1 as well, because 1 is added to numerator and denominator of *every* case, as the
             paper's code does for Dice; empty bands then lift the mean.
"""

import types
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.errors import UsageError, check_choice

Counts = TypeVar("Counts", np.ndarray, jax.Array)

EMPTY = ("nan", "one", "smooth1")


def dice(counts: Counts, empty: str = "nan") -> Counts:
    """Dice similarity coefficient (DSC), 2 tp / (2 tp + fp + fn), from stored counts.

    Args:
      counts: [..., 3] with (tp, fp, fn) on the last axis, integers or weighted sums.
      empty: what a case with neither truth nor prediction scores: `nan` (not defined, to be left
        out and counted), `one`, or `smooth1`, by which every case is
        (2 tp + 1) / (2 tp + fp + fn + 1): hard Dice as in Lin, Weng et al. 2024.
    Returns:
      [...] in [0, 1]: numpy float64 of numpy arrays, float32 of JAX arrays.
    Raises:
      UsageError: counts without a last axis of 3, or an unknown `empty`.
    """
    tp, fp, fn = _split(counts)
    return _ratio(2 * tp, 2 * tp + fp + fn, empty)


def iou(counts: Counts, empty: str = "nan") -> Counts:
    """Intersection over union (IoU, Jaccard index), tp / (tp + fp + fn)."""
    tp, fp, fn = _split(counts)
    return _ratio(tp, tp + fp + fn, empty)


def recall(counts: Counts, empty: str = "nan") -> Counts:
    """Sensitivity (recall, true positive rate), tp / (tp + fn); empty where there is no truth."""
    tp, _, fn = _split(counts)
    return _ratio(tp, tp + fn, empty)


def _namespace(array: np.ndarray | jax.Array) -> types.ModuleType:
    return jnp if isinstance(array, jax.Array) else np


def _split(counts: Counts) -> tuple[Counts, Counts, Counts]:
    if counts.ndim < 1 or counts.shape[-1] != 3:
        raise UsageError(f"counts: shape {counts.shape} must be [..., 3] with (tp, fp, fn) last")
    # Floats before anything is added: int32 sums over a large test set can overflow.
    counts = counts.astype(float) if isinstance(counts, np.ndarray) else counts.astype(jnp.float32)
    return counts[..., 0], counts[..., 1], counts[..., 2]


def _ratio(part: Counts, whole: Counts, empty: str) -> Counts:
    check_choice("empty", empty, EMPTY)
    if empty == "smooth1":
        return (part + 1) / (whole + 1)
    xp = _namespace(part)
    defined = whole > 0
    return xp.where(defined, part / xp.where(defined, whole, 1), 1.0 if empty == "one" else xp.nan)
