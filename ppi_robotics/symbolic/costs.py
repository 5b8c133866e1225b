"""Costs: quadratic, sums of squared residuals, and any CasADi expression. All are minimized.

    sum_{t<T} C_t(x_t, u_t) + C_T(x_T)

A cost is a description until `bind` compiles it for a plant; `Problem` does that.
"""

import functools
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import as_covariance, as_finite, check_choice, check_instance, correlations
from ppi_robotics.definition import as_rows, as_states
from ppi_robotics.derivatives import project
from ppi_robotics.errors import PlantError, ProblemError
from ppi_robotics.functions.cost import StageCosts
from ppi_robotics.gaussian import covariance_factor, frozen
from ppi_robotics.given import Floats, MaybeFloats
from ppi_robotics.kernels.compiler import STAGE_LANES, build
from ppi_robotics.kernels.translate import lane_function, trace
from ppi_robotics.manifold import origin, retract_jacobian, unit
from ppi_robotics.symbolic.residuals import BoundResiduals, ControlError, StateError

HESSIANS = ("gauss_newton", "exact", "project")


@dataclass(frozen=True)
class Quadratic:
    """(x - goal)' Q (x - goal) + u' R u per stage and (x - goal)' Q_T (x - goal) at the end; no factor 1/2.

    Attributes:
      state: Q (ndx, ndx), or its diagonal (ndx,); for plants with quaternions x - goal is the tangent difference.
      control: R (nu, nu), or its diagonal (nu,); positive definite.
      terminal: Q_T (ndx, ndx), or its diagonal (ndx,); zero by default.
      goal: (nx,); zero by default, with quaternions at (1, 0, 0, 0).

    Raises:
      ProblemError: on binding, if a weight has the wrong shape, is not symmetric or is indefinite.
    """

    state: Floats
    control: Floats
    terminal: MaybeFloats = None
    goal: MaybeFloats = None

    def bind(self, plant: Any) -> Any:
        """The cost compiled for a plant."""
        Q = as_covariance(self.state, f"`state` weights (plant states {plant.state_names})", plant.ndx)
        R = as_covariance(self.control, f"`control` weights (plant controls {plant.control_names})", plant.nu)
        if np.linalg.eigvalsh(correlations(R)[0])[0] <= 0:
            raise ProblemError(
                "`control` weights are singular; expected a positive definite matrix, so that controls have a price"
            )
        terminal = np.zeros(plant.ndx) if self.terminal is None else self.terminal
        QT = as_covariance(terminal, f"`terminal` weights (plant states {plant.state_names})", plant.ndx)
        goal = as_finite(origin(plant.nx, plant.quaternions) if self.goal is None else self.goal, "goal", (plant.nx,))
        if plant.quaternions:
            goal = unit(goal, plant.quaternions)
            stage = StateError(goal, covariance_factor(Q).T), ControlError(covariance_factor(R).T)
            return BoundResiduals(self, plant, stage, (StateError(goal, covariance_factor(QT).T),))

        # weights and goal are parameters of the compiled code, so that tuning them compiles nothing
        q, r, qT, g = (
            ca.SX.sym(name, n) for name, n in zip("qrtg", (*map(np.count_nonzero, (Q, R, QT)), plant.nx), strict=True)
        )
        values = np.concatenate([Q[Q != 0], R[R != 0], QT[QT != 0], goal])

        def stage(x, u):
            return _form(Q, q, x - g) + _form(R, r, u)

        def terminal_cost(x):
            return _form(QT, qT, x - g)

        ranks = [np.linalg.matrix_rank(correlations(weights)[0], hermitian=True) for weights in (Q, R, QT)]
        parameters = ca.vertcat(q, r, qT, g), values
        return BoundCost(
            self, plant, stage, terminal_cost, "exact", parameters=parameters, ranks=(ranks[0] + ranks[1], ranks[2])
        )


@dataclass(frozen=True)
class LeastSquares:
    """Sum of squared residuals, no factor 1/2: |r(x, u)|^2 per stage, |r_T(x)|^2 at the end.

    Attributes:
      stage: function of CasADi vectors x (nx,), u (nu,) to a vector of residuals.
      terminal: function of x to a vector of residuals; none by default.
      hessian: gauss_newton (2 J'J), exact, or project (exact with its negative eigenvalues raised).
    """

    stage: Callable[[ca.SX, ca.SX], Any]
    terminal: Callable[[ca.SX], Any] | None = None
    hessian: str = "gauss_newton"

    def bind(self, plant: Any) -> Any:
        """The cost compiled for a plant."""
        return BoundCost(self, plant, self.stage, self.terminal, self.hessian, residuals=True)


