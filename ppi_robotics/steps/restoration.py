"""The interior point with a way back to the dynamics, and the proof that there is none.

Where the filter finds no step, or the gaps no longer close, the cost is left alone for a while: disturbances close the
gaps, and their squares are what costs,

    minimize  sum |w_t|^2 / 2 + zeta |z - z_0|^2 / 2   with   x_{t+1} = f(x_t, u_t) + S w_t   and all limits,

which is the interior point's own problem for lambda_transition = 1. Its guess obeys these dynamics from the start. A
path whose gaps are smaller goes back into the search; a minimum at which gaps are left is a stationary point of
infeasibility: nothing nearby keeps the limits.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.kernels.trajectories import push_inside
from ppi_robotics.noise import Noise
from ppi_robotics.rollouts import shooting
from ppi_robotics.scales import Scales, far
from ppi_robotics.solution import Status
from ppi_robotics.steps.barrier import BarrierIterate, limited, units
from ppi_robotics.steps.base import objective
from ppi_robotics.steps.interior_point import InteriorPoint

PATIENCE, SHORT = 30, 0.1  # steps one after the other, shorter than this, in which the gaps are to become smaller
SHRINK = 0.1  # of the gaps that a restoration leaves at most, the first time; this power of it the second time, ...
CLOSED = 0.01  # of them: less than what the barrier keeps open of gaps that can be closed
STILL = 1e-9  # relative changes of the sum of squares that are not worth a step
NEARNESS = 1e-6  # zeta, over the number of stages
TOLERANCE = 1e-5  # of the stationarity of the squares, which are 1 at the start


@dataclass(frozen=True, slots=True)
class Gaps:
    """How the gaps of the dynamics went.

    Attributes:
      least: sum of the gaps when they last became smaller.
      steps: accepted since then.
      returns: restorations that led back into the search.
      rescue: `Rescue` while one goes on.
    """

    least: float = math.inf
    steps: int = 0
    returns: int = 0
    rescue: object = None


@dataclass(frozen=True, slots=True)
class Rescue:
    """A restoration on its way.

    Attributes:
      problem: the relaxed one.
      iterate: of its interior point.
      size: of the states (ndx,).
      total: `norm` of the gaps that it began with.
      left: iterate of the search that it left.
      still: steps that hardly changed the sum of squares, one after the other.
    """

    problem: object
    iterate: object
    size: np.ndarray
    total: float
    left: object
    still: int = 0


@dataclass(frozen=True)
class Relaxed:
    """A problem whose dynamics may be violated at a price, near a path: what the interior point asks of a problem."""

    plant: object
    cost: object
    initial: object
    horizon: int
    scales: object


class Sprung:
    """A plant with other noise."""

    def __init__(self, plant, noise):
        self.plant, self.noise = plant, noise

    def __getattr__(self, name):
        return getattr(self.plant, name)


@dataclass(frozen=True, eq=False)
class Distance:
    """Cost zeta |z - z_0|^2 / 2 in scaled coordinates.

    Attributes:
      x, u: the path z_0.
      wx, wu: weights (ndx,) and (nu,).
      plant: for differences of states.
    """

    x: np.ndarray
    u: np.ndarray
    wx: np.ndarray
    wu: np.ndarray
    plant: object

    def trajectory(self, x, u):
        """Cost of a path."""
        dx, du = self.plant.difference(x, self.x), u - self.u
        return 0.5 * float((dx**2 @ self.wx).sum() + (du**2 @ self.wu).sum())

    def expand(self, plant, x, u):
        """The plant's derivatives, and values, gradients and Hessians of the cost."""
        (T, nu), dx, du = u.shape, self.plant.difference(x, self.x), u - self.u
        c0 = 0.5 * (dx**2 @ self.wx)
        c0[:-1] += 0.5 * (du**2 @ self.wu)
        Cxx, Cuu = np.tile(np.diag(self.wx), (T + 1, 1, 1)), np.tile(np.diag(self.wu), (T, 1, 1))
        return plant.expand(x[:-1], u), (c0, dx * self.wx, du * self.wu, Cxx, np.zeros((T, nu, len(self.wx))), Cuu)


