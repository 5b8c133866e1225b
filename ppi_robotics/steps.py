"""How far to go and when to accept: the phases that a method is made of.

A phase turns an iterate into the next one; `solver.solve` is the loop around it. Each expands the problem, sweeps
backward with its lambda_transition, and differs in what it does with the step.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.expansion import taylor
from ppi_robotics.kernels.trajectories import costates, largest, moved
from ppi_robotics.messages import Breakdown, backward, forward, joint_spread
from ppi_robotics.newton import Newton
from ppi_robotics.rollouts import Shooting, no_limits
from ppi_robotics.sigma_points import SigmaPoints
from ppi_robotics.solution import Iteration, Status
from ppi_robotics.statistical import statistical

RATIO = 1e-4  # of the predicted decrease, which an accepted step must reach
STEPS = 10.0 ** np.linspace(0.0, -3.0, 11)  # step lengths of Tassa's line search
DAMPING_MAX = 1e10
DIVERGED = 1e5  # largest |x| of an iterate


@dataclass(frozen=True, slots=True)
class Iterate:
    """Where a phase stands.

    Attributes:
      x, u: (T + 1, nx), (T, nu).
      w: disturbances (T, nw), zero where lambda_transition is.
      cost: the phase's objective, inf before the first evaluation.
      status: why the phase ended, or None while it goes on.
      swept: whether a backward sweep was completed.
      breakdown: of the last sweep that was not.
      damping, growth: Levenberg-Marquardt damping and the factor of its last change.
      spread: covariances of (x_t, u_t) and of x_T, which sigma points stand for; None for none.
      memory: what else a phase carries.
    """

    x: np.ndarray
    u: np.ndarray
    w: np.ndarray
    cost: float = math.inf
    status: Status | None = None
    swept: bool = False
    breakdown: Breakdown | None = None
    damping: float = 0.0
    growth: float = 1.0
    memory: object = None
    spread: tuple | None = None


class Phase:
    """What phases have in common: `begin` at a guess, `advance` until a status, and `conclude` with a policy."""

    lambda_transition = 0.0
    points = None

    def local_model(self, problem, iterate):
        """Model about the iterate: by sigma points where the phase has some and the iterate a spread, else Taylor's."""
        if self.points is None or iterate.spread is None:
            return taylor(problem, iterate.x, iterate.u)
        return statistical(problem, iterate.x, iterate.u, iterate.spread, self.points)

    def conclude(self, problem, iterate, method):
        """Local model about the last iterate and the sweep that makes the policy.

        The sweep has the method's weights, or the phase's own risk weight where the method's has no finite value.
        """
        model, box = self.expand(problem, iterate)
        level = max(iterate.damping, 1e-6)
        for weight in (method.lambda_transition, self.lambda_transition):
            for more in (0.0, level):
                sweep = backward(model, method.lambda_policy, weight, damping=(more, more), box=box)
                if sweep.breakdown is None:
                    return model, sweep
        return model, sweep


def more_damping(iterate):
    """The iterate with the damping raised, after the schedule of Tassa, Mansard and Todorov (2014)."""
    growth = max(1.6 * iterate.growth, 1.6)
    return replace(iterate, growth=growth, damping=max(growth * iterate.damping, 1e-6))


def less_damping(iterate):
    """Growth and damping after a success: lowered, to 0 below 1e-6."""
    growth = min(iterate.growth / 1.6, 1 / 1.6)
    damping = growth * iterate.damping
    return growth, damping if damping > 1e-6 else 0.0


def box_about(u, limits):
    """Bounds (T, nu, 2) of changes of the controls u (T, nu)."""
    return limits - u[:, :, None]


def broke_down(breakdown):
    """Status of a sweep that broke down."""
    by_kind = {"risk": Status.RISK_BREAKDOWN, "indefinite": Status.INDEFINITE, "non-finite": Status.DIVERGED}
    return by_kind[breakdown.kind]


def objective(problem, x, u, w, lambda_transition):
    """Cost of a path and its disturbances: M = sum C_t + C_T + sum |w_t|^2 / 2 lambda_transition."""
    return problem.cost.trajectory(x, u) + price(w, lambda_transition)


def price(w, lambda_transition):
    """Price of disturbances, |w|^2 / 2 lambda_transition."""
    return 0.5 / lambda_transition * float(np.vdot(w, w)) if lambda_transition else 0.0


