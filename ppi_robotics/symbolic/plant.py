"""Plants written in CasADi: one definition gives steps, Jacobians, second derivatives and rollouts, all compiled.

class Slider(ppi.SymbolicPlant):
    state_names = ("position", "velocity")
    control_names = ("force",)
    dt = 0.02
    control_limits = [(-5.0, 5.0)]

    def derivative(self, x, u):  # noqa: ARG002
        return ppi.vertcat(x[1], u[0])
"""

import functools
import logging
import math
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import as_finite, as_floats, as_pair, check_choice, shown
from ppi_robotics.definition import Definition, as_rows, of_plant
from ppi_robotics.derivatives import equilibrium_controls
from ppi_robotics.errors import PlantError, ProblemError
from ppi_robotics.gaussian import frozen
from ppi_robotics.kernels.compiler import STAGE_LANES, build
from ppi_robotics.kernels.translate import lane_function, trace
from ppi_robotics.problem import Plant

# nodes and weights of explicit Runge-Kutta schemes in which every stage uses only the one before
INTEGRATORS = {
    "euler": ((0.0,), (1.0,)),
    "semi_implicit_euler": ((0.0,), (1.0,)),
    "midpoint": ((0.0, 0.5), (0.0, 1.0)),
    "rk4": ((0.0, 0.5, 0.5, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)),
}


class Sealing(type):
    """Checks a plant when its construction is complete, and makes it immutable from then on."""

    def __call__(cls, *args, **kwargs):
        plant = super().__call__(*args, **kwargs)
        plant._seal()
        return plant


