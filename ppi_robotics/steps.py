"""How far to go and when to accept: the phases that a method is made of.

A phase turns an iterate into the next one; `solver.solve` is the loop around it. Each expands the problem, sweeps
backward with its lambda_transition, and differs in what it does with the step.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.expansion import taylor
from ppi_robotics.kernels.trajectories import costates, largest, moved
from ppi_robotics.messages import Breakdown, Sweep, backward, forward
from ppi_robotics.rollouts import Shooting, no_limits
from ppi_robotics.solution import Iteration, Status

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
      sweep: last sweep that did not break down.
      breakdown: of the last sweep that did.
      damping, growth: Levenberg-Marquardt damping and the factor of its last change.
      memory: what else a phase carries.
    """

    x: np.ndarray
    u: np.ndarray
    w: np.ndarray
    cost: float = math.inf
    status: Status | None = None
    sweep: Sweep | None = None
    breakdown: Breakdown | None = None
    damping: float = 0.0
    growth: float = 1.0
    memory: object = None


def more_damping(iterate):
    """The iterate with the damping raised, after the schedule of Tassa, Mansard and Todorov (2014)."""
    growth = max(1.6 * iterate.growth, 1.6)
    return replace(iterate, growth=growth, damping=max(growth * iterate.damping, 1e-6))


def less_damping(iterate):
    """The iterate with the damping lowered, to 0 below 1e-6."""
    growth = min(iterate.growth / 1.6, 1 / 1.6)
    damping = growth * iterate.damping
    return replace(iterate, growth=growth, damping=damping if damping > 1e-6 else 0.0)


def box_about(u, limits):
    """Bounds (T, nu, 2) of changes of the controls u (T, nu)."""
    return limits - u[:, :, None]


def broke_down(sweep):
    """Status of a sweep that broke down."""
    by_kind = {"risk": Status.RISK_BREAKDOWN, "indefinite": Status.INDEFINITE, "non-finite": Status.DIVERGED}
    return by_kind[sweep.breakdown.kind]


def objective(problem, x, u, w, lambda_transition):
    """Cost of a path and its disturbances: M = sum C_t + C_T + sum |w_t|^2 / 2 lambda_transition."""
    cost = problem.cost.trajectory(x, u)
    return cost + 0.5 / lambda_transition * float(np.vdot(w, w)) if lambda_transition else cost


@dataclass(frozen=True)
class FullSteps:
    """Multiple shooting with full steps: the iterated extended Kalman smoother.

    States are iterates of their own, joined only at convergence, so that a start need not obey the dynamics.

    Attributes:
      lambda_transition: at least 0.
      tolerance: converged once no state or control changes by more.
    """

    lambda_transition: float = 0.0
    tolerance: float = 1e-5
    name = "full steps"

    def begin(self, problem, x, u):
        """Iterate at a guess."""
        return Iterate(x, u, np.zeros((len(u), problem.plant.noise.factor.shape[1])))

    def expand(self, problem, iterate):
        """Local model about the iterate, and bounds of the feedforward."""
        return taylor(problem, iterate.x, iterate.u), None

    def advance(self, problem, iterate, index):
        """Expand, sweep backward and forward, take the whole step."""
        model, _ = self.expand(problem, iterate)
        sweep = backward(model, math.inf, self.lambda_transition)
        if sweep.breakdown is not None:
            return replace(iterate, status=broke_down(sweep), breakdown=sweep.breakdown), None
        dx, du, w, _ = forward(model, sweep)
        x, u = np.empty_like(dx), np.empty_like(du)
        (dx_size, x_size), (du_size, u_size) = moved(iterate.x, dx, 1.0, x), moved(iterate.u, du, 1.0, u)
        if not dx_size + du_size + u_size < math.inf or x_size > DIVERGED:
            return replace(iterate, status=Status.DIVERGED), None
        change = max(dx_size, du_size)
        # the cost of the path that was expanded: that of the next one comes with its own expansion
        cost = float(model.c0.sum()) + self._price(iterate.w)
        still = abs(cost - iterate.cost) < 1e-7 * abs(cost) and change < 100 * self.tolerance
        status = Status.CONVERGED if change < self.tolerance or still else None
        if status is not None:
            cost = objective(problem, x, u, w, self.lambda_transition)
        row = Iteration(index, self.name, cost, largest(model.d), change, 1.0, 0.0, 0.0)
        return Iterate(x, u, w, cost, status, sweep), row

    def _price(self, w):
        return 0.5 / self.lambda_transition * float(np.vdot(w, w)) if self.lambda_transition else 0.0


