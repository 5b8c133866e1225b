"""Receding-horizon control: plan again and again from the newest state, with the last policy's feedback in between.

A plan made at stage s from the state x_s acts at stage t >= s as

    u_t = clip(u_ref_{t-s} + K_{t-s} (x_t - x_ref_{t-s})),

and warm-starts the next one by its closed loop, shifted by the stages that have passed: Y. Tassa, T. Erez, E. Todorov,
*Synthesis and stabilization of complex behaviors through online trajectory optimization* (IROS 2012). With few
iterations a replan this is the real-time iteration of M. Diehl, H. G. Bock and J. P. Schlöder (SIAM Journal on Control
and Optimization 43, 2005).
"""

import math
import threading
import time
import weakref
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import as_state, check_count, check_flag, check_instance, check_number, check_seed
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen
from ppi_robotics.interruption import Held
from ppi_robotics.mpc.replanning import (
    Planned,
    PlanningReport,
    Request,
    Stopwatch,
    damped,
    damping_after,
    improved,
    refusal,
)
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.solver import check_task, solve_briefly

if TYPE_CHECKING:
    from ppi_robotics.problem import Method, Problem
    from ppi_robotics.solution import Solution

KEPT = 10_000  # durations of replans that a report knows


class RecedingHorizon:
    """Model-predictive control of any plant; `command` is called once per control stage.

    The first plan is made by `prepare`, or else by the first `command`. `prepare` runs a full `solve` at the first
    state, with the default number of iterations and starts of the method's class, however long that takes, and so does
    `command` without a budget. With a budget `command` uses a single start and stops in time, except that the initial
    guess, one iteration and the compilation of kernels are always completed. `report` says how long it took.
    Later plans run the method's own `max_iterations`, so that `ILQG(max_iterations=3)` is a real-time iteration; ending
    before convergence is no failure. Plants with control limits replan fastest with `ILQG(limits="box")`, because the
    interior point has to approach its barriers from the start in every replan.

    A replan is not adopted if it raises, diverges, ends as indefinite or with a risk breakdown, has no feedback, or
    starts from a state outside the plant's state limits. The last policy then continues, beyond its end with its last
    stage, and `report` counts a failure.

    Without `threaded`, `command` replans in line, and the same states give the same controls bit for bit unless a
    budget cuts replans short. With it, a thread replans from the newest state while `command` returns at once with the
    feedback of the last finished policy; only the first plan blocks. `close` it, or use it in a `with` statement.

    Args:
      problem: `Problem`. Every plan has its horizon, and its initial covariance about the measured state.
      method: as for `solve`.
      replan_every: stages from one replan to the next, 1 to the horizon.
      budget_ms: wall milliseconds for a plan. No iteration starts that could not be finished, with the closing backward
        pass, in the time left; the first one always runs. None for no bound.
      seed: of the initial guesses of the first plan.
      threaded: whether a thread replans.
      policy: `LinearGaussianPolicy` that the first plan starts from instead of initial guesses.
      first: method of the first plan, with its own `max_iterations`; `method` by default.

    Raises:
      ProblemError: if an argument cannot be used.
    """

    def __init__(
        self,
        problem: "Problem",
        method: "Method",
        replan_every: int = 1,
        budget_ms: float | None = None,
        seed: int = 0,
        threaded: bool = False,
        policy: LinearGaussianPolicy | None = None,
        first: "Method | None" = None,
    ) -> None:
        check_task(problem, method)
        if first is None:
            most = getattr(type(method), "max_iterations", 0)
            first = replace(method, max_iterations=max(method.max_iterations, most)) if most else method
        else:
            check_task(problem, first)
        replan_every = check_count(replan_every, "replan_every", 1, problem.horizon)
        seed = check_seed(seed)
        if budget_ms is not None:
            check_number(budget_ms, "budget_ms", above=0)
        if policy is not None:
            check_instance(policy, "policy", LinearGaussianPolicy, "or None to start cold")
            policy.check(problem)
        self._problem, self._method, self._every, self._seed = problem, method, replan_every, seed
        self._first, self._start = first, policy
        # the next replan computes the gains again
        self._later = replace(method, fresh_gains=False) if getattr(method, "fresh_gains", False) else method
        self._budget = math.inf if budget_ms is None else 1e-3 * float(budget_ms)
        self._deadline = min(replan_every * problem.plant.dt, self._budget)
        self._threaded, self._thread, self._closed = check_flag(threaded, "threaded"), None, False
        self._changed, self._episode = threading.Condition(), 0  # the condition's lock guards all that follows
        self._forget()

    def _forget(self):
        self._episode += 1
        self._planned, self._stage, self._asked, self._damping = None, 0, 0, 0.0
        self._pending = None
        self._began = None  # clock time at which the replan under way began, inf once it counts as late
        self._adopted, self._failures, self._message, self._misses = 0, 0, "", 0
        self._seconds, self._first_seconds, self._first_deadline = deque(maxlen=KEPT), 0.0, math.inf

    # -- the control loop's side -----------------------------------------------------------------------------------

    @property
    def solution(self) -> "Solution | None":
        """The `Solution` whose policy acts, None before the first plan."""
        return None if self._planned is None else self._planned.solution

    @property
    def policy(self) -> LinearGaussianPolicy | None:
        """The policy that acts, None before the first plan."""
        return None if self._planned is None else self._planned.solution.policy

    def prepare(self, x: ArrayLike | None = None) -> None:
        """Make the first plan, from a state (nx,) or the problem's initial mean, and start counting stages at it.

        It takes as long as it takes, whatever the budget.

        Raises:
          ProblemError: if the state cannot be used.
          SolveError: if no policy is found.
        """
        x = self._problem.initial.mean if x is None else self._checked(x)
        self.reset()
        self._plan_first(x, math.inf)

    def _plan_first(self, x, budget):
        """Make the first plan from a state (nx,) within a number of seconds."""
        stopwatch = Stopwatch(budget, lambda: False)
        starts, callback = (None, None) if budget == math.inf else (1, stopwatch)
        problem = self._problem.starting_at(x)
        solution = solve_briefly(problem, self._first, self._seed, starts, self._start, callback=callback)
        if solution.interrupted and not stopwatch.stopped:
            raise KeyboardInterrupt
        if refusal(solution):
            solution.raise_for_status()
        with self._changed:
            self._planned, self._first_deadline, self._damping = Planned(solution, 0), budget, damping_after(solution)
            self._first_seconds = time.perf_counter() - stopwatch.began

    def command(self, x: ArrayLike) -> np.ndarray:
        """Control (nu,) within the limits for the state x (nx,) of this stage; the next call is for the next stage.

        Raises:
          ProblemError: if the state cannot be used, or after `close`.
          SolveError: if the first plan finds no policy.
        """
        x = self._checked(x)
        if self._planned is None:
            self.reset()
            self._plan_first(x, self._budget)
        with self._changed:
            request = self._request(x)
            if self._threaded:
                self._hand_over(request)
        if request is not None and not self._threaded:
            self._asked = request.stage
            self._replan(request)
        with self._changed:
            planned, stage = self._planned, self._stage
            self._stage += 1
        policy = planned.solution.policy
        u = policy.mean(min(stage - planned.stage, policy.horizon - 1), x)
        return np.clip(u, *self._problem.plant.control_limits.T)

    def retarget(self, problem: "Problem") -> None:
        """Continue with another problem of the same plant and horizon, for instance another goal; replans at once.

        Raises:
          ProblemError: if plant or horizon are others, or the method cannot solve it.
        """
        check_task(problem, self._method)
        plant, own = problem.plant, self._problem.plant
        same = (plant.name, plant.nx, plant.ndx, plant.nu, plant.dt) == (own.name, own.nx, own.ndx, own.nu, own.dt)
        if not same or problem.horizon != self._problem.horizon:
            raise ProblemError(
                f"the new problem has {plant!r} and horizon {problem.horizon}, this controller {own!r} and "
                f"{self._problem.horizon}; make another RecedingHorizon"
            )
        with self._changed:
            self._problem, self._asked, self._pending = problem, -math.inf, None

    def reset(self) -> None:
        """Forget the plan and the counts; the next `command` makes a first plan."""
        if self._closed:
            raise ProblemError("this RecedingHorizon is closed; make another one")
        with self._changed:
            self._forget()

    def report(self) -> PlanningReport:
        """`PlanningReport` up to here."""
        with self._changed:
            self._note_miss()
            counts = self._adopted + self._failures, self._adopted, self._failures, self._message, self._misses
            first = self._first_seconds, self._first_deadline
            return PlanningReport(*counts, self._deadline, frozen(self._seconds), *first)

    def close(self) -> None:
        """Stop the thread after its current iteration; `command` cannot be called any more, `report` can."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> "RecedingHorizon":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _checked(self, x):
        if self._closed:
            raise ProblemError("this RecedingHorizon is closed; make another one")
        return frozen(as_state(x, "x", self._problem.plant.nx))

    def _request(self, x):
        """The replan that is due at this stage, or None."""
        if self._stage - self._asked < self._every:
            return None
        return Request(self._problem, x, self._stage, self._planned, self._episode)

    # -- the planner's side ----------------------------------------------------------------------------------------

    def _hand_over(self, request):
        if self._thread is None:
            # a weak reference: the thread must not keep alive a controller that nobody uses or has closed
            self._thread = threading.Thread(
                target=work, args=(weakref.ref(self), self._changed), name="receding horizon", daemon=True
            )
            self._thread.start()
            weakref.finalize(self, wake, self._changed).atexit = False
        self._note_miss()
        if request is not None:
            self._pending = request  # replaces an older state that still waits
            self._changed.notify()

    def _take(self):
        """The newest request, taken off the queue."""
        # a plan adopted since the request was made is the better one to start from
        request, self._pending = replace(self._pending, last=self._planned), None
        self._asked, self._began = request.stage, time.perf_counter()
        return request

    def _replan(self, request):
        """Solve for a request and adopt or refuse the answer; whatever goes wrong, the last policy keeps acting."""
        began, solution = time.perf_counter(), None
        stopwatch = Stopwatch(self._budget, lambda: self._closed or request.episode != self._episode)
        try:
            with Held() as hold:
                solution = improved(request, damped(self._later, self._damping), self._seed, stopwatch)
            message = refusal(solution)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - began
        if hold.pressed or (solution is not None and solution.interrupted and not stopwatch.stopped):
            raise KeyboardInterrupt  # solve has answered Ctrl-C; the control loop must see it, too
        with self._changed:
            if self._closed or request.episode != self._episode:
                return
            self._record(request, solution, message, seconds)

    def _record(self, request, solution, message, seconds):
        self._note_miss(seconds)
        self._began = None
        self._seconds.append(seconds)
        if solution is not None:
            self._damping = damping_after(solution)
        if message:
            self._failures, self._message = self._failures + 1, message
        else:
            self._adopted, self._planned = self._adopted + 1, Planned(solution, request.stage)

    def _note_miss(self, seconds=None):
        """Count the replan that ends after some seconds, or is under way, if it is late; once."""
        if seconds is None:
            seconds = 0.0 if self._began is None else time.perf_counter() - self._began
        if seconds > self._deadline and self._began != math.inf:
            self._misses += 1
            self._began = math.inf

    # -- copies ----------------------------------------------------------------------------------------------------

    def __getstate__(self):
        with self._changed:
            return vars(self) | {"_changed": None, "_thread": None, "_pending": None, "_began": None}

    def __setstate__(self, state):
        vars(self).update(state | {"_changed": threading.Condition()})


def work(reference, changed):
    """The thread of a controller: take the newest request and replan, until it is closed or no longer used."""
    while True:
        with changed:
            while True:
                controller = reference()
                if controller is None or controller._closed:
                    return
                if controller._pending is not None:
                    break
                del controller
                if reference() is None:  # dropped later, it wakes this thread once the lock is free
                    return
                changed.wait()
            request = controller._take()
        controller._replan(request)
        del controller, request


def wake(changed):
    """Let a thread see that its controller is gone."""
    with changed:
        changed.notify_all()
