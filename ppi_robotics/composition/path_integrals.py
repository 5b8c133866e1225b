"""Value and control at a state from forward rollouts under a baseline policy rho: the path integral.

    z_t(x) = E_rho[exp(-l C) | x_t = x]        V_t = -(1/l) log z_t        C = sum_{s=t}^{T-1} C_s + C_T
    pi_t(u | x) ~ rho_t(u | x) E_rho[exp(-l C) | x_t = x, u_t = u]

This is the synchronized mode of the scheme in `recursion`, lambda_policy = lambda_transition = l > 0: the soft minimum
over policies close to rho, which is as optimistic about the transitions as it is about its own controls. No derivative
is taken, so that plants and costs need not be smooth, and nothing is approximated but by the number of samples.

Source: *Unifying Entropy Regularization in Optimal Control*, arXiv 2512.06109, equations 34 to 36.
"""

import math
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics import intervals
from ppi_robotics.checks import as_finite, check_count
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen
from ppi_robotics.interruption import Held
from ppi_robotics.kernels.compiler import ROLLOUT_LANES
from ppi_robotics.parallel import in_threads
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import Problem
from ppi_robotics.rollouts import closed_loop
from ppi_robotics.texts import with_error, with_interval

RELIABLE = 100.0  # effective samples; the bias of V is 1 / (2 sqrt(ESS)) of its standard error, here 5 %
ROOM = 2**21  # numbers of recorded trajectories a task, 16 MB


@dataclass(frozen=True, eq=False)
class PathIntegral:
    """Value and first control at a state, with standard errors, from weighted rollouts.

    Sample i weighs exp(-weight C_i); one that diverged weighs 0. The errors hold for large effective sample sizes:
    few effective samples, or a region of low cost that no rollout has met, give errors that are too small.

    Attributes:
      value: V, too high by 1 / (2 weight ESS) in the mean.
      standard_error: of the value, by the delta method.
      control: mean (nu,) of the first control under the optimal policy, as applied: clipped to the plant's limits.
      control_standard_error: of its entries, (nu,).
      cov: covariance (nu, nu) of the first control under the optimal policy.
      ess: effective sample size, (sum of weights)^2 / (sum of squared weights).
      samples: number of rollouts.
      diverged: number of rollouts without a finite cost.
      weight: l [1/cost].
      seed: of the noise.
      stage, state: where the rollouts start, t and x (nx,).
      interrupted: whether Ctrl-C was pressed; the rollouts are those finished by then.
      interval: 95 % interval (low, high) of the value; None where it is not `reliable`, or too skewed.
    """

    value: float
    standard_error: float
    control: np.ndarray
    control_standard_error: np.ndarray
    cov: np.ndarray
    ess: float
    samples: int
    diverged: int
    weight: float
    seed: int
    stage: int
    state: np.ndarray
    interrupted: bool = False
    interval: tuple[float, float] | None = None

    @property
    def reliable(self) -> bool:
        """Whether there are enough effective samples, 100, for value, control and errors to be trusted."""
        return self.ess >= RELIABLE

    def __str__(self) -> str:
        pairs = zip(self.control, self.control_standard_error, strict=True)
        lines = [
            f"path integral over {self.samples} rollouts, seed {self.seed}, weight {self.weight:g}",
            f"  {'value':15s}{with_interval(self.value, self.interval)}, 95 % interval",
            f"  {'first control':15s}{', '.join(with_error(*pair) for pair in pairs)}, standard errors",
            f"  {'ESS':15s}{self.ess:.4g}",
        ]
        if self.interrupted:
            lines.append("interrupted: these are the rollouts finished by then")
        if self.diverged:
            lines.append(f"rollouts that diverged, at weight 0: {self.diverged}")
        if not self.reliable:
            lines.append(
                f"fewer than {RELIABLE:g} effective samples: value and errors are not to be trusted; "
                "give more samples, a smaller weight or a baseline of lower cost"
            )
        return "\n".join(lines)


