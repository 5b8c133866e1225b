"""The risk operator of the scheme and its log-sum-exp, in numpy; `kernels.bellman` has them compiled for tables.

    R_l[f] = -(1 / l) log E exp(-l f)        l > 0 seeks risk, l < 0 averts it, l = 0 is the mean

Exponents are taken relative to the one that weighs most, so that none overflows.
"""

import math

import numpy as np

from ppi_robotics.checks import check_number

LEAST = -np.finfo(float).max  # in place of -inf, which cannot be subtracted from itself


def log_sum(terms: np.ndarray, axis: int | tuple = -1) -> np.ndarray:
    """log sum exp(terms) over an axis or several; -inf where all terms are."""
    top = np.maximum(terms.max(axis=axis, keepdims=True), LEAST)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(terms - top).sum(axis=axis)) + top.squeeze(axis=axis)


def log_softmax(terms: np.ndarray, axis: int = -1) -> np.ndarray:
    """Logarithms of probabilities in proportion to exp(terms) along an axis; where all terms are -inf, they stay."""
    if terms.ndim == 1:  # the same without arrays of one entry, which take a third of the time
        terms = terms - max(terms.max(), LEAST)
        return terms - math.log(max(np.exp(terms).sum(), 1.0))
    terms = terms - np.maximum(terms.max(axis=axis, keepdims=True), LEAST)
    return terms - np.log(np.maximum(np.exp(terms).sum(axis=axis, keepdims=True), 1.0))  # the largest term is 1


def log_mean_exp(exponents: np.ndarray, axis: int = -1, keepdims: bool = False) -> np.ndarray:
    """log mean exp(exponents) of exponents of which none is above 0; those near 0 keep their digits."""
    mean = np.expm1(exponents).mean(axis, keepdims=keepdims)
    with np.errstate(divide="ignore"):
        return np.where(mean > -0.5, np.log1p(mean), np.log(np.exp(exponents).mean(axis, keepdims=keepdims)))


def entropic(costs: np.ndarray, weight: float, axis: int = -1) -> np.ndarray:
    """R_weight[C] = -(1 / weight) log mean exp(-weight C) along an axis; the mean for a weight of 0.

    Positive weights are optimistic, negative ones pessimistic. Costs that are not finite count as inf: they make the
    result inf for a weight of 0 or below, and add nothing to the mean of exponentials for one above.

    Raises:
      ProblemError: if the weight is not finite.
    """
    weight = check_number(weight, "weight")
    costs = np.asarray(costs, dtype=float)
    costs = np.where(np.isfinite(costs), costs, np.inf)
    if weight == 0.0:
        return costs.mean(axis)
    extreme = (np.min if weight > 0.0 else np.max)(costs, axis, keepdims=True)  # of largest weight: exponents are <= 0
    finite = np.isfinite(extreme)
    with np.errstate(over="ignore"):
        exponent = -weight * (costs - np.where(finite, extreme, 0.0))
    log_mean = log_mean_exp(np.where(finite, exponent, 0.0), axis, keepdims=True)
    return np.squeeze(np.where(finite, extreme - log_mean / weight, np.inf), axis)[()]
