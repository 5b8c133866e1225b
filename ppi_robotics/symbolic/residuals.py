"""Costs that are sums of squared residuals of states, controls and sensors: values, and Gauss-Newton models.

    C(x, u) = sum |r_i(x, u, y)|^2     with     y = h(x, u), the plant's sensors

Residuals hold their weights: a weight w multiplies r by sqrt(w). No factor 1/2.
"""

import copy
import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ppi_robotics.checks import as_finite
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import entries
from ppi_robotics.manifold import add_to_squares, difference, difference_jacobian, retract

STEP = 1e-6  # of the differences of functions that come without derivatives


class Residuals(ABC):
    """Residuals at N knots: states x (N, nx), controls u (N, nu) and sensors y (N, ns) of a plant."""

    @abstractmethod
    def values(self, plant, x, u, y):
        """(N, k)."""

    @abstractmethod
    def derivatives(self, plant, x, u, y):
        """In the tangent of x (N, k, ndx), in u (N, k, nu) and in y (N, k, ns); None for zero."""

    def sensed(self):
        """Slices of the sensors that they read."""
        return ()

    def add_squares(self, plant, x, u, y, total):
        """Add the sums of squares to total (N,)."""
        values = self.values(plant, x, u, y)
        total += np.einsum("nk,nk->n", values, values)


@dataclass(frozen=True, eq=False)
class StateError(Residuals):
    """F (x - goal), a tangent difference; goal (nx,), F (k, ndx)."""

    goal: np.ndarray
    factor: np.ndarray

    def values(self, plant, x, u, y):  # noqa: ARG002
        """(N, k)."""
        return difference(x, self.goal, plant.quaternions) @ self.factor.T

    def derivatives(self, plant, x, u, y):  # noqa: ARG002
        return self.factor @ difference_jacobian(x, self.goal, plant.quaternions), None, None

    @functools.cached_property
    def entries(self):
        return entries(self.factor)

    def add_squares(self, plant, x, u, y, total):  # noqa: ARG002
        add_to_squares(total, self.entries, x, self.goal, plant.quaternions)


@dataclass(frozen=True, eq=False)
class ControlError(Residuals):
    """F u; F (k, nu)."""

    factor: np.ndarray

    def values(self, plant, x, u, y):  # noqa: ARG002
        """(N, k)."""
        return u @ self.factor.T

    def derivatives(self, plant, x, u, y):  # noqa: ARG002
        return None, np.broadcast_to(self.factor, (len(u), *self.factor.shape)), None

    @functools.cached_property
    def entries(self):
        return entries(self.factor)

    def add_squares(self, plant, x, u, y, total):  # noqa: ARG002
        add_to_squares(total, self.entries, u, np.zeros(u.shape[1]))


@dataclass(frozen=True, eq=False)
class SensorError(Residuals):
    """roots (y[entries] - goal); entries a slice of the sensors, goal and roots (k,)."""

    entries: slice
    goal: np.ndarray
    roots: np.ndarray

    def values(self, plant, x, u, y):  # noqa: ARG002
        """(N, k)."""
        return (y[:, self.entries] - self.goal) * self.roots

    def sensed(self):
        return (self.entries,)

    def derivatives(self, plant, x, u, y):  # noqa: ARG002
        J = np.zeros((len(y), len(self.roots), y.shape[1]))
        J[:, np.arange(len(self.roots)), np.arange(self.entries.start, self.entries.stop)] = self.roots
        return None, None, J


