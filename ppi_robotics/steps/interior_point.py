"""Limits on controls and states by a primal-dual interior point on the same sweep.

Every limit adds z / slack to the model's curvature and mu / slack to its gradient; the sweep then gives a Newton step
of the barrier problem, accepted by a filter on (infeasibility, barrier objective), and mu goes to zero.

A. Wachter and L. T. Biegler, *On the implementation of an interior-point filter line-search algorithm* (Mathematical
Programming 106, 2006), called IPOPT below; its constants are kept. They are for problems whose numbers are near 1:
states and controls count in the scales of the path that the search begins at, costs in what its stages cost.
"""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.kernels.trajectories import (
    add_barrier,
    complementarity,
    largest,
    log_slacks,
    move_multipliers,
    multiplier_step,
    push_inside,
    stationarity,
)
from ppi_robotics.linearize import SigmaPoints, taylor
from ppi_robotics.recursion import backward, forward
from ppi_robotics.scales import along
from ppi_robotics.solution import Iteration, Status
from ppi_robotics.steps.barrier import Direction, Memory, Point
from ppi_robotics.steps.phase import ROUGH, Iterate, Phase, beyond, broke_down, change_of, objective
from ppi_robotics.values import joint_covariances

DAMPING_FIRST, DAMPING_MAX = 1e-4, 1e12
SETTLINGS, SETTLED = 20, 1e-6
CHEAPEST = (
    1e-3  # of what the first path costs: tolerances do not become smaller where the optimum costs next to nothing
)


