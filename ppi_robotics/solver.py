"""The one loop: initial guesses, the phases of a method, and the best policy of all starts."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import check_count, check_function, check_seed, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen
from ppi_robotics.guesses import agreed, cold_guess, cold_kind, in_vain, lowest, rival, still_guess, warm_guess
from ppi_robotics.interruption import Held
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import Method, Problem, Violation, check_problem, worst_violation
from ppi_robotics.rollouts import nominal_rollout
from ppi_robotics.solution import Feedback, Iteration, Solution, Start, Status, earned
from ppi_robotics.status import Breakdown
from ppi_robotics.steps.base import Schedule
from ppi_robotics.symbolic.plant import warn_of_long_stages
from ppi_robotics.values import largest_theta, risk_field

METHODS = "PPI, ILQG, LEQG, AICO, KLControl, PsiIteration, MPPI, CEM, PredictiveSampling"
MOST_ITERATIONS = 500  # of a method that does not say
HOPELESS = (Status.DIVERGED, Status.RISK_BREAKDOWN, Status.INFEASIBLE)  # later phases cannot go on from there
MOST_STARTS = 24  # where the number is left open
OTHERWISE = (0, 3, 5)  # of every six starts, those whose steps are of the other kind, after the first
MARGIN_TRIALS = 5
ASTRAY = 1e-6  # scales beyond a limit


def solve(
    problem: Problem,
    method: Method,
    seed: int = 0,
    starts: int | None = None,
    policy: LinearGaussianPolicy | None = None,
    trajectory: tuple[ArrayLike | None, ArrayLike] | None = None,
    callback: Callable[[Iteration], object] | None = None,
) -> Solution:
    """Find a feedback policy for a problem.

    Args:
      problem: `Problem`.
      method: `PPI(eta)`, `ILQG()`, `LEQG(theta)`, `AICO()`, `KLControl(...)`, `PsiIteration(eta)`, `MPPI(...)`,
        `CEM(...)`, `PredictiveSampling(...)`, or an object like them, see `Method`.
      seed: of the initial guesses and of what a method samples.
      starts: number of initial guesses; the best answer is kept and all are reported. By default as many as it takes,
        at most 24, until guesses and steps of different kinds agree on the lowest cost, which meets the problem's
        success criterion: four or more, two where there is one kind of steps and few of them lead there, or no second
        derivative; 1 if warm, and for methods that sample.
      policy: start from the closed loop of this policy.
      trajectory: start from states (T + 1, nx) and controls (T, nu), a pair; the states need not fit the dynamics, and
        None in their place takes the rollout.
      callback: called with every `Iteration`; returning True stops the solve.

    Returns:
      `Solution`. Not converging is a status of it, never an exception, and Ctrl-C returns the best found so far, marked
      `interrupted`; nothing better than the first guess's controls, if it comes that early. Where the risk weight is
      too averse, some ten solves from the risk-neutral path find the critical theta.

    Raises:
      ProblemError: if an argument cannot be used.
      KeyboardInterrupt: if Ctrl-C is pressed again before the answer to the first one is there.
    """
    return _solve(problem, method, seed, starts, policy, trajectory, callback, critical=True)


def solve_briefly(problem, method, seed, starts=None, policy=None, callback=None):
    """As `solve`, without a search for the critical theta: for controllers, which have no time for it."""
    return _solve(problem, method, seed, starts, policy, None, callback, critical=False)


def _solve(problem, method, seed, starts, policy, trajectory, callback, critical):
    began = time.perf_counter()
    with Held() as stop:
        runs = _run_starts(problem, method, seed, starts, policy, trajectory, callback, stop)
        best = lowest(runs)[0]
        if critical and best.outcome.status is Status.RISK_BREAKDOWN:
            best.find_critical_theta()
        if policy is None and trajectory is None:  # else there was a solve before
            warn_of_long_stages(problem.plant, best.outcome.x, best.outcome.u)
        solution = to_solution(problem, best, runs, time.perf_counter() - began)
    return replace(solution, interrupted=True) if stop.pressed and not solution.interrupted else solution


def _run_starts(problem, method, seed, starts, policy, trajectory, callback, stop):
    """`Run`s of all starts that are made; arguments as for `solve`, and the `Held` that knows of Ctrl-C."""
    check_task(problem, method)
    seed = check_seed(seed)
    check_function(callback, "callback", "an Iteration")
    warm = policy is not None or trajectory is not None
    if starts is not None:
        starts = check_count(starts, "starts", 1)
    most = starts or (1 if warm else getattr(method, "starts", MOST_STARTS))
    runs = []
    for index in range(most):
        given = warm and index == 0
        run = Run(problem, method, index, callback, seed, stop, given, None if starts else rival(runs))
        try:
            run.solve(
                *(
                    warm_guess(problem, policy, trajectory)
                    if given
                    else cold_guess(problem, seed, index, run.phases[0].free)
                )
            )
        except KeyboardInterrupt:  # in a guess, or anywhere by a caller's own handler
            if stop.insisted:
                raise
            run.give_up(*still_guess(problem))
        runs.append(run)
        if run.stopped or stop.pressed or (starts is None and (agreed(problem, runs) or in_vain(runs))):
            break
    return runs


def check_task(problem, method):
    """Raise `ProblemError` unless this is a problem and a method that can solve it."""
    check_problem(problem)
    offers = hasattr(method, "name") and callable(getattr(method, "plan", None))  # as `Method`, in less time
    if isinstance(method, type) or not offers:
        raise ProblemError(
            f"method is {shown(method)}; choose from {METHODS}, for instance PPI(eta=0.1), "
            "or give an object with `name` and `plan(problem)`"
        )
    schedule = method.plan(problem)  # refuses what it cannot solve, before any work
    if not isinstance(schedule, Schedule) or not schedule.is_complete:
        raise ProblemError(
            f"plan(problem) of method {shown(method.name)} returns {shown(schedule)}; expected a Schedule of at least "
            "one phase, such as ILQG().plan(problem)"
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a phase ended: status, objective, and the policy about its last iterate with what it was made from."""

    status: Status
    cost: float
    breakdown: Breakdown | None
    policy: LinearGaussianPolicy | None = None
    made: Feedback = Feedback(None, None)
    x: np.ndarray | None = None
    u: np.ndarray | None = None
    nominal: float = math.inf
    proposal: object = None
    last_reference: np.ndarray | None = None
    worst: Violation | None = None

    def __post_init__(self):
        object.__setattr__(self, "status", earned(self.status, self.cost))

    @property
    def rank(self):
        """Sorts answers of the method before what stands in for one, then by nominal cost.

        A proof that limits cannot be kept counts more than a path that has not come to keep them.
        """
        if self.status.lost:
            return 1, self.nominal
        astray = self.worst is not None and self.worst.size > ASTRAY and not self.status.solved
        return 2 if astray else 0, self.nominal


