"""Sampling the distribution of a policy's cost over noisy closed-loop rollouts, and paired comparison of policies."""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from ppi_robotics import intervals
from ppi_robotics.checks import (
    check_count,
    check_function,
    check_instance,
    check_label,
    check_room,
    check_threads,
)
from ppi_robotics.errors import ProblemError
from ppi_robotics.interruption import Held
from ppi_robotics.kernels.compiler import ROLLOUT_LANES
from ppi_robotics.parallel import in_threads
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import Problem, check_problem
from ppi_robotics.rollouts import closed_loop
from ppi_robotics.statistics import INTERVALS, Evaluation, as_booleans, notes
from ppi_robotics.texts import as_table, share, with_interval


def evaluate(
    problem: Problem,
    policy: LinearGaussianPolicy,
    samples: int = 1000,
    seed: int = 0,
    stochastic: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    first: int = 0,
) -> Evaluation:
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
      KeyboardInterrupt: if Ctrl-C is pressed twice before the chunks under way are finished.
    """
    return _evaluate(problem, {"": policy}, samples, seed, stochastic, threads, progress, first)[""]


def compare(
    problem: Problem,
    policies: Mapping[str, LinearGaussianPolicy],
    samples: int = 1000,
    seed: int = 0,
    stochastic: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    first: int = 0,
) -> "Comparison":
    """Evaluate several policies on the same noise, and the differences of their costs sample by sample.

    Args:
      policies: dict from a name to a `LinearGaussianPolicy`; the first is the reference.
      others: as for `evaluate`.

    Returns:
      `Comparison`.

    Raises:
      ProblemError: as `evaluate`, or if `policies` is no dict from names to policies.
      KeyboardInterrupt: as `evaluate`.
    """
    if not isinstance(policies, Mapping) or not policies:
        given = "empty" if isinstance(policies, Mapping) else f"a {type(policies).__name__}"
        raise ProblemError(f"policies is {given}; expected a dict such as {{'iLQG': policy, 'PPI': policy}}")
    for name in policies:
        check_label(name, "a policy")
    evaluations = _evaluate(problem, policies, samples, seed, stochastic, threads, progress, first)
    reference = next(iter(evaluations))
    differences = {
        name: difference_of(evaluation.cost, evaluations[reference].cost)
        for name, evaluation in evaluations.items()
        if name != reference
    }
    return Comparison(evaluations, reference, differences)


@dataclass(frozen=True)
class Difference:
    """Cost of a policy minus cost of the reference, sample by sample on the same noise.

    Where samples diverged, the mean is inf, -inf or (both policies) nan, and the p-value nan; `wins` stays valid. Where
    one sample makes up nearly all of the variance, the interval is infinite and the p-value nan as well.

    Attributes:
      mean: of the difference; negative if the policy is better.
      standard_error: of the mean.
      interval: (low, high), 95 %, as `Evaluation.mean_interval`.
      p_value: of a mean difference this far from 0 on either side; below 0.05 where 0 is outside the interval.
      wins: share of the samples in which the policy is cheaper than the reference.
    """

    mean: float
    standard_error: float
    interval: tuple[float, float]
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

    evaluations: dict[str, Evaluation]
    reference: str
    differences: dict[str, Difference]

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C cut the evaluation short; all policies have the same samples then as well."""
        return self.evaluations[self.reference].interrupted

    def __str__(self) -> str:
        rows = [("policy", "mean", "std", "variance", "CVaR 95 %", "success", "difference", "p")]
        rows += [self._row(name, evaluation) for name, evaluation in self.evaluations.items()]
        first = self.evaluations[self.reference]
        note = (
            f"{first.samples} common samples, seed {first.seed}; {INTERVALS}; "
            f"difference: cost minus that of {self.reference}"
        )
        return "\n".join([*as_table(rows), note, *notes(self.evaluations)])

    def _row(self, name, e):
        difference = self.differences.get(name)
        return (
            name,
            with_interval(e.mean, e.mean_interval()),
            f"{e.std:.4g}",
            with_interval(e.variance, e.variance_interval()),
            with_interval(e.cvar(), e.cvar_interval()),
            "-" if e.success is None else share(e.success_rate, e.success_interval()),
            "-" if difference is None else with_interval(difference.mean, difference.interval),
            "-" if difference is None else _probability(difference.p_value),
        )