@dataclass(frozen=True)
class InteriorPoint(Phase):
    """Primal-dual interior point with a filter line search, in multiple shooting.

    Noise that grows with state or control shapes the gains along the optimal path, not the path itself.

    Attributes:
      lambda_transition: where positive, the objective is PPI's merit; where negative, its saddle point is approached by
        Newton steps without a search, from a risk-neutral solution.
      exact: second derivatives of the dynamics, weighted by the multipliers, join the Hessian.
      tolerance: of the scaled optimality residuals. On plants without second derivatives they fall slowly: there it is
        at least 1e-5, and steps that change the cost by less than one part in a million count as converged.
      mu: first barrier weight, over the cost of a stage.
      margin: state limits are kept with so much to spare, over the scales of the states, since the closed loop leaves
        the optimized path by a little.
      points: `SigmaPoints` for the gains about the optimal path; None takes derivatives.
      tilted: they stand for the belief; otherwise for the spread of rollouts.
    """

    lambda_transition: float = 0.0
    exact: bool = True
    tolerance: float = 1e-7
    mu: float = 0.1
    margin: float = 1e-7
    points: SigmaPoints | None = None
    tilted: bool = True
    name = "interior point"
    free = True

    def begin(self, problem, x, u):
        """Iterate at a guess, moved inside the limits."""
        x, u = x.copy(), u.copy()
        w = np.zeros((len(u), problem.plant.noise.factor.shape[1]))
        return self._enter(problem, x, u, w, np.zeros((len(u), problem.plant.ndx)))

    def advance(self, problem, iterate, index):
        """One Newton step of the barrier problem, after lowering mu as far as the optimality error allows."""
        model = taylor(problem, iterate.x, iterate.u, self._adjoint(problem, iterate), growth=False)
        gaps = model.d + iterate.w @ problem.plant.noise.factor.T
        settled = iterate.memory.stalled and iterate.memory.mu * iterate.u.size <= ROUGH * abs(iterate.cost)
        error = self._errors(problem, model, gaps, iterate)
        if iterate.swept and (settled or error(0.0) <= self._tolerance(problem, iterate)):
            here = self._here(problem, iterate)
            return replace(iterate, cost=here.cost, status=Status.CONVERGED), None
        iterate = self._lower_mu(problem, error, iterate)
        self._add_barriers(problem, model, iterate)
        memory = iterate.memory
        sweep, damping = self._sweep(model, iterate)
        if sweep.breakdown is not None:
            return replace(iterate, status=broke_down(sweep.breakdown), breakdown=sweep.breakdown), None
        here = self._here(problem, iterate)
        memory = replace(memory, sweep=sweep, damping=damping or memory.damping, here=here)
        iterate = replace(iterate, swept=True, damping=damping, memory=memory)
        direction = self._direction(problem, model, sweep, iterate)
        if self.lambda_transition < 0.0:
            return self._newton(problem, iterate, here, direction, index)
        found, step, armijo = self._line_search(problem, model, iterate, here, direction)
        if found is None:
            return self._recover(problem, iterate, here, direction, index)
        return self._accept(problem, iterate, here, direction, found, step, armijo, index)

    def expand(self, problem, iterate):
        """Local model about the iterate, the limits' barriers included, and bounds of the feedforward."""
        model = taylor(problem, iterate.x, iterate.u, self._adjoint(problem, iterate))
        self._add_barriers(problem, model, iterate)
        return model, None

    def conclude(self, problem, iterate, method):
        """Local model about the optimal path and its sweep; with sigma points, both are repeated until they agree."""
        model, sweep = super().conclude(problem, iterate, method)
        units = iterate.memory.scales.state / iterate.memory.scales.control[:, None]
        for _ in range(SETTLINGS if self.points is not None else 0):
            if sweep.breakdown is not None:
                break
            iterate = replace(iterate, spread=joint_covariances(model, sweep, problem.initial.cov, self.tilted))
            model, gains = self.local_model(problem, iterate), sweep.K
            self._add_barriers(problem, model, iterate)
            sweep = backward(model, sweep.lambda_policy, sweep.lambda_transition)
            if (units * np.abs(sweep.K - gains)).max() < SETTLED * (units * np.abs(gains)).max():
                break
        return model, sweep

    def _tolerance(self, problem, iterate):
        """Tolerance that the derivatives allow, relative to the costs of the stages as they are."""
        tolerance, unit = self._relative(problem), iterate.memory.scales.cost * len(iterate.u)
        return tolerance * min(1.0, max(abs(iterate.cost) / unit, CHEAPEST))

    def _relative(self, problem):
        return self.tolerance if problem.plant.second_derivatives else max(self.tolerance, 1e-5)

    def _adjoint(self, problem, iterate):
        """Multipliers that weigh the second derivatives of the dynamics, None to leave these out."""
        return iterate.memory.y if self.exact and problem.plant.second_derivatives else None

    # -- the barrier problem -------------------------------------------------------------------------------------------

    def _enter(self, problem, x, u, w, y):
        """Iterate on the central path's multipliers at a trajectory moved inside the limits."""
        units = self._units(along(problem, x, u, math.nan))
        for (v, limits), unit in zip(self._limited(problem, x, u), units, strict=True):
            push_inside(v, limits, unit)
        cost = objective(problem, x, u, w, self.lambda_transition)
        scales = along(problem, x, u, cost)
        mu = self.mu * scales.cost
        pairs = [(mu / (v - limits[:, 0]), mu / (limits[:, 1] - v)) for v, limits in self._limited(problem, x, u)]
        memory = Memory(y, *zip(*pairs, strict=True), scales, mu)
        here = self._point(problem, x, u, w, memory)
        if not math.isfinite(here.phi(memory) + here.theta):
            return Iterate(x, u, w, status=Status.DIVERGED)
        return Iterate(x, u, w, cost, memory=replace(memory, here=here))

    @staticmethod
    def _units(scales):
        """Scales of the limited quantities."""
        return scales.control, scales.state

    def _limited(self, problem, x, u):
        """The limited quantities and their limits: controls, and states after the first."""
        plant = problem.plant
        if plant.quaternions:  # such plants have no state limits
            return (u, plant.control_limits), (np.zeros((len(u), plant.ndx)), plant.state_limits[: plant.ndx])
        limits = narrowed(plant.state_limits.tobytes(), problem.scales.state.tobytes(), self.margin)
        return (u, plant.control_limits), (x[1:], limits)

    def _add_barriers(self, problem, model, iterate):
        memory = iterate.memory
        parts = (model.Cuu, model.cu), (model.Cxx[1:], model.cx[1:])
        for (v, limits), lower, upper, (H, g) in zip(
            self._limited(problem, iterate.x, iterate.u), memory.lower, memory.upper, parts, strict=True
        ):
            add_barrier(v, limits, lower, upper, memory.mu, H, g)

    def _here(self, problem, iterate):
        """The iterate's `Point`, evaluated anew only where the path has been replaced."""
        here, path = iterate.memory.here, (iterate.x, iterate.u, iterate.w)
        if here is not None and here.x is path[0] and here.u is path[1] and here.w is path[2]:
            return here
        return self._point(problem, *path, iterate.memory)

    def _point(self, problem, x, u, w, memory):
        scales, limited = memory.scales, self._limited(problem, x, u)
        c = problem.plant.difference(problem.plant.step(x[:-1], u), x[1:]) + w @ problem.plant.noise.factor.T
        logs = sum(log_slacks(*pair, scale) for pair, scale in zip(limited, self._units(scales), strict=True))
        cost = objective(problem, x, u, w, self.lambda_transition)
        return Point(x, u, w, c, float((np.abs(c) @ (1.0 / scales.state)).sum()), cost, logs)

    def _errors(self, problem, model, gaps, iterate):
        """Scaled optimality error E(mu) of the barrier problem, a function of the weight mu (IPOPT, equation 5)."""
        memory, scales = iterate.memory, iterate.memory.scales
        limited = self._limited(problem, iterate.x, iterate.u)
        sets = [
            (*pair, lower, upper, unit)
            for pair, lower, upper, unit in zip(limited, memory.lower, memory.upper, self._units(scales), strict=True)
        ]
        products, weights = zip(*(complementarity(*part[:4], 0.0, part[4]) for part in sets), strict=True)
        total = float((np.abs(memory.y) @ scales.state).sum()) + sum(weights)
        count = memory.y.size + sum(2 * v.size for v, _ in limited)
        scale = scales.cost * max(100.0, total / scales.cost / count) / 100.0
        zu, zx = (upper - lower for lower, upper in zip(memory.lower, memory.upper, strict=True))
        zx = np.vstack((np.zeros((1, problem.plant.ndx)), zx))
        multipliers = iterate.w, memory.y, zx, zu, self.lambda_transition
        dual = stationarity(model.A, model.B, model.G, model.cx, model.cu, *multipliers, scales.state, scales.control)
        rest = max(dual / scale, largest(gaps, scales.state))

        def error(mu):
            gap = max(complementarity(*part[:4], mu, part[4])[0] for part in sets) if mu else max(products)
            return max(rest, gap / scale)

        return error

    def _lower_mu(self, problem, error, iterate):
        """Lower the barrier weight while its problem is solved; the filter starts afresh.

        A point that the last sweep needed damping at is a saddle of the barrier problem, no solution: logarithms that
        are lowered there are too steep for the way down, on which the limits then stop every step.
        """
        memory, unit = iterate.memory, iterate.memory.scales.cost
        mu, least = memory.mu, self._tolerance(problem, iterate) / 10 * unit
        if iterate.damping and not memory.stalled:
            return iterate
        if memory.stalled:
            mu = min(mu, max(least, lower_mu(mu, unit)))
        while mu > least and error(mu) <= 10 * mu / unit:
            mu = max(least, lower_mu(mu, unit))
        if mu == memory.mu:
            return iterate
        return replace(iterate, memory=replace(memory, mu=mu, filter=(), failures=0, stalled=False))

    def _sweep(self, model, iterate):
        """Backward sweep, with the damping that makes every Hessian positive definite (IPOPT, algorithm IC)."""
        damping, scales = 0.0, iterate.memory.scales
        if iterate.memory.failures:
            damping = DAMPING_FIRST * 10.0**iterate.memory.failures
        while True:
            sweep = backward(
                model, math.inf, self.lambda_transition, damping=scales.damping(damping) if damping else (0.0, 0.0)
            )
            if sweep.breakdown is None or self._hopeless(sweep.breakdown) or damping > DAMPING_MAX:
                return sweep, damping
            last = iterate.memory.damping
            if damping == 0.0:
                damping = last / 3 or DAMPING_FIRST
            else:
                damping *= 8.0 if last else 100.0

    def _hopeless(self, breakdown):
        """Whether more damping cannot help."""
        return breakdown.kind == "non-finite" or (breakdown.kind == "risk" and self.lambda_transition < 0.0)

    def _direction(self, problem, model, sweep, iterate):
        dx, du, w, y = forward(model, sweep)
        dw, memory = w - iterate.w, iterate.memory
        slope = float(np.vdot(model.cx, dx) + np.vdot(model.cu, du))
        if self.lambda_transition:
            slope += float(np.vdot(iterate.w, dw)) / self.lambda_transition
        slope /= memory.scales.cost
        primal, dual, d_lower, d_upper = 1.0, 1.0, [], []
        free = max(0.99, 1.0 - memory.mu / memory.scales.cost)
        for (v, limits), dv, lower, upper in zip(
            self._limited(problem, iterate.x, iterate.u), (du, dx[1:]), memory.lower, memory.upper, strict=True
        ):
            steps = np.zeros_like(v), np.zeros_like(v)
            longest = multiplier_step(v, dv, limits, lower, upper, memory.mu, free, *steps)
            primal, dual = min(primal, longest[0]), min(dual, longest[1])
            d_lower.append(steps[0])
            d_upper.append(steps[1])
        return Direction(dx, du, dw, y, tuple(d_lower), tuple(d_upper), slope, primal, dual)

    # -- the filter line search ----------------------------------------------------------------------------------------

    def _line_search(self, problem, model, iterate, here, direction):
        """First acceptable point along the direction, its step length, and whether it lowers phi as predicted."""
        memory, step = iterate.memory, direction.primal
        theta_small = 1e-4 * max(1.0, here.theta)
        for trial in range(30):
            point = self._move(problem, iterate, direction, step)
            verdict = self._verdict(problem, memory, here, point, direction.slope, step, theta_small)
            if verdict is not None:
                return point, step, verdict
            if trial == 0 and point.theta >= here.theta:
                found = self._correct(problem, model, iterate, here, point, direction, theta_small)
                if found is not None:
                    return found
            step *= 0.5
            if step < 1e-6:
                break
        return None, 0.0, False

    def _newton(self, problem, iterate, here, direction, index):
        """The longest step inside the limits: the averse objective is a saddle, along which nothing falls."""
        found = self._move(problem, iterate, direction, direction.primal)
        if not math.isfinite(found.theta + found.phi(iterate.memory)) or beyond(problem, found.x):
            return replace(iterate, status=Status.DIVERGED), None
        return self._accept(problem, iterate, here, direction, found, direction.primal, True, index)

    def _move(self, problem, iterate, direction, step):
        x = problem.plant.retract(iterate.x, step * direction.dx)
        u, w = iterate.u + step * direction.du, iterate.w + step * direction.dw
        return self._point(problem, x, u, w, iterate.memory)

    @staticmethod
    def _verdict(problem, memory, here, point, slope, step, theta_small):
        """None if the filter refuses the point; otherwise whether phi falls as Armijo's rule asks (IPOPT, A-5)."""
        before, after = here.phi(memory), point.phi(memory)
        if not math.isfinite(point.theta + after) or beyond(problem, point.x):
            return None
        after -= 10 * np.finfo(float).eps * abs(before)  # rounding
        for theta, phi in memory.filter:
            if point.theta > (1 - 1e-5) * theta and after > phi - 1e-8 * theta:
                return None
        switching = slope < 0 and step * (-slope) ** 2.3 > here.theta**1.1
        if switching and here.theta <= theta_small:
            return True if after <= before + 1e-8 * step * slope else None
        better = point.theta <= (1 - 1e-5) * here.theta or after <= before - 1e-8 * here.theta
        return False if better else None

    def _correct(self, problem, model, iterate, here, point, direction, theta_small):
        """Second-order correction: sweep again with the gaps that the full step left (IPOPT, A-5.5 to A-5.9)."""
        memory, push = iterate.memory, iterate.w @ problem.plant.noise.factor.T
        c, theta = direction.primal * here.c + point.c, point.theta
        damping = memory.scales.damping(iterate.damping)
        for _ in range(4):
            shifted = replace(model, d=c - push)
            sweep = backward(shifted, math.inf, self.lambda_transition, damping=damping)
            if sweep.breakdown is not None:
                return None
            corrected = self._direction(problem, shifted, sweep, iterate)
            step = corrected.primal
            point = self._move(problem, iterate, corrected, step)
            verdict = self._verdict(problem, memory, here, point, direction.slope, direction.primal, theta_small)
            if verdict is not None:
                return point, step, verdict
            if not point.theta <= 0.99 * theta:
                return None
            c, theta = step * c + point.c, point.theta
        return None

    # -- after the search ----------------------------------------------------------------------------------------------

    def _accept(self, problem, iterate, here, direction, point, step, armijo, index):
        memory = iterate.memory
        for (v, limits), lower, upper, d_lower, d_upper in zip(
            self._limited(problem, point.x, point.u),
            memory.lower,
            memory.upper,
            direction.d_lower,
            direction.d_upper,
            strict=True,
        ):
            move_multipliers(v, limits, lower, upper, d_lower, d_upper, direction.dual, memory.mu)
        y = memory.y + step * (direction.y - memory.y)
        entries = memory.filter
        if not armijo:
            entries = (*entries, ((1 - 1e-5) * here.theta, here.phi(memory) - 1e-8 * here.theta))
        cost = point.cost
        change = change_of(problem, (iterate.x, iterate.u), (point.x, point.u))
        defect = self._defect(point, memory)
        still = abs(cost - iterate.cost) <= ROUGH * abs(cost) and defect < self._tolerance(problem, iterate)
        stalled = still and not problem.plant.second_derivatives
        memory = replace(memory, y=y, filter=entries, failures=0, stalled=stalled, here=point)
        row = Iteration(index, self.name, cost, defect, change, step, iterate.damping, memory.mu)
        return replace(iterate, x=point.x, u=point.u, w=point.w, cost=cost, memory=memory), row

    @staticmethod
    def _defect(point, memory):
        return largest(point.c, memory.scales.state)

    def _recover(self, problem, iterate, here, direction, index):  # noqa: ARG002
        """No step was accepted: raise the damping."""
        memory = iterate.memory
        defect, value = self._defect(here, memory), memory.scales.cost * here.phi(memory)
        row = Iteration(index, self.name, value, defect, 0.0, 0.0, iterate.damping, memory.mu)
        failures = memory.failures + 1
        status = Status.NO_DESCENT if failures > 12 else None
        return replace(iterate, status=status, memory=replace(memory, failures=failures, filter=())), row


@functools.lru_cache(maxsize=64)
def narrowed(limits, scales, margin):
    """State limits (nx, 2), given by their bytes, narrowed by a margin over the scales (nx,)."""
    spare = margin * np.frombuffer(scales)
    return np.frombuffer(limits).reshape(-1, 2) + np.column_stack((spare, -spare))


def lower_mu(mu, unit):
    """The next barrier weight (IPOPT, equation 7), for costs that count in a unit."""
    return min(0.2 * mu, mu * (mu / unit) ** 0.5)
