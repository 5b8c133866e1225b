"""Limits on controls and states by a primal-dual interior point on the same recursion.

Every limit adds z / slack to the model's curvature and mu / slack to its gradient; the pass then gives a Newton step of
the barrier problem, accepted by a filter on (infeasibility, barrier objective), and mu goes to zero.

A. Wachter and L. T. Biegler, *On the implementation of an interior-point filter line-search algorithm* (Mathematical
Programming 106, 2006), called IPOPT below; its constants are kept. They are for problems whose numbers are near 1:
states and controls count in the scales of the path that the search begins at, costs in what its stages cost.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.kernels.trajectories import largest, move_multipliers, multiplier_step, push_inside
from ppi_robotics.linearize import SigmaPoints, taylor
from ppi_robotics.recursion import backward, forward
from ppi_robotics.scales import along
from ppi_robotics.solution import Iteration, Status
from ppi_robotics.steps.barrier import (
    BarrierIterate,
    Direction,
    add_barriers,
    limited,
    lower_mu,
    optimality_error,
    point,
    units,
)
from ppi_robotics.steps.base import ROUGH, Phase, beyond, broke_down, change_of, objective
from ppi_robotics.values import joint_covariances

DAMPING_FIRST, DAMPING_MAX = 1e-4, 1e12
SETTLINGS, SETTLED = 20, 1e-6
CHEAPEST = 1e-3  # of what the first path costs: tolerances are no smaller where the optimum costs next to nothing


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
        settled = iterate.stalled and iterate.mu * iterate.u.size <= ROUGH * abs(iterate.cost)
        sets = limited(problem, iterate.x, iterate.u, self.margin)
        error = optimality_error(sets, model, gaps, iterate, self.lambda_transition)
        if iterate.completed and (settled or error(0.0) <= self._tolerance(problem, iterate)):
            here = self._here(problem, iterate)
            return replace(iterate, cost=here.cost, status=Status.CONVERGED), None
        iterate = self._lower_mu(problem, error, iterate)
        add_barriers(sets, iterate, model)
        sweep, damping = self._backward(model, iterate)
        if sweep.breakdown is not None:
            return replace(iterate, status=broke_down(sweep.breakdown), breakdown=sweep.breakdown), None
        here, last = self._here(problem, iterate), damping or iterate.last_damping
        iterate = replace(iterate, completed=True, damping=damping, sweep=sweep, last_damping=last, here=here)
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
        add_barriers(limited(problem, iterate.x, iterate.u, self.margin), iterate, model)
        return model, None

    def stricter(self, violation):
        """The phase with more room to the limits of the states."""
        return replace(self, margin=self.margin + 2 * violation)

    def last_pass(self, problem, iterate, method):
        """Local model about the optimal path and its pass; with sigma points, both are repeated until they agree."""
        model, sweep = super().last_pass(problem, iterate, method)
        unit = iterate.scales.state / iterate.scales.control[:, None]
        for _ in range(SETTLINGS if self.points is not None else 0):
            if sweep.breakdown is not None:
                break
            gains, covariances = sweep.K, joint_covariances(model, sweep, problem.initial.cov, self.tilted)
            model = self.local_model(problem, iterate, covariances)
            add_barriers(limited(problem, iterate.x, iterate.u, self.margin), iterate, model)
            sweep = backward(model, sweep.lambda_policy, sweep.lambda_transition)
            if (unit * np.abs(sweep.K - gains)).max() < SETTLED * (unit * np.abs(gains)).max():
                break
        return model, sweep

    def _tolerance(self, problem, iterate):
        """Tolerance that the derivatives allow, relative to the costs of the stages as they are."""
        tolerance, unit = self._relative(problem), iterate.scales.cost * len(iterate.u)
        return tolerance * min(1.0, max(abs(iterate.cost) / unit, CHEAPEST))

    def _relative(self, problem):
        return self.tolerance if problem.plant.second_derivatives else max(self.tolerance, 1e-5)

    def _adjoint(self, problem, iterate):
        """Multipliers that weigh the second derivatives of the dynamics, None to leave these out."""
        return iterate.y if self.exact and problem.plant.second_derivatives else None

    def _enter(self, problem, x, u, w, y):
        """Iterate on the central path's multipliers at a trajectory moved inside the limits."""
        first = units(along(problem, x, u, math.nan))
        for (v, limits), unit in zip(limited(problem, x, u, self.margin), first, strict=True):
            push_inside(v, limits, unit)
        cost = objective(problem, x, u, w, self.lambda_transition)
        scales = along(problem, x, u, cost)
        iterate = BarrierIterate(x, u, w, cost, y=y, scales=scales, mu=self.mu * scales.cost)
        iterate = self._centered(problem, iterate)
        here = self._point(problem, x, u, w, iterate)
        if not math.isfinite(here.phi(iterate) + here.theta):
            return replace(iterate, cost=math.inf, status=Status.DIVERGED)
        return replace(iterate, here=here)

    def _centered(self, problem, iterate):
        """The iterate, which is inside the limits, with the multipliers of the central path."""
        sets = limited(problem, iterate.x, iterate.u, self.margin)
        lower, upper = (tuple(iterate.mu / abs(v - limits[:, side]) for v, limits in sets) for side in (0, 1))
        return replace(iterate, lower=lower, upper=upper)

    def _here(self, problem, iterate):
        """The iterate's `Point`, evaluated anew only where the path has been replaced."""
        here, path = iterate.here, (iterate.x, iterate.u, iterate.w)
        if here is not None and here.x is path[0] and here.u is path[1] and here.w is path[2]:
            return here
        return self._point(problem, *path, iterate)

    def _point(self, problem, x, u, w, iterate):
        return point(problem, x, u, w, iterate.scales, self.margin, self.lambda_transition)

    def _lower_mu(self, problem, error, iterate):
        """Lower the barrier weight while its problem is solved; the filter starts afresh.

        A point that the last pass needed damping at is a saddle of the barrier problem, no solution: logarithms that
        are lowered there are too steep for the way down, on which the limits then stop every step.
        """
        unit, mu = iterate.scales.cost, iterate.mu
        least = self._tolerance(problem, iterate) / 10 * unit
        if iterate.damping and not iterate.stalled:
            return iterate
        if iterate.stalled:
            mu = min(mu, max(least, lower_mu(mu, unit)))
        while mu > least and error(mu) <= 10 * mu / unit:
            mu = max(least, lower_mu(mu, unit))
        if mu == iterate.mu:
            return iterate
        return replace(iterate, mu=mu, filter=(), failures=0, stalled=False)

    def _backward(self, model, iterate):
        """Backward pass, with the damping that makes every Hessian positive definite (IPOPT, algorithm IC)."""
        damping, scales = 0.0, iterate.scales
        if iterate.failures:
            damping = DAMPING_FIRST * 10.0**iterate.failures
        while True:
            sweep = backward(
                model, math.inf, self.lambda_transition, damping=scales.damping(damping) if damping else (0.0, 0.0)
            )
            if sweep.breakdown is None or self._hopeless(sweep.breakdown) or damping > DAMPING_MAX:
                return sweep, damping
            last = iterate.last_damping
            if damping == 0.0:
                damping = last / 3 or DAMPING_FIRST
            else:
                damping *= 8.0 if last else 100.0

    def _hopeless(self, breakdown):
        """Whether more damping cannot help."""
        return breakdown.kind == "non-finite" or (breakdown.kind == "risk" and self.lambda_transition < 0.0)

    def _direction(self, problem, model, sweep, iterate):
        dx, du, w, y = forward(model, sweep)
        dw = w - iterate.w
        slope = float(np.vdot(model.cx, dx) + np.vdot(model.cu, du))
        if self.lambda_transition:
            slope += float(np.vdot(iterate.w, dw)) / self.lambda_transition
        slope /= iterate.scales.cost
        primal, dual, d_lower, d_upper = 1.0, 1.0, [], []
        free = max(0.99, 1.0 - iterate.mu / iterate.scales.cost)
        for (v, limits), dv, lower, upper in zip(
            limited(problem, iterate.x, iterate.u, self.margin),
            (du, dx[1:]),
            iterate.lower,
            iterate.upper,
            strict=True,
        ):
            steps = np.zeros_like(v), np.zeros_like(v)
            longest = multiplier_step(v, dv, limits, lower, upper, iterate.mu, free, *steps)
            primal, dual = min(primal, longest[0]), min(dual, longest[1])
            d_lower.append(steps[0])
            d_upper.append(steps[1])
        return Direction(dx, du, dw, y, tuple(d_lower), tuple(d_upper), slope, primal, dual)

    # -- the filter line search ----------------------------------------------------------------------------------------

    def _line_search(self, problem, model, iterate, here, direction):
        """First acceptable point along the direction, its step length, and whether it lowers phi as predicted."""
        step = direction.primal
        theta_small = 1e-4 * max(1.0, here.theta)
        for trial in range(30):
            point = self._move(problem, iterate, direction, step)
            verdict = self._verdict(problem, iterate, here, point, direction.slope, step, theta_small)
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
        if not math.isfinite(found.theta + found.phi(iterate)) or beyond(problem, found.x):
            return replace(iterate, status=Status.DIVERGED), None
        return self._accept(problem, iterate, here, direction, found, direction.primal, True, index)

    def _move(self, problem, iterate, direction, step):
        x = problem.plant.retract(iterate.x, step * direction.dx)
        u, w = iterate.u + step * direction.du, iterate.w + step * direction.dw
        return self._point(problem, x, u, w, iterate)

    @staticmethod
    def _verdict(problem, iterate, here, point, slope, step, theta_small):
        """None if the filter refuses the point; otherwise whether phi falls as Armijo's rule asks (IPOPT, A-5)."""
        before, after = here.phi(iterate), point.phi(iterate)
        if not math.isfinite(point.theta + after) or beyond(problem, point.x):
            return None
        after -= 10 * np.finfo(float).eps * abs(before)  # rounding
        for theta, phi in iterate.filter:
            if point.theta > (1 - 1e-5) * theta and after > phi - 1e-8 * theta:
                return None
        switching = slope < 0 and step * (-slope) ** 2.3 > here.theta**1.1
        if switching and here.theta <= theta_small:
            return True if after <= before + 1e-8 * step * slope else None
        better = point.theta <= (1 - 1e-5) * here.theta or after <= before - 1e-8 * here.theta
        return False if better else None

    def _correct(self, problem, model, iterate, here, point, direction, theta_small):
        """Second-order correction: a pass again with the gaps that the full step left (IPOPT, A-5.5 to A-5.9)."""
        push = iterate.w @ problem.plant.noise.factor.T
        c, theta = direction.primal * here.c + point.c, point.theta
        damping = iterate.scales.damping(iterate.damping)
        for _ in range(4):
            shifted = replace(model, d=c - push)
            sweep = backward(shifted, math.inf, self.lambda_transition, damping=damping)
            if sweep.breakdown is not None:
                return None
            corrected = self._direction(problem, shifted, sweep, iterate)
            step = corrected.primal
            point = self._move(problem, iterate, corrected, step)
            verdict = self._verdict(problem, iterate, here, point, direction.slope, direction.primal, theta_small)
            if verdict is not None:
                return point, step, verdict
            if not point.theta <= 0.99 * theta:
                return None
            c, theta = step * c + point.c, point.theta
        return None

    # -- after the search ----------------------------------------------------------------------------------------------

    def _accept(self, problem, iterate, here, direction, point, step, armijo, index):
        for (v, limits), lower, upper, d_lower, d_upper in zip(
            limited(problem, point.x, point.u, self.margin),
            iterate.lower,
            iterate.upper,
            direction.d_lower,
            direction.d_upper,
            strict=True,
        ):
            move_multipliers(v, limits, lower, upper, d_lower, d_upper, direction.dual, iterate.mu)
        y = iterate.y + step * (direction.y - iterate.y)
        entries = iterate.filter
        if not armijo:
            entries = (*entries, ((1 - 1e-5) * here.theta, here.phi(iterate) - 1e-8 * here.theta))
        change = change_of(problem, (iterate.x, iterate.u), (point.x, point.u))
        defect, cost = largest(point.c, iterate.scales.state), point.cost
        still = abs(cost - iterate.cost) <= ROUGH * abs(cost) and defect < self._tolerance(problem, iterate)
        stalled = still and not problem.plant.second_derivatives
        row = Iteration(index, self.name, cost, defect, change, step, iterate.damping, iterate.mu)
        path = {"x": point.x, "u": point.u, "w": point.w, "cost": cost, "here": point}
        return replace(iterate, **path, y=y, filter=entries, failures=0, stalled=stalled), row

    def _recover(self, problem, iterate, here, direction, index):  # noqa: ARG002
        """No step was accepted: raise the damping."""
        defect, value = largest(here.c, iterate.scales.state), iterate.scales.cost * here.phi(iterate)
        row = Iteration(index, self.name, value, defect, 0.0, 0.0, iterate.damping, iterate.mu)
        failures = iterate.failures + 1
        status = Status.NO_DESCENT if failures > 12 else None
        return replace(iterate, status=status, failures=failures, filter=()), row