def _evaluate(problem, policies, samples, seed, stochastic, threads, progress, first):
    """Evaluations by name; chunks of the policies alternate, so that Ctrl-C leaves the same samples of each."""
    samples, first = _check_arguments(problem, policies, samples, threads, progress, first)
    loops = [closed_loop(problem, policy, seed, stochastic) for policy in policies.values()]
    costs, successes = _room(problem, len(loops), samples)
    chunk = min(_chunk(samples), *(loop.most for loop in loops))

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
    with Held() as hold:
        try:
            with closing(in_threads(run, tasks, threads)) as stops:
                for (_, which), stop in zip(tasks, stops, strict=True):
                    if which == len(loops) - 1:
                        done = stop
                        if progress is not None:
                            progress(done, samples)
                        if hold.pressed and done >= 2:
                            break
        except KeyboardInterrupt:
            if done < 2 or hold.insisted:
                raise
            interrupted = True
    interrupted |= hold.pressed
    seconds = time.perf_counter() - began
    how = (int(seed), int(first), bool(stochastic), interrupted, seconds, problem)
    return {
        name: Evaluation(costs[i, :done], None if successes is None else successes[i, :done], *how, policy)
        for i, (name, policy) in enumerate(policies.items())
    }


def _check_arguments(problem, policies, samples, threads, progress, first):
    check_problem(problem)
    for name, policy in policies.items():
        check_instance(
            policy, f"policy '{name}'" if name else "policy", LinearGaussianPolicy, "such as solution.policy"
        )
    samples = check_count(samples, "samples", 2)
    first = check_count(first, "first", 0, 2**62)  # sample indices are 64-bit integers
    check_threads(threads)
    check_function(progress, "progress", "samples done and samples")
    check_room(samples, len(policies) * (8 + (problem.success is not None)))
    return samples, first


def _chunk(samples):
    """Samples per task: about 64 tasks, so that threads finish together, of whole lanes and at least a millisecond."""
    blocks = min(max(samples // (64 * ROLLOUT_LANES), 4), 128)
    return blocks * ROLLOUT_LANES


def _room(problem, policies, samples):
    """Arrays for the costs and, with a criterion, the successes of all samples."""
    costs = np.empty((policies, samples))
    return costs, None if problem.success is None else np.zeros((policies, samples), dtype=bool)


def _succeeded(criterion, cost, final):
    """Successes (N,), asking the criterion only about final states (N, nx) of rollouts that did not diverge."""
    sound = np.isfinite(cost) & np.isfinite(final).all(axis=1)
    success = np.zeros(len(cost), dtype=bool)
    if sound.any():
        success[sound] = as_booleans(criterion(final[sound]), np.count_nonzero(sound))
    return success


def difference_of(cost: np.ndarray, reference: np.ndarray) -> Difference:
    """`Difference` of costs (N,) of the same samples; those that diverged are infinite."""
    wins = float(np.mean(cost < reference))
    lost, lost_reference = np.isinf(cost).any(), np.isinf(reference).any()
    if lost or lost_reference:
        mean = math.nan if lost and lost_reference else math.inf if lost else -math.inf
        return Difference(mean, math.inf, (-math.inf, math.inf), math.nan, wins)
    paired = Evaluation(cost - reference)
    interval = paired.mean_interval() or (-math.inf, math.inf)
    return Difference(paired.mean, paired.standard_error, interval, intervals.p_value(paired.cost), wins)


def _probability(p):
    return "<1e-16" if p < 1e-16 else f"{p:.2g}"