@dataclass(frozen=True)
class SymbolicCost:
    """Any CasADi scalar.

    Attributes:
      stage: function of CasADi vectors x (nx,), u (nu,) to a scalar.
      terminal: function of x to a scalar; none by default.
      hessian: project (exact with its negative eigenvalues raised to a small positive number) or exact.
    """

    stage: Callable[[ca.SX, ca.SX], Any]
    terminal: Callable[[ca.SX], Any] | None = None
    hessian: str = "project"

    def bind(self, plant: Any) -> Any:
        """The cost compiled for a plant."""
        if isinstance(self.hessian, str) and self.hessian == "gauss_newton":
            raise ProblemError(
                "SymbolicCost has no residuals for hessian 'gauss_newton'; choose exact or project, or LeastSquares"
            )
        return BoundCost(self, plant, self.stage, self.terminal, self.hessian)


@dataclass(frozen=True)
class LeftBehind:
    """Stands in a pickled copy for a cost of functions that cannot be pickled; the compiled cost does without.

    Attributes:
      kind: name of the cost's class.
    """

    kind: str

    def bind(self, plant: Any) -> Any:
        """Raise `ProblemError`: there is nothing to compile for another plant."""
        raise ProblemError(
            f"the functions of this {self.kind} were left behind when it was pickled, so that it cannot be bound to "
            f"plant '{plant.name}'; define them at the top of a module"
        )


