"""Single shooting: iterates are rollouts, which the new policy leads to the next one.

`SingleShooting` is damped and searches along a line; `Relinearization` takes steps of a fixed length.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.gaussian import Gaussian
from ppi_robotics.kernels.trajectories import costates, largest, over_sizes
from ppi_robotics.linearize import SigmaPoints, taylor
from ppi_robotics.noise import beside
from ppi_robotics.recursion import backward, forward
from ppi_robotics.rollouts import no_limits, shooting
from ppi_robotics.scales import along
from ppi_robotics.solution import Iteration, Status
from ppi_robotics.status import Breakdown
from ppi_robotics.steps.base import (
    RATIO,
    ROUGH,
    Iterate,
    Phase,
    broke_down,
    change_of,
    disturbance_gain,
    objective,
    price,
)
from ppi_robotics.steps.compiled import CompiledSteps
from ppi_robotics.values import initial_value, joint_covariances, model_cost

STEPS = 10.0 ** np.linspace(0.0, -3.0, 11)  # step lengths of Tassa's line search
DAMPING_MAX = 1e10
ROUNDING = 1e-8  # steps in scales of the control, whose squares are rounding beside 1
RETRIED = 1.0  # damping beyond which feedback fades, and values that grow without it lose more than they gain


@dataclass(frozen=True, slots=True)
class DampedIterate(Iterate):
    """A rollout, with what finds the next one.

    Attributes:
      compiled: iterations in one compiled call, or None.
      line: rollouts and line searches.
      weights: diagonal (nu,) that the damping multiplies.
      growth: factor of the damping's last change.
      last: local model and backward pass of the last step, or None.
    """

    compiled: CompiledSteps | None = None
    line: object = None
    weights: np.ndarray | None = None
    growth: float = 1.0
    last: tuple | None = None


@dataclass(frozen=True)
class SingleShooting(Phase):
    """Single shooting with Levenberg-Marquardt damping and a line search: iLQG, and DDP with exact second derivatives.

    With lambda_transition > 0 the disturbances are controls too, u and w both follow the sweep's feedback, and the
    objective is PPI's merit.

    Attributes:
      lambda_transition: at least 0.
      exact: second derivatives of the dynamics, weighted by the costates, join the cost's Hessian.
      box: keep the control limits by box-constrained steps (Tassa, Mansard and Todorov, ICRA 2014).
      tolerance: converged once an accepted step lowers the cost by a smaller fraction; at least 1e-6 on plants
        without second derivatives, where the last digits come slowly.
      damping: of the first iteration.
      fresh: whether the policy's gains are computed about the last path; otherwise those of the last step go with it,
        which saves derivatives.
    """

    lambda_transition: float = 0.0
    exact: bool = False
    box: bool = False
    tolerance: float = 1e-9
    damping: float = 1.0
    fresh: bool = True
    name = "damped shooting"

    def begin(self, problem, x, u):
        """Iterate on the rollout of the guess's controls; its states are not used."""
        plant = problem.plant
        limits = plant.control_limits if self.box else no_limits(plant.nu)
        line = shooting(problem, limits, 1.0 / self.lambda_transition if self.lambda_transition else 0.0)
        x, u, cost = line.rollout(x, u)
        status = None if math.isfinite(cost) else Status.DIVERGED
        plain = not (self.lambda_transition or self.exact or self.box) and CompiledSteps.applies(problem)
        return DampedIterate(
            x,
            u,
            np.zeros((len(u), plant.noise.columns)),
            cost,
            status,
            damping=self.damping,
            compiled=CompiledSteps(problem) if plain else None,
            line=line,
            weights=along(problem, x, u, cost).damping()[1],
        )

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
        step = None
        if iterate.compiled is not None:
            damping = iterate.damping, iterate.weights
            step = iterate.compiled.damped_step(iterate.x, iterate.u, iterate.cost, *damping, STEPS, RATIO)
        if step is None:
            iterate, step = self._step(problem, iterate)
        if isinstance(step, Breakdown):
            return self._retreat(problem, replace(iterate, breakdown=step), index, broke_down(step))
        n, merit, before, x, u, w, slope, change, *last = step
        tolerance = self.tolerance if problem.plant.second_derivatives else max(self.tolerance, ROUGH)
        small = -slope <= tolerance * abs(before)
        if n < 0 and small and iterate.damping < 1e-5:
            after = replace(iterate, cost=before, completed=True, status=Status.CONVERGED)
            return after, self._row(index, before, 0.0, 0.0, iterate)
        if n < 0:
            return self._retreat(problem, replace(iterate, cost=before, completed=True), index, Status.NO_DESCENT)
        settled = before - merit <= tolerance * abs(before) and iterate.damping < 1e-5
        status = Status.CONVERGED if settled else None
        growth, damping = less_damping(iterate)
        carried = iterate.compiled, iterate.line, iterate.weights, growth, tuple(last) or None
        w = iterate.w if w is None else w
        after = DampedIterate(x, u, w, merit, status, True, None, damping, *carried)
        return after, self._row(index, merit, change, STEPS[n], iterate)

    def _step(self, problem, iterate):
        """The iterate with the damping of its sweep, and what `CompiledSteps.damped_step` returns, model and sweep.

        Or the iterate and the `Breakdown` of the sweep. Where the Hessian in the control is not positive definite the
        damping grows on the same model while that helps.
        """
        model, box = self.expand(problem, iterate)
        given = iterate
        while True:
            sweep = backward(
                model,
                math.inf,
                self.lambda_transition,
                damping=(0.0, iterate.damping * iterate.weights),
                box=box,
            )
            if sweep.breakdown is None:
                break
            if sweep.breakdown.kind != "indefinite" or self.lambda_transition or iterate.damping > RETRIED:
                return given, sweep.breakdown
            iterate = more_damping(iterate)
        disturbance, risk_slope = self._disturbance(model, sweep, iterate)
        slope, curvature = sweep.slope + risk_slope, sweep.curvature - risk_slope
        before = objective(problem, iterate.x, iterate.u, iterate.w, self.lambda_transition)
        before += noise_cost(sweep.noise_price, iterate.x, iterate.u)
        path = (iterate.x, iterate.u, sweep.K, sweep.k, disturbance, sweep.noise_price)
        n, merit, x, u, w = iterate.line.search(STEPS, before, slope, curvature, RATIO, *path)
        change = change_of(problem, (iterate.x, iterate.u), (x, u)) if n >= 0 else 0.0
        return iterate, (n, merit, before, x, u, w if disturbance else None, slope, change, model, sweep)

    def last_pass(self, problem, iterate, method):
        """Local model about the last iterate and the backward pass that makes the policy, or those of the last step."""
        fresh = self.fresh or iterate.last is None
        return super().last_pass(problem, iterate, method) if fresh else iterate.last

    def _retreat(self, problem, iterate, index, status):
        iterate = more_damping(iterate)
        ended = status in (Status.RISK_BREAKDOWN, Status.DIVERGED) or iterate.damping > DAMPING_MAX
        if ended and status is Status.NO_DESCENT and self._rests(problem, iterate):
            status = Status.CONVERGED
        return replace(iterate, status=status if ended else None), self._row(index, iterate.cost, 0.0, 0.0, iterate)

    def _rests(self, problem, iterate):
        """Whether Newton's step is so short that no cost can tell whether it descends, as where the optimum costs 0."""
        model, box = self.expand(problem, iterate)
        sweep = backward(model, math.inf, self.lambda_transition, box=box)
        scales = along(problem, iterate.x, iterate.u, iterate.cost)
        return sweep.breakdown is None and largest(sweep.k, scales.control) <= ROUNDING

    def _row(self, index, cost, change, step, iterate):
        return Iteration(index, self.name, float(cost), 0.0, change, float(step), iterate.damping, 0.0)

    def _disturbance(self, model, sweep, iterate):
        """Affine law of the disturbances in the deviation of the state, and its part of the merit's slope."""
        lS, G = self.lambda_transition, model.G
        if lS == 0.0:
            return None, 0.0
        ahead = np.einsum("trm,tm->tr", model.B, sweep.k) + model.d
        y = np.einsum("trs,ts->tr", sweep.P_ahead, ahead) + sweep.p_ahead
        change = -lS * np.einsum("tri,tr->ti", G, y) - iterate.w
        pushed = np.einsum("tri,ti->tr", G, change)
        curvature = np.vdot(change, change) / lS + np.einsum("tr,trs,ts->", pushed, sweep.value.P[1:], pushed)
        return (iterate.w, change, disturbance_gain(model, sweep), G), -float(curvature)


