"""One replan of receding-horizon control: the shifted warm start, the budget, whether it is adopted; and the report."""

import math
import time
from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import Problem
from ppi_robotics.solution import Solution, Status
from ppi_robotics.solver import solve_briefly
from ppi_robotics.steps.single_shooting import DampedIterate, SingleShooting, less_damping, more_damping


@dataclass(frozen=True, eq=False)
class PlanningReport:
    """How replanning went since the start or the last `reset`; as a string, two lines.

    Attributes:
      replans: number that ended, without the first plan; each was adopted or failed.
      adopted: number whose policy took over.
      failures: number after which the last policy went on: an exception, a lost status or no feedback.
      message: of the last failure, "" if there was none.
      misses: number that took longer than `deadline`, one that is still under way included.
      deadline: seconds that a replan may take: `replan_every` stages, or the budget if that is shorter.
      seconds: wall time of every replan, of the latest 10,000 if there were more, (n,).
      first_seconds: wall time of the first plan, 0 before it.
      first_deadline: seconds that the first plan might take: the budget, inf without one or if `prepare` made it.
    """

    replans: int
    adopted: int
    failures: int
    message: str
    misses: int
    deadline: float
    seconds: np.ndarray
    first_seconds: float
    first_deadline: float = math.inf

    @property
    def mean_seconds(self) -> float:
        """Mean wall time of a replan, nan without any."""
        return float(self.seconds.mean()) if len(self.seconds) else math.nan

    @property
    def max_seconds(self) -> float:
        """Longest wall time of a replan, nan without any."""
        return float(self.seconds.max()) if len(self.seconds) else math.nan

    def __str__(self) -> str:
        failed = f"{self.failures} failed" + (f" (last: {self.message})" if self.message else "")
        return (
            f"{self.replans} replans: {self.adopted} adopted, {failed}, "
            f"{self.misses} past the deadline of {1e3 * self.deadline:.3g} ms\n"
            f"{1e3 * self.mean_seconds:.3g} ms a replan on average, {1e3 * self.max_seconds:.3g} ms at most; "
            f"the first plan took {self.first_seconds:.3g} s"
            + (f" of {self.first_deadline:.3g} s" if math.isfinite(self.first_deadline) else "")
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """A solution and the stage of the state that it was planned from."""

    solution: Solution
    stage: int


@dataclass(frozen=True, slots=True)
class Request:
    """What a replan needs: the state at a stage, the plan to improve on, and the episode that it belongs to."""

    problem: Problem
    x: np.ndarray
    stage: int
    last: Planned
    episode: int


class Stopwatch:
    """Callback of `solve` that stops it where another iteration and the closing backward pass would exceed the budget.

    Args:
      seconds: budget, inf for none.
      cancelled: function that says whether the answer is no longer wanted.
    """

    def __init__(self, seconds, cancelled):
        self.seconds, self.cancelled = seconds, cancelled
        self.began = self.last = time.perf_counter()
        self.longest, self.stopped = 0.0, False

    def __call__(self, row):  # noqa: ARG002  (the protocol of callbacks)
        now = time.perf_counter()
        self.longest, self.last = max(self.longest, now - self.last), now
        self.stopped = now - self.began + 2 * self.longest > self.seconds or self.cancelled()
        return self.stopped


def improved(request: Request, method, seed: int, callback: Stopwatch) -> Solution:
    """`Solution` of one solve, warm-started by what is left of the last plan, if anything."""
    problem, passed = request.problem.starting_at(request.x, any_end, request.stage), request.stage - request.last.stage
    if passed >= problem.horizon:
        return solve_briefly(problem, method, seed, starts=1, callback=callback)
    guess = shifted(problem.plant, request.last.solution, passed)
    drawn = int(np.random.SeedSequence([seed, request.stage]).generate_state(1, np.uint64)[0])  # for what is sampled
    if hasattr(method, "moved_on"):
        method = method.moved_on(request.last.solution, passed, guess)
    return solve_briefly(problem, method, drawn, starts=1, policy=guess, callback=callback)


def damped(method, damping):
    """The method with the damping that the last plan ended with; as it is, if it takes none."""
    return method if getattr(method, "damping", damping) == damping else replace(method, damping=damping)


def damping_after(solution: Solution) -> float:
    """Damping that the next plan begins with: that of the next iteration, or 0 after convergence."""
    last = solution.trace[-1] if solution.trace else None
    if last is None or last.phase != SingleShooting.name or solution.status is Status.CONVERGED:
        return 0.0
    reached = DampedIterate(solution.x, solution.u, np.empty((0, 0)), damping=last.damping)
    return less_damping(reached)[1] if last.step else more_damping(reached).damping


def any_end(x):
    """Success of all final states (N, nx): the end of a receding horizon judges no plan."""
    return np.ones(len(x), dtype=bool)


def shifted(plant, solution: Solution, stages: int) -> LinearGaussianPolicy:
    """The policy of a solution without its first stages, fewer than T.

    Its reference is the solution's noise-free trajectory, at the end of which the last control is held and the state
    rolled on; there the last gain is held, too.
    """
    policy, T = solution.policy, solution.policy.horizon
    kept = np.minimum(np.arange(T) + stages, T - 1)
    x, u = solution.x[stages:], solution.u[kept]
    while len(x) < T:
        x = np.vstack((x, plant.step(x[-1:], u[-1:])))
    return replace(policy, x_ref=x[:T], u_ref=u, K=policy.K[kept], cov=policy.cov[kept])


def refusal(solution: Solution) -> str:
    """Why a solution is not to be adopted; "" if it is."""
    if solution.status.lost:
        return solution.explain()
    sampled = hasattr(solution.method, "samples")  # its feedback comes from no backward pass
    return "" if sampled or solution.sweep is not None else f"no feedback was found: {solution.explain()}"