def noise_cost(price, x, u):
    """Expected cost of noise that grows with state and control, for its price N (T, nx + nu, nx + nu) or 0 rows."""
    if not len(price):
        return 0.0
    z = np.hstack((x[:-1], u))
    return 0.5 * float(np.einsum("ti,tij,tj->", z, price, z))


@dataclass(frozen=True)
class FullSteps(Phase):
    """Multiple shooting with full steps: the iterated extended Kalman smoother.

    States are iterates of their own, joined only at convergence, so that a start need not obey the dynamics.

    Attributes:
      lambda_transition: at least 0.
      tolerance: converged once no state or control changes by more.
      points: `SigmaPoints` that stand for the belief in the local models; None takes derivatives at its mean.
    """

    lambda_transition: float = 0.0
    tolerance: float = 1e-5
    points: SigmaPoints | None = None
    name = "full steps"

    def begin(self, problem, x, u):
        """Iterate at a guess."""
        w = np.zeros((len(u), problem.plant.noise.columns))
        plain = self.points is None and Newton.applies(problem)
        return Iterate(x, u, w, memory=Newton(problem) if plain else None)

    def expand(self, problem, iterate):
        """Local model about the iterate, and bounds of the feedforward."""
        return self.local_model(problem, iterate), None

    def advance(self, problem, iterate, index):
        """Expand, sweep backward and forward, take the whole step."""
        newton, step = iterate.memory, None
        if newton is not None:
            step = newton.full_step(iterate.x, iterate.u, iterate.w, self.lambda_transition)
        if step is None:
            step = self._step(problem, iterate)
        if isinstance(step, Breakdown):
            return replace(iterate, status=broke_down(step), breakdown=step), None
        x, u, w, (cost, defect, dx_size, du_size, x_size, u_size), *spread = step
        if not dx_size + du_size + u_size < math.inf or x_size > DIVERGED:
            return replace(iterate, status=Status.DIVERGED), None
        change = max(dx_size, du_size)
        # the cost is that of the path that was expanded: the next one's comes with its own expansion
        still = abs(cost - iterate.cost) < 1e-7 * abs(cost) and change < 100 * self.tolerance
        status = Status.CONVERGED if change < self.tolerance or still else None
        if status is not None and self.points is None:
            cost = objective(problem, x, u, w, self.lambda_transition)
        row = Iteration(index, self.name, cost, defect, change, 1.0, 0.0, 0.0)
        return Iterate(x, u, w, cost, status, True, None, 0.0, 1.0, newton, *spread), row

    def _step(self, problem, iterate):
        """What `Newton.full_step` returns and, with sigma points, the spread; or the `Breakdown` of the sweep."""
        model, _ = self.expand(problem, iterate)
        sweep = backward(model, math.inf, self.lambda_transition)
        if sweep.breakdown is not None:
            return sweep.breakdown
        dx, du, w, _ = forward(model, sweep)
        x, u = np.empty_like(dx), np.empty_like(du)
        (dx_size, x_size), (du_size, u_size) = moved(iterate.x, dx, 1.0, x), moved(iterate.u, du, 1.0, u)
        cost = float(model.c0.sum()) + price(iterate.w, self.lambda_transition)
        spread = None if self.points is None else joint_spread(model, sweep, problem.initial.cov, True)
        return x, u, w, (cost, largest(model.d), dx_size, du_size, x_size, u_size), spread