def path_integral(
    problem: Problem,
    baseline: LinearGaussianPolicy,
    weight: float,
    x: ArrayLike | None = None,
    t: int = 0,
    samples: int = 10_000,
    seed: int = 0,
    threads: int | None = None,
) -> PathIntegral:
    """Value and first control at a state, by rollouts under a baseline, to which the optimal policy stays close.

    Controls are clipped to the plant's limits as everywhere; the baseline is the distribution of the controls before
    clipping, of which the clipped ones are a function, so that the weights need no correction.

    Args:
      problem: `Problem`.
      baseline: `LinearGaussianPolicy` for the problem; its covariances are those of the controls, not all of them zero.
      weight: l [1/cost], above 0, of the cost against staying close to the baseline, and of optimism about the noise.
      x: state (nx,) at stage t; by default the mean initial state.
      t: stage, 0 to T - 1.
      samples: number N of rollouts, at least 2. They are run in parts, of which only sums are kept.
      seed: of the noise, 0 to 2**64 - 1.
      threads: number of threads; all processors by default. Results do not depend on it.

    Returns:
      `PathIntegral`.

    Raises:
      ProblemError: if an argument is out of range, the baseline does not fit, or every rollout diverged.
    """
    weight = check_weight(weight)
    forward = Forward(problem, baseline, samples, seed, threads)

    def score(cost, _final):
        return -weight * cost[:, None], np.empty((len(cost), 0))

    return forward.gather(score, weight, x, t).estimate(0)


@dataclass(frozen=True)
class Forward:
    """Rollouts of a baseline, to be weighted; the arguments of `path_integral` that do not depend on the state."""

    problem: Problem
    baseline: LinearGaussianPolicy
    samples: int
    seed: int
    threads: int | None

    def __post_init__(self):
        closed_loop(self.problem, self.baseline, self.seed)  # raises if the baseline cannot be rolled out
        check_count(self.samples, "samples", 2, 2**62)
        if self.threads is not None:
            check_count(self.threads, "threads", 1)
        if not self.baseline.cov.any():
            raise ProblemError(
                "the baseline's covariances are all zero, and no policy leaves a baseline of zero variance; "
                "give dataclasses.replace(policy, cov=...)"
            )

    def gather(self, score, weight, x=None, t=0):
        """`Sums` over rollouts from state x (nx,) at stage t.

        Args:
          score: function of costs (N,) and final states (N, nx) to log weights (N, m), -inf where the rollout is lost,
            and features (N, k) of the rollouts, whose means are wanted as those of the first controls are.
          weight: l [1/cost].
        """
        problem, policy = self._remaining(x, t)
        plant, T = problem.plant, problem.horizon
        loop, center = closed_loop(problem, policy, self.seed, stochastic=True), policy.mean(0, problem.initial.mean)
        most = ROOM // ((T + 1) * (plant.nx + plant.nu)) // ROLLOUT_LANES * ROLLOUT_LANES
        chunk = min(max(most, ROLLOUT_LANES), loop.most)

        def run(start):
            count = min(chunk, self.samples - start)
            states, controls = np.empty((count, T + 1, plant.nx)), np.empty((count, T, plant.nu))
            cost, final = np.empty(count), np.empty((count, plant.nx))
            loop.run(start, cost, final, states, controls)
            cost[~np.isfinite(cost)] = np.inf
            log_weights, features = score(cost, final)
            return sums_of(log_weights, np.hstack((controls[:, 0] - center, features)), int(np.isinf(cost).sum()))

        (log, first, second, third, lost), done, interrupted = gathered(run, self.samples, chunk, self.threads)
        if not (first[:, 0, 0] > 0.0).all():
            raise ProblemError(
                f"all {done} rollouts diverged from state {problem.initial.mean} at stage {t}; "
                "give a baseline whose rollouts stay finite"
            )
        how = done, lost, weight, int(self.seed), int(t), problem.initial.mean, interrupted
        return Sums(log, first, second, third, center, how)

    def _remaining(self, x, t):
        """Problem and baseline from stage t on."""
        t = check_count(t, "t", 0, self.problem.horizon - 1)
        x = self.problem.initial.mean if x is None else as_finite(x, "x", (self.problem.plant.nx,))
        b = self.baseline
        rest = replace(b, x_ref=b.x_ref[t:], u_ref=b.u_ref[t:], K=b.K[t:], cov=b.cov[t:])
        return replace(self.problem, initial=x, horizon=self.problem.horizon - int(t)), rest


