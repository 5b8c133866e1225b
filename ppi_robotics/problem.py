"""The optimal control problem, and the one place where its shapes are checked.

minimize  E[ sum_{t<T} C_t(x_t, u_t) + C_T(x_T) ]   with   x_{t+1} = f(x_t, u_t) + w_t,   x_0 given
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import as_finite, check_count, check_function, check_instance, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.functions.cost import BoundFunctions, check_at
from ppi_robotics.functions.plant import complete
from ppi_robotics.gaussian import Gaussian
from ppi_robotics.given import Converted
from ppi_robotics.manifold import unit
from ppi_robotics.noise import Noise
from ppi_robotics.scales import Scales, known_sizes, reached, scales_of

MOST_STAGES = 100_000_000
FEW_STAGES, KNOWN_PART, ROUNDS = 10, 0.01, 3  # for the sizes of steps of differences


@runtime_checkable
class Plant(Protocol):
    """What a plant offers: names, sizes, limits, noise, a step of rows. Nothing else is called but, where it has it,

      linearize(x (T, nx), u (T, nu)): A (T, ndx, ndx) and B (T, ndx, nu), derivatives of the next state; by default
        differences are taken.
      difference(x (N, nx), y (N, nx)): tangents (N, ndx) from y to x; x - y by default.
      retract(x (N, nx), dx (N, ndx)): states reached; x + dx by default.
      quaternions: indices of the state at which unit quaternions start; none by default, where ndx = nx.
      second_derivatives: whether differences may be taken twice; False by default.
      success(x (N, nx)): booleans (N,), the default of a problem's criterion.

    `FunctionPlant` makes one of functions; `SymbolicPlant` and `MujocoPlant` have faster loops as well.

    Attributes:
      name: for messages and files; a policy refuses a plant of another name.
      nx, ndx, nu: sizes of the state, of its tangent and of the control.
      dt: seconds a stage.
      state_names, control_names: nx and nu names.
      units: nx + nu units, states first.
      control_limits: (nu, 2) lower and upper bounds, infinite where there is none.
      state_limits: (nx, 2) likewise.
      noise: `Noise`, on the tangent.
    """

    @property
    def name(self) -> str: ...
    @property
    def nx(self) -> int: ...
    @property
    def ndx(self) -> int: ...
    @property
    def nu(self) -> int: ...
    @property
    def dt(self) -> float: ...
    @property
    def state_names(self) -> Sequence[str]: ...
    @property
    def control_names(self) -> Sequence[str]: ...
    @property
    def units(self) -> Sequence[str]: ...
    @property
    def control_limits(self) -> np.ndarray: ...
    @property
    def state_limits(self) -> np.ndarray: ...
    @property
    def noise(self) -> Noise: ...

    def step(self, x: np.ndarray, u: np.ndarray, /) -> np.ndarray:
        """Next states (N, nx) from states (N, nx) and controls (N, nu), without noise; every row for itself."""
        ...


@runtime_checkable
class Cost(Protocol):
    """What a cost offers; it is minimized. Nothing else is called but, where it has it,

      quadratize(x (T + 1, nx), u (T, nu)): values (T + 1,), gradients cx (T + 1, ndx), cu (T, nu) and Hessians
        Cxx (T + 1, ndx, ndx), Cux (T, nu, ndx), Cuu (T, nu, nu) along a trajectory; by default differences are taken.

    `FunctionCost` makes one of functions.
    """

    def stage(self, x: np.ndarray, u: np.ndarray, /) -> np.ndarray:
        """Costs (N,) of a stage at states (N, nx) and controls (N, nu)."""
        ...

    def terminal(self, x: np.ndarray, /) -> np.ndarray:
        """Costs (N,) of the last states (N, nx)."""
        ...


@runtime_checkable
class Bindable(Protocol):
    """A cost that takes shape with the plant, such as `Quadratic`.

    One on sensors also has `equip`, which returns the plant with the sensors that it needs.
    """

    def bind(self, plant: Any, /) -> Any:
        """The cost for a plant."""
        ...


@runtime_checkable
class Method(Protocol):
    """What a method offers to `solve`: a name, and how it solves a problem.

    `plan` returns a `Schedule`, as `ILQG().plan(problem)` does: phases, each with `begin`, `advance` and `conclude`. A
    method may also have

      max_iterations: of every phase; 500 by default.
      lambda_policy, lambda_transition: weights of the policy that is made about the last path; by default a policy
        without noise of its own, and the weight of the last phase.
      starts: how many guesses are tried; by default as many as it takes.

    Attributes:
      name: for messages and tables.
    """

    @property
    def name(self) -> str: ...

    def plan(self, problem: "Problem", /) -> Any:
        """The `Schedule` for a problem.

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
    cost: Converted[Cost, Cost | Bindable]
    initial: Converted[Gaussian, Gaussian | ArrayLike]
    horizon: int
    success: Callable[[np.ndarray], Any] | None = None
    first_stage: int = 0

    def __post_init__(self):
        object.__setattr__(self, "plant", complete(self.plant))
        if isinstance(self.cost, type) or not isinstance(self.cost, Bindable | Cost):
            raise ProblemError(
                f"cost is {shown(self.cost)}; expected Quadratic, LeastSquares, SymbolicCost or FunctionCost"
            )
        object.__setattr__(self, "horizon", check_count(self.horizon, "horizon", 1, MOST_STAGES))
        object.__setattr__(self, "initial", self._initial_belief())
        self._check_start()
        check_function(self.success, "success", "final states (N, nx)")
        if self.success is None:
            object.__setattr__(self, "success", getattr(self.plant, "success", None))
        object.__setattr__(self, "first_stage", check_count(self.first_stage, "first_stage", 0))
        if hasattr(self.cost, "equip"):
            object.__setattr__(self, "plant", self.cost.equip(self.plant))
        self._bind()
        if any(getattr(part, "sizes", self) is None for part in (self.plant, self.cost)):  # functions, used first
            self._measure()

    def _bind(self, sizes=None):
        """Fix the cost for the plant, both with sizes (ndx + nu,) that steps of differences are parts of."""
        plant = self.plant
        if sizes is not None and hasattr(plant, "with_sizes"):
            plant = plant.with_sizes(sizes)
            object.__setattr__(self, "plant", plant)
        cost = self.cost.bind(plant) if hasattr(self.cost, "bind") else BoundFunctions(self.cost, plant)
        cost = cost.over(self.first_stage, self.horizon) if hasattr(cost, "over") else cost
        if sizes is not None and hasattr(cost, "with_sizes"):
            cost = cost.with_sizes(sizes)
        object.__setattr__(self, "cost", cost)

    def _measure(self):
        """Check functions at the start, and find the scales of the problem and the sizes for steps of differences.

        A step too long for what a function does in between gives wrong gradients, one too short only loses digits: so
        sizes are what controls move in a few stages, or parts of what else is known; limits may be far away, and the
        origin as well. What nothing tells of has size 1 at first.
        """
        plant, few = self.plant, min(self.horizon, FEW_STAGES)
        start, rest = self.initial.mean[None], np.clip(np.zeros(plant.nu), *plant.control_limits.T)[None]
        check_at(plant, self.cost, start[0], rest[0])
        ends = np.where(np.isfinite(plant.control_limits), np.abs(plant.control_limits), 0.0).max(axis=1)
        near, known = known_sizes(self, limits=False), known_sizes(self)
        sizes = np.concatenate((np.where(near > 0.0, near, known), ends))
        sizes = np.where(sizes > 0.0, sizes, 1.0)
        for _ in range(ROUNDS):
            self._bind(sizes)
            scales, (A, B) = scales_of(self), self.plant.linearize(start, rest)
            part = np.where(scales.state > known, scales.state, 0.0)
            state = np.max([reached(A[0], B[0], scales.control, few), part, KNOWN_PART * near], axis=0)
            found = np.concatenate((state, scales.control))
            if not np.isfinite(found).all():
                raise ProblemError(
                    "derivatives of plant or cost at the initial state are not finite; start elsewhere, or give "
                    "functions that are smooth there"
                )
            sizes = np.where(found > 0.0, found, sizes)
        self._bind(sizes)
        vars(self)["scales"] = scales

    @functools.cached_property
    def scales(self) -> Scales:
        """`Scales` of states, controls and cost."""
        return scales_of(self)

    def starting_at(
        self, x: ArrayLike, success: Callable[[np.ndarray], Any] | None = None, later: int = 0
    ) -> "Problem":
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


