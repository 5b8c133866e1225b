"""What the stages of a solve have in common: where they stand, the local model about it, how they end with a policy.

A phase turns an iterate into the next one; `solver.solve` is the loop around it. Each expands the problem, sweeps
backward with its lambda_transition, and differs in what it does with the step.
"""

import math
from dataclasses import dataclass

import numpy as np

from ppi_robotics.kernels.trajectories import farthest, largest, moved
from ppi_robotics.linearize import SigmaPoints, statistical, taylor
from ppi_robotics.manifold import difference
from ppi_robotics.recursion import backward
from ppi_robotics.scales import along, tangent
from ppi_robotics.solution import Feedback, Status
from ppi_robotics.status import Breakdown
from ppi_robotics.streams import DIVERGED

RATIO = 1e-4  # of the predicted decrease, which an accepted step must reach
ROUGH = 1e-6  # relative changes of the cost that are not worth an iteration without second derivatives


@dataclass(frozen=True, slots=True)
class Iterate:
    """Where a phase stands; each phase adds what it carries along.

    Attributes:
      x, u: (T + 1, nx), (T, nu).
      w: disturbances (T, nw), zero where lambda_transition is.
      cost: the phase's objective, inf before the first evaluation.
      status: why the phase ended, or None while it goes on.
      completed: whether a backward pass was completed.
      breakdown: of the last one that was not.
      damping: Levenberg-Marquardt damping of the next one.
    """

    x: np.ndarray
    u: np.ndarray
    w: np.ndarray
    cost: float = math.inf
    status: Status | None = None
    completed: bool = False
    breakdown: Breakdown | None = None
    damping: float = 0.0


class Phase:
    """What phases have in common: `begin` at a guess, `advance` until a status, and `conclude` with a policy.

    A phase is `free` if its paths need not obey the dynamics before it ends, and `exact` if it takes their second
    derivatives. It sees states as far as its sigma `points` reach, or their derivatives only where those are None.
    """

    name = "steps"  # for the trace
    lambda_transition = 0.0
    points: SigmaPoints | None = None
    free = exact = False

    def seeded(self, seed: int) -> "Phase":  # noqa: ARG002
        """The phase with a seed for what it draws: nothing, unless it samples."""
        return self

    def stricter(self, violation: float) -> "Phase | None":  # noqa: ARG002
        """The phase with more room to the limits of the states, where its policy has left them by so many scales.

        None if it cannot keep away from them.
        """

    def proposal(self, iterate):  # noqa: ARG002
        """What a phase that samples would draw from next, else None."""

    def begin(self, problem, x, u) -> Iterate:
        """The iterate at a guess x (T + 1, nx), u (T, nu)."""
        raise NotImplementedError

    def advance(self, problem, iterate, index) -> tuple:
        """The next iterate, and `Iteration` number `index` or None."""
        raise NotImplementedError

    def expand(self, problem, iterate):
        """Local model about the iterate, and bounds (T, nu, 2) of the feedforward or None."""
        return self.local_model(problem, iterate), None

    def local_model(self, problem, iterate, covariances=None):
        """Model about the iterate: by sigma points that stand for covariances where there are such, else Taylor's."""
        if self.points is None or covariances is None:
            return taylor(problem, iterate.x, iterate.u)
        return statistical(problem, iterate.x, iterate.u, covariances, self.points)

    def conclude(self, problem, iterate, method) -> Feedback:
        """Feedback about the last iterate."""
        return Feedback.of(*self.last_pass(problem, iterate, method))

    def last_pass(self, problem, iterate, method):
        """Local model about the last iterate and the backward pass that makes the policy, damped as far as it must be.

        It has the method's weights, or the phase's own risk weight where the method's has no finite value.
        """
        model, box = self.expand(problem, iterate)
        level = max(iterate.damping, 1e-6)
        for weight in (getattr(method, "lambda_transition", self.lambda_transition), self.lambda_transition):
            for more in (0.0, level, 1e3 * level, 1e6 * level, 1e9 * level):
                price = along(problem, iterate.x, iterate.u, iterate.cost).damping(more) if more else (0.0, 0.0)
                sweep = backward(model, getattr(method, "lambda_policy", math.inf), weight, damping=price, box=box)
                if sweep.breakdown is None:
                    return model, sweep
                if more and sweep.breakdown.kind != "indefinite":
                    break
        return model, sweep