@dataclass(frozen=True)
class Sums:
    """Sums over samples of weights e, and of squared ones, times h h', with h = (1, u_0 - center, features).

    Attributes:
      log: (m,) logarithms of the unit of the weights, for m weightings of the same rollouts.
      first, second: sums of e h h' and of e^2 h h', (m, 1 + nu + k, 1 + nu + k).
      third: sums of e^3, (m,).
      center: (nu,), the baseline's mean first control.
      how: samples, diverged, weight, seed, stage, state and interrupted, as in `PathIntegral`.
    """

    log: np.ndarray
    first: np.ndarray
    second: np.ndarray
    third: np.ndarray
    center: np.ndarray
    how: tuple

    def estimate(self, j: int) -> PathIntegral:
        """`PathIntegral` by weighting j."""
        nu, total = len(self.center), self.first[j, 0, 0]
        value, error, ess = self.value(j)
        mean, control_error = self.means(j)
        cov = self.first[j, 1 : 1 + nu, 1 : 1 + nu] / total - np.outer(mean[:nu], mean[:nu])
        control = frozen(self.center + mean[:nu]), frozen(control_error[:nu])
        return PathIntegral(value, error, *control, frozen(cov), ess, *self.how, self.interval(j))

    def value(self, j: int) -> tuple[float, float, float]:
        """V by weighting j, its standard error and the effective sample size."""
        samples, _, weight, *_ = self.how
        total, ess = self.first[j, 0, 0], self.first[j, 0, 0] ** 2 / self.second[j, 0, 0]
        error = math.sqrt(max(samples / ess - 1.0, 0.0) / (samples - 1)) / weight
        return float(-(self.log[j] + math.log(total / samples)) / weight), error, float(ess)

    def interval(self, j):
        """95 % interval of V by weighting j, from that of the mean weight; None where too few samples carry it."""
        samples, _, weight, *_ = self.how
        sums = self.first[j, 0, 0], self.second[j, 0, 0], self.third[j]
        if sums[0] ** 2 / sums[1] < RELIABLE:
            return None
        found = intervals.of_moments(*(float(part) / samples for part in sums), samples, 0.95)
        if isinstance(found, str) or found[0] <= 0.0:
            return None
        low, high = (float(-(self.log[j] + math.log(end)) / weight) for end in reversed(found))
        return low, high

    def means(self, j: int) -> tuple[np.ndarray, np.ndarray]:
        """Means (nu + k,) of the deviation of the first control and of the features by weighting j, and their errors.

        The variance of a self-normalized mean m of f is the sum of (e / sum e)^2 (f - m)^2.
        """
        total, S = self.first[j, 0, 0], self.second[j]
        mean = self.first[j, 0, 1:] / total
        squares = np.diag(S)[1:] - 2.0 * mean * S[0, 1:] + mean**2 * S[0, 0]
        return mean, np.sqrt(np.maximum(squares, 0.0)) / total


def check_weight(weight: float) -> float:
    """The weight as a float, which must be a positive number."""
    weight = float(as_finite(weight, "weight", ()))
    if weight <= 0.0:
        raise ProblemError(f"weight is {weight:g}; expected a positive number, the inverse of a temperature [1/cost]")
    return weight


def sums_of(log_weights, features, lost):
    """Sums over the rollouts of one part."""
    log = log_weights.max(axis=0)
    e = np.exp(log_weights - _unit(log))
    h = np.column_stack((np.ones(len(features)), features))
    # one matrix product for each weighting; the products of all at once would be an array of m N (1 + nu + k)^2
    first, second = (np.stack([(w[:, None] * h).T @ h for w in weights.T]) for weights in (e, e**2))
    return log, first, second, (e**3).sum(axis=0), lost


def gathered(run, samples, chunk, threads):
    """Sums of `run` over samples in parts of a chunk, of how many, and whether Ctrl-C has ended them."""
    total, done = None, 0
    with Held() as hold, closing(in_threads(run, range(0, samples, chunk), threads)) as parts:
        for part in parts:
            total, done = part if total is None else joined(total, part), min(done + chunk, samples)
            if hold.pressed and done >= 2:
                break
    return total, done, hold.pressed


def joined(one, other):
    """Sums over the rollouts of two parts."""
    log = np.maximum(one[0], other[0])
    a, b = (np.exp(part[0] - _unit(log))[:, None, None] for part in (one, other))
    sums = [a**k * one[k] + b**k * other[k] for k in (1, 2)]
    return log, *sums, a[:, 0, 0] ** 3 * one[3] + b[:, 0, 0] ** 3 * other[3], one[4] + other[4]


def _unit(log):
    """The largest log weights, or 0 where all weights are 0."""
    return np.where(np.isneginf(log), 0.0, log)