@dataclass(frozen=True)
class DampedShooting:
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
        shooting = Shooting(problem, limits, self._price(plant.noise))
        x, u, cost = shooting.rollout(x, u, np.zeros((len(u), plant.nu, plant.nx)))
        status = None if math.isfinite(cost) else Status.DIVERGED
        w = np.zeros((len(u), plant.noise.factor.shape[1]))
        return Iterate(x, u, w, cost, status, damping=1.0, memory=shooting)

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
        model, box = self.expand(problem, iterate)
        sweep = backward(model, math.inf, self.lambda_transition, damping=(0.0, iterate.damping), box=box)
        if sweep.breakdown is not None:
            return self._retreat(replace(iterate, breakdown=sweep.breakdown), index, broke_down(sweep))
        shooting, cost = iterate.memory, iterate.cost
        disturbance, slope = self._disturbance(model, sweep, iterate)
        slope, curvature = sweep.slope + slope, sweep.curvature - slope
        path = (iterate.x, iterate.u, sweep.K, sweep.k, disturbance)
        n, merit, x, u = shooting.search(STEPS, cost, slope, curvature, 1e-4, *path)
        small = -slope <= self.tolerance * abs(cost)
        if n < 0 and small and iterate.damping < 1e-5:
            return replace(iterate, sweep=sweep, status=Status.CONVERGED), self._row(index, cost, 0.0, 0.0, iterate)
        if n < 0:
            return self._retreat(replace(iterate, sweep=sweep), index, Status.NO_DESCENT)
        w = self._disturbances(model, x, u, problem) if disturbance else iterate.w
        change = float(max(np.abs(x - iterate.x).max(), np.abs(u - iterate.u).max()))
        settled = cost - merit < self.tolerance * abs(cost) and iterate.damping < 1e-5
        status = Status.CONVERGED if settled else None
        after = replace(iterate, x=x, u=u, w=w, cost=merit, sweep=sweep, status=status, breakdown=None)
        return less_damping(after), self._row(index, merit, change, STEPS[n], iterate)

    def _price(self, noise):
        return (
            np.linalg.pinv(noise.process, hermitian=True) / self.lambda_transition if self.lambda_transition else None
        )

    def _retreat(self, iterate, index, status):
        iterate = more_damping(iterate)
        ended = status in (Status.RISK_BREAKDOWN, Status.DIVERGED) or iterate.damping > DAMPING_MAX
        return replace(iterate, status=status if ended else None), self._row(index, iterate.cost, 0.0, 0.0, iterate)

    def _row(self, index, cost, change, step, iterate):
        return Iteration(index, self.name, float(cost), 0.0, change, float(step), iterate.damping, 0.0)

    def _disturbance(self, model, sweep, iterate):
        """Affine law of G w in the deviation of the state, and its part of the merit's slope."""
        lS = self.lambda_transition
        if lS == 0.0:
            return None, 0.0
        G, P, p = model.G, sweep.value.P[1:], sweep.value.p[1:]
        GP = np.einsum("tri,trs->tis", G, P)
        M = np.eye(G.shape[2]) + lS * GP @ G
        ahead = np.einsum("trm,tm->tr", model.B, sweep.k) + model.d
        toward = -lS * np.linalg.solve(
            M, (np.einsum("tis,ts->ti", GP, ahead) + np.einsum("tri,tr->ti", G, p))[..., None]
        )
        gain = -lS * np.linalg.solve(M, GP @ (model.A + model.B @ sweep.K))
        change = toward[..., 0] - iterate.w
        slope = -float(np.einsum("ti,tij,tj->", change, M, change)) / lS
        w_ref, h = np.einsum("tri,ti->tr", G, iterate.w), np.einsum("tri,ti->tr", G, change)
        return (w_ref, h, np.ascontiguousarray(G @ gain)), slope

    def _disturbances(self, model, x, u, problem):
        gap = x[1:] - problem.plant.step(x[:-1], u)
        return np.einsum("ri,tr->ti", np.linalg.pinv(model.G[0]).T, gap)


@dataclass(frozen=True)
class HalfSteps:
    """Relinearization about the closed loop with a fixed step: for risk-averse weights, whose objective is a saddle.

    Attributes:
      lambda_transition: any sign.
      tolerance: converged once the feedforward is smaller everywhere.
      step: fraction of the feedforward that is taken.
    """

    lambda_transition: float
    tolerance: float = 1e-5
    step: float = 0.5
    name = "relinearization"

    def begin(self, problem, x, u):
        """Iterate on the rollout of the guess's controls."""
        shooting = Shooting(problem, problem.plant.control_limits)
        x, u, cost = shooting.rollout(x, u, np.zeros((len(u), problem.plant.nu, problem.plant.nx)))
        w = np.zeros((len(u), problem.plant.noise.factor.shape[1]))
        return Iterate(x, u, w, status=None if math.isfinite(cost) else Status.DIVERGED, memory=shooting)

    def expand(self, problem, iterate):
        """Local model about the iterate, and bounds of the feedforward."""
        limits = problem.plant.control_limits
        return taylor(problem, iterate.x, iterate.u), box_about(iterate.u, limits) if np.isfinite(
            limits
        ).any() else None

    def advance(self, problem, iterate, index):
        """Expand about the rollout, sweep with the risk weight, follow the new policy part of the way."""
        model, box = self.expand(problem, iterate)
        sweep = backward(model, math.inf, self.lambda_transition, box=box)
        if sweep.breakdown is not None:
            return replace(iterate, status=broke_down(sweep), breakdown=sweep.breakdown), None
        path = (iterate.x, iterate.u, sweep.K, sweep.k)
        _, cost, x, u = iterate.memory.search(np.array([self.step]), math.inf, 0.0, 0.0, 0.0, *path)
        if not math.isfinite(cost):
            return replace(iterate, status=Status.DIVERGED), None
        change = float(np.abs(sweep.k).max())
        predicted = float(sweep.value.p0[0])
        status = Status.CONVERGED if change < self.tolerance else None
        row = Iteration(index, self.name, predicted, 0.0, change, self.step, 0.0, 0.0)
        return replace(iterate, x=x, u=u, cost=predicted, sweep=sweep, status=status), row