@dataclass(frozen=True)
class Schedule:
    """Phases of a method on a problem.

    Attributes:
      phases: run one after the other, each from where the one before ended.
      fallback: run from the initial guess where the last phase does not serve: it does not converge, or its policy,
        without noise, misses the problem's success criterion or a limit.
      other: takes the place of the first phase in some starts: it ends at the same optima, but may find others, by
        steps of another kind.
      earlier: whether the path of an earlier phase takes the last one's place where that does not serve.
    """

    phases: tuple[Phase, ...]
    fallback: tuple[Phase, ...] = ()
    other: Phase | None = None
    earlier: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether there is a phase, and all others are phases as well."""
        if not (isinstance(self.phases, tuple) and self.phases and isinstance(self.fallback, tuple)):
            return False
        return all(isinstance(phase, Phase) for phase in (*self.phases, *self.fallback, self.other or self.phases[0]))

    def starting(self, otherwise: bool) -> tuple[Phase, ...]:
        """Phases of a start, the first of them the other one if so wanted and there is one."""
        return (self.other, *self.phases[1:]) if otherwise and self.other is not None else self.phases


def whole_step(problem, iterate, dx, du):
    """States and controls after a whole step, and how far it goes.

    Returns:
      x (T + 1, nx), u (T, nu), largest |dx| and |du| over the sizes along the new path, and largest states and controls
      over their scales.
    """
    plant, scales = problem.plant, problem.scales
    x, u = np.empty_like(iterate.x), np.empty_like(du)
    if plant.quaternions:
        x[:] = plant.retract(iterate.x, dx)
        along_path = tangent(plant, x)
        dx_size, x_size = moved(along_path - dx, dx, 1.0, np.empty_like(dx), scales.state)
    else:
        dx_size, x_size = moved(iterate.x, dx, 1.0, x, scales.state)
    du_size, u_size = moved(iterate.u, du, 1.0, u, scales.control)
    return x, u, dx_size, du_size, x_size, u_size


def change_of(problem, before, after):
    """Largest change of a state or control between two paths (x, u), over its size along the latter."""
    plant, scales, (x, u), (xn, un) = problem.plant, problem.scales, before, after
    if plant.quaternions:
        xn, x = tangent(plant, xn), tangent(plant, xn) + difference(x, xn, plant.quaternions)
    return max(farthest(x, xn, scales.state), farthest(u, un, scales.control))


def beyond(problem, x):
    """Whether any of the states x (N, nx), finite ones, is as far as only those that diverge."""
    return largest(tangent(problem.plant, x) if problem.plant.quaternions else x, problem.scales.state) > DIVERGED


def broke_down(breakdown):
    """Status of a backward pass that broke down."""
    by_kind = {"risk": Status.RISK_BREAKDOWN, "indefinite": Status.INDEFINITE, "non-finite": Status.DIVERGED}
    return by_kind[breakdown.kind]


def disturbance_gain(model, sweep):
    """Gain (T, nw, nx) of the disturbances w = -lS G'(P~m + p~) in the deviation of the state, under the policy."""
    toward = np.swapaxes(-sweep.lambda_transition * model.G, 1, 2)
    return np.ascontiguousarray(toward @ sweep.P_ahead @ (model.A + model.B @ sweep.K))


def objective(problem, x, u, w, lambda_transition):
    """Cost of a path and its disturbances: M = sum C_t + C_T + sum |w_t|^2 / 2 lambda_transition."""
    return problem.cost.trajectory(x, u) + price(w, lambda_transition)


def price(w, lambda_transition):
    """Price of disturbances, |w|^2 / 2 lambda_transition."""
    return 0.5 / lambda_transition * float(np.vdot(w, w)) if lambda_transition else 0.0
