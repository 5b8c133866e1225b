"""Rules that turn the costs of samples into weights.

    w_k ~ b_k exp(-lambda_policy C_k),   b_k = exp(log_ratio_k) / N,   ESS = (sum w)^2 / sum w^2

log_ratio = log p / q are importance ratios of the baseline p over the proposal q that the samples came from, all zero
if these are one. `Fixed` is given its temperature 1 / lambda_policy; `TargetESS`, `LBPS` and `REPS` choose alpha on
costs normalized to c = (C - min C) / range, within BOUNDS, for lambda_policy = alpha / range. `Elite` weighs by rank.
Samples of non-finite cost get no weight and are left out of the normalization.

J. Watson, J. Peters, *Inferring smooth control: Monte Carlo posterior policy iteration with Gaussian processes*
(CoRL 2022) for TargetESS and LBPS; J. Peters, K. Muelling, Y. Altuen, *Relative entropy policy search* (AAAI 2010).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ppi_robotics.checks import as_finite, as_floats, check_number, is_count, shown
from ppi_robotics.entropic import entropic, log_softmax
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen

BOUNDS = (1e-5, 5e2)  # of alpha
HALVINGS = 40  # of the bounds' logarithm, to 1 part in 10^11
GRID = 60  # values of alpha, a factor of 1.35 apart
SMALLEST_RANGE = 1e-290  # of costs to be told apart: alpha over it is finite


@dataclass(frozen=True, eq=False)
class Weighting:
    """Weights of samples.

    Attributes:
      log_weights: (N,), of weights that sum to 1; -inf for no weight. All -inf if no cost is finite.
      lambda_policy: inverse temperature [1/cost]; nan for weights by rank, and where a rule had no finite cost.
      free_energy: -(1 / lambda_policy) log mean exp(-lambda_policy C + log_ratio) over all N samples, those of
        non-finite cost adding nothing to the sum; inf without a finite cost, nan for weights by rank.
      valid: number of finite costs.
    """

    log_weights: NDArray[np.float64]
    lambda_policy: float
    free_energy: float
    valid: int

    @property
    def weights(self) -> NDArray[np.float64]:
        """(N,), summing to 1, or all 0 if no cost is finite."""
        return np.exp(self.log_weights)

    @property
    def ess(self) -> float:
        """Effective sample size, from 1 to N; 0 if no cost is finite."""
        return 1.0 / float(np.sum(self.weights**2)) if self.valid else 0.0


class _Tempered:
    """Weights exp(-lambda_policy C), at a lambda_policy that the rule has or finds."""

    def weights(self, costs: ArrayLike, log_ratio: ArrayLike) -> Weighting:
        """`Weighting` of samples.

        Args:
          costs: (N,); inf and nan mark samples that failed.
          log_ratio: (N,) finite importance log-ratios log p / q; zeros if the samples come from the baseline.

        Raises:
          ProblemError: if the shapes are wrong or a log-ratio is not finite.
        """
        costs, log_ratio = _as_samples(costs, log_ratio)
        good = np.isfinite(costs)
        weight = self._weight(costs[good], log_ratio[good])
        log_weights = np.full(costs.shape, -np.inf)
        if not good.any():
            return Weighting(frozen(log_weights), weight, math.inf, 0)
        with np.errstate(over="ignore"):
            log_weights[good] = log_softmax(-weight * (costs[good] - costs[good].min()) + log_ratio[good])
            free_energy = entropic(costs - log_ratio / weight, weight)
        return Weighting(frozen(log_weights), weight, float(free_energy), int(good.sum()))


@dataclass(frozen=True)
class Fixed(_Tempered):
    """A given temperature, as in MPPI.

    Attributes:
      temperature: 1 / lambda_policy [cost], positive.

    Raises:
      ProblemError: if the temperature is not positive.
    """

    temperature: float

    def __post_init__(self):
        _set_positive(self, "temperature", "of 1 / lambda_policy in units of cost")

    def _weight(self, costs, log_ratio):  # noqa: ARG002
        return 1.0 / self.temperature


class _Adaptive(_Tempered):
    """Weights at the alpha that a rule finds on normalized costs."""

    def _weight(self, costs, log_ratio):
        if not costs.size:
            return math.nan
        unit = self._range(costs)
        unit = unit if unit > SMALLEST_RANGE else 1.0
        return self._alpha((costs - costs.min()) / unit, log_ratio) / unit

    def _range(self, costs):
        """Of the cheaper nine tenths, so that a few huge costs do not put alpha beyond its bounds."""
        low, high, most = np.quantile(costs, (0.0, 0.9, 1.0))
        return float(high - low if high > low else most - low)


@dataclass(frozen=True)
class TargetESS(_Adaptive):
    """The inverse temperature at which the effective sample size is a given one.

    Without ratios the effective sample size falls as alpha grows. At a target that it does not reach within the bounds,
    for instance because more samples tie for the best, alpha is the bound nearer to it.

    Attributes:
      samples: a whole number, at least 1, or a share of the samples of finite cost, between 0 and 1.

    Raises:
      ProblemError: if `samples` is neither.
    """

    samples: int | float

    def __post_init__(self):
        _check_samples(self.samples)

    def _alpha(self, normalized, log_ratio):
        target = max(_number_of(self.samples, len(normalized)), 1.0)
        return _crossing(lambda alpha: target - _effective(log_softmax(-alpha * normalized + log_ratio)))


@dataclass(frozen=True)
class LBPS(_Adaptive):
    """The inverse temperature of the least upper bound on the expected cost, which holds with probability 1 - delta.

    Lower-bound policy search, on costs: alpha minimizes sum_k w_k c_k + sqrt((1 - delta) / (delta ESS)). With
    uneven ratios the bound may have several minima: a grid of alpha finds the least, a bounded search refines it.

    Attributes:
      delta: between 0 and 1; a smaller one asks for more effective samples, that is for a higher temperature.

    Raises:
      ProblemError: if delta is out of range.
    """

    delta: float = 0.9

    def __post_init__(self):
        object.__setattr__(self, "delta", check_number(self.delta, "delta", above=0, below=1))

    def _range(self, costs):
        """Of all costs, which the bound on the expected cost is made of."""
        return float(np.ptp(costs))

    def _alpha(self, normalized, log_ratio):
        from scipy.optimize import minimize_scalar  # takes longer to import than the rest of the package

        penalty = math.sqrt((1.0 - self.delta) / self.delta)

        def bound(log_alpha):
            log_weights = log_softmax(-math.exp(log_alpha) * normalized + log_ratio)
            return np.exp(log_weights) @ normalized + penalty / math.sqrt(_effective(log_weights))

        grid = np.linspace(*np.log(BOUNDS), GRID)
        values = [bound(point) for point in grid]
        best = int(np.argmin(values))
        around = grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)]
        refined = minimize_scalar(bound, bounds=around, method="bounded", options={"xatol": 1e-8})
        return math.exp(refined.x if refined.fun < values[best] else grid[best])


@dataclass(frozen=True)
class REPS(_Adaptive):
    """The inverse temperature at which the weights are a given divergence away from those of alpha = 0.

    It minimizes the dual epsilon / alpha + (1 / alpha) log sum_k b_k exp(-alpha c_k), at whose minimum
    KL(w | b / sum b) = epsilon. The divergence grows with alpha; where it stays below epsilon within the bounds, as for
    epsilon above log N, alpha is the largest.

    Attributes:
      epsilon: the divergence [nat], positive.

    Raises:
      ProblemError: if epsilon is not positive.
    """

    epsilon: float

    def __post_init__(self):
        _set_positive(self, "epsilon", "of nats")

    def _alpha(self, normalized, log_ratio):
        base = log_softmax(log_ratio)

        def excess(alpha):
            log_weights = log_softmax(-alpha * normalized + log_ratio)
            return np.exp(log_weights) @ (log_weights - base) - self.epsilon

        return _crossing(excess)


@dataclass(frozen=True)
class Elite:
    """Equal weights on the samples of least cost, as in the cross-entropy method; of equal costs the first counts.

    Attributes:
      samples: a whole number, at least 1, or a share of the samples of finite cost, between 0 and 1, of which the
        nearest whole number, at least 1, is taken. All samples of finite cost if they are fewer.

    Raises:
      ProblemError: if `samples` is neither.
    """

    samples: int | float

    def __post_init__(self):
        _check_samples(self.samples)

    def weights(self, costs: ArrayLike, log_ratio: ArrayLike) -> Weighting:
        """`Weighting` of samples, with arguments and errors as of `Fixed`; ranks have no use for the ratios."""
        costs, log_ratio = _as_samples(costs, log_ratio)
        good = np.isfinite(costs)
        valid = int(good.sum())
        count = min(max(round(_number_of(self.samples, valid)), 1), valid)
        log_weights = np.full(costs.shape, -np.inf)
        log_weights[np.argsort(np.where(good, costs, np.inf), kind="stable")[:count]] = -math.log(max(count, 1))
        return Weighting(frozen(log_weights), math.nan, math.nan, valid)


Rule = Fixed | TargetESS | LBPS | REPS | Elite


def _effective(log_weights):
    return 1.0 / float(np.exp(2.0 * log_weights).sum())


def _crossing(rising):
    """Alpha within the bounds at which a function rises through zero, by bisection; else the bound nearer to it."""
    low, high = np.log(BOUNDS)
    if rising(BOUNDS[0]) >= 0.0:
        return BOUNDS[0]
    if rising(BOUNDS[1]) <= 0.0:
        return BOUNDS[1]
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        low, high = (low, middle) if rising(math.exp(middle)) >= 0.0 else (middle, high)
    return math.exp((low + high) / 2.0)


def _as_samples(costs, log_ratio):
    costs = as_floats(costs, "costs")
    if costs.ndim != 1 or not costs.size:
        raise ProblemError(f"costs have shape {costs.shape}; expected (N,) with at least one sample")
    return costs, as_finite(log_ratio, "log_ratio", costs.shape)


def _set_positive(rule, name, unit):
    value = check_number(getattr(rule, name), name, above=0)
    if not math.isfinite(1.0 / value):
        raise ProblemError(f"{name} is {value:g}; expected a positive number {unit}")
    object.__setattr__(rule, name, value)


def _check_samples(samples):
    whole = is_count(samples, 1)
    share = isinstance(samples, float | np.floating) and 0.0 < samples < 1.0
    if not whole and not share:
        raise ProblemError(f"samples is {shown(samples)}; expected a whole number from 1, or a share between 0 and 1")


def _number_of(samples, valid):
    return samples * valid if isinstance(samples, float | np.floating) else samples