class BoundCost(StageCosts):
    """A cost compiled for the sizes of a plant: `stage`, `terminal`, `quadratize`.

    Attributes:
      given: the cost that it was made from.
      stage_constants, terminal_constants: numbers that the generated functions refer to.
      functions: texts of the generated functions.
      ranks: numbers of squares that the stage and the terminal cost are sums of, None for costs that are no such sums.
    """

    _derived = ("kernels",)

    def __init__(self, given, plant, stage, terminal, hessian, residuals=False, parameters=None, ranks=None):
        check_choice(hessian, "hessian", HESSIANS)
        for name, function in (("stage", stage), ("terminal", terminal)):
            if function is not None or name == "stage":
                check_instance(function, name, Callable, "a function of CasADi vectors")
        self.given, self.nx, self.nu = given, plant.nx, plant.nu
        self.project = hessian == "project"
        x, u = ca.SX.sym("x", plant.nx), ca.SX.sym("u", plant.nu)
        z = ca.vertcat(x, u)
        known = () if parameters is None else (parameters[0],)
        at_stage = _trace("stage", stage, (x, u), residuals, known)
        at_end = _trace("terminal", terminal, (x,), residuals, known) if terminal is not None else ca.SX(0)
        self.ranks = (at_stage.numel(), at_end.numel() if terminal is not None else 0) if residuals else ranks
        stage_constants, terminal_constants = [], []
        inputs, end = {"x": x, "u": u}, {"x": x}
        value, gradient, matrix = _expand(at_stage, z, residuals, hessian)
        end_value, end_gradient, end_matrix = _expand(at_end, x, residuals and terminal is not None, hessian)
        model = {"v": value, "g": gradient, "H": matrix}
        end_model = {"v": end_value, "g": end_gradient, "H": end_matrix}
        self.functions = (
            lane_function("stage_value", inputs, {"v": value}, stage_constants, parameters),
            lane_function("terminal_value", end, {"v": end_value}, terminal_constants, parameters),
            lane_function("stage_quadratic", inputs, model, stage_constants, parameters),
            lane_function("terminal_quadratic", end, end_model, terminal_constants, parameters),
        )
        self.stage_constants = frozen(stage_constants or [0.0])
        self.terminal_constants = frozen(terminal_constants or [0.0])
        if not np.isfinite(self.stage_constants).all() or not np.isfinite(self.terminal_constants).all():
            raise ProblemError(
                "the cost holds a number that is not finite; give finite weights and goals, "
                "and use ppi.sin, not math.sin, on x and u"
            )

    def __getstate__(self):
        try:
            pickle.dumps(self.given)
        except Exception:  # noqa: BLE001  (of functions that were defined within others; what is compiled stays)
            state, read_only = super().__getstate__()
            return state | {"given": LeftBehind(type(self.given).__name__)}, read_only
        return super().__getstate__()

    def __deepcopy__(self, memo):
        return self  # nothing of it changes

    def bind(self, plant: Any) -> Any:
        """The same cost for another plant."""
        return self if (plant.nx, plant.nu) == (self.nx, self.nu) else self.given.bind(plant)

    def residuals(self, T: int) -> int:
        """Number of squares that the cost of T stages is a sum of.

        Raises:
          ProblemError: if the cost is no sum of squares.
        """
        if self.ranks is None:
            raise ProblemError("the cost is a SymbolicCost, no sum of squares; give Quadratic or LeastSquares")
        return T * int(self.ranks[0]) + int(self.ranks[1])

    @functools.cached_property
    def kernels(self):
        """Compiled values and quadratic models."""
        sizes = {"NX": self.nx, "NU": self.nu, "NZ": self.nx + self.nu}
        return build("cost", STAGE_LANES, sizes, self.functions, ("cost",))

    def stage(self, x: ArrayLike, u: ArrayLike, t: int = 0) -> np.ndarray:  # noqa: ARG002
        """Stage costs (N,) of stage t at states (N, nx) and controls (N, nu); they are the same in all stages."""
        x, u = as_rows(self, x, u)
        v = np.empty(len(x))
        self.kernels.stages(x, u, self.stage_constants, v)
        return v

    def terminal(self, x: ArrayLike) -> np.ndarray:
        """Terminal costs (N,) at states (N, nx)."""
        x = as_states(self, x)
        v = np.empty(len(x))
        self.kernels.terminals(x, self.terminal_constants, v)
        return v

    def expand(self, plant, x, u):
        """Next states, A and B of the plant, and what `quadratize` returns, in the tangent of the states."""
        model = self.quadratize(x, u)
        if plant.quaternions:
            R = retract_jacobian(x, plant.quaternions)
            c0, cx, cu, Cxx, Cux, Cuu = model
            along = np.einsum("tij,ti->tj", R, cx), cu, np.swapaxes(R, 1, 2) @ Cxx @ R, Cux @ R[:-1], Cuu
            model = tuple(np.ascontiguousarray(part) for part in (c0, *along))
        return plant.expand(x[:-1], u), model

    def quadratize(self, x: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, ...]:
        """Values (T + 1,), gradients cx (T + 1, nx), cu (T, nu) and Hessians Cxx, Cux, Cuu along a trajectory."""
        T, nx, nu = len(u), self.nx, self.nu
        if x.shape != (T + 1, nx) or u.shape != (T, nu):
            raise ProblemError(f"states {x.shape} and controls {u.shape}; expected (T + 1, {nx}) and (T, {nu})")
        out = (
            np.empty(T + 1),
            np.empty((T + 1, nx)),
            np.empty((T, nu)),
            np.empty((T + 1, nx, nx)),
            np.empty((T, nu, nx)),
            np.empty((T, nu, nu)),
        )
        self.kernels.quadratize(x, u, self.stage_constants, self.terminal_constants, *out)
        if self.project:
            project(*out[3:])
        return out


def _form(M, weights, e):
    """e' M e over the nonzero entries of M, whose values are the weights."""
    return sum((weights[k] * e[int(i)] * e[int(j)] for k, (i, j) in enumerate(np.argwhere(M))), ca.SX(0))


def _trace(role, function, symbols, residuals, parameters):
    try:
        value = trace(f"the {role} cost", function, symbols, parameters)
    except PlantError as error:
        raise ProblemError(str(error)) from error
    if not residuals and value.numel() != 1:
        raise ProblemError(
            f"the {role} cost has {value.numel()} entries; expected a scalar (LeastSquares takes residual vectors)"
        )
    return value


def _expand(expression, z, residuals, hessian):
    """Value, gradient and Hessian; Gauss-Newton drops the residuals' own curvature."""
    if residuals and hessian == "gauss_newton":
        J = ca.jacobian(expression, z)
        return ca.dot(expression, expression), 2 * J.T @ expression, 2 * J.T @ J
    value = ca.dot(expression, expression) if residuals else expression
    matrix, gradient = ca.hessian(value, z)
    return value, gradient, matrix
