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
from statistics import NormalDist

import numpy as np

from ppi_robotics.checks import as_finite, check_count
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import Problem
from ppi_robotics.rollouts import rollout


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Statistics of sampled costs; `Evaluation(cost)` gives them for costs from anywhere else.

    A sample whose cost is not finite has diverged: it counts as infinitely costly and as no success. One such sample
    makes mean, variance, their errors, cvar and entropic (eta < 0) infinite; quantiles below its rank stay finite, and
    so does entropic (eta > 0), to which it contributes exp(-inf) = 0.

    Standard errors and intervals hold for independent samples and N large; those of entropic(eta) need |eta| small
    enough that no handful of samples makes up the mean of exp(-eta C).

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
        try:
            cost = np.array(self.cost, dtype=float)
        except (TypeError, ValueError) as error:
            raise ProblemError("cost holds something else than numbers; expected a vector of costs") from error
        if cost.ndim != 1 or len(cost) < 2:
            raise ProblemError(f"cost has shape {cost.shape}; expected a vector of at least 2 costs")
        cost[~np.isfinite(cost)] = np.inf
        object.__setattr__(self, "cost", frozen(cost))
        if self.success is not None:
            success = as_booleans(self.success, len(cost))
            object.__setattr__(self, "success", frozen(success & np.isfinite(cost), dtype=bool))

    # -- counts ------------------------------------------------------------------------------------------------------

    @property
    def samples(self):
        """Number N of samples."""
        return len(self.cost)

    @cached_property
    def diverged(self):
        """Number of samples whose cost is not finite."""
        return int(np.count_nonzero(np.isinf(self.cost)))

    @property
    def success_rate(self):
        """Share of successes; None without a criterion."""
        return None if self.success is None else float(np.mean(self.success))

    def success_interval(self, level=0.95):
        """Wilson's interval (low, high) of the success probability; None without a criterion."""
        level = _number(level, "level", 0.0, 1.0)
        if self.success is None:
            return None
        n, share = self.samples, self.success_rate
        z = NormalDist().inv_cdf(0.5 + level / 2)
        center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
        low = 0.0 if share == 0.0 else max(center - half, 0.0)
        high = 1.0 if share == 1.0 else min(center + half, 1.0)
        return low, high

    # -- moments -----------------------------------------------------------------------------------------------------

    @property
    def mean(self):
        """Mean cost."""
        return self._moments[0]

    @property
    def variance(self):
        """Unbiased variance of the cost."""
        return self._moments[1]

    @property
    def std(self):
        """Standard deviation of the cost."""
        return math.sqrt(self.variance)

    @property
    def standard_error(self):
        """Standard error of the mean."""
        return self.std / math.sqrt(self.samples)

    @property
    def variance_standard_error(self):
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

    def quantile(self, q):
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

    def quantile_interval(self, q, level=0.95):
        """Interval (low, high) that covers the true q-quantile with at least this probability, for any distribution.

        Its ends are order statistics, by ranks of the binomial distribution of how many samples lie below the quantile;
        they are infinite where the samples are too few for a bound.
        """
        q, level = _number(q, "q", 0.0, 1.0), _number(level, "level", 0.0, 1.0)
        tail = (1.0 - level) / 2
        low = _binomial_quantile(tail, self.samples, q)
        high = _binomial_quantile(1.0 - tail, self.samples, q) + 1
        lower = self._sorted[low - 1] if low >= 1 else -math.inf
        upper = self._sorted[high - 1] if high <= self.samples else math.inf
        return float(lower), float(upper)

    # -- risk --------------------------------------------------------------------------------------------------------

    def cvar(self, level=0.95):
        """Mean cost of the worst share 1 - level; level 0 gives the mean."""
        return self._tail(level)[0]

    def cvar_standard_error(self, level=0.95):
        """Standard error of cvar, from its influence function; inf if the worst share is less than one sample."""
        return self._tail(level)[1]

    def _tail(self, level):
        level = 0.0 if level == 0 else _number(level, "level", 0.0, 1.0)
        if self.diverged:
            return math.inf, math.inf
        n = self.samples
        value_at_risk = self._sorted[max(min(math.ceil(n * level), n) - 1, 0)]
        excess = np.maximum(self.cost - value_at_risk, 0.0) / (1.0 - level)
        error = excess.std(ddof=1) / math.sqrt(n) if n * (1.0 - level) >= 1.0 else math.inf
        return float(value_at_risk + excess.mean()), float(error)

    def entropic(self, eta):
        """Entropic cost -(1/eta) log mean exp(-eta C): risk-seeking for eta > 0, averse for eta < 0, the mean at 0."""
        return self._entropic(eta)[0]

    def entropic_standard_error(self, eta):
        """Standard error of entropic(eta) by the delta method."""
        return self._entropic(eta)[1]

    def _entropic(self, eta):
        eta = float(as_finite(eta, "eta", ()))
        if eta == 0.0:
            return self.mean, self.standard_error
        if self.diverged and (eta < 0.0 or self.diverged == self.samples):
            return math.inf, math.inf
        extreme = self._sorted[0 if eta > 0.0 else -1]  # of largest weight: all exponents are at most 0
        with np.errstate(over="ignore"):
            exponent = -eta * (self.cost - extreme)
        relative = np.expm1(exponent)  # keeps the digits of weights near 1, that is of small eta
        near = relative.min() > -0.5
        log_mean = np.log1p(relative.mean()) if near else np.log(np.exp(exponent).mean())
        error = relative.std(ddof=1) / np.exp(log_mean) / math.sqrt(self.samples)
        return float(extreme - log_mean / eta), float(error / abs(eta))

    # -- samples -----------------------------------------------------------------------------------------------------

    def replay(self, i):
        """`Rollouts` of the sample behind cost[i], with the same bits."""
        if self.problem is None or self.policy is None:
            raise ProblemError("these costs come without problem and policy; replay works on results of evaluate only")
        check_count(i, "i", 0, self.samples - 1)
        return rollout(self.problem, self.policy, 1, self.seed, self.first + int(i), self.stochastic, threads=1)

    def joined(self, later):
        """These samples and those of a later call that started where they end.

        Raises:
          ProblemError: if the other samples are of another seed, policy or problem, or do not follow on.
        """
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

    def __str__(self):
        rows = [
            ("mean", with_error(self.mean, self.standard_error)),
            ("std", f"{self.std:.4g}"),
            ("variance", with_error(self.variance, self.variance_standard_error)),
            ("5, 50, 95 %", ", ".join(f"{value:.6g}" for value in self.quantile([0.05, 0.5, 0.95]))),
            ("CVaR 95 %", with_error(self.cvar(), self.cvar_standard_error())),
        ]
        if self.success is not None:
            low, high = self.success_interval()
            rows.append(("success", f"{100 * self.success_rate:.5g} % [{100 * low:.4g}, {100 * high:.4g}]"))
        title = f"cost over {self.samples} samples, seed {self.seed}"
        return "\n".join([title, *(f"  {name:13s}{text}" for name, text in rows), *notes({"": self})])


