"""The distribution of a policy's cost over noisy closed-loop rollouts: risk measures, intervals, paired comparison.

    C = sum_{t<T} C_t(x_t, u_t) + C_T(x_T)

    entropic(eta) = -(1/eta) log E exp(-eta C)         eta > 0 seeks risk, eta < 0 averts it, eta = 0 is the mean
    cvar(level)   = min_z  z + E max(C - z, 0) / (1 - level)         mean cost of the worst share 1 - level

R. T. Rockafellar, S. Uryasev, *Optimization of conditional value-at-risk* (Journal of Risk, 2000) for the second.
"""

import math
import time
from bisect import bisect_left
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import NormalDist

import numpy as np

from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import as_finite, frozen
from ppi_robotics.kernels.compiler import ROLLOUT_LANES
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import Problem
from ppi_robotics.rollouts import ClosedLoop, check_count, in_threads, rollout


def evaluate(problem, policy, samples=1000, seed=0, stochastic=False, threads=None, progress=None, first=0):
    """Estimate the distribution of a policy's cost; only the costs and successes of the samples are kept.

    Ctrl-C returns the statistics of the samples finished so far, marked `interrupted`; a further call with `first` at
    their number, and `Evaluation.joined`, goes on from there.

    Args:
      problem: `Problem`.
      policy: `LinearGaussianPolicy` for the problem's plant and horizon.
      samples: number N of rollouts, at least 2.
      seed: of the noise, 0 to 2**64 - 1.
      stochastic: draw controls from the policy's covariance; otherwise its mean acts.
      threads: number of threads; all processors by default. Results do not depend on it.
      progress: function of (samples done, samples), called after every chunk.
      first: index of the first sample; sample i is the same in every call with the same seed.

    Returns:
      `Evaluation`.

    Raises:
      ProblemError: if the policy does not fit the problem, or a number is out of range.
      KeyboardInterrupt: if it comes before the first chunk is finished.
    """
    return _evaluate(problem, {"": policy}, samples, seed, stochastic, threads, progress, first)[""]


def compare(problem, policies, samples=1000, seed=0, stochastic=False, threads=None, progress=None, first=0):
    """Evaluate several policies on the same noise, and the differences of their costs sample by sample.

    Args:
      policies: dict from a name to a `LinearGaussianPolicy`; the first is the reference.
      others: as for `evaluate`.

    Returns:
      `Comparison`.

    Raises:
      ProblemError: as `evaluate`, or if `policies` is no dict from names to policies.
      KeyboardInterrupt: if it comes before every policy has finished its first chunk.
    """
    if not isinstance(policies, Mapping) or not policies:
        given = "empty" if isinstance(policies, Mapping) else f"a {type(policies).__name__}"
        raise ProblemError(f"policies is {given}; expected a dict such as {{'iLQG': policy, 'PPI': policy}}")
    for name in policies:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise ProblemError(f"a policy is named {name!r}; expected a printable name that is not empty")
    evaluations = _evaluate(problem, policies, samples, seed, stochastic, threads, progress, first)
    reference = next(iter(evaluations))
    differences = {
        name: _difference(evaluation.cost, evaluations[reference].cost)
        for name, evaluation in evaluations.items()
        if name != reference
    }
    return Comparison(evaluations, reference, differences)


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
            success = _as_booleans(self.success, len(cost))
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
            ("mean", _with_error(self.mean, self.standard_error)),
            ("std", f"{self.std:.4g}"),
            ("variance", _with_error(self.variance, self.variance_standard_error)),
            ("5, 50, 95 %", ", ".join(f"{value:.6g}" for value in self.quantile([0.05, 0.5, 0.95]))),
            ("CVaR 95 %", _with_error(self.cvar(), self.cvar_standard_error())),
        ]
        if self.success is not None:
            low, high = self.success_interval()
            rows.append(("success", f"{100 * self.success_rate:.5g} % [{100 * low:.4g}, {100 * high:.4g}]"))
        title = f"cost over {self.samples} samples, seed {self.seed}"
        return "\n".join([title, *(f"  {name:13s}{text}" for name, text in rows), *_notes({"": self})])