@dataclass(frozen=True, eq=False)
class FunctionError(Residuals):
    """roots f(x, u, sensors) of a function on batches, differentiated by central differences.

    Attributes:
      function: of x (N, nx), u (N, nu) and a dict from sensor name to (N, m), to residuals (N, k).
      sensors: dict from sensor name to its slice.
      roots: square roots of the weights, a scalar or (k,).
      moves: whether the function depends on x and u, not on sensors alone.
    """

    function: object
    sensors: dict
    roots: np.ndarray
    moves: bool = True

    def values(self, plant, x, u, y):  # noqa: ARG002
        """(N, k)."""
        given = {name: y[:, entries] for name, entries in self.sensors.items()}
        r = np.asarray(self.function(x, u, given), dtype=float)
        if r.ndim != 2 or len(r) != len(x) or self.roots.size not in (1, r.shape[1]):
            width = self.roots.size if self.roots.size > 1 else "k"
            raise ProblemError(f"a residual function returns shape {r.shape}; expected ({len(x)}, {width})")
        return r * self.roots

    def sensed(self):
        return tuple(self.sensors.values())

    def derivatives(self, plant, x, u, y):
        N, ndx, own = len(x), plant.ndx, plant.ndx + plant.nu  # columns of the state, and of state and control
        seen = [own + i for entries in self.sensors.values() for i in range(entries.start, entries.stop)]
        columns = [*range(own), *seen] if self.moves else seen
        moves = np.zeros((len(columns), 2, 1, own + y.shape[1]))
        moves[range(len(columns)), :, 0, columns] = STEP, -STEP
        dx, du, dy = np.split(moves, (ndx, own), axis=-1)
        points = (
            part.reshape(2 * len(columns) * N, part.shape[-1])
            for part in (retract(x, dx, plant.quaternions), u + du, y + dy)
        )
        r = self.values(plant, *points).reshape(len(columns), 2, N, -1)
        J = np.zeros((N, r.shape[-1], own + y.shape[1]))
        J[:, :, columns] = ((r[:, 0] - r[:, 1]) / (2.0 * STEP)).transpose(1, 2, 0)
        return np.split(J, (ndx, own), axis=2)


