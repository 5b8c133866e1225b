"""Costs of plain Python functions, in numpy; derivatives by differences where none are given.

    cost = ppi.FunctionCost(lambda x, u: x[:, 0] ** 2 + 0.1 * u[:, 0] ** 2, terminal=lambda x: 10.0 * x[:, 0] ** 2)

Any object with the attributes of `Cost` becomes one within a `Problem`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ppi_robotics.checks import as_floats, check_choice, check_function, shown
from ppi_robotics.definition import as_rows, as_states
from ppi_robotics.derivatives import NEGATIVE, project, quadratic_model
from ppi_robotics.errors import ProblemError
from ppi_robotics.functions.calls import called, sheltered
from ppi_robotics.gaussian import Record

HESSIANS = ("project", "exact")


class StageCosts(Record):
    """A cost for one plant that knows its costs of stages and of the end, and adds them up along trajectories."""

    senses = False  # whether sensors along a trajectory matter

    def stages(self, x, u, y=None) -> np.ndarray:  # noqa: ARG002
        """Costs (N, T + 1) along trajectories x (N, T + 1, nx), u (N, T, nu); sensors y do not matter."""
        N, T, nu = u.shape
        costs = np.empty((N, T + 1))
        costs[:, :T] = self.stage(x[:, :-1].reshape(N * T, -1), u.reshape(N * T, nu)).reshape(N, T)
        costs[:, T] = self.terminal(x[:, -1])
        return costs

    def trajectory(self, x, u) -> float:
        """Cost of one trajectory x (T + 1, nx), u (T, nu)."""
        return float(self.stage(x[:-1], u).sum() + self.terminal(x[-1:])[0])


@dataclass(frozen=True)
class FunctionCost:
    """A cost given by functions of rows, in numpy.

    Attributes:
      stage: function of states x (N, nx) and controls u (N, nu) to costs (N,); N rows in any number.
      terminal: function of the last states x (N, nx) to costs (N,); none by default.
      quadratize: function of a trajectory x (T + 1, nx), u (T, nu) to values (T + 1,), gradients cx (T + 1, ndx),
        cu (T, nu) and Hessians Cxx (T + 1, ndx, ndx), Cux (T, nu, ndx), Cuu (T, nu, nu), the last stage's the terminal
        cost's; differences by default.
      hessian: of the differences: project (the eigenvalues of stages that are not convex raised to a small positive
        number) or exact.
    """

    stage: Callable[[np.ndarray, np.ndarray], np.ndarray]
    terminal: Callable[[np.ndarray], np.ndarray] | None = None
    quadratize: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, ...]] | None = None
    hessian: str = "project"

    def __post_init__(self):
        if not callable(self.stage):
            raise ProblemError(f"stage is {shown(self.stage)}; expected a function of states (N, nx), controls (N, nu)")
        check_function(self.terminal, "terminal", "states (N, nx)")
        check_function(self.quadratize, "quadratize", "states (T + 1, nx) and controls (T, nu)")
        check_choice(self.hessian, "hessian", HESSIANS)

    def bind(self, plant) -> "BoundFunctions":
        """The cost for a plant."""
        return BoundFunctions(self, plant)


class BoundFunctions(StageCosts):
    """A cost of functions for one plant.

    Args:
      given: `FunctionCost`, or an object with the attributes of `Cost`.
      plant: whose states and controls it takes.
      sizes: of states and controls (ndx + nu,), which steps of differences are parts of; None before they are known.
    """

    def __init__(self, given, plant, sizes=None):
        self.given, self.plant, self.sizes = given, plant, sizes
        self.nx, self.ndx, self.nu = plant.nx, plant.ndx, plant.nu
        self._terminal, self._quadratize = getattr(given, "terminal", None), getattr(given, "quadratize", None)
        self.project = self._quadratize is None and getattr(given, "hessian", "project") == "project"

    def bind(self, plant) -> "BoundFunctions":
        """The same cost for another plant."""
        return self if plant is self.plant else BoundFunctions(self.given, plant)

    def with_sizes(self, sizes: np.ndarray) -> "BoundFunctions":
        """The same cost with sizes of states and controls (ndx + nu,)."""
        return BoundFunctions(self.given, self.plant, sizes)

    def residuals(self, T):  # noqa: ARG002
        """Raise `ProblemError`: nothing says that it is a sum of squares."""
        raise ProblemError("the cost is given by functions, no sum of squares; give Quadratic or LeastSquares")

    def stage(self, x, u, t=0) -> np.ndarray:  # noqa: ARG002
        """Stage costs (N,) at states (N, nx) and controls (N, nu); they are the same in all stages."""
        return called(self.given.stage, "stage of the cost", as_rows(self, x, u), ())

    def terminal(self, x) -> np.ndarray:
        """Terminal costs (N,) at states (N, nx)."""
        x = as_states(self, x)
        return np.zeros(len(x)) if self._terminal is None else called(self._terminal, "terminal of the cost", (x,), ())

    def quadratize(self, x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, ...]:
        """Values (T + 1,), gradients cx (T + 1, ndx), cu (T, nu) and Hessians Cxx, Cux, Cuu along a trajectory."""
        T, n = len(u), self.ndx
        shapes = (T + 1,), (T + 1, n), (T, self.nu), (T + 1, n, n), (T, self.nu, n), (T, self.nu, self.nu)
        if self._quadratize is not None:
            return self._given_model(x, u, shapes)
        sizes = np.ones(n + self.nu) if self.sizes is None else self.sizes
        c, g, H = quadratic_model(self.stage, self._mover(x[:-1], u), sizes, T)
        e, ge, He = quadratic_model(self.terminal, self._mover(x[-1:]), sizes[:n], 1)
        model = np.concatenate((c, e)), np.concatenate((g[:, :n], ge)), g[:, n:]
        model += np.concatenate((H[:, :n, :n], He)), H[:, n:, :n], H[:, n:, n:]
        model = tuple(np.ascontiguousarray(part) for part in model)
        if self.project and all(np.isfinite(part).all() for part in model):
            project(*model[3:], least=-NEGATIVE)
        return model

    def expand(self, plant, x, u):
        """Next states, A and B of the plant, and what `quadratize` returns."""
        return plant.expand(x[:-1], u), self.quadratize(x, u)

    def _mover(self, x, u=None):
        """Function of moves (m, N, n) to what `stage`, or `terminal`, takes: states, and controls."""
        n = self.ndx

        def move(moves):
            many = len(moves)
            rows = self.plant.retract(np.tile(x, (many, 1)), moves[:, :, :n].reshape(-1, n))
            return (rows,) if u is None else (rows, np.tile(u, (many, 1)) + moves[:, :, n:].reshape(-1, self.nu))

        return move

    def _given_model(self, x, u, shapes):
        found = sheltered(self._quadratize, "quadratize of the cost", (x, u))
        if not isinstance(found, tuple | list) or len(found) != 6:
            raise ProblemError(f"quadratize of the cost returns {shown(found)}; expected c, cx, cu, Cxx, Cux, Cuu")
        names = ("c", "cx", "cu", "Cxx", "Cux", "Cuu")
        return tuple(
            np.array(as_floats(part, f"{name} of quadratize", shape), order="C")
            for name, part, shape in zip(names, found, shapes, strict=True)
        )


def check_at(plant, cost, x, u):
    """Raise `ProblemError` where functions return nan at the initial state (nx,) and controls (nu,).

    Three rows are asked for at once, so that a function of a single one is found.
    """
    x, u = np.tile(x, (3, 1)), np.tile(u, (3, 1))
    values = [("step of the plant", plant.step(x, u)), ("stage of the cost", cost.stage(x, u))]
    for what, value in (*values, ("terminal of the cost", cost.terminal(x))):
        if np.isnan(value).any():
            raise ProblemError(f"{what} returns nan at the initial state {shown(x[0])}; expected finite numbers")