def check_problem(problem: object) -> Problem:
    """The problem, once it is one."""
    return check_instance(problem, "problem", Problem, "such as Problem(plant, cost, initial, horizon)")


def is_limited(plant: Plant) -> bool:
    """Whether any control or state has a limit."""
    return bool(np.isfinite(plant.control_limits).any() or np.isfinite(plant.state_limits).any())


# -- violation ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Violation:
    """The worst that a path does to a limit.

    Attributes:
      name, unit: of the state or control.
      stage: where it is farthest outside.
      value: there.
      limit: that it exceeds.
      size: |value - limit| over the scale of the state, or the control.
    """

    name: str
    unit: str
    stage: int
    value: float
    limit: float
    size: float

    def __str__(self):
        unit = f" {self.unit}" if self.unit else ""
        side = "below" if self.value < self.limit else "above"
        beyond = f"{abs(self.value - self.limit):.3g}{unit} {side} its limit {self.limit:g}{unit}"
        return f"{self.name} is {self.value:.6g}{unit} at stage {self.stage}, {beyond}"


def worst_violation(problem, x, u):
    """`Violation` of a path x (T + 1, nx), u (T, nu), None if it keeps all limits."""
    plant, worst = problem.plant, None
    if not is_limited(plant):
        return None
    scales = problem.scales
    for values, limits, scale, first in (
        (x, plant.state_limits, scales.state, 0),
        (u, plant.control_limits, scales.control, plant.nx),
    ):
        for i in np.flatnonzero(np.isfinite(limits).any(axis=1)):
            low, high = limits[i]
            beyond = np.maximum(low - values[:, i], values[:, i] - high)
            stage = int(np.argmax(beyond))
            size = float(beyond[stage]) / (float(scale[i]) or 1.0)
            if size > (worst.size if worst else 0.0):
                value = float(values[stage, i])
                name = (*plant.state_names, *plant.control_names)[first + i]
                unit = plant.units[first + i] if plant.units else ""
                worst = Violation(name, unit, stage, value, float(low if value < low else high), size)
    return worst