@dataclass(frozen=True)
class RestoringInteriorPoint(InteriorPoint):
    """Interior point that restores feasibility where it is lost, and says where it cannot be had."""

    def advance(self, problem, iterate, index):
        """One step of the search, or of the restoration while one goes on."""
        gaps = self._gaps(iterate)
        if gaps.rescue is not None:
            return self._restore(problem, iterate, index)
        after, row = super().advance(problem, iterate, index)
        if after.status is not None or row is None or row.step == 0.0 or self._gaps(after).rescue is not None:
            return after, row
        return self._watch(problem, after, row.step), row

    @staticmethod
    def _gaps(iterate):
        return iterate.gaps or Gaps()

    def _watch(self, problem, iterate, step):
        """Count short steps in which the gaps have not become smaller; only states with limits can keep them open."""
        if not np.isfinite(problem.plant.state_limits).any() or self.lambda_transition < 0.0:
            return iterate
        gaps, theta = self._gaps(iterate), self._total(problem, iterate.x, iterate.u, iterate.scales)
        if step > SHORT or theta <= 0.99 * gaps.least or theta <= self.tolerance:
            gaps = replace(gaps, least=theta, steps=0)
        else:
            gaps = replace(gaps, steps=gaps.steps + 1)
        iterate = replace(iterate, gaps=gaps)
        return (self._begin_rescue(problem, iterate) if gaps.steps >= PATIENCE else None) or iterate

    def _recover(self, problem, iterate, here, direction, index):
        """No step was accepted: raise the damping, or close the gaps if there are any.

        Without limits on states a rollout closes them. It may lead far away: the path is given up only if more damping
        has not helped.
        """
        after, row = super()._recover(problem, iterate, here, direction, index)
        walled, failures = np.isfinite(problem.plant.state_limits).any(), iterate.failures
        if here.theta <= 1e-6 or failures != (0 if walled else 1):
            return after, row
        return (
            self._begin_rescue(problem, iterate) if walled else self._roll(problem, iterate, direction)
        ) or after, row

    def _roll(self, problem, iterate, direction):
        """The search at the rollout of the last sweep's policy; None where it diverges."""
        line, sweep = shooting(problem, problem.plant.control_limits), iterate.sweep
        x, u, cost = line.rollout(iterate.x, iterate.u + sweep.k, sweep.K)
        if not math.isfinite(cost) or far(problem, x):
            return None
        for (v, limits), unit in zip(limited(problem, x, u, self.margin), units(iterate.scales), strict=True):
            push_inside(v, limits, unit)
        return self._moved(problem, replace(iterate, y=direction.y, filter=(), failures=2), x, u)

    def _moved(self, problem, iterate, x, u):
        """The search at another path inside the limits, without disturbances."""
        w = np.zeros_like(iterate.w)
        cost = objective(problem, x, u, w, self.lambda_transition)
        return self._centered(problem, replace(iterate, x=x, u=u, w=w, cost=cost))

    def _begin_rescue(self, problem, iterate):
        """The iterate with a restoration begun, None where none can be."""
        plant, (x, u) = problem.plant, (iterate.x.copy(), iterate.u.copy())
        size, most = path_scales(problem, u)
        total = norm(self._gap(problem, x, u), size)
        if not 0.0 < total < math.inf:
            return None
        # a path that the limits have stopped is too close to them
        for (v, limits), scale in zip(limited(problem, x, u, self.margin), (most, size), strict=True):
            push_inside(v, limits, scale)
        gap = self._gap(problem, x, u)
        unit, zeta, mu = size * norm(gap, size), NEARNESS / len(u), 0.1 / len(u)
        near = Distance(x.copy(), u.copy(), zeta / size**2, zeta / most**2, plant)
        relaxed = Relaxed(Sprung(plant, Noise(unit**2)), near, problem.initial, problem.horizon, problem.scales)
        scales = Scales(size, most, 1.0 / len(u))
        inner = BarrierIterate(x, u, -gap / unit, 1.0, y=np.zeros_like(gap), scales=scales, mu=mu)
        rescue = Rescue(relaxed, self._centered(problem, inner), size, total, iterate)
        return replace(iterate, gaps=replace(self._gaps(iterate), rescue=rescue))

    def _inner(self, T):
        return InteriorPoint(1.0, exact=False, tolerance=T * TOLERANCE, margin=self.margin)

    def _restore(self, problem, iterate, index):
        """One step of the restoration, and back into the search once the gaps are small enough for its filter."""
        gaps = iterate.gaps
        rescue = gaps.rescue
        inner, row = self._inner(len(iterate.u)).advance(rescue.problem, rescue.iterate, index)
        gap = self._gap(problem, inner.x, inner.u)
        left = norm(gap, rescue.size) / rescue.total
        if row is not None:
            cost = problem.cost.trajectory(inner.x, inner.u)
            row = replace(row, phase="restoration", cost=cost, defect=float((np.abs(gap) / rescue.size).max()))
        if left <= CLOSED or (left <= SHRINK ** (1 + gaps.returns) and self._welcome(problem, inner, rescue.left)):
            return self._come_back(problem, inner, rescue.left, left <= CLOSED), row
        still = row is not None and row.step > 0.0 and abs(inner.cost - rescue.iterate.cost) <= STILL * inner.cost
        rescue = replace(rescue, iterate=inner, still=rescue.still + 1 if still else 0)
        if inner.status is Status.CONVERGED or rescue.still >= 3:
            return replace(iterate, x=inner.x, u=inner.u, status=Status.INFEASIBLE), row
        if inner.status is not None:
            return replace(iterate, status=Status.NO_DESCENT), row
        return replace(iterate, gaps=replace(gaps, rescue=rescue)), row

    def _welcome(self, problem, inner, left):
        """Whether the filter of the search takes a path."""
        found = self._point(problem, inner.x, inner.u, np.zeros_like(left.w), left)
        return all(
            found.theta <= (1 - 1e-5) * theta or found.phi(left) <= phi - 1e-8 * theta for theta, phi in left.filter
        )

    def _come_back(self, problem, inner, left, closed):
        """The search at the restored path, which keeps its filter unless the gaps are closed."""
        gaps = Gaps(self._total(problem, inner.x, inner.u, left.scales), 0, self._gaps(left).returns + 1)
        entries = () if closed else left.filter
        left = replace(left, y=np.zeros_like(left.y), filter=entries, failures=0, gaps=gaps)
        return self._moved(problem, left, inner.x, inner.u)

    def _total(self, problem, x, u, scales):
        """Sum of the gaps over the scales of the states."""
        return float((np.abs(self._gap(problem, x, u)) / scales.state).sum())

    @staticmethod
    def _gap(problem, x, u):
        return problem.plant.difference(problem.plant.step(x[:-1], u), x[1:])


def norm(gap, size):
    """Root of half the sum of squared gaps (T, ndx) over their sizes (ndx,)."""
    return math.sqrt(0.5 * float(((gap / size) ** 2).sum()))


def path_scales(problem, u):
    """Sizes (ndx,) of the states, and (nu,) of the controls u (T, nu), above 0."""
    sizes = problem.scales.state, np.maximum(problem.scales.control, np.abs(u).max(axis=0))
    return tuple(np.where(size > 0.0, size, 1.0) for size in sizes)
