"""The distribution of a policy's cost: its moments, quantiles and risk measures, and their errors, from samples.

    C = sum_{t<T} C_t(x_t, u_t) + C_T(x_T)

    entropic(eta) = -(1/eta) log E exp(-eta C)         eta > 0 seeks risk, eta < 0 averts it, eta = 0 is the mean
    cvar(level)   = min_z  z + E max(C - z, 0) / (1 - level)         mean cost of the worst share 1 - level

R. T. Rockafellar, S. Uryasev, *Optimization of conditional value-at-risk* (Journal of Risk, 2000) for the second.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics import intervals
from ppi_robotics.checks import (
    as_finite,
    as_floats,
    check_choice,
    check_count,
    check_instance,
    check_number,
    check_seed,
    shown,
)
from ppi_robotics.entropic import log_mean_exp
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Record, frozen
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import Problem
from ppi_robotics.rollouts import Rollouts, rollout
from ppi_robotics.texts import share, with_interval

INTERVALS = "95 % intervals in brackets"


@dataclass(frozen=True, eq=False)
class Evaluation(Record):
    """Statistics of sampled costs, also of costs from elsewhere: `Evaluation(cost)`.

    A sample whose cost is not finite has diverged: it counts as infinitely costly and as no success. One such sample
    makes mean, variance, their errors, cvar and entropic (eta < 0) infinite; quantiles below its rank stay finite, and
    so does entropic (eta > 0), to which it contributes exp(-inf) = 0.

    Samples are taken to be independent. Standard errors are those of a large N. Intervals
    (see `intervals`) cover the true value as often as `level` says from N = 100 on, for costs whose tails fall like an
    exponential; where too few samples carry a statistic they are None, and `why_no_interval` says so.

    Attributes:
      cost: (N,), inf where the sample diverged.
      success: (N,) booleans, None without a criterion.
      seed, first, stochastic: which samples, as given to `evaluate`.
      interrupted: whether Ctrl-C cut the evaluation short.
      seconds: wall time of the sampling, of all policies together in a comparison.
      problem, policy: what was evaluated.

    Raises:
      ProblemError: if the costs are no vector of at least 2 numbers, or the successes do not match them.
    """

    cost: np.ndarray = field(repr=False)
    success: np.ndarray | None = field(default=None, repr=False)
    seed: int = 0
    first: int = 0
    stochastic: bool = False
    interrupted: bool = False
    seconds: float = 0.0
    problem: Problem | None = field(default=None, repr=False)
    policy: LinearGaussianPolicy | None = field(default=None, repr=False)

    def __post_init__(self):
        cost = np.array(as_floats(self.cost, "cost"))
        if cost.ndim != 1 or len(cost) < 2:
            raise ProblemError(f"cost has shape {cost.shape}; expected a vector of at least 2 costs")
        cost[~np.isfinite(cost)] = np.inf
        object.__setattr__(self, "seed", check_seed(self.seed))
        object.__setattr__(self, "first", check_count(self.first, "first", 0))
        object.__setattr__(self, "cost", frozen(cost))
        if self.success is not None:
            success = as_booleans(self.success, len(cost))
            object.__setattr__(self, "success", frozen(success & np.isfinite(cost), dtype=bool))

    # -- counts ------------------------------------------------------------------------------------------------------

    @property
    def samples(self) -> int:
        """Number N of samples."""
        return len(self.cost)

    @cached_property
    def diverged(self) -> int:
        """Number of samples whose cost is not finite."""
        return int(np.count_nonzero(np.isinf(self.cost)))

    @property
    def success_rate(self) -> float | None:
        """Share of successes; None without a criterion."""
        return None if self.success is None else float(np.mean(self.success))

    # -- moments -----------------------------------------------------------------------------------------------------

    @property
    def mean(self) -> float:
        """Mean cost."""
        return self._moments[0]

    @property
    def variance(self) -> float:
        """Unbiased variance of the cost."""
        return self._moments[1]

    @property
    def std(self) -> float:
        """Standard deviation of the cost."""
        return math.sqrt(self.variance)

    @property
    def standard_error(self) -> float:
        """Standard error of the mean."""
        return self.std / math.sqrt(self.samples)

    @property
    def variance_standard_error(self) -> float:
        """Standard error of the variance, from the fourth central moment."""
        return self._moments[2]

    @cached_property
    def _moments(self):
        """Mean, variance, standard error of the variance."""
        if self.diverged:
            return math.inf, math.inf, math.inf
        n = self.samples
        with np.errstate(over="ignore", invalid="ignore"):
            start = self.cost[0]  # deviations from one sample: equal costs have that mean and variance 0 exactly
            deviation = self.cost - start
            shift = deviation.mean()
            deviation -= shift
            scale = np.abs(deviation).max()
            if scale == 0.0 or not np.isfinite(scale):
                return float(start + shift), float(scale), float(scale)
            squares = (deviation / scale) ** 2  # at most 1, so that fourth powers of large costs do not overflow
            second, fourth = squares.mean(), (squares**2).mean()
            variance = scale**2 * second * (n / (n - 1))
            error = scale**2 * np.sqrt(max(fourth - second**2 * (n - 3) / (n - 1), 0.0) / n)
        return float(start + shift), float(variance), float(error)

    # -- quantiles ---------------------------------------------------------------------------------------------------

    @cached_property
    def _sorted(self):
        return np.sort(self.cost)

    @overload
    def quantile(self, q: float) -> float: ...

    @overload
    def quantile(self, q: ArrayLike) -> np.ndarray: ...

    def quantile(self, q: ArrayLike) -> float | np.ndarray:
        """Cost that the share q of the samples stays below, linear between order statistics; q may be an array."""
        q = as_finite(q, "q")
        if np.any((q < 0.0) | (q > 1.0)):
            raise ProblemError(f"q runs from {q.min():g} to {q.max():g}; expected shares from 0 to 1")
        rank = (self.samples - 1) * q
        below = np.floor(rank).astype(int)
        low, high = self._sorted[below], self._sorted[np.minimum(below + 1, self.samples - 1)]
        weight = rank - below
        with np.errstate(invalid="ignore"):  # inf - inf, which the choice drops
            value = np.where((weight == 0.0) | (low == high), low, low + weight * (high - low))
        return value if value.ndim else float(value)

    def quantile_interval(self, q: float, level: float = 0.95) -> tuple[float, float] | None:
        """Interval (low, high) that covers the true q-quantile with at least this probability, for any distribution.

        Its ends are order statistics, by ranks of the binomial distribution of how many samples lie below the quantile;
        they are infinite where the samples are too few for a bound.
        """
        q, level = (check_number(v, name, above=0.0, below=1.0) for v, name in ((q, "q"), (level, "level")))
        tail = (1.0 - level) / 2
        low = _binomial_quantile(tail, self.samples, q)
        high = _binomial_quantile(1.0 - tail, self.samples, q) + 1
        lower = self._sorted[low - 1] if low >= 1 else -math.inf
        upper = self._sorted[high - 1] if high <= self.samples else math.inf
        return float(lower), float(upper)

    # -- risk --------------------------------------------------------------------------------------------------------

    def cvar(self, level: float = 0.95) -> float:
        """Mean cost of the worst share 1 - level; level 0 gives the mean."""
        return self._tail(level)[0]

    def cvar_standard_error(self, level: float = 0.95) -> float:
        """Standard error of cvar, from its influence function; inf if the worst share is less than one sample."""
        return self._tail(level)[1]

    def _tail(self, level):
        """Mean of the worst share of the costs, its error, what exceeds the share's least cost (N,), and the share."""
        level = check_number(level, "level", least=0, below=1)
        if self.diverged:
            return math.inf, math.inf, None, 1.0 - level
        n = self.samples
        value_at_risk = self._sorted[max(min(math.ceil(n * level), n) - 1, 0)]
        excess = np.maximum(self.cost - value_at_risk, 0.0) / (1.0 - level)
        error = excess.std(ddof=1) / math.sqrt(n) if n * (1.0 - level) >= 1.0 else math.inf
        return float(value_at_risk + excess.mean()), float(error), excess, 1.0 - level

    def entropic(self, eta: float) -> float:
        """Entropic cost -(1/eta) log mean exp(-eta C): risk-seeking for eta > 0, averse for eta < 0, the mean at 0."""
        return self._entropic(eta)[0]

    def entropic_standard_error(self, eta: float) -> float:
        """Standard error of entropic(eta) by the delta method."""
        return self._entropic(eta)[1]

    def _entropic(self, eta):
        eta = check_number(eta, "eta")
        if eta == 0.0:
            return self.mean, self.standard_error
        if self.diverged and (eta < 0.0 or self.diverged == self.samples):
            return math.inf, math.inf
        extreme = self._sorted[0 if eta > 0.0 else -1]  # of largest weight: all exponents are at most 0
        with np.errstate(over="ignore"):
            exponent = -eta * (self.cost - extreme)
        relative = np.expm1(exponent)  # keeps the digits of weights near 1, that is of small eta
        log_mean = log_mean_exp(exponent)
        error = relative.std(ddof=1) / np.exp(log_mean) / math.sqrt(self.samples)
        return float(extreme - log_mean / eta), float(error / abs(eta))

    # -- intervals ---------------------------------------------------------------------------------------------------

    def mean_interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Interval (low, high) of the mean cost."""
        return self._interval("mean", level)[0]

    def variance_interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Interval (low, high) of the variance; None below 50 samples."""
        return self._interval("variance", level)[0]

    def cvar_interval(self, level: float = 0.95, confidence: float = 0.95) -> tuple[float, float] | None:
        """Interval (low, high) of cvar(level); None where the worst share is less than 20 samples."""
        return self._interval("cvar", confidence, level)[0]

    def entropic_interval(self, eta: float, level: float = 0.95) -> tuple[float, float] | None:
        """Interval (low, high) of entropic(eta); None where few samples make up the mean of exp(-eta C)."""
        return self._interval("entropic", level, eta)[0]

    def success_interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Clopper's and Pearson's interval (low, high) of the success probability; None without a criterion."""
        return self._interval("success", level)[0]

    def why_no_interval(self, statistic: str, *of: float) -> str | None:
        """Reason why there is no 95 % interval, a text, or None where there is one.

        Args:
          statistic: "mean", "variance", "cvar", "entropic" or "success".
          of: the level of cvar, 0.95 by default, or the eta of entropic.
        """
        check_choice(statistic, "statistic", ("mean", "variance", "cvar", "entropic", "success"))
        return self._interval(statistic, 0.95, *of)[1]

    def _interval(self, statistic, level, parameter=None):
        """The interval and None, or None and why there is none; `parameter` is the level of cvar or the eta."""
        level = check_number(level, "confidence" if statistic == "cvar" else "level", above=0.0, below=1.0)
        tail = self._tail(0.95 if parameter is None else parameter) if statistic == "cvar" else ()
        eta = check_number(parameter, "eta") if statistic == "entropic" else 0.0
        lost = self.diverged == self.samples or (self.diverged and eta <= 0.0)
        if statistic == "success" and self.success is None:
            found = "there is no criterion of success"
        elif statistic == "success":
            found = intervals.of_rate(int(np.count_nonzero(self.success)), self.samples, level)
        elif lost:
            found = f"{self.diverged} of {self.samples} samples diverged"
        elif statistic == "variance":
            found = intervals.of_variance(self._sorted, self.variance, level)
        elif statistic == "cvar":
            found = intervals.of_cvar(*tail, level)
        elif eta:
            found = intervals.of_entropic(eta, self._sorted, level)
        else:
            found = intervals.of_mean(self.cost, level)
        return (None, found) if isinstance(found, str) else (found, None)

    # -- samples -----------------------------------------------------------------------------------------------------

    def replay(self, i: int) -> Rollouts:
        """`Rollouts` of the sample behind cost[i], with the same bits."""
        if self.problem is None or self.policy is None:
            raise ProblemError("these costs come without problem and policy; replay works on results of evaluate only")
        i = check_count(i, "i", 0, self.samples - 1)
        return rollout(self.problem, self.policy, 1, self.seed, self.first + int(i), self.stochastic, threads=1)

    def joined(self, later: "Evaluation") -> "Evaluation":
        """These samples and those of a later call that started where they end.

        Raises:
          ProblemError: if the other samples are of another seed, policy or problem, or do not follow on.
        """
        check_instance(later, "later", Evaluation)
        end = self.first + self.samples
        same = later.seed == self.seed and later.stochastic == self.stochastic
        if not same or later.first != end or later.policy is not self.policy or later.problem is not self.problem:
            raise ProblemError(
                f"samples from {later.first}, seed {later.seed}, do not go on from sample {end}, seed {self.seed}; "
                f"call evaluate with the same problem, policy and seed, and first={end}"
            )
        cost = np.concatenate([self.cost, later.cost])
        success = None if self.success is None else np.concatenate([self.success, later.success])
        seconds = self.seconds + later.seconds
        return replace(self, cost=cost, success=success, interrupted=later.interrupted, seconds=seconds)

    def __str__(self) -> str:
        rows = [
            ("mean", with_interval(self.mean, self.mean_interval())),
            ("std", f"{self.std:.4g}"),
            ("variance", with_interval(self.variance, self.variance_interval())),
            ("5, 50, 95 %", ", ".join(f"{value:.6g}" for value in self.quantile([0.05, 0.5, 0.95]))),
            ("CVaR 95 %", with_interval(self.cvar(), self.cvar_interval())),
        ]
        if self.success is not None:
            rows.append(("success", share(self.success_rate, self.success_interval())))
        title = f"cost over {self.samples} samples, seed {self.seed}; {INTERVALS}"
        return "\n".join([title, *(f"  {name:13s}{text}" for name, text in rows), *notes({"": self})])


def as_booleans(success: ArrayLike, samples: int) -> np.ndarray:
    """The successes, checked to be a boolean for each sample."""
    try:
        success = np.asarray(success)
    except Exception as error:  # noqa: BLE001  (a foreign __array__ may raise anything)
        raise ProblemError(f"success is {shown(success)}; expected ({samples},) booleans") from error
    if success.shape != (samples,) or success.dtype != bool:
        raise ProblemError(
            f"success has shape {success.shape} and type {success.dtype}; "
            f"expected ({samples},) booleans, one for each sample"
        )
    return success


def _binomial_quantile(p, n, q):
    """Smallest k with P(B <= k) >= p for B ~ Binomial(n, q)."""
    from scipy.special import bdtr  # takes longer to import than the rest of the package

    return bisect_left(range(n), p, key=lambda k: bdtr(k, n, q))


def _numbers(evaluation):
    """The first numbers of the samples that diverged, by which `rollout` finds them."""
    lost = evaluation.first + np.flatnonzero(np.isinf(evaluation.cost))
    listed = ", ".join(str(i) for i in lost[:5]) + ", ..." * (len(lost) > 5)
    return f"sample {listed}" if len(lost) == 1 else f"samples {listed}"


def notes(evaluations: dict[str, Evaluation], etas: dict[str, float] | None = None) -> list[str]:
    """Lines about samples that diverged or are missing, and about missing intervals.

    Args:
      evaluations: dict from name to `Evaluation`.
      etas: dict from name to the eta of its entropic cost, where that is shown.
    """
    lost = [f"{name} {e.diverged} ({_numbers(e)})".strip() for name, e in evaluations.items() if e.diverged]
    lines = [f"samples that diverged, at infinite cost: {', '.join(lost)}"] if lost else []
    lines += missing_intervals(evaluations, etas)
    if next(iter(evaluations.values())).interrupted:
        lines.append("interrupted: these are the samples finished by then")
    return lines


def missing_intervals(evaluations: dict[str, Evaluation], etas: dict[str, float] | None = None) -> list[str]:
    """Lines that say of which statistics there is no interval, and why; samples that diverged speak for themselves."""
    reasons = {}
    for name, evaluation in evaluations.items():
        asked = {"mean": ("mean",), "variance": ("variance",), "CVaR 95 %": ("cvar",)}
        asked |= {} if etas is None else {"entropic cost": ("entropic", etas[name])}
        for text, of in asked.items() if not evaluation.diverged else ():
            reason = evaluation.why_no_interval(*of)
            if reason is not None:
                reasons.setdefault((text, reason), []).append(name)
    return [
        f"no interval of the {text}{' of ' * bool(names[0])}{', '.join(names)}: {reason}"
        for (text, reason), names in reasons.items()
    ]