@dataclass(frozen=True)
class DampedShooting(Phase):
    """Single shooting with Levenberg-Marquardt damping and a line search: iLQG, and DDP with exact second derivatives.

    With lambda_transition > 0 the disturbances are controls too, u and w both follow the sweep's feedback, and the
    objective is PPI's merit.

    Attributes:
      lambda_transition: at least 0.
      exact: second derivatives of the dynamics, weighted by the costates, join the cost's Hessian.
      box: keep the control limits by box-constrained steps (Tassa, Mansard and Todorov, ICRA 2014).
      tolerance: converged once an accepted step lowers the cost by a smaller fraction.
    """

    lambda_transition: float = 0.0
    exact: bool = False
    box: bool = False
    tolerance: float = 1e-9
    name = "damped shooting"

    def begin(self, problem, x, u):
        """Iterate on the rollout of the guess's controls; its states are not used."""
        plant = problem.plant
        limits = plant.control_limits if self.box else no_limits(plant.nu)
        shooting = Shooting(problem, limits, 1.0 / self.lambda_transition if self.lambda_transition else 0.0)
        x, u, cost = shooting.rollout(x, u, np.zeros((len(u), plant.nu, plant.nx)))
        status = None if math.isfinite(cost) else Status.DIVERGED
        plain = not (self.lambda_transition or self.exact or self.box) and Newton.applies(problem)
        memory = Newton(problem) if plain else None, shooting
        return Iterate(x, u, np.zeros((len(u), plant.noise.columns)), cost, status, damping=1.0, memory=memory)

    def expand(self, problem, iterate):
        """Local model about the iterate, and bounds of the feedforward."""
        model = taylor(problem, iterate.x, iterate.u)
        if self.exact:
            adjoint = np.empty_like(model.d)
            costates(model.A, model.cx, adjoint)
            model = taylor(problem, iterate.x, iterate.u, adjoint)
        return model, box_about(iterate.u, problem.plant.control_limits) if self.box else None

    def advance(self, problem, iterate, index):
        """Expand about the rollout, sweep, and search along the closed loop."""
        newton, step = iterate.memory[0], None
        if newton is not None:
            limits = no_limits(problem.plant.nu)
            step = newton.damped_step(iterate.x, iterate.u, iterate.cost, iterate.damping, STEPS, RATIO, limits)
        if step is None:
            step = self._step(problem, iterate)
        if isinstance(step, Breakdown):
            return self._retreat(replace(iterate, breakdown=step), index, broke_down(step))
        n, merit, before, x, u, w, slope, change = step
        small = -slope <= self.tolerance * abs(before)
        if n < 0 and small and iterate.damping < 1e-5:
            after = replace(iterate, cost=before, swept=True, status=Status.CONVERGED)
            return after, self._row(index, before, 0.0, 0.0, iterate)
        if n < 0:
            return self._retreat(replace(iterate, cost=before, swept=True), index, Status.NO_DESCENT)
        settled = before - merit < self.tolerance * abs(before) and iterate.damping < 1e-5
        status = Status.CONVERGED if settled else None
        growth, damping = less_damping(iterate)
        after = Iterate(x, u, iterate.w if w is None else w, merit, status, True, None, damping, growth, iterate.memory)
        return after, self._row(index, merit, change, STEPS[n], iterate)

    def _step(self, problem, iterate):
        """What `Newton.damped_step` returns, or the `Breakdown` of the sweep."""
        model, box = self.expand(problem, iterate)
        sweep = backward(model, math.inf, self.lambda_transition, damping=(0.0, iterate.damping), box=box)
        if sweep.breakdown is not None:
            return sweep.breakdown
        disturbance, risk_slope = self._disturbance(model, sweep, iterate)
        slope, curvature = sweep.slope + risk_slope, sweep.curvature - risk_slope
        before = objective(problem, iterate.x, iterate.u, iterate.w, self.lambda_transition)
        before += noise_cost(sweep.noise_price, iterate.x, iterate.u)
        path = (iterate.x, iterate.u, sweep.K, sweep.k, disturbance, sweep.noise_price)
        n, merit, x, u, w = iterate.memory[1].search(STEPS, before, slope, curvature, RATIO, *path)
        change = float(max(np.abs(x - iterate.x).max(), np.abs(u - iterate.u).max())) if n >= 0 else 0.0
        return n, merit, before, x, u, w if disturbance else None, slope, change

    def _retreat(self, iterate, index, status):
        iterate = more_damping(iterate)
        ended = status in (Status.RISK_BREAKDOWN, Status.DIVERGED) or iterate.damping > DAMPING_MAX
        return replace(iterate, status=status if ended else None), self._row(index, iterate.cost, 0.0, 0.0, iterate)

    def _row(self, index, cost, change, step, iterate):
        return Iteration(index, self.name, float(cost), 0.0, change, float(step), iterate.damping, 0.0)

    def _disturbance(self, model, sweep, iterate):
        """Affine law of the disturbances in the deviation of the state, and its part of the merit's slope."""
        lS, G = self.lambda_transition, model.G
        if lS == 0.0:
            return None, 0.0
        toward = np.swapaxes(-lS * G, 1, 2)
        ahead = np.einsum("trm,tm->tr", model.B, sweep.k) + model.d
        y = np.einsum("trs,ts->tr", sweep.P_ahead, ahead) + sweep.p_ahead
        change = np.einsum("tir,tr->ti", toward, y) - iterate.w
        gain = toward @ sweep.P_ahead @ (model.A + model.B @ sweep.K)
        pushed = np.einsum("tri,ti->tr", G, change)
        curvature = np.vdot(change, change) / lS + np.einsum("tr,trs,ts->", pushed, sweep.value.P[1:], pushed)
        return (iterate.w, change, np.ascontiguousarray(gain), G), -float(curvature)