def as_booleans(success, samples):
    """The successes, checked to be a boolean for each sample."""
    success = np.asarray(success)
    if success.shape != (samples,) or success.dtype != bool:
        raise ProblemError(
            f"success has shape {success.shape} and type {success.dtype}; "
            f"expected ({samples},) booleans, one for each sample"
        )
    return success


def _number(value, name, low, high):
    """The number, which must lie between low and high, ends excluded."""
    number = float(as_finite(value, name, ()))
    if not low < number < high:
        raise ProblemError(f"{name} is {number:g}; expected a number above {low:g} and below {high:g}")
    return number


def _binomial_quantile(p, n, q):
    """Smallest k with P(B <= k) >= p for B ~ Binomial(n, q)."""
    from scipy.special import bdtr  # takes longer to import than the rest of the package

    return bisect_left(range(n), p, key=lambda k: bdtr(k, n, q))


def with_error(value, error):
    """Value and standard error, both to the second digit of the error."""
    if not math.isfinite(value) or not math.isfinite(error) or error == 0.0 or abs(value) >= 1e9:
        return f"{value:.6g} ± {error:.2g}"
    decimals = max(1 - math.floor(math.log10(error)), 0)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def as_table(rows):
    """Lines of a table from rows of texts, headings first; the first column is flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruled = [rows[0], ["-" * width for width in widths], *rows[1:]]
    return ["  ".join((row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:]))) for row in ruled]


def _numbers(evaluation):
    """The first numbers of the samples that diverged, by which `rollout` finds them."""
    lost = evaluation.first + np.flatnonzero(np.isinf(evaluation.cost))
    listed = ", ".join(str(i) for i in lost[:5]) + ", ..." * (len(lost) > 5)
    return f"sample {listed}" if len(lost) == 1 else f"samples {listed}"


def notes(evaluations):
    """Lines about samples that diverged or are missing."""
    lost = [f"{name} {e.diverged} ({_numbers(e)})".strip() for name, e in evaluations.items() if e.diverged]
    lines = [f"samples that diverged, at infinite cost: {', '.join(lost)}"] if lost else []
    if next(iter(evaluations.values())).interrupted:
        lines.append("interrupted: these are the samples finished by then")
    return lines