class SymbolicPlant(Definition, metaclass=Sealing):
    """A plant given by `derivative(x, u)` (continuous time) or `transition(x, u)` (the next state).

    Both take CasADi column vectors and return one. Parameters are ordinary attributes set in `__init__`; other values
    of them reuse the compiled code. A plant cannot be changed once it is constructed.

    Attributes to define in the class or in `__init__`:
      state_names, control_names: one name per entry.
      dt: seconds a stage.
      integrator: euler, semi_implicit_euler (states ordered positions, velocities), midpoint or rk4.
      units: nx + nu strings, states first; optional.
      control_limits: (nu, 2) lower and upper bounds; optional, infinite by default.
      state_limits: (nx, 2); optional.
      noise: `Noise`, or the variances (nx,) or covariance (nx, nx) added per stage; optional.
      name: for messages and files; the class's name by default.
      success: function of final states (N, nx) to booleans (N,); optional.

    Raises:
      PlantError: if the definition is incomplete or does not fit together.
    """

    integrator = "rk4"
    second_derivatives = True
    loops = "ppi_robotics.symbolic.rollouts"  # compiled, see `rollouts.fast_loops`
    _derived = ("model",)

    def derivative(self, x: ca.SX, u: ca.SX) -> ca.SX:  # noqa: ARG002
        """Time derivative (nx,) of the state as a CasADi expression."""
        raise PlantError(f"{type(self).__name__} defines neither derivative(x, u) nor transition(x, u); define one")

    transition: Any = None

    # -- construction ------------------------------------------------------------------------------------------------

    def _seal(self):
        with of_plant(f"{type(self).__name__}."):
            check_choice(self.integrator, "integrator", INTEGRATORS)
        self._define(type(self).__name__)
        self.model  # noqa: B018  (the expression is checked when the plant is made)
        self._sealed = True

    # -- the plant protocol ------------------------------------------------------------------------------------------

    def step(self, x: ArrayLike, u: ArrayLike) -> np.ndarray:
        """Next states (N, nx), without noise, from states (N, nx) and controls (N, nu)."""
        x, u = as_rows(self, x, u)
        xn = np.empty_like(x)
        self.model.kernels.step(x, u, self.model.constants, self.model.dt, xn)
        return xn

    def linearize(self, x: ArrayLike, u: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """A (T, nx, nx) and B (T, nx, nu), derivatives of the next state at T pairs of state and control."""
        return self.expand(x, u)[1:]

    def expand(self, x: ArrayLike, u: ArrayLike, adjoint: ArrayLike | None = None) -> tuple[np.ndarray, ...]:
        """Next states, A, B and, for adjoints y (T, nx), the second derivatives of y'f, (T, nx + nu, nx + nu)."""
        x, u = as_rows(self, x, u)
        xn, A, B = np.empty_like(x), np.empty((len(x), self.nx, self.nx)), np.empty((len(x), self.nx, self.nu))
        model = self.model
        if adjoint is None:
            model.kernels.linearize(x, u, model.constants, model.dt, xn, A, B)
            return xn, A, B
        H = np.empty((len(x), self.nx + self.nu, self.nx + self.nu))
        adjoint = np.ascontiguousarray(as_floats(adjoint, "adjoint"))
        if adjoint.shape != x.shape:
            raise ProblemError(f"adjoint has shape {adjoint.shape}; expected {x.shape}, that of the states")
        model.kernels.linearize_with_curvature(x, u, adjoint, model.constants, model.dt, xn, A, B, H)
        return xn, A, B, H

    def difference(self, x: ArrayLike, y: ArrayLike) -> np.ndarray:
        """x - y: the state space of a symbolic plant is flat."""
        x, y = as_pair(x, y, "y", self.nx, self.nx)
        return x - y

    def retract(self, x: ArrayLike, dx: ArrayLike) -> np.ndarray:
        """x + dx."""
        x, dx = as_pair(x, dx, "dx", self.nx, self.nx)
        return x + dx

    def hold_controls(self, x: ArrayLike) -> np.ndarray:
        """Controls (nu,) within the limits that keep a state (nx,) as it is; none where no control does."""
        return equilibrium_controls(self, as_finite(x, "x", (self.nx,)))

    @functools.cached_property
    def model(self) -> "Model":
        """The plant's expressions and compiled kernels."""
        return Model(self)


class Model:
    """What is generated for a plant.

    Attributes:
      constants: numbers that the generated functions refer to.
      dt: step handed to the integrator; 1 for discrete plants.
      sizes: constants of the kernel module.
      functions: texts of `derivative`, `derivative_jacobian`, `derivative_hessian`.
      warned: whether the user has been told that a stage is too long for the integrator.
    """

    def __init__(self, plant):
        x, u, y = ca.SX.sym("x", plant.nx), ca.SX.sym("u", plant.nu), ca.SX.sym("y", plant.nx)
        discrete = plant.transition is not None
        method = plant.transition if discrete else plant.derivative
        f = self._trace(plant, method, x, u)
        semi_implicit = not discrete and plant.integrator == "semi_implicit_euler"
        if semi_implicit:
            self._check_order(plant, f, x)
        nodes, weights = ((0.0,), (1.0,)) if discrete else INTEGRATORS[plant.integrator]
        self.label = f"plant {plant.name}"
        self.dt = 1.0 if discrete else float(plant.dt)
        self.sizes = {
            "NX": plant.nx,
            "NU": plant.nu,
            "NZ": plant.nx + plant.nu,
            "STAGES": len(nodes),
            "KEEP": 0.0 if discrete else 1.0,
            "SEMI_IMPLICIT": semi_implicit,
            "NODES": nodes,
            "WEIGHTS": weights,
        }
        self.warned, self._expression, self._jacobians = False, (x, u, f), {}
        z, constants = ca.vertcat(x, u), []
        jacobian, hessian = ca.jacobian(f, z), ca.hessian(ca.dot(y, f), z)[0]
        self.functions = (
            lane_function("derivative", {"x": x, "u": u}, {"f": f}, constants),
            lane_function("derivative_jacobian", {"x": x, "u": u}, {"f": f, "J": jacobian}, constants),
            lane_function("derivative_hessian", {"x": x, "u": u, "y": y}, {"H": hessian}, constants),
        )
        self.constants = frozen(constants or [0.0])
        if not np.isfinite(self.constants).all():
            raise PlantError(
                f"{type(plant).__name__} holds a number that is not finite; give finite parameters, "
                "and use ppi.sin, not math.sin, on x and u"
            )

    @staticmethod
    def _trace(plant, method, x, u):
        kind = "derivative" if plant.transition is None else "transition"
        label = f"{type(plant).__name__}.{kind}"
        if not callable(method):
            raise PlantError(f"{label} is {shown(method)}; expected a method of (x, u)")
        f = trace(label, method, (x, u))
        if f.numel() != plant.nx:
            raise PlantError(
                f"{label} returns {f.numel()} entries; expected {plant.nx}, one for each of {plant.state_names}"
            )
        return ca.reshape(f, plant.nx, 1)

    @staticmethod
    def _check_order(plant, f, x):
        half = plant.nx // 2
        if plant.nx % 2 or not ca.is_equal(f[:half], x[half:], 2):
            raise PlantError(
                f"{type(plant).__name__} uses semi_implicit_euler, which needs states ordered positions, velocities "
                "and a derivative whose first half is the velocities; reorder them or choose rk4"
            )

    def rates(self, x: np.ndarray, u: np.ndarray) -> np.ndarray:
        """df/dx (N, nx, nx) of the derivative [1/s], or of the transition, at states (N, nx) and controls (N, nu)."""
        x, u = np.ascontiguousarray(x), np.ascontiguousarray(u)
        J = np.empty((len(x), x.shape[1], x.shape[1]))
        arrays, run = self._state_jacobian(len(x)).buffer()  # calls with matrices take six times as long
        arrays.set_arg(0, memoryview(x))
        arrays.set_arg(1, memoryview(u))
        arrays.set_res(0, memoryview(J))
        run()
        return J.transpose(0, 2, 1)  # columns come first

    def _state_jacobian(self, n):
        if n not in self._jacobians:
            x, u, f = self._expression
            self._jacobians[n] = ca.Function("state_jacobian", [x, u], [ca.densify(ca.jacobian(f, x))]).map(n)
        return self._jacobians[n]

    @functools.cached_property
    def kernels(self):
        """Compiled steps and derivatives."""
        return build(self.label, STAGE_LANES, self.sizes, self.functions, ("integrate", "dynamics"))


# -- length of a stage -------------------------------------------------------------------------------------------------

MOST_STAGES = 16  # of a path that are looked at
VISIBLE = math.log(2.0)  # growth over the horizon that is worth a warning
MOST_STEPS = 2**20
# no mode that decays grows where dt |df/dx| is smaller; all but fourth order may let undamped oscillations grow
HARMLESS = {"rk4": 2.5, "semi_implicit_euler": 1.0}
logger = logging.getLogger("ppi_robotics")


def warn_of_long_stages(plant: Plant, x: np.ndarray, u: np.ndarray) -> None:
    """Warn, once for a plant, if a mode along a path grows by the integrator alone, and name a stage length that works.

    Args:
      plant: any plant; only a `SymbolicPlant` with a derivative is looked at.
      x, u: states (T + 1, nx) and controls (T, nu).
    """
    if not isinstance(plant, SymbolicPlant) or plant.transition is not None or plant.model.warned:
        return
    every = -(-len(u) // MOST_STAGES)
    J = plant.model.rates(x[:-1:every], u[::every])
    if plant.dt * np.sqrt(np.einsum("tij,tij->t", J, J)).max() < HARMLESS.get(plant.integrator, 0.0):
        return
    J = J[np.isfinite(J).all(axis=(1, 2))]
    if not len(J):
        return
    growth, fastest = false_growth(J, plant.dt, plant.integrator)
    if growth.mean() * len(u) <= VISIBLE:
        return
    plant.model.warned = True
    logger.warning(
        "plant %s: a stage of %g s is too long for %s: its fastest mode of %s 1/s decays, and grows %.2g times a stage "
        "when integrated; %s",
        *(plant.name, plant.dt, plant.integrator, _rate(fastest[growth.argmax()]), math.exp(min(growth.max(), 700.0))),
        _advice(J, plant.dt, plant.integrator),
    )


def false_growth(J, dt, integrator):
    """Logarithm (N,) of the growth per step of modes that should decay, and the rates (N,) of the fastest of them.

    A mode of rate a, an eigenvalue of df/dx [1/s], is multiplied by exp(a dt) in continuous time and by R(a dt) in a
    Runge-Kutta step; R is the scheme's polynomial. Semi-implicit Euler, which treats positions and velocities apart,
    has no such R: there the modes of its step that grow are counted beside those of df/dx that do. (E. Hairer, G.
    Wanner, *Solving ordinary differential equations II*, 1996.)

    Args:
      J: df/dx (N, nx, nx).
      dt: of a step [s].
      integrator: name of the scheme.
    """
    rates = np.linalg.eigvals(J)
    decays = rates.real < 0.0
    fastest = rates[np.arange(len(J)), np.where(decays, np.abs(rates), -1.0).argmax(axis=1)]
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if integrator != "semi_implicit_euler":
            growth = np.where(decays, np.log(np.abs(amplification(rates * dt, integrator))), 0.0)
            return np.maximum(growth.max(axis=1), 0.0), fastest
        half = J.shape[1] // 2
        late = np.eye(2 * half) + dt * J
        late[:, :half] += dt * dt * J[:, half:]
        sizes = np.sort(np.abs(np.linalg.eigvals(late)), axis=1)
        first = np.take_along_axis(sizes, decays.sum(axis=1)[:, None] - 1, axis=1)[:, 0]  # of those that should decay
        return np.where(decays.any(axis=1), np.maximum(np.log(first), 0.0), 0.0), fastest


def amplification(z, integrator):
    """R(z) of a Runge-Kutta scheme in which every stage uses only the one before."""
    slope, total = np.ones_like(z), np.ones_like(z)
    for node, weight in zip(*INTEGRATORS[integrator], strict=True):
        slope = 1.0 + node * z * slope
        total = total + weight * z * slope
    return total


def _advice(J, dt, integrator):
    """How short a step would do, in words."""

    def fits(steps):
        return false_growth(J, dt / steps, integrator)[0].max() <= 1e-12

    high = 2
    while not fits(high):
        high *= 2
        if high > MOST_STEPS:
            return "choose another integrator, such as rk4"
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return f"a dt of {dt / high:.2g} s would do, as would {high} steps of the integrator a stage"


def _rate(rate):
    """An eigenvalue in words."""
    return f"{rate.real:.3g}" + (f" ± {abs(rate.imag):.3g}i" if rate.imag else "")