@dataclass(frozen=True)
class Difference:
    """Cost of a policy minus cost of the reference, sample by sample on the same noise.

    Where samples diverged, the mean is inf, -inf or (both policies) nan, and the p-value nan; `wins` stays valid.

    Attributes:
      mean: of the difference; negative if the policy is better.
      standard_error: of the mean.
      interval: (low, high), 95 % by Student's t.
      p_value: of a mean difference this far from 0 on either side, by Student's t.
      wins: share of the samples in which the policy is cheaper than the reference.
    """

    mean: float
    standard_error: float
    interval: tuple
    p_value: float
    wins: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Policies evaluated on the same noise; as a string, a table.

    Attributes:
      evaluations: dict from name to `Evaluation`.
      reference: name of the policy that the others are held against.
      differences: dict from the name of every other policy to `Difference`.
    """

    evaluations: dict
    reference: str
    differences: dict

    @property
    def interrupted(self):
        """Whether Ctrl-C cut the evaluation short; all policies have the same samples then as well."""
        return self.evaluations[self.reference].interrupted

    def __str__(self):
        rows = [("policy", "mean ± se", "std", "variance ± se", "CVaR 95 %", "success", "difference ± se", "p")]
        rows += [self._row(name, evaluation) for name, evaluation in self.evaluations.items()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows.insert(1, tuple("-" * width for width in widths))
        lines = ["  ".join((row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:]))) for row in rows]
        first = self.evaluations[self.reference]
        note = f"{first.samples} common samples, seed {first.seed}; difference: cost minus that of {self.reference}"
        return "\n".join([*lines, note, *_notes(self.evaluations)])

    def _row(self, name, e):
        difference = self.differences.get(name)
        return (
            name,
            _with_error(e.mean, e.standard_error),
            f"{e.std:.4g}",
            _with_error(e.variance, e.variance_standard_error),
            f"{e.cvar():.6g}",
            "-" if e.success is None else f"{100 * e.success_rate:.5g} %",
            "-" if difference is None else _with_error(difference.mean, difference.standard_error),
            "-" if difference is None else _probability(difference.p_value),
        )


def _evaluate(problem, policies, samples, seed, stochastic, threads, progress, first):
    """Evaluations by name; chunks of the policies alternate, so that Ctrl-C leaves the same samples of each."""
    _check_arguments(problem, policies, samples, threads, progress, first)
    loops = [ClosedLoop(problem, policy, seed, stochastic) for policy in policies.values()]
    costs, successes = _room(problem, len(loops), samples)
    chunk = _chunk(samples)

    def run(task):
        start, which = task
        part = slice(start, min(start + chunk, samples))
        final = np.empty((part.stop - start, problem.plant.nx))
        cost = costs[which, part]
        loops[which].run(first + start, cost, final)
        if successes is not None:
            successes[which, part] = _succeeded(problem.success, cost, final)
        return part.stop

    tasks = [(start, which) for start in range(0, samples, chunk) for which in range(len(loops))]
    began, done, interrupted = time.perf_counter(), 0, False
    try:
        with closing(in_threads(run, tasks, threads)) as stops:
            for (_, which), stop in zip(tasks, stops, strict=True):
                if which == len(loops) - 1:
                    done = stop
                    if progress is not None:
                        progress(done, samples)
    except KeyboardInterrupt:
        if done < 2:
            raise
        interrupted = done < samples
    seconds = time.perf_counter() - began
    how = (int(seed), int(first), bool(stochastic), interrupted, seconds, problem)
    return {
        name: Evaluation(costs[i, :done], None if successes is None else successes[i, :done], *how, policy)
        for i, (name, policy) in enumerate(policies.items())
    }


def _check_arguments(problem, policies, samples, threads, progress, first):
    if not isinstance(problem, Problem):
        raise ProblemError(f"problem is a {type(problem).__name__}; expected a Problem")
    for name, policy in policies.items():
        if not isinstance(policy, LinearGaussianPolicy):
            which = f"policy '{name}'" if name else "policy"
            raise ProblemError(
                f"{which} is a {type(policy).__name__}; expected a LinearGaussianPolicy such as solution.policy"
            )
    check_count(samples, "samples", 2)
    check_count(first, "first", 0, 2**62)  # sample indices are 64-bit integers
    if threads is not None:
        check_count(threads, "threads", 1)
    if progress is not None and not callable(progress):
        raise ProblemError(f"progress is a {type(progress).__name__}; expected a function of (samples done, samples)")


def _chunk(samples):
    """Samples a task: some 64 tasks, so that threads finish together; whole lanes; work of at least a millisecond."""
    blocks = min(max(samples // (64 * ROLLOUT_LANES), 4), 128)
    return blocks * ROLLOUT_LANES


def _room(problem, policies, samples):
    """Arrays for the costs and, with a criterion, the successes of all samples."""
    try:
        costs = np.empty((policies, samples))
        return costs, None if problem.success is None else np.zeros((policies, samples), dtype=bool)
    except (MemoryError, ValueError) as error:
        size = f"{8e-9 * policies * samples:.0f} GB"
        raise ProblemError(f"samples is {samples}, whose costs take {size}; give fewer, in parts by `first`") from error


def _succeeded(criterion, cost, final):
    """Successes (N,), asking the criterion only about final states (N, nx) of rollouts that did not diverge."""
    sound = np.isfinite(cost) & np.isfinite(final).all(axis=1)
    success = np.zeros(len(cost), dtype=bool)
    if sound.any():
        success[sound] = _as_booleans(criterion(final[sound]), np.count_nonzero(sound))
    return success


def _as_booleans(success, samples):
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


def _difference(cost, reference):
    wins = float(np.mean(cost < reference))
    lost, lost_reference = np.isinf(cost).any(), np.isinf(reference).any()
    if lost or lost_reference:
        mean = math.nan if lost and lost_reference else math.inf if lost else -math.inf
        return Difference(mean, math.inf, (-math.inf, math.inf), math.nan, wins)
    paired = Evaluation(cost - reference)
    mean, error = paired.mean, paired.standard_error
    if error == 0.0:
        return Difference(mean, 0.0, (mean, mean), float(mean == 0.0), wins)
    from scipy.special import stdtr, stdtrit  # takes longer to import than the rest of the package

    half = float(stdtrit(len(cost) - 1, 0.975)) * error
    p_value = 2.0 * float(stdtr(len(cost) - 1, -abs(mean) / error))
    return Difference(mean, error, (mean - half, mean + half), p_value, wins)


def _with_error(value, error):
    """Value and standard error, both to the second digit of the error."""
    if not math.isfinite(value) or not math.isfinite(error) or error == 0.0 or abs(value) >= 1e9:
        return f"{value:.6g} ± {error:.2g}"
    decimals = max(1 - math.floor(math.log10(error)), 0)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def _probability(p):
    return "<1e-16" if p < 1e-16 else f"{p:.2g}"


def _notes(evaluations):
    """Lines about samples that diverged or are missing."""
    lost = [f"{name} {e.diverged}".strip() for name, e in evaluations.items() if e.diverged]
    notes = [f"samples that diverged, at infinite cost: {', '.join(lost)}"] if lost else []
    if next(iter(evaluations.values())).interrupted:
        notes.append("interrupted: these are the samples finished by then")
    return notes