@dataclass(frozen=True, slots=True)
class RolledIterate(Iterate):
    """A rollout, with what finds the next one.

    Attributes:
      line: rollouts.
      covariances: of (x_t, u_t) and of x_T, which sigma points stand for; None for none.
    """

    line: object = None
    covariances: tuple | None = None


@dataclass(frozen=True)
class Relinearization(Phase):
    """Relinearization about the closed loop with a fixed step: for risk-averse weights, whose objective is a saddle.

    Attributes:
      lambda_transition: any sign.
      tolerance: converged once the feedforward is smaller everywhere, over the size of the controls along the path.
      step: fraction of the feedforward that is taken.
      points: `SigmaPoints` that stand for the spread of rollouts in the local models; None takes derivatives.
    """

    lambda_transition: float
    tolerance: float = 1e-5
    step: float = 0.5
    points: SigmaPoints | None = None
    name = "relinearization"

    def begin(self, problem, x, u):
        """Iterate on the rollout of the guess's controls."""
        line = shooting(problem, no_limits(problem.plant.nu))
        x, u, cost = line.rollout(x, u)
        w = np.zeros((len(u), problem.plant.noise.columns))
        return RolledIterate(x, u, w, status=None if math.isfinite(cost) else Status.DIVERGED, line=line)

    def expand(self, problem, iterate):
        """Local model about the iterate, and bounds of the feedforward."""
        return self.local_model(problem, iterate, iterate.covariances), None

    def advance(self, problem, iterate, index):
        """Expand about the rollout, sweep with the risk weight, follow the new policy part of the way."""
        model, _ = self.expand(problem, iterate)
        sweep = backward(model, math.inf, self.lambda_transition)
        if sweep.breakdown is not None:
            return replace(iterate, status=broke_down(sweep.breakdown), breakdown=sweep.breakdown), None
        path = (iterate.x, iterate.u, sweep.K, sweep.k)
        _, cost, x, u, _ = iterate.line.search(np.array([self.step]), math.inf, 0.0, 0.0, 0.0, *path)
        if not math.isfinite(cost):
            return replace(iterate, status=Status.DIVERGED), None
        change = over_sizes(np.abs(sweep.k).max(axis=0), np.abs(u).max(axis=0), problem.scales.control)
        broken = initial_value(sweep, Gaussian(np.zeros(problem.plant.ndx), problem.initial.cov))
        if isinstance(broken, Breakdown):
            return replace(iterate, status=broke_down(broken), breakdown=broken), None
        dx, du, w, _ = forward(model, sweep)
        merit = model_cost(model, dx, du) + price(w, self.lambda_transition)
        status = Status.CONVERGED if change < self.tolerance else None
        row = Iteration(index, self.name, merit, 0.0, change, self.step, 0.0, 0.0)
        cov = None if self.points is None else joint_covariances(model, sweep, problem.initial.cov, False)
        return replace(iterate, x=x, u=u, cost=merit, completed=True, status=status, covariances=cov), row


def more_damping(iterate):
    """A `DampedIterate` with the damping raised, after the schedule of Tassa, Mansard and Todorov (2014)."""
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


def noise_cost(price, x, u):
    """Expected cost of noise that grows with state and control, for its price N (T, nx + nu, nx + nu) or 0 rows."""
    if not len(price):
        return 0.0
    z = beside(x[:-1], u, price.shape[1] - u.shape[1])
    return 0.5 * float(np.einsum("ti,tij,tj->", z, price, z))