class Run:
    """One start: the phases of a method from one guess, their trace, and the outcome that counts."""

    def __init__(self, problem, method, index, callback, seed, stop, given=False, rival=None):
        self.seed = int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0])
        self.problem, self.method, self.index, self.callback = problem, method, index, callback
        self.trace, self.stopped, self.outcome, self.stop = [], False, None, stop
        self.neutral, self.schedule, self.rival = None, method.plan(problem), rival
        self.most = getattr(method, "max_iterations", MOST_ITERATIONS)
        self.phases = self.schedule.starting(index > 0 and index % 6 in OTHERWISE)
        first = self.phases[0]
        self.kind = "given" if given else cold_kind(index, first.free), first.name, first.exact

    def solve(self, x, u):
        """Run the phases one after the other, and the fallback where they do not converge."""
        schedule, guess, outcomes = self.schedule, (x, u), []
        for phase in self.phases:
            iterate, status = self._descend(phase, *guess, rival=None if outcomes else self.rival)
            outcomes.append(self._contain(phase, iterate, self._finish(phase, iterate, status)))
            guess = (iterate.x, iterate.u)
            if phase.lambda_transition == 0.0 and outcomes[-1].made.model is not None:
                self.neutral = outcomes[-1].made.model, guess
            if self.stopped or status in HOPELESS:
                break
        end = outcomes[-1]
        if not self._serves(end) and not self.stopped:
            others = [self._finish(phase, *self._descend(phase, x, u)) for phase in schedule.fallback]
            others += outcomes[:-1] if schedule.earlier else []
            end = min([end, *others], key=lambda outcome: (not self._serves(outcome), outcome.rank))
        if end.policy is None:  # an answer is kept even if a later phase failed
            best = min(outcomes, key=lambda outcome: outcome.nominal)
            best = best if best.policy is not None else self._open_loop(x, u)
            status = Status.DIVERGED if end.status.solved else end.status  # it converged on what cannot be followed
            end = replace(best, status=status, breakdown=end.breakdown)
        self.outcome = end

    def find_critical_theta(self):
        """Add to the breakdown of an averse phase the largest theta that the path before it allows."""
        averse = getattr(self.method, "lambda_transition", 0.0) < 0.0 and risk_field(self.method) is not None
        if self.neutral is not None and averse and self.outcome.breakdown is not None:
            critical = largest_theta(self.problem, self.method, *self.neutral, lambda: self.stop.pressed)
            self.outcome = replace(self.outcome, breakdown=replace(self.outcome.breakdown, critical=critical))

    def give_up(self, x, u):
        """End without a solve, with controls that stand for the answer."""
        self.stopped, self.outcome = True, replace(self._open_loop(x, u), status=Status.INTERRUPTED)

    def _serves(self, outcome):
        """Whether an outcome converged and, without noise, keeps the limits and meets the success criterion."""
        if not outcome.status.solved or outcome.policy is None or outcome.worst is not None:
            return False
        return self.problem.success is None or bool(self.problem.success(outcome.x[-1:])[0])

    def _descend(self, phase, x, u, most=None, rival=None):
        """The loop: advance until the phase ends, the callback asks to stop, or the iterations are used up."""
        phase = phase.seeded(self.seed)
        iterate = phase.begin(self.problem, x, u)
        try:
            for count in range(most or self.most):
                if iterate.status is not None:
                    break
                if rival is not None and count >= rival[0] and iterate.cost > rival[1]:
                    break
                if self.stop.pressed:
                    raise KeyboardInterrupt
                iterate, row = phase.advance(self.problem, iterate, len(self.trace) + 1)
                if row is not None and self._report(row):
                    return iterate, Status.INTERRUPTED
        except KeyboardInterrupt:
            if self.stop.insisted:
                raise
            self.stopped = True
            return iterate, Status.INTERRUPTED
        return iterate, iterate.status or Status.MAX_ITERATIONS

    def _contain(self, phase, iterate, outcome):
        """Solve again with a wider margin while the closed loop crosses a state limit that the path keeps."""
        begun = len(self.trace)
        for _ in range(MARGIN_TRIALS if outcome.status.solved else 0):
            left = self.most - (len(self.trace) - begun)
            if outcome.worst is None or self.stopped or left <= 0:
                break
            phase = phase.stricter(outcome.worst.size)
            if phase is None:
                break
            iterate, status = self._descend(phase, iterate.x, iterate.u, left)
            if not status.solved:
                break
            outcome = self._finish(phase, iterate, status)
        return outcome

    def _report(self, row):
        row = replace(row, start=self.index) if self.index else row
        self.trace.append(row)
        self.stopped = self.callback is not None and self.callback(row) is True
        return self.stopped

    def _finish(self, phase, iterate, status):
        """BackwardPass a last time about the iterate, and roll its policy out without noise."""
        outcome = Outcome(status, iterate.cost, iterate.breakdown)
        if not iterate.completed or not np.isfinite(iterate.x).all():
            return outcome
        made = phase.conclude(self.problem, iterate, self.method)
        if made.breakdown is not None:
            return replace(outcome, breakdown=made.breakdown)
        policy = self._policy(iterate.x[:-1], iterate.u if made.u is None else made.u, made.K, made.cov)
        x, u, nominal = nominal_rollout(self.problem, policy)
        if not math.isfinite(nominal):
            return outcome
        worst = worst_violation(self.problem, x, u)
        if status is Status.INFEASIBLE and worst is None:  # its rollout shows that there is a way
            status = Status.NO_DESCENT
        return replace(
            outcome,
            status=status,
            policy=policy,
            made=made,
            x=x,
            u=u,
            nominal=nominal,
            proposal=phase.proposal(iterate),
            last_reference=frozen(iterate.x[-1]),
            worst=worst,
        )

    def _policy(self, x, u, K, cov):
        plant = self.problem.plant
        return LinearGaussianPolicy(
            x, u, K, cov, plant.dt, plant.name, plant.state_names, plant.control_names, plant.quaternions
        )

    def _open_loop(self, x, u):
        """The guess's controls without feedback: the answer where no sweep led to a policy."""
        T, nu = u.shape
        policy = self._policy(x[:-1], u, np.zeros((T, nu, self.problem.plant.ndx)), np.zeros((T, nu, nu)))
        x, u, nominal = nominal_rollout(self.problem, policy)
        worst = worst_violation(self.problem, x, u)
        return Outcome(Status.DIVERGED, nominal, None, policy, x=x, u=u, nominal=nominal, worst=worst)


def report(run):
    """`Start` of a run."""
    outcome = run.outcome
    guess, steps, exact = run.kind
    steps += ", exact" if exact else ""
    return Start(run.index, outcome.status, len(run.trace), float(outcome.cost), outcome.nominal, guess, steps)


def to_solution(problem, best, runs, seconds):
    """`Solution` of the best run."""
    outcome = best.outcome
    return Solution(
        policy=outcome.policy,
        initial=problem.initial,
        model=outcome.made.model,
        sweep=outcome.made.sweep,
        x=frozen(outcome.x),
        u=frozen(outcome.u),
        cost=float(outcome.cost),
        nominal_cost=outcome.nominal,
        status=outcome.status,
        breakdown=outcome.breakdown,
        trace=tuple(best.trace),
        starts=tuple(report(run) for run in runs),
        seconds=seconds,
        interrupted=any(run.stopped for run in runs),
        method=best.method,
        samples=outcome.made.samples,
        proposal=outcome.proposal,
        last_reference=outcome.last_reference,
        worst=outcome.worst,
    )