class BoundResiduals:
    """A cost of residuals for one plant.

    Args:
      given: the cost that it was made from.
      plant: with all sensors that the residuals refer to.
      stage, terminal: residuals of every stage and of the last state.

    Attributes:
      first, horizon: number of the first stage, and of stages, of the problem that the cost is part of; the time that
        sensors see is that of the stage.
    """

    project = False
    first, horizon = 0, 0

    def __init__(self, given, plant, stage, terminal):
        self.given, self.plant, self.at_stage, self.at_end = given, plant, tuple(stage), tuple(terminal)
        self.senses = any(not isinstance(r, StateError | ControlError) for r in (*self.at_stage, *self.at_end))

    @property
    def timed(self):
        """Whether a residual reads the time, so that equal states may cost more in one stage than in another."""
        clocks = getattr(self.plant, "clocks", frozenset())
        read = [entries for r in (*self.at_stage, *self.at_end) for entries in r.sensed()]
        return any(clocks.intersection(range(entries.start, entries.stop)) for entries in read)

    def over(self, first, horizon):
        """The same cost for stages first, ..., first + horizon."""
        if (first, horizon) == (self.first, self.horizon):
            return self
        other = copy.copy(self)
        other.first, other.horizon = first, horizon
        return other

    def bind(self, plant):
        """The same cost for another plant."""
        return self if plant is self.plant else self.given.bind(plant)

    def equip(self, plant):
        """The plant with the sensors that the residuals refer to."""
        return self.given.equip(plant) if hasattr(self.given, "equip") else plant

    def residuals(self, T):
        """Number of squares that the cost of T stages is a sum of."""
        x, u = np.zeros((1, self.plant.nx)), np.zeros((1, self.plant.nu))
        x[:, list(self.plant.quaternions)] = 1.0
        y = self._sense(x, u, 0)
        count = [sum(r.values(self.plant, x, u, y).shape[1] for r in rows) for rows in (self.at_stage, self.at_end)]
        return T * count[0] + count[1]

    def stage(self, x, u, t=0):
        """Stage costs (N,) of stage t at states (N, nx) and controls (N, nu)."""
        return self._sum(self.at_stage, x, u, self._sense(x, u, t))

    def terminal(self, x):
        """Terminal costs (N,) at states (N, nx)."""
        u = np.zeros((len(x), self.plant.nu))
        return self._sum(self.at_end, x, u, self._sense(x, u, self.horizon))

    def trajectory(self, x, u):
        """Cost of one trajectory x (T + 1, nx), u (T, nu), which need not fit the dynamics."""
        last = np.vstack((u, np.zeros((1, self.plant.nu))))
        return float(self.stages(x[None], u[None], self._sense(x, last, np.arange(len(x)))[None])[0].sum())

    def stages(self, x, u, y):
        """Costs (N, T + 1) along trajectories x (N, T + 1, nx), u (N, T, nu) with their sensors y (N, T + 1, ns)."""
        (N, T, nu), costs = u.shape, np.empty((len(u), u.shape[1] + 1))
        knots = x[:, :-1].reshape(N * T, -1), u.reshape(N * T, nu), y[:, :-1].reshape(N * T, y.shape[2])
        costs[:, :T] = self._sum(self.at_stage, *knots).reshape(N, T)
        costs[:, T] = self._sum(self.at_end, x[:, -1], np.zeros((N, nu)), y[:, -1])
        return costs

    def quadratize(self, x, u):
        """Values (T + 1,), gradients cx (T + 1, ndx), cu (T, nu) and Hessians Cxx, Cux, Cuu along a trajectory."""
        return self.expand(self.plant, x, u)[1]

    def expand(self, plant, x, u):
        """Next states, A and B of the plant, and what `quadratize` returns, from the same differences."""
        T, nu = u.shape
        u = np.vstack((u, np.zeros((1, nu))))
        if self.senses:
            xn, y, A, B, C, D = plant.differentiate(x, u, self.first + np.arange(T + 1))
            dynamics = xn[:T], A[:T], B[:T]
        else:
            dynamics, y = plant.expand(x[:T], u[:T]), np.empty((T + 1, 0))
            C, D = np.empty((T + 1, 0, plant.ndx)), np.empty((T + 1, 0, nu))
        stages, end = slice(0, T), slice(T, T + 1)
        c, cx, cu, Cxx, Cux, Cuu = self._model(self.at_stage, x[stages], u[stages], y[stages], C[stages], D[stages])
        e, ex, _, Exx, _, _ = self._model(self.at_end, x[end], u[end], y[end], C[end], D[end])
        joined = np.concatenate((c, e)), np.concatenate((cx, ex)), cu, np.concatenate((Cxx, Exx)), Cux, Cuu
        return dynamics, joined

    def _sense(self, x, u, t):
        return self.plant.sense(x, u, self.first + t) if self.senses else np.empty((len(x), 0))

    def _sum(self, residuals, x, u, y):
        total = np.zeros(len(x))
        for r in residuals:
            r.add_squares(self.plant, x, u, y, total)
        return total

    def _model(self, residuals, x, u, y, C, D):
        """Values, gradients and Gauss-Newton Hessians of a sum of squares at N knots."""
        (N, ndx), nu = (len(x), self.plant.ndx), self.plant.nu
        c, g, H = np.zeros(N), np.zeros((N, ndx + nu)), np.zeros((N, ndx + nu, ndx + nu))
        for residual in residuals:
            r, (Jx, Ju, Jy) = residual.values(self.plant, x, u, y), residual.derivatives(self.plant, x, u, y)
            J = np.zeros((N, r.shape[1], ndx + nu))
            for part, of in ((Jx, slice(0, ndx)), (Ju, slice(ndx, None))):
                if part is not None:
                    J[:, :, of] += part
            if Jy is not None:
                J[:, :, :ndx] += Jy @ C
                J[:, :, ndx:] += Jy @ D
            c += np.einsum("nk,nk->n", r, r)
            g += 2.0 * np.einsum("nki,nk->ni", J, r)
            H += 2.0 * np.swapaxes(J, 1, 2) @ J
        parts = g[:, :ndx], g[:, ndx:], H[:, :ndx, :ndx], H[:, ndx:, :ndx], H[:, ndx:, ndx:]
        return (c, *(np.ascontiguousarray(part) for part in parts))


def roots_of(weight: object, name: str, size: int | None = None) -> np.ndarray:
    """Square roots of a weight, a scalar or one per residual.

    Raises:
      ProblemError: if a weight is negative, or their number is wrong.
    """
    weight = np.atleast_1d(as_finite(weight, f"weight of {name}"))
    if weight.ndim != 1 or (size is not None and weight.size not in (1, size)) or (weight < 0).any():
        expected = "a scalar" if size is None else f"a scalar or {size} entries"
        raise ProblemError(f"weight of {name} is {weight.tolist()}; expected {expected}, none below 0")
    return np.sqrt(weight if size is None else np.broadcast_to(weight, (size,)))
