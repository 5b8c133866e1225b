"""Plants of plain Python functions, in numpy; derivatives by differences where none are given.

    def step(x, u):                                      # (N, 2) and (N, 1), one row a sample
        return np.stack([x[:, 0] + 0.05 * x[:, 1], x[:, 1] + 0.05 * u[:, 0]], axis=1)

    plant = ppi.FunctionPlant(step, dt=0.05, state_names=("position", "velocity"), control_names=("force",))

Any object with the attributes of `Plant` becomes one within a `Problem`.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics import manifold
from ppi_robotics.checks import as_finite, as_floats, as_pair, check_flag, check_function, shown
from ppi_robotics.definition import Definition, as_rows
from ppi_robotics.derivatives import AHEAD, SLOPE_STEP, equilibrium_controls, jacobian, quadratic_model
from ppi_robotics.errors import PlantError, ProblemError
from ppi_robotics.functions.calls import called, sheltered
from ppi_robotics.noise import Noise

NEEDED = ("name", "nx", "ndx", "nu", "dt", "state_names", "control_names", "units")
NEEDED += ("control_limits", "state_limits", "noise", "step")  # of any plant, see `problem.Plant`
COMPLETE = ("expand", "difference", "retract", "hold_controls", "quaternions", "second_derivatives")


class FunctionPlant(Definition):
    """A plant given by a function for its steps; it cannot be changed once it is constructed.

    Args:
      step: function of states x (N, nx) and controls u (N, nu) to the next states (N, nx), without noise; N rows in any
        number, each for itself.
      dt: seconds a stage.
      state_names, control_names: one name per entry.
      name: for messages and files; a policy refuses a plant of another name.
      units: nx + nu strings, states first.
      control_limits, state_limits: pairs (lower, upper) per entry, None where there is none.
      noise: `Noise`, or the variances (ndx,) or covariance (ndx, ndx) added per stage.
      linearize: function of x (T, nx), u (T, nu) to A (T, ndx, ndx), B (T, ndx, nu), derivatives of the next state;
        by default differences are taken.
      difference: function of states x, y (N, nx) to the tangents (N, ndx) that lead from y to x; x - y by default.
      retract: function of x (N, nx), dx (N, ndx) to the states reached; x + dx by default.
      quaternions: indices at which unit quaternions start in the state, whose tangent has one entry less for each.
      second_derivatives: whether the step is smooth enough to be differentiated twice, by differences.
      success: function of final states (N, nx) to booleans (N,).

    Raises:
      PlantError: if the definition does not fit together; later, in one line, if a function raises or returns another
        shape.
    """

    loops = None
    sizes: np.ndarray | None = None  # of states and controls (ndx + nu,), for the steps of differences; see `Problem`
    given: object = None

    def __init__(
        self,
        step: Callable[[np.ndarray, np.ndarray], np.ndarray],
        dt: float,
        state_names: Sequence[str],
        control_names: Sequence[str],
        name: str = "plant",
        units: Sequence[str] | None = None,
        control_limits: Sequence[Any] | np.ndarray | None = None,
        state_limits: Sequence[Any] | np.ndarray | None = None,
        noise: Noise | np.ndarray | Sequence | None = None,
        linearize: Callable | None = None,
        difference: Callable | None = None,
        retract: Callable | None = None,
        quaternions: Sequence[int] = (),
        second_derivatives: bool = False,
        success: Callable | None = None,
    ) -> None:
        if not callable(step):
            raise PlantError(f"step is {shown(step)}; expected a function of states (N, nx) and controls (N, nu)")
        for role, function in (("linearize", linearize), ("difference", difference), ("retract", retract)):
            check_function(function, role)
        if (difference is None) != (retract is None):
            raise PlantError("difference and retract belong together; give both, or none")
        self.name, self.dt, self.state_names, self.control_names = name, dt, state_names, control_names
        self.units, self.control_limits, self.state_limits, self.noise = units, control_limits, state_limits, noise
        self.quaternions, self.success = quaternions, success
        self.second_derivatives = check_flag(second_derivatives, "second_derivatives")
        self._step, self._linearize, self._difference, self._retract = step, linearize, difference, retract
        self._define("FunctionPlant")
        self._sealed = True

    @classmethod
    def of(cls, plant) -> "FunctionPlant":
        """Any object with the attributes of `Plant` as a plant of its functions.

        Raises:
          ProblemError: if it lacks some; `PlantError` if they do not fit together.
        """
        lacks = [name for name in NEEDED if not hasattr(plant, name)]
        if isinstance(plant, type) or lacks:
            missing = f", which lacks {', '.join(lacks)}" if len(lacks) < len(NEEDED) else ""
            raise ProblemError(
                f"plant is {shown(plant)}{missing}; expected a plant such as CartPole() or a SymbolicPlant, or "
                "FunctionPlant(step, dt, state_names, control_names)"
            )
        optional = {"linearize": None, "difference": None, "retract": None, "quaternions": ()}
        optional |= {"second_derivatives": False, "success": None}
        names = (name for name in NEEDED if name not in ("nx", "ndx", "nu"))
        made = cls(
            **{name: getattr(plant, name) for name in names},
            **{name: getattr(plant, name, default) for name, default in optional.items()},
        )
        for size in ("nx", "ndx", "nu"):
            if getattr(plant, size) != getattr(made, size):
                raise PlantError(
                    f"plant '{made.name}' has {size} {shown(getattr(plant, size))}; expected {getattr(made, size)} "
                    "for its state_names, control_names and quaternions"
                )
        vars(made)["given"] = plant
        return made

    def __getattr__(self, name):
        if name.startswith("_") or self.given is None:
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return getattr(self.given, name)

    def with_sizes(self, sizes: np.ndarray) -> "FunctionPlant":
        """The plant with sizes of states and controls (ndx + nu,), which steps of differences are parts of."""
        other = copy.copy(self)
        vars(other)["sizes"] = sizes
        return other

    def step(self, x: ArrayLike, u: ArrayLike) -> np.ndarray:
        """Next states (N, nx), without noise, from states (N, nx) and controls (N, nu); nan from rows that are not."""
        x, u = as_rows(self, x, u)
        return called(self._step, f"step of plant '{self.name}'", (x, u), (self.nx,))

    def difference(self, x: ArrayLike, y: ArrayLike) -> np.ndarray:
        """Tangents (..., ndx) that lead from states y to states x (..., nx)."""
        x, y = as_pair(x, y, "y", self.nx, self.nx)
        if self._difference is None:
            return manifold.difference(x, y, self.quaternions) if self.quaternions else x - y
        return self._moved(self._difference, "difference", x, y, self.ndx)

    def retract(self, x: ArrayLike, dx: ArrayLike) -> np.ndarray:
        """States (..., nx) reached from states x (..., nx) along tangents dx (..., ndx)."""
        x, dx = as_pair(x, dx, "dx", self.nx, self.ndx)
        if self._retract is None:
            return manifold.retract(x, dx, self.quaternions) if self.quaternions else x + dx
        return self._moved(self._retract, "retract", x, dx, self.nx)

    def _moved(self, function, role, x, other, width):
        leading = np.broadcast_shapes(x.shape[:-1], other.shape[:-1])
        pair = (np.broadcast_to(part, (*leading, part.shape[-1])).reshape(-1, part.shape[-1]) for part in (x, other))
        return called(function, f"{role} of plant '{self.name}'", tuple(pair), (width,)).reshape(*leading, width)

    def linearize(self, x: ArrayLike, u: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """A (T, ndx, ndx) and B (T, ndx, nu), derivatives of the next state at T pairs of state and control."""
        return self.expand(x, u)[1:]

    def expand(self, x: ArrayLike, u: ArrayLike, adjoint: ArrayLike | None = None) -> tuple[np.ndarray, ...]:
        """Next states, A, B and, for adjoints y (T, ndx), second derivatives of y'f, (T, ndx + nu, ndx + nu)."""
        x, u = as_rows(self, x, u)
        xn = self.step(x, u)
        if self._linearize is None:
            J = jacobian(self._motion(xn), self._mover(x, u), self.steps(x, u), len(x), self._inward(x, u))
            A, B = np.ascontiguousarray(J[:, :, : self.ndx]), np.ascontiguousarray(J[:, :, self.ndx :])
        else:
            A, B = self._given_derivatives(x, u)
        if adjoint is None:
            return xn, A, B
        y, motion = as_floats(adjoint, "adjoint", (len(x), self.ndx)), self._motion(xn)

        def weighed(x, u):
            return np.einsum("mti,ti->mt", motion(x, u).reshape(-1, *y.shape), y)

        return xn, A, B, quadratic_model(weighed, self._mover(x, u), self.steps(x, u), len(x))[2]

    def check_derivatives(self, x: ArrayLike, u: ArrayLike) -> float:
        """Largest difference of `linearize` as it was given from differences, over the sizes of states and controls.

        Raises:
          ProblemError: if none was given.
        """
        if self._linearize is None:
            raise ProblemError(f"plant '{self.name}' has no linearize of its own to check; give it one")
        bare = copy.copy(self)
        vars(bare)["_linearize"] = None
        sizes = self.steps(*as_rows(self, x, u))
        units = sizes[: self.ndx, None] / sizes
        given, taken = (np.concatenate(plant.linearize(x, u), axis=2) for plant in (self, bare))
        return float(np.abs((given - taken) / units).max())

    def hold_controls(self, x: ArrayLike) -> np.ndarray:
        """Controls (nu,) within the limits that keep a state (nx,) as it is; none where no control does."""
        return equilibrium_controls(self, as_finite(x, "x", (self.nx,)))

    def steps(self, x, u) -> np.ndarray:
        """Sizes (ndx + nu,) that steps of differences are parts of: those of a problem, or of limits and rows."""
        if self.sizes is not None:
            return self.sizes
        known = np.abs(np.hstack((manifold.difference(x, self._origin, self.quaternions), u))).max(axis=0)
        ends = np.vstack((np.tile([-np.inf, np.inf], (self.ndx, 1)), self.control_limits))
        if not self.quaternions:
            ends[: self.ndx] = self.state_limits
        known = np.maximum(known, np.where(np.isfinite(ends), np.abs(ends), 0.0).max(axis=1))
        return np.where(known > 0.0, known, 1.0)

    @property
    def _origin(self):
        return manifold.origin(self.nx, self.quaternions)

    def _motion(self, xn):
        """Function of states and controls to the tangents (M, ndx) from xn, repeated, to their next states."""
        return lambda x, u: self.difference(self.step(x, u), np.tile(xn, (len(x) // len(xn), 1)))

    def _mover(self, x, u):
        """Function of moves (m, N, ndx + nu) to states and controls (m N, ...) moved from x and u."""

        def move(moves):
            many = len(moves)
            dx, du = moves[:, :, : self.ndx].reshape(-1, self.ndx), moves[:, :, self.ndx :].reshape(-1, self.nu)
            return self.retract(np.tile(x, (many, 1)), dx), np.tile(u, (many, 1)) + du

        return move

    def _inward(self, x, u):
        """1 or -1 (N, ndx + nu) where four steps to both sides would leave the limits, which a step may rely on."""
        free = np.tile([-np.inf, np.inf], (self.ndx, 1))
        low, high = np.vstack((free if self.quaternions else self.state_limits, self.control_limits)).T
        z = np.hstack((np.zeros((len(x), self.ndx)) if self.quaternions else x, u))
        room = AHEAD[-1] * SLOPE_STEP * self.steps(x, u)
        return np.where(z + room > high, -1.0, np.where(z - room < low, 1.0, 0.0))

    def _given_derivatives(self, x, u):
        what, T = f"linearize of plant '{self.name}'", len(x)
        shapes = (T, self.ndx, self.ndx), (T, self.ndx, self.nu)
        found = sheltered(self._linearize, what, (x, u))
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise PlantError(f"{what} returns {shown(found)}; expected a pair A {shapes[0]}, B {shapes[1]}")
        A, B = (np.array(as_floats(part, f"{role} of {what}")) for role, part in zip("AB", found, strict=True))
        if (A.shape, B.shape) != shapes:
            raise PlantError(f"{what} returns A {A.shape} and B {B.shape}; expected {shapes[0]} and {shapes[1]}")
        return A, B


def complete(plant: Any) -> Any:
    """A plant with all that the package calls: the plant itself, or its functions as a `FunctionPlant`."""
    if not isinstance(plant, type) and all(hasattr(plant, name) for name in (*NEEDED, *COMPLETE)):
        return plant
    return FunctionPlant.of(plant)
