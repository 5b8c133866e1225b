"""The optimal control problem, and the one place where its shapes are checked.

minimize  E[ sum_{t<T} C_t(x_t, u_t) + C_T(x_T) ]   with   x_{t+1} = f(x_t, u_t) + w_t,   x_0 given
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from ppi_robotics.checks import as_finite, as_floats, check_count, check_function, check_instance, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Gaussian
from ppi_robotics.manifold import unit
from ppi_robotics.noise import Noise
from ppi_robotics.scales import scales_of

MOST_STAGES = 100_000_000


@runtime_checkable
class Plant(Protocol):
    """What a plant offers: batched, without state.

    Attributes:
      name: for messages and files; a policy refuses a plant of another name.
      nx, ndx, nu: sizes of the state, of its tangent and of the control.
      dt: seconds a stage.
      state_names, control_names: nx and nu names.
      units: nx + nu units, states first.
      control_limits: (nu, 2) lower and upper bounds, infinite where there is none.
      state_limits: (nx, 2) likewise.
      noise: `Noise`, on the tangent.
      quaternions: indices of the state at which unit quaternions start; () for a flat state, where ndx = nx.
      second_derivatives: whether `expand` takes adjoints.
    """

    name: str
    nx: int
    ndx: int
    nu: int
    dt: float
    state_names: tuple
    control_names: tuple
    units: tuple
    control_limits: np.ndarray
    state_limits: np.ndarray
    noise: Noise
    quaternions: tuple
    second_derivatives: bool

    def step(self, x, u):
        """Next states (N, nx) from states (N, nx) and controls (N, nu), without noise."""

    def linearize(self, x, u):
        """A (T, ndx, ndx) and B (T, ndx, nu) at T pairs of state and control."""

    def difference(self, x, y):
        """Tangent (N, ndx) that leads from y to x."""

    def retract(self, x, dx):
        """State (N, nx) reached from x along the tangent dx."""


@runtime_checkable
class Cost(Protocol):
    """What a cost offers; it is minimized. `bind` fixes the plant's sizes and checks the weights against them.

    A cost on sensors also has `equip`, which returns the plant with the sensors that it needs.
    """

    def bind(self, plant):
        """The cost for a plant: `stage`, `terminal`, `trajectory`, `stages` and `expand`."""


@runtime_checkable
class Method(Protocol):
    """What a method offers to `solve`: a name, and how it solves a problem.

    `plan` returns what a plan of this package is, `ILQG().plan(problem)` for instance: phases, each with `begin`,
    `advance` and `conclude`. A method may also have

      max_iterations: of every phase; 500 by default.
      lambda_policy, lambda_transition: weights of the policy that is made about the last path; by default a policy
        without noise of its own, and the weight of the last phase.
      starts: how many guesses are tried; by default as many as it takes.

    Attributes:
      name: for messages and tables.
    """

    name: str

    def plan(self, problem):
        """The `Plan` for a problem.

        Raises:
          ProblemError: if the method does not apply to it.
        """


@dataclass(frozen=True, eq=False)
class Problem:
    """A plant, a cost, where to start, and for how long.

    Attributes:
      plant: see `Plant`.
      cost: see `Cost`.
      initial: state (nx,), or a `Gaussian` over it.
      horizon: number of stages T, at least 1.
      success: function of final states (N, nx) to booleans (N,); None takes the plant's `success`, if it has one.
      first_stage: number of the stage at which the horizon begins. Stage t of it is at time (first_stage + t) dt, which
        matters to costs on sensors of MuJoCo that tell the time.

    Raises:
      ProblemError: if any part does not fit the others.
    """

    plant: Plant
    cost: Cost
    initial: Gaussian
    horizon: int
    success: Callable | None = None
    first_stage: int = 0

    def __post_init__(self):
        if isinstance(self.plant, type) or not isinstance(self.plant, Plant):
            raise ProblemError(f"plant is {shown(self.plant)}; expected a plant such as CartPole() or a SymbolicPlant")
        if isinstance(self.cost, type) or not isinstance(self.cost, Cost):
            raise ProblemError(f"cost is {shown(self.cost)}; expected Quadratic, LeastSquares or SymbolicCost")
        object.__setattr__(self, "horizon", check_count(self.horizon, "horizon", 1, MOST_STAGES))
        object.__setattr__(self, "initial", self._initial_belief())
        self._check_start()
        check_function(self.success, "success", "final states (N, nx)")
        if self.success is None:
            object.__setattr__(self, "success", getattr(self.plant, "success", None))
        if hasattr(self.cost, "equip"):
            object.__setattr__(self, "plant", self.cost.equip(self.plant))
        object.__setattr__(self, "first_stage", check_count(self.first_stage, "first_stage", 0))
        cost = self.cost.bind(self.plant)
        cost = cost.over(self.first_stage, self.horizon) if hasattr(cost, "over") else cost
        object.__setattr__(self, "cost", cost)

    @functools.cached_property
    def scales(self):
        """`Scales` of states, controls and cost."""
        return scales_of(self)

    def starting_at(self, x, success=None, later=0):
        """The problem from another mean initial state (nx,), with the same scales.

        Args:
          x: state (nx,).
          success: another criterion; None keeps it.
          later: by how many stages the horizon begins later.
        """
        mean, success = as_finite(x, "x", (self.plant.nx,)), self.success if success is None else success
        initial, first = replace(self.initial, mean=mean), self.first_stage + later
        other = replace(self, initial=initial, success=success, first_stage=first)
        vars(other)["scales"] = self.scales
        return other

    def _initial_belief(self):
        nx, ndx = self.plant.nx, self.plant.ndx
        if isinstance(self.initial, Gaussian):
            if self.initial.mean.shape != (nx,) or self.initial.cov.shape != (ndx, ndx):
                raise ProblemError(
                    f"initial has mean of shape {self.initial.mean.shape}; "
                    f"the plant's state has {nx} entries {tuple(self.plant.state_names)}"
                )
            quaternions = self.plant.quaternions
            if not quaternions:
                return self.initial
            return Gaussian(unit(self.initial.mean, quaternions), self.initial.cov, quaternions)
        mean = as_finite(self.initial, "initial")
        if mean.shape != (nx,):
            raise ProblemError(
                f"initial has shape {mean.shape}; the plant's state has {nx} entries {tuple(self.plant.state_names)}"
            )
        return Gaussian(unit(mean, self.plant.quaternions), np.zeros((ndx, ndx)), self.plant.quaternions)

    def _check_start(self):
        limits = self.plant.state_limits
        outside = (self.initial.mean < limits[:, 0]) | (self.initial.mean > limits[:, 1])
        if outside.any():
            i = int(np.argmax(outside))
            raise ProblemError(
                f"initial {self.plant.state_names[i]} is {self.initial.mean[i]:g}, outside its limits "
                f"[{limits[i, 0]:g}, {limits[i, 1]:g}]; start inside or widen the limits"
            )


def check_problem(problem):
    """The problem, once it is one."""
    return check_instance(problem, "problem", Problem, "such as Problem(plant, cost, initial, horizon)")


def as_rows(plant, x, u):
    """States (N, nx) and controls (N, nu) of a plant as contiguous arrays of floats.

    Raises:
      ProblemError: if the shapes do not fit the plant or each other.
    """
    x, u = as_states(plant, x), np.ascontiguousarray(as_floats(u, "u"))
    if u.shape != (len(x), plant.nu):
        raise ProblemError(f"states {x.shape} and controls {u.shape}; expected (N, {plant.nx}) and (N, {plant.nu})")
    return x, u


def as_states(plant, x):
    """States (N, nx) of a plant, at least one, as a contiguous array of floats.

    Raises:
      ProblemError: if the shape does not fit the plant.
    """
    x = np.ascontiguousarray(as_floats(x, "x"))
    if x.ndim != 2 or x.shape[1] != plant.nx or len(x) == 0:
        raise ProblemError(f"states have shape {x.shape}; expected (N, {plant.nx}), N at least 1")
    return x
